//! From flags to the settings of the API and the query service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ferula_api::{ExternalUrl, Settings, Site};
use ferula_model::duration;
use ferula_promql::{Engine, EngineOptions, MemoryContract};
use ferula_query::{ActiveFile, Cores, QueryService, ServiceOptions};
use ferula_storage::Queryable;
use ferula_telemetry::{Registry, register_machine_metrics};
use time::OffsetDateTime;

use crate::flags::{Flags, OtlpDeltas, table};
use crate::memory_shares::MemoryShares;
use crate::{limits, storage, version};

/// The API's settings, from the flags.
pub fn api_settings(flags: &Flags, address: SocketAddr) -> Settings {
    let external_url = flags.external_url.clone().unwrap_or_else(|| ExternalUrl {
        scheme: "http".to_owned(),
        host: format!("{}:{}", limits::hostname(), address.port()),
        path: String::new(),
    });
    let route_prefix =
        flags.route_prefix.clone().unwrap_or_else(|| crate::flags::route_prefix(&external_url.path));
    let mut shown = flags.shown.clone();
    shown.insert(table::ROUTE_PREFIX.flag.name, route_prefix.clone());
    let retention = storage::retention_of_flags(&flags.storage).time;
    shown.insert(table::RETENTION_TIME.flag.name, duration::format_millis(millis(retention)));
    shown.insert(
        table::MAX_BLOCK_DURATION.flag.name,
        duration::format_millis(millis(storage::max_block(&flags.storage, retention))),
    );
    let is_changed =
        |flag: &&table::Flag| flags.shown.get(flag.name).is_some_and(|value| value != flag.default);
    Settings {
        changed_flags: table::FLAGS.iter().filter(is_changed).map(|flag| flag.name.to_owned()).collect(),
        flags: shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        build: version::build_info(),
        external_url,
        route_prefix,
        listen_address: address.to_string(),
        cors_origin: flags.cors_origin.clone(),
        page_title: flags.page_title.clone(),
        agent: flags.agent.is_some(),
        machine_metrics: machine_metrics(flags),
        lifecycle: flags.lifecycle,
        admin: flags.admin,
        remote_write: flags.remote_write,
        remote_read: flags.remote_read,
        otlp: flags.otlp,
        otlp_features: ferula_otlp::Features {
            adds_deltas_up: flags.features.otlp_deltas == OtlpDeltas::AddUp,
            stores_deltas: flags.features.otlp_deltas == OtlpDeltas::Store,
            type_and_unit_labels: flags.features.promql.type_and_unit_labels,
            metadata: flags.features.metadata,
            start_timestamps: flags.features.reads_start_timestamps(),
            lookback_ms: millis(flags.lookback_delta),
        },
        search_limit_max: flags.search_limit_max,
        remote_write_features: ferula_remote::write::Features {
            type_and_unit_labels: flags.features.promql.type_and_unit_labels,
            start_timestamps: flags.features.reads_start_timestamps(),
            metadata: flags.features.metadata,
            accepted: flags.remote_write_messages,
        },
        auto_reload: flags.auto_reload.is_some(),
        read_timeout: flags.read_timeout,
        connections_max: flags.connections_max,
        body_memory: MemoryContract::new(MemoryShares::of_process().bodies),
        notification_subscribers_max: flags.notification_subscribers_max,
        lookback_delta: flags.lookback_delta,
        data_dir: flags.storage.path.clone(),
        parser: flags.features.promql.parser_options(),
        search_api: flags.features.search_api,
        features: flags.features.names.clone(),
        started: OffsetDateTime::now_utc(),
    }
}

/// Creates the service that runs queries on the store.
pub fn query_service(
    flags: &Flags,
    active_file: Option<ActiveFile>,
    store: Arc<dyn Queryable>,
    site: &Site,
) -> QueryService {
    let engine = Engine::new(EngineOptions {
        max_samples: flags.query_samples_max,
        lookback_delta_ms: millis(flags.lookback_delta),
        features: flags.features.promql,
        memory: MemoryContract::new(MemoryShares::of_process().queries),
        spread: Some(Arc::new(Cores::of_machine())),
        ..EngineOptions::default()
    });
    let options = ServiceOptions { concurrency_max: flags.query_concurrency, timeout: flags.query_timeout };
    // An agent runs no queries, and shows no metrics of them.
    let registry = if flags.agent.is_some() { Registry::new() } else { site.registry.clone() };
    QueryService::new(store, engine, options, active_file, site.clock.clone(), &registry)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The registry of the machine's metrics, where the system has them and the flag allows it.
fn machine_metrics(flags: &Flags) -> Option<Registry> {
    (flags.machine_metrics && cfg!(target_os = "linux")).then(|| {
        let registry = Registry::new();
        register_machine_metrics(&registry);
        registry
    })
}

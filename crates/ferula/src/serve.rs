//! The server's life: build, start, wait, close.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ferula_api::query::active::ActiveQueries;
use ferula_api::query::{QueryRunner, RunnerOptions};
use ferula_api::{Api, DbAdmin, ExternalUrl, Settings, Stage, Store, WalReplay};
use ferula_config::storage::RetentionConfig;
use ferula_config::{ByteSize, Config};
use ferula_model::duration;
use ferula_promql::{Engine, EngineOptions, MemoryContract};
use ferula_promql_syntax::ParserOptions;
use ferula_runtime::{RealClock, SharedClock, Shutdown, TaskGroup};
use ferula_telemetry::{Registry, error, info, warn};
use ferula_tsdb::block::BlockOptions;
use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::retention::Retention;
use ferula_tsdb::wal::ahead::Helper;
use ferula_tsdb::{Db, Options, Progress, Stopwatch, UnsyncedHook};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use crate::agents::Agents;
use crate::alerting::Parts;
use crate::config_source::ConfigSource;
use crate::flags::{Flags, StorageFlags, table};
use crate::own_metrics::{self, ReloadMetrics};
use crate::reload::{self, Reloader, Requests};
use crate::{limits, maintenance, version, welcome};

/// Queries together may hold this share of the memory that the process may use.
const QUERY_MEMORY_PERCENT: u64 = 30;
/// New series are refused when the head takes this share of it.
const HEAD_MEMORY_PERCENT: u64 = 50;
/// How long samples are kept when neither flags nor configuration say.
const RETENTION_DEFAULT: Duration = Duration::from_secs(15 * 24 * 3600);

const RELOAD_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Opens the store before anything writes to it, and closes it after everything has stopped.
pub async fn serve(flags: Flags, source: ConfigSource, config: Option<Config>) -> anyhow::Result<()> {
    say_hello(&flags, &source);
    let listeners = listen(&flags.listen_addresses).await?;
    let address = listeners.first().context("no --web.listen-address")?.local_addr()?;
    let clock: SharedClock = RealClock::shared();
    let registry = Registry::new();
    let shutdown = Shutdown::new();
    let mut tasks = TaskGroup::new(shutdown.clone());
    let agents = Arc::new(Agents::default());
    let (lifecycle, requests) = mpsc::channel(1);
    let mut requests = Requests::new(requests, flags.auto_reload)?;
    let settings = settings(&flags, address);
    own_metrics::register(&registry, &settings.build);
    let reload_metrics = ReloadMetrics::new(&registry);
    if config.is_some() || source == ConfigSource::Embedded {
        // Known to be right, though not running yet; an alert on a bad configuration must not fire meanwhile.
        reload_metrics.note(true, clock.now().seconds());
    }
    let queries = Arc::new(query_runner(&flags, &registry)?);
    let api =
        Arc::new(Api::new(settings, registry.clone(), clock.clone(), queries, agents.clone(), lifecycle));

    stop_at_signals(&mut tasks, &api)?;
    let web_shutdown = Shutdown::new();
    let unsynced = Arc::new(Notify::new());
    let web = tokio::spawn(ferula_api::server::serve(api.clone(), listeners, web_shutdown.clone()));
    let started = tokio::select! {
        db = open_store(&flags, config.as_ref(), &api, &registry, &unsynced) => Some(db),
        () = shutdown.requested() => None,
        () = requests.quit_while_starting() => None,
    };
    let mut outcome = Ok(());
    if let Some(db) = started {
        let db = db?;
        let parts = Parts {
            db: &db,
            queries: &api.queries,
            clock: &clock,
            registry: &registry,
            tasks: &tasks,
            flags: &flags.alerting,
            parser: api.settings.parser,
            external_url: api.settings.external_url.to_string(),
        };
        agents.make(&parts, &flags.features);
        if let Some(alerting) = agents.alerting() {
            api.set_alerting(alerting);
        }
        let config_file = source.file().map(Path::to_path_buf);
        let reloader = Arc::new(Reloader {
            source,
            own_address: local_address(address),
            api: api.clone(),
            db: db.clone(),
            agents: agents.clone(),
            storage: flags.storage.clone(),
            exemplars: flags.features.exemplars,
            metrics: reload_metrics,
            clock: clock.clone(),
        });
        reloader.reload().map_err(anyhow::Error::msg).context("error loading config")?;
        agents.start(&mut tasks);
        let intervals = maintenance::Intervals {
            reload: reload_interval(&flags.storage),
            savepoint: flags.storage.savepoint_interval,
        };
        maintenance::start(&mut tasks, &db, &unsynced, &clock, intervals);
        let serving = requests.serve(reloader, shutdown.clone());
        tasks.spawn("reload", async move {
            serving.await;
            Ok(())
        });
        api.readiness.set(Stage::Ready);
        info!("Server is ready to receive web requests.");
        say_where(&api, &flags.storage.path, config_file.as_deref(), address);
        outcome = tasks.finished().await;
        api.readiness.set(Stage::Stopping);
        web_shutdown.request();
        web.await.context("the web server panicked")?;
        tokio::task::spawn_blocking(move || db.close()).await?.context("closing the storage")?;
    } else {
        shutdown.request();
        web_shutdown.request();
        web.await.context("the web server panicked")?;
    }
    outcome.map_err(anyhow::Error::new)
}

fn say_hello(flags: &Flags, source: &ConfigSource) {
    for (name, text) in &flags.features.switched_on {
        info!(text, option = name);
    }
    for (name, text) in &flags.features.warnings {
        warn!(text, option = name);
    }
    if flags.storage.reload_interval < RELOAD_INTERVAL_MIN {
        warn!(
            "The option --storage.tsdb.block-reload-interval is set to a value less than 1s. Setting it to 1s to avoid overload."
        );
    }
    if let Some(path) = &flags.storage.delay_compact_file {
        info!(
            "Compactions will be delayed for blocks not marked as uploaded in the file tracking uploads",
            path = path.display()
        );
    }
    for (flag, why) in &flags.without_effect {
        warn!("This flag has no effect", flag = flag, reason = why);
    }
    if *source == ConfigSource::Embedded {
        info!(
            "There is no prometheus.yml in this folder and no --config.file was given: starting with an embedded configuration that scrapes this server every 15s"
        );
    }
    info!("Starting Prometheus Server", mode = "server", version = version::short());
    info!(
        "operational information",
        fd_limits = limits::limit_text("Max open files"),
        vm_limits = limits::limit_text("Max address space"),
        memory_bytes = limits::memory_bytes()
    );
}

/// Logs where the server and its data are; on a terminal a person reads it in plain words, too.
fn say_where(api: &Api, data_dir: &Path, config_file: Option<&Path>, address: SocketAddr) {
    let url = format!("http://{}{}", local_address(address), api.settings.external_url.path);
    let data = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_path_buf());
    info!(
        "Ferula is up",
        url = url,
        data = data.display(),
        try_this = format!("{url}/api/v1/query?query=up"),
        address = address
    );
    welcome::print(&welcome::Address { url: &url, data_dir, config_file });
}

/// The address under which this machine reaches the listener.
fn local_address(address: SocketAddr) -> String {
    if address.ip().is_unspecified() || address.ip().is_loopback() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

async fn listen(addresses: &[String]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        info!("Start listening for connections", component = "web", address = address);
        let bound = match address.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()) {
            // Without a host: every address, of both kinds where the system has them.
            Some(port) => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
                Ok(listener) => Ok(listener),
                Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
            },
            None => TcpListener::bind(address.as_str()).await,
        };
        let listener = bound.with_context(|| {
            format!(
                "unable to start web listener: listen tcp {address} (set another with --web.listen-address)"
            )
        })?;
        info!("Listening on", component = "web", address = listener.local_addr()?);
        info!("TLS is disabled.", component = "web", http2 = false, address = listener.local_addr()?);
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Parts of PromQL that the flags switch on.
pub fn parser_options(flags: &Flags) -> ParserOptions {
    let promql = flags.features.promql;
    ParserOptions {
        experimental_functions: promql.experimental_functions,
        duration_expressions: true,
        extended_range_selectors: promql.extended_range_selectors,
        binop_fill_modifiers: promql.fill_modifiers,
    }
}

fn settings(flags: &Flags, address: SocketAddr) -> Settings {
    let external_url = flags.external_url.clone().unwrap_or_else(|| ExternalUrl {
        scheme: "http".to_owned(),
        host: format!("{}:{}", limits::hostname(), address.port()),
        path: String::new(),
    });
    let route_prefix =
        flags.route_prefix.clone().unwrap_or_else(|| crate::flags::route_prefix(&external_url.path));
    let mut shown = flags.shown.clone();
    shown.insert(table::ROUTE_PREFIX.flag.name, route_prefix.clone());
    let retention = retention_of_flags(&flags.storage).time;
    shown.insert(table::RETENTION_TIME.flag.name, format_duration(retention));
    shown.insert(table::MAX_BLOCK_DURATION.flag.name, format_duration(max_block(&flags.storage, retention)));
    Settings {
        flags: shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        build: version::build_info(),
        external_url,
        route_prefix,
        listen_address: address.to_string(),
        cors_origin: flags.cors_origin.clone(),
        page_title: flags.page_title.clone(),
        lifecycle: flags.lifecycle,
        admin: flags.admin,
        remote_write: flags.remote_write,
        remote_write_features: ferula_remote::write::Features {
            accepted: Default::default(),
            type_and_unit_labels: flags.features.promql.type_and_unit_labels,
            start_timestamps: flags.features.reads_start_timestamps(),
            metadata: flags.features.metadata,
        },
        auto_reload: flags.auto_reload.is_some(),
        read_timeout: flags.read_timeout,
        connections_max: flags.connections_max,
        lookback_delta: flags.lookback_delta,
        data_dir: flags.storage.path.clone(),
        parser: parser_options(flags),
        features: flags.features.names.clone(),
        started: OffsetDateTime::now_utc(),
    }
}

fn query_runner(flags: &Flags, registry: &Registry) -> anyhow::Result<QueryRunner> {
    let engine = Engine::new(EngineOptions {
        max_samples: flags.query_samples_max,
        lookback_delta_ms: millis(flags.lookback_delta),
        features: flags.features.promql,
        memory: MemoryContract::new(limits::memory_bytes() / 100 * QUERY_MEMORY_PERCENT),
        ..EngineOptions::default()
    });
    let active = ActiveQueries::open(&flags.storage.path, flags.query_concurrency).with_context(|| {
        format!("creating the file of active queries in {}", flags.storage.path.display())
    })?;
    let options = RunnerOptions { concurrency_max: flags.query_concurrency, timeout: flags.query_timeout };
    Ok(QueryRunner::new(engine, options, Some(active), registry))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Asks everything to stop at SIGTERM and SIGINT.
fn stop_at_signals(tasks: &mut TaskGroup, api: &Arc<Api>) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (shutdown, api) = (tasks.shutdown().clone(), api.clone());
    tasks.spawn("signals", async move {
        let name = tokio::select! {
            _ = terminate.recv() => "terminated",
            _ = interrupt.recv() => "interrupt",
            () = shutdown.requested() => {
                api.readiness.set(Stage::Stopping);
                return Ok(());
            }
        };
        warn!("Received an OS signal, exiting gracefully...", signal = name);
        api.readiness.set(Stage::Stopping);
        shutdown.request();
        Ok(())
    });
    Ok(())
}

/// Opens the store, which may take a while when there is much to read, and hands it to the API.
async fn open_store(
    flags: &Flags,
    config: Option<&Config>,
    api: &Arc<Api>,
    registry: &Registry,
    unsynced: &Arc<Notify>,
) -> anyhow::Result<Arc<Db>> {
    info!("Starting TSDB ...");
    let mut options = store_options(&flags.storage, config);
    let clock = api.clock.clone();
    options.stopwatch = Stopwatch::new(move || clock.elapsed());
    options.replay_helper = Helper::new(|beside, here| {
        std::thread::scope(|scope| {
            scope.spawn(beside);
            here();
        });
    });
    options.opened_at_ms = Some(api.clock.now().millis());
    let unsynced = unsynced.clone();
    options.on_unsynced = UnsyncedHook::new(move || unsynced.notify_one());
    options.floats = reload::float_encoding(config).unwrap_or(flags.features.floats());
    options.start_timestamps = flags.features.start_timestamps;
    options.histogram_start_timestamps = flags.features.histogram_start_timestamps;
    options.start_as_zero_sample = flags.features.start_as_zero_sample;
    if flags.features.exemplars {
        // Known before the log is read: what there is no room for at that moment is not kept.
        options.exemplars_max = reload::exemplars_max(config);
    }
    let (dir, registry, reporter) = (flags.storage.path.clone(), registry.clone(), api.clone());
    let opened = tokio::task::spawn_blocking({
        let registry = registry.clone();
        move || {
            let mut report = |progress: Progress| report_progress(&reporter, &progress);
            Db::open(&dir, options, Arc::new(RealDisk), &registry, &mut report)
        }
    });
    let db = Arc::new(opened.await.context("opening storage panicked")?.context("opening storage failed")?);
    let recovered = db.recovered();
    info!(
        "WAL replay completed",
        component = "tsdb",
        samples = recovered.samples,
        corruptions = recovered.corruptions,
        unknown_series = recovered.unknown_series
    );
    if recovered.unknown_schemas > 0 {
        warn!(
            "skipping histogram with unknown schema in WAL record",
            component = "tsdb",
            histograms = recovered.unknown_schemas
        );
    }
    info!("TSDB started");
    api.set_store(Store {
        queryable: db.clone(),
        appendable: db.clone(),
        admin: Arc::new(DbAdmin::new(db.clone(), registry, api.clock.clone())),
    });
    Ok(db)
}

fn report_progress(api: &Api, progress: &Progress) {
    match progress {
        Progress::Replaying => info!("Replaying WAL, this may take a while", component = "tsdb"),
        Progress::Savepoint { series, segment } => {
            info!("Savepoint loaded", component = "tsdb", series = series, segment = segment);
        }
        Progress::SavepointIgnored(why) => {
            warn!("The savepoint is not used, the whole log is read", component = "tsdb", reason = why);
        }
        Progress::Checkpoint { number } => {
            info!("Reading checkpoint", component = "tsdb", checkpoint = number);
        }
        Progress::Segment { segment, last } => {
            api.set_wal_replay(WalReplay { min: 0, max: u64::from(*last), current: u64::from(*segment) });
            info!("WAL segment loaded", component = "tsdb", segment = segment, maxSegment = last);
        }
        Progress::LateSegment { segment, last } => {
            info!("WBL segment loaded", component = "tsdb", segment = segment, maxSegment = last);
        }
        Progress::LockReplaced(path) => {
            warn!(
                "A lockfile from a previous execution already existed. It was replaced",
                file = path.display()
            );
        }
        Progress::Damaged(what) => error!("Damage found at start", component = "tsdb", err = what),
    }
}

fn store_options(storage: &StorageFlags, config: Option<&Config>) -> Options {
    let defaults = Options::default();
    let retention = configured_retention(config, storage).time;
    Options {
        min_block_duration_ms: millis(storage.min_block),
        max_block_duration_ms: millis(max_block(storage, retention)).max(millis(storage.min_block)),
        samples_per_chunk: storage.samples_per_chunk,
        wal_compression: storage.compression,
        wal_segment_bytes: match storage.segment_bytes {
            0 => defaults.wal_segment_bytes,
            bytes => bytes,
        },
        blocks: BlockOptions {
            segment_bytes_max: match storage.chunk_segment_bytes {
                0 => defaults.blocks.segment_bytes_max,
                bytes => bytes,
            },
            ..defaults.blocks
        },
        overlapping_compaction: storage.overlapping_compaction,
        delay_compact_file: storage.delay_compact_file.clone(),
        reload_interval_ms: millis(reload_interval(storage)),
        lock_file: storage.lock_file,
        savepoints: !storage.savepoint_interval.is_zero(),
        series_max: Some(storage.head_series_max).filter(|max| *max > 0),
        head_bytes_max: Some(match storage.head_bytes_max {
            0 => limits::memory_bytes() / 100 * HEAD_MEMORY_PERCENT,
            bytes => bytes,
        }),
        ..defaults
    }
}

/// How often blocks of others are looked for; not every moment.
fn reload_interval(storage: &StorageFlags) -> Duration {
    storage.reload_interval.max(RELOAD_INTERVAL_MIN)
}

/// What the flags keep: their own word, or 15 days when they bound neither time nor size.
pub fn retention_of_flags(storage: &StorageFlags) -> RetentionConfig {
    let unbounded = storage.retention_time.is_zero() && storage.retention_bytes == 0;
    RetentionConfig {
        time: if unbounded { RETENTION_DEFAULT } else { storage.retention_time },
        size: ByteSize(storage.retention_bytes),
        percentage: 0.0,
    }
}

/// The configuration's word as a whole, or else that of the flags.
fn configured_retention(config: Option<&Config>, storage: &StorageFlags) -> RetentionConfig {
    let configured = config.and_then(|config| config.storage.tsdb.as_ref()?.retention.clone());
    configured.unwrap_or_else(|| retention_of_flags(storage))
}

/// The longest block: a tenth of the retention, at most 31 days.
fn max_block(storage: &StorageFlags, retention: Duration) -> Duration {
    const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);
    if !storage.max_block.is_zero() {
        storage.max_block
    } else if retention.is_zero() {
        LONGEST
    } else {
        LONGEST.min(retention / 10)
    }
}

fn format_duration(duration: Duration) -> String {
    duration::format_millis(millis(duration))
}

/// How long and how much is kept.
pub fn retention(config: Option<&Config>, storage: &StorageFlags) -> Retention {
    let configured = configured_retention(config, storage);
    Retention {
        duration_ms: millis(configured.time),
        bytes_max: u64::try_from(configured.size.0).unwrap_or(0),
        percentage: configured.percentage,
    }
}

/// How long samples are kept, as `status/runtimeinfo` says it: `15d or 512MB`.
pub fn retention_text(config: &Config, storage: &StorageFlags) -> String {
    let retention = retention(Some(config), storage);
    let mut parts = Vec::new();
    if retention.duration_ms != 0 {
        parts.push(duration::format_millis(retention.duration_ms));
    }
    if retention.bytes_max != 0 {
        let bytes = i64::try_from(retention.bytes_max).unwrap_or(i64::MAX);
        parts.push(ByteSize(bytes).to_string());
    }
    if retention.percentage != 0.0 {
        parts.push(format!("{}%", ferula_go::float::format_g(retention.percentage)));
    }
    parts.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Parsed, parse};

    fn flags(arguments: &[&str]) -> StorageFlags {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        match parse(&arguments) {
            Ok(Parsed::Run(given)) => Flags::check(&given).expect("they are right").storage,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_retention_section_takes_the_place_of_the_flags() {
        for (section, arguments, want) in [
            ("", &[][..], "15d"),
            ("", &["--storage.tsdb.retention.size=1GB"], "1GiB"),
            ("storage: {tsdb: {out_of_order_time_window: 1h}}", &["--storage.tsdb.retention.time=3d"], "3d"),
            ("storage: {tsdb: {retention: {time: 2d}}}", &["--storage.tsdb.retention.size=1GB"], "2d"),
            ("storage: {tsdb: {retention: {size: 2GB}}}", &[], "2GiB"),
            ("storage: {tsdb: {retention: {}}}", &[], ""),
        ] {
            let mut config = Config::parse(section).expect("it is right");
            let storage = flags(arguments);
            assert_eq!(retention_text(&config, &storage), want, "{section} {arguments:?}");
            config.fill_storage(retention_of_flags(&storage), None);
            assert_eq!(retention_text(&config, &storage), want, "filled in: {section} {arguments:?}");
        }
    }
}

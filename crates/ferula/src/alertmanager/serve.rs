//! The server's life: load, open, listen, wait, write.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ferula_alertmanager::api::Api;
use ferula_alertmanager::engine::Metrics;
use ferula_alertmanager::silence::SilenceLimits;
use ferula_alertmanager::{Alertmanager, EngineSettings, Intervals};
use ferula_api::server::{self, ServerLimits};
use ferula_runtime::{RealClock, SharedClock, Shutdown};
use ferula_telemetry::{Registry, info, register_process_metrics};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::configuration::Configuration;
use super::flags::AlertmanagerFlags;
use super::metrics::{self, ConfigMetrics};
use super::settings::{build, engine_settings};
use super::web::{Reload, Web};
use crate::listen::{listen, web_access};

/// The maximum number of connections.
const CONNECTIONS_MAX: usize = 512;
/// The time limit for the head of a request.
const READ_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Serves until told to stop.
pub async fn serve(flags: AlertmanagerFlags) -> anyhow::Result<()> {
    let access = web_access(flags.web_config_file.as_deref())?;
    let (clock, registry): (SharedClock, _) = (RealClock::shared(), Registry::new());
    let mut hangup = signal(SignalKind::hangup())?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut listeners = listen(&flags.listen_addresses, access.as_deref()).await?;
    let port = listeners.first().context("no --web.listen-address")?.local_addr()?.port();
    let external_url = match &flags.external_url {
        Some(url) => url.to_string().trim_end_matches('/').to_owned(),
        None => format!("http://{}:{port}", crate::limits::hostname()),
    };
    let configuration = Arc::new(Configuration {
        file: flags.config_file.clone(),
        syntax: flags.syntax,
        external_url: external_url.clone(),
        clock: clock.clone(),
        metrics: ConfigMetrics::new(&registry),
    });
    let setup = configuration.load().context("error loading configuration file")?;
    let metrics = Metrics::new(&registry, flags.receiver_names_in_metrics, flags.alert_names_in_metrics);
    let settings = settings_of(&flags, &clock);
    let opened = Alertmanager::open(&flags.storage_path, settings, setup, metrics, &registry, clock.clone())?;
    let alertmanager = Arc::new(opened);
    register_process_metrics(&registry);
    metrics::register(&registry, &alertmanager, flags.alerts_per_name_max);

    let prefix = route_prefix(&flags);
    info!("Serving", component = "web", external_url = external_url, route_prefix = prefix);
    let (reload, mut reloads) = mpsc::channel::<Reload>(1);
    let api = Api::new(alertmanager.clone(), flags.syntax, build(), &registry);
    let web = Web::new(api, prefix, &registry, flags.get_concurrency, flags.web_timeout, reload);
    let shutdown = Shutdown::new();
    let limits = ServerLimits { connections_max: CONNECTIONS_MAX, read_timeout: READ_TIMEOUT, clock, access };
    let serving = tokio::spawn(server::serve_router(
        web.router(),
        limits,
        std::mem::take(&mut listeners),
        shutdown.clone(),
    ));
    let intervals = Intervals { maintenance: flags.maintenance_interval, alert_gc: flags.alert_gc_interval };
    let running = tokio::spawn(alertmanager.clone().run(intervals, shutdown.clone()));
    loop {
        let answer = tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => None,
            Some(answer) = reloads.recv() => Some(answer),
        };
        let (configuration, alertmanager) = (configuration.clone(), alertmanager.clone());
        let reloaded = tokio::task::spawn_blocking(move || configuration.reload(&alertmanager)).await?;
        if let Some(answer) = answer {
            let _ = answer.send(reloaded.map_err(|error| error.to_string()));
        }
    }
    shutdown.request();
    serving.await.context("the web server panicked")?;
    running.await.context("the dispatcher panicked")
}

fn settings_of(flags: &AlertmanagerFlags, clock: &SharedClock) -> EngineSettings {
    let plain = engine_settings(flags.retention, flags.syntax, clock);
    EngineSettings {
        silences: SilenceLimits {
            silences_max: flags.silences_max,
            silence_bytes_max: flags.silence_bytes_max,
            ..plain.silences
        },
        alerts_per_name_max: flags.alerts_per_name_max,
        log_silences: flags.log_silences,
        start_at: plain.start_at.plus(flags.start_delay),
        ..plain
    }
}

/// `/` or `/am`
fn route_prefix(flags: &AlertmanagerFlags) -> String {
    let of_url = || flags.external_url.as_ref().map(|url| url.path()).unwrap_or_default();
    let prefix = flags.route_prefix.clone().unwrap_or_else(of_url);
    format!("/{}", prefix.trim_matches('/'))
}

//! The server's life: load, open, listen, wait, write.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ferula_alertmanager::api::Api;
use ferula_alertmanager::engine::Metrics;
use ferula_alertmanager::pair::Link;
use ferula_alertmanager::silence::SilenceLimits;
use ferula_alertmanager::{Alertmanager, EngineSettings, Intervals};
use ferula_api::server::{self, ServerLimits};
use ferula_config::alertmanager::LoadOptions;
use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::HttpClients;
use ferula_runtime::{RealClock, SharedClock, Shutdown};
use ferula_storage::MemoryContract;
use ferula_telemetry::{Registry, info, register_process_metrics};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::configuration::Configuration;
use super::flags::AlertmanagerFlags;
use super::metrics::{self, ConfigMetrics};
use super::settings::{build, engine_settings};
use super::web::{Reload, Web, WebLimits};
use crate::allocator::FreeMemory;
use crate::listen::{listen, web_access};

/// The maximum number of connections.
const CONNECTIONS_MAX: usize = 512;
/// The time limit for the head of a request.
const READ_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How often memory that is not needed any more is returned to the system.
const FREE_INTERVAL: Duration = Duration::from_secs(60);

/// How long a member of a pair receives the other one's state before it notifies anybody.
const PAIR_SETTLING: Duration = Duration::from_secs(3);
const BODY_MEMORY_PERCENT: u64 = 20;
/// Enough for the largest body that is accepted.
const BODY_MEMORY_MIN: u64 = 704 << 20;

/// Serves until told to stop.
pub async fn serve(flags: AlertmanagerFlags) -> anyhow::Result<()> {
    let access = web_access(flags.web_config_file.as_deref())?;
    let (clock, registry): (SharedClock, _) = (RealClock::shared(), Registry::new());
    let signals = Signals::new()?;
    let mut listeners = listen(&flags.listen_addresses, access.as_deref()).await?;
    let port = listeners.first().context("no --web.listen-address")?.local_addr()?.port();
    let external_url = match &flags.external_url {
        Some(url) => url.to_string().trim_end_matches('/').to_owned(),
        None => format!("http://{}:{port}", crate::limits::hostname()),
    };
    let configuration = Arc::new(Configuration {
        file: flags.config_file.clone(),
        options: LoadOptions { syntax: flags.syntax, expands_variables: flags.expands_variables },
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
    let (reload, reloads) = mpsc::channel::<Reload>(1);
    let api = Api::new(alertmanager.clone(), flags.syntax, build(), &registry);
    let api = if flags.tests_receivers { api.with_receiver_tests() } else { api };
    let web_limits = WebLimits {
        get_concurrency: flags.get_concurrency,
        timeout: flags.web_timeout,
        body_memory: body_memory(),
        checks_users: access.is_some(),
    };
    let web = Web::new(api, prefix, &registry, web_limits, reload);
    let shutdown = Shutdown::new();
    let link = join_pair(&flags, &alertmanager, &external_url, &clock)?;
    let limits = ServerLimits {
        connections_max: CONNECTIONS_MAX,
        read_timeout: READ_TIMEOUT,
        clock: clock.clone(),
        access,
    };
    let serving = tokio::spawn(server::serve_router(
        web.router(),
        limits,
        std::mem::take(&mut listeners),
        shutdown.clone(),
    ));
    let intervals = Intervals { maintenance: flags.maintenance_interval, alert_gc: flags.alert_gc_interval };
    let running = tokio::spawn(alertmanager.clone().run(intervals, shutdown.clone()));
    tokio::spawn(return_free_memory(clock.clone(), shutdown.clone()));
    if let Some(link) = link {
        tokio::spawn(alertmanager.clone().keep_pair_informed(link, shutdown.clone()));
    }
    reload_until_stopped(signals, reloads, &configuration, &alertmanager).await?;
    shutdown.request();
    serving.await.context("the web server panicked")?;
    running.await.context("the dispatcher panicked")
}

/// The signals that the server listens to.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Reloads the configuration whenever a signal or a request asks for it, until a signal ends the server.
async fn reload_until_stopped(
    mut signals: Signals,
    mut reloads: mpsc::Receiver<Reload>,
    configuration: &Arc<Configuration>,
    alertmanager: &Arc<Alertmanager>,
) -> anyhow::Result<()> {
    loop {
        let answer = tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hangup.recv() => None,
            Some(answer) = reloads.recv() => Some(answer),
        };
        let (configuration, alertmanager) = (configuration.clone(), alertmanager.clone());
        let reloaded = tokio::task::spawn_blocking(move || configuration.reload(&alertmanager)).await?;
        if let Some(answer) = answer {
            // The client may be gone.
            let _ = answer.send(reloaded.map_err(|error| error.to_string()));
        }
    }
}

async fn return_free_memory(clock: SharedClock, shutdown: Shutdown) {
    let mut memory = FreeMemory::default();
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = clock.sleep(FREE_INTERVAL) => {}
        }
        let released = tokio::task::spawn_blocking(move || memory.release_if_grown()).await;
        memory = released.unwrap_or_default();
    }
}

fn settings_of(flags: &AlertmanagerFlags, clock: &SharedClock) -> EngineSettings {
    let plain = engine_settings(flags.retention, flags.syntax, clock);
    // First, what the other member of a pair sent meanwhile must be received.
    let settling = if flags.pair.is_some() { PAIR_SETTLING } else { Duration::ZERO };
    EngineSettings {
        silences: SilenceLimits {
            silences_max: flags.silences_max,
            silence_bytes_max: flags.silence_bytes_max,
            ..plain.silences
        },
        alerts_per_name_max: flags.alerts_per_name_max,
        log_silences: flags.log_silences,
        start_at: plain.start_at.plus(flags.start_delay.max(settling)),
        own: flags.own,
        ..plain
    }
}

/// Makes the server a member of a pair, if configured.
fn join_pair(
    flags: &AlertmanagerFlags,
    alertmanager: &Alertmanager,
    external_url: &str,
    clock: &SharedClock,
) -> anyhow::Result<Option<Link>> {
    let Some(pair) = &flags.pair else { return Ok(None) };
    let section = match &pair.http_config_file {
        None => HttpClientConfig::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file);
            let text = text.with_context(|| format!("--pair.http.config.file: open {}", file.display()))?;
            let directory = file.parent().map(|directory| directory.to_string_lossy().into_owned());
            let directory = directory.filter(|directory| !directory.is_empty()).unwrap_or_else(|| ".".into());
            HttpClientConfig::parse_file(&text, &directory).context("--pair.http.config.file")?
        }
    };
    let client = HttpClients::default().get(&section, "Ferula")?;
    let name = pair.name.clone().unwrap_or_else(|| external_url.to_owned());
    info!("This server is one of a pair", component = "pair", name = name, other = pair.url);
    alertmanager.change(|engine, _| engine.join_pair(name.clone(), pair.patience));
    Ok(Some(Link { url: pair.url.clone(), client, name, clock: clock.clone() }))
}

/// How much memory all bodies of requests may take together while they are read.
fn body_memory() -> MemoryContract {
    MemoryContract::new((crate::limits::memory_bytes() / 100 * BODY_MEMORY_PERCENT).max(BODY_MEMORY_MIN))
}

/// `/` or `/am`
fn route_prefix(flags: &AlertmanagerFlags) -> String {
    let of_url = || flags.external_url.as_ref().map(|url| url.path()).unwrap_or_default();
    let prefix = flags.route_prefix.clone().unwrap_or_else(of_url);
    format!("/{}", prefix.trim_matches('/'))
}

//! The server's life: build, start, wait, close.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use ferula_api::server::{self, ServerLimits};
use ferula_api::web_access::WebAccess;
use ferula_api::{Api, Service, Site, Stage, WalReplay, WebUi};
use ferula_config::Config;
use ferula_query::ActiveFile;
use ferula_runtime::{RealClock, SharedClock, Shutdown, TaskGroup};
use ferula_storage::Fanout;
use ferula_telemetry::{Registry, error, info, warn};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};

use crate::agents::Agents;
use crate::alertmanager::embedded::{Embedded, EmbeddedSettings};
use crate::config_source::ConfigSource;
use crate::flags::{self, Flags};
use crate::foundation::Foundation;
use crate::listen::{listen, local_address, web_access};
use crate::own_metrics::{self, ReloadMetrics};
use crate::reload::{ConfiguredParts, Reloader, Requests};
use crate::remote::{RemoteStorage, Times};
use crate::settings::{api_settings, query_service};
use crate::storage::{self, LocalStore, StoreSettings};
use crate::web_ui::Pages;
use crate::{limits, maintenance, scrub, version, welcome};

/// Opens the store before anything writes to it, and closes it after everything has stopped.
pub async fn serve(flags: Flags, source: ConfigSource, config: Option<Config>) -> anyhow::Result<()> {
    log_start(&flags, &source);
    let access = web_access(flags.web_config_file.as_deref())?;
    let listeners = listen(&flags.listen_addresses, access.as_deref()).await?;
    let address = listeners.first().context("no --web.listen-address")?.local_addr()?;
    let (clock, registry): (SharedClock, _) = (RealClock::shared(), Registry::new());
    let reload_metrics = ReloadMetrics::new(&registry);
    if config.is_some() || source == ConfigSource::Embedded {
        // Valid, though not applied yet; an alert on an invalid configuration must not fire meanwhile.
        reload_metrics.note(true, clock.now().seconds());
    }
    let (lifecycle, requests) = mpsc::channel(1);
    let mut requests = Requests::new(requests, flags.auto_reload)?;
    let (replay_progress, replay) = watch::channel(WalReplay::default());
    let settings = api_settings(&flags, address);
    let pages: Option<Arc<dyn WebUi>> = Some(Arc::new(Pages));
    own_metrics::register(&registry, &settings.build);
    let site = Arc::new(Site::new(settings, registry.clone(), clock.clone(), pages, replay, lifecycle));

    let shutdown = Shutdown::new();
    let mut tasks = TaskGroup::new(shutdown.clone());
    stop_at_signals(&mut tasks, &site)?;
    let embedded = open_alertmanager(&flags, &site)?;
    let scheme = if access.as_deref().is_some_and(WebAccess::is_tls) { "https" } else { "http" };
    let web = WebServer::start(site.clone(), access, listeners, embedded.as_ref());
    // Only when flags and files can no longer be refused; the unfinished queries of the last run are logged before
    // the store is opened.
    let active_file = if flags.agent.is_some() { None } else { open_active_file(&flags) };
    let store = StoreSettings {
        flags: flags.storage.clone(),
        features: flags.features.clone(),
        agent: flags.agent.clone(),
    };
    let unsynced = Arc::new(Notify::new());
    let segment_read = move |segment, last| {
        replay_progress.send_replace(WalReplay { min: 0, max: u64::from(last), current: u64::from(segment) });
    };
    let opened = tokio::select! {
        db = store.open(config.as_ref(), &clock, &registry, &unsynced, segment_read) => db?,
        () = shutdown.requested() => return web.stop().await,
        () = requests.quit_while_starting() => return web.stop().await,
    };
    let address = local_address(address);
    let start = Start { flags, source, site, address, scheme, store, active_file, reload_metrics, embedded };
    let outcome = start.run(&opened, &unsynced, requests, tasks, &web).await;
    web.stop().await?;
    tokio::task::spawn_blocking(move || opened.close()).await?.context("closing the storage")?;
    outcome
}

/// The web server, which answers as far as the start has progressed.
struct WebServer {
    service: watch::Sender<Service>,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl WebServer {
    fn start(
        site: Arc<Site>,
        access: Option<Arc<WebAccess>>,
        listeners: Vec<TcpListener>,
        embedded: Option<&Embedded>,
    ) -> Self {
        let limits = ServerLimits {
            connections_max: site.settings.connections_max,
            read_timeout: site.settings.read_timeout,
            clock: site.clock.clone(),
            access,
        };
        let (service, services) = watch::channel(Service::Starting(site));
        let shutdown = Shutdown::new();
        let router = ferula_api::router(services);
        let router = embedded.map_or_else(|| router.clone(), |embedded| embedded.mount(router.clone()));
        let task = tokio::spawn(server::serve_router(router, limits, listeners, shutdown.clone()));
        WebServer { service, shutdown, task }
    }

    /// Lets requests in progress finish.
    async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.request();
        self.task.await.context("the web server panicked")
    }
}

/// What is known once the store is open.
struct Start {
    flags: Flags,
    source: ConfigSource,
    site: Arc<Site>,
    /// This server's own address, for the embedded configuration.
    address: String,
    /// `https` with TLS on the own port.
    scheme: &'static str,
    store: StoreSettings,
    active_file: Option<ActiveFile>,
    reload_metrics: ReloadMetrics,
    embedded: Option<Embedded>,
}

impl Start {
    /// Builds and runs everything that works on the open store, and returns when it has stopped.
    async fn run(
        self,
        local: &LocalStore,
        unsynced: &Arc<Notify>,
        requests: Requests,
        mut tasks: TaskGroup,
        web: &WebServer,
    ) -> anyhow::Result<()> {
        let (site, shutdown) = (self.site, tasks.shutdown().clone());
        let config_file = self.source.file().map(Path::to_path_buf);
        let fanout = Arc::new(Fanout::new(local.queryable()));
        let queries = Arc::new(query_service(&self.flags, self.active_file, fanout.clone(), &site));
        if self.flags.agent.is_none() {
            maintenance::load_reads(&queries, local.dir());
        }
        let local_alerts = self.embedded.as_ref().map(Embedded::sink);
        let guard = local.guard(self.flags.series_limits, &site);
        let intake = local.intake(guard.as_ref());
        let foundation = Foundation {
            store: local,
            intake,
            queries: &queries,
            site: &site,
            local_alerts,
            shutdown: &shutdown,
        };
        let agents = Arc::new(Agents::new(&foundation, &self.flags));
        let times =
            Times { flush_deadline: self.flags.remote_flush_deadline, block: self.flags.storage.min_block };
        let remote = Arc::new(RemoteStorage::new(local, &fanout, &site, agents.targets(), times));
        let parts = ConfiguredParts {
            site: site.clone(),
            queries: queries.clone(),
            local: local.clone(),
            remote: remote.clone(),
            agents: agents.clone(),
            store: self.store,
            alertmanager: self.embedded.as_ref().map(Embedded::reload),
        };
        let started = Reloader::start(self.source, self.address.clone(), parts, self.reload_metrics);
        let (reloader, loaded) = started.context("error loading config")?;
        let reloader = Arc::new(reloader);
        let store = local.for_api(fanout, &site, guard);
        let (targets, alerting) = (agents.targets(), agents.alerting());
        let api = Api::new(site.clone(), queries.clone(), store, targets, alerting, loaded);
        web.service.send_replace(Service::Running(Arc::new(api)));
        agents.start(&mut tasks);
        if let Some(embedded) = self.embedded {
            embedded.start(&mut tasks);
        }
        let synced = maintenance::start_sync(&mut tasks, local, unsynced, &site.clock);
        start_maintenance(&mut tasks, local, &self.flags, synced, &remote, &site.clock)?;
        if let LocalStore::Server(db) = local {
            maintenance::start_saving_reads(&mut tasks, &queries, db.dir(), &site.clock);
        }
        let serving = requests.serve(reloader, shutdown);
        tasks.spawn("reload", async move {
            serving.await;
            Ok(())
        });
        site.readiness.set(Stage::Ready);
        info!("Server is ready to receive web requests.");
        let origin = format!("{}://{}", self.scheme, self.address);
        log_where(&site, &self.flags, &origin, config_file.as_deref());
        let outcome = tasks.finished().await;
        site.readiness.set(Stage::Stopping);
        remote.stop().await;
        outcome.map_err(anyhow::Error::new)
    }
}

/// Starts what keeps the store in order: for a server, blocks and savepoints; for an agent, the log.
fn start_maintenance(
    tasks: &mut TaskGroup,
    local: &LocalStore,
    flags: &Flags,
    synced: Arc<Notify>,
    remote: &Arc<RemoteStorage>,
    clock: &SharedClock,
) -> anyhow::Result<()> {
    match local {
        LocalStore::Server(db) => {
            let intervals = maintenance::Intervals {
                reload: storage::reload_interval(&flags.storage),
                savepoint: flags.storage.savepoint_interval,
                savepoint_log_bytes: maintenance::SAVEPOINT_LOG_BYTES,
            };
            maintenance::start(tasks, db, synced, clock, intervals);
            scrub::start(tasks, db, clock, flags.storage.scrub_bytes_per_second);
        }
        LocalStore::Agent(db) => {
            let frequency = flags.agent.as_ref().context("an agent without its flags")?.truncate_frequency;
            maintenance::start_truncation(tasks, db, remote, clock, frequency);
        }
    }
    Ok(())
}

/// The embedded Alertmanager, if one is configured.
fn open_alertmanager(flags: &Flags, site: &Site) -> anyhow::Result<Option<Embedded>> {
    let Some(config_file) = &flags.alerting.alertmanager_config else { return Ok(None) };
    let external_url = site.settings.external_url.to_string();
    let settings = EmbeddedSettings {
        config_file,
        data_dir: &flags.storage.path,
        external_url: external_url.trim_end_matches('/'),
        route_prefix: &site.settings.route_prefix,
        body_memory: &site.settings.body_memory,
    };
    Embedded::open(&settings, &site.clock, &site.registry).map(Some)
}

/// The file only informs the next start; queries also run without it.
fn open_active_file(flags: &Flags) -> Option<ActiveFile> {
    let opened = ActiveFile::open(&flags.storage.path, flags.query_concurrency);
    opened
        .inspect_err(|err| {
            let dir = flags.storage.path.display();
            error!("Opening the active query file failed; queries run without it", dir = dir, err = err);
        })
        .ok()
}

fn log_start(flags: &Flags, source: &ConfigSource) {
    for (name, text) in &flags.features.switched_on {
        info!(text, option = name);
    }
    for (name, text) in &flags.features.warnings {
        match flags::meant_by(name) {
            Some(meant) => warn!(text, option = name, did_you_mean = meant),
            None => warn!(text, option = name),
        }
    }
    if flags.storage.reload_interval < storage::RELOAD_INTERVAL_MIN {
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
            "There is no prometheus.yml in this directory and no --config.file was given: starting with an embedded configuration that scrapes this server every 15s"
        );
    }
    match flags.agent {
        None => info!("Starting Prometheus Server", mode = "server", version = version::short()),
        Some(_) => info!("Starting Prometheus Agent", mode = "agent", version = version::short()),
    }
    info!(
        "operational information",
        fd_limits = limits::limit_text("Max open files"),
        vm_limits = limits::limit_text("Max address space"),
        memory_bytes = limits::memory_bytes()
    );
}

/// Logs where the server and its data are; on a terminal a person reads it in plain words, too.
fn log_where(site: &Site, flags: &Flags, origin: &str, config_file: Option<&Path>) {
    let url = format!("{origin}{}", site.settings.external_url.path);
    let data_dir = &flags.storage.path;
    let data = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.clone());
    info!(
        "Ferula is up",
        url = url,
        data = data.display(),
        try_this = format!("{url}{}", welcome::to_try(flags.agent.is_some())),
        address = site.settings.listen_address
    );
    welcome::print(&welcome::Address { url: &url, data_dir, config_file, agent: flags.agent.is_some() });
}

/// Stops everything on SIGTERM and SIGINT.
fn stop_at_signals(tasks: &mut TaskGroup, site: &Arc<Site>) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (shutdown, site) = (tasks.shutdown().clone(), site.clone());
    tasks.spawn("signals", async move {
        let name = tokio::select! {
            _ = terminate.recv() => "terminated",
            _ = interrupt.recv() => "interrupt",
            () = shutdown.requested() => {
                site.readiness.set(Stage::Stopping);
                return Ok(());
            }
        };
        warn!("Received an OS signal, exiting gracefully...", signal = name);
        site.readiness.set(Stage::Stopping);
        shutdown.request();
        Ok(())
    });
    Ok(())
}

//! Loading the configuration, at start and on reload.
//!
//! An invalid configuration leaves the running one in force. A valid one is applied to every part in turn; if a
//! part fails, that is logged, the others keep the new configuration, and the reload counts as failed, as in
//! Prometheus.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use ferula_api::{Lifecycle, LoadedConfig, Site};
use ferula_config::Config;
use ferula_go::sync::MutexExt;
use ferula_promql::Engine;
use ferula_query::QueryService;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{error, info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::agents::Agents;
use crate::alertmanager::embedded::AlertmanagerReload;
use crate::config_source::{ConfigSource, LoadError};
use crate::own_metrics::ReloadMetrics;
use crate::part_error::{DB_STORAGE, NOTIFY, PartError, QUERY_ENGINE, REMOTE_STORAGE};
use crate::remote::RemoteStorage;
use crate::storage::{LocalStore, StoreSettings, retention_text};

/// Why a configuration was not applied, or not by all parts.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("couldn't load configuration (--config.file=\"{file}\"): {error}")]
    Load { file: String, error: Box<LoadError> },
    /// Some parts failed; the others have applied it.
    #[error(
        "one or more errors occurred while applying the new configuration (--config.file=\"{file}\"): {}",
        joined(failed)
    )]
    Parts { file: String, failed: Vec<PartError> },
    /// In addition, the Alertmanager inside could not load its file.
    #[error("{0}; {1}")]
    AlsoAlertmanager(Box<ReloadError>, PartError),
    #[error("{0}")]
    Panicked(String),
}

fn joined(failed: &[PartError]) -> String {
    failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Everything that a configuration is applied to. The parts are independent: one failure does not stop the
/// others.
pub struct ConfiguredParts {
    pub site: Arc<Site>,
    pub queries: Arc<QueryService>,
    pub local: LocalStore,
    pub remote: Arc<RemoteStorage>,
    pub agents: Arc<Agents>,
    pub store: StoreSettings,
    /// The Alertmanager inside the server, which has its own file.
    pub alertmanager: Option<AlertmanagerReload>,
}

impl ConfiguredParts {
    fn apply(&self, config: &Config, file: &str) -> Result<(), ReloadError> {
        let mut failed = Vec::new();
        self.apply_part(DB_STORAGE, config, &mut failed);
        self.apply_part(REMOTE_STORAGE, config, &mut failed);
        self.apply_part(QUERY_ENGINE, config, &mut failed);
        self.agents.apply(config, &mut failed);
        Self::reported(failed, file)
    }

    /// Applies a configuration once more to the parts that failed: what they lacked, such as a certificate, may be there
    /// by now. Rules and scrape jobs are not among them: rule files are read by reloads only, and scrape pools try again
    /// themselves.
    fn retry(&self, parts: &[&'static str], config: &Config, file: &str) -> Result<(), ReloadError> {
        let mut failed = Vec::new();
        for &part in parts {
            self.apply_part(part, config, &mut failed);
        }
        Self::reported(failed, file)
    }

    fn apply_part(&self, part: &'static str, config: &Config, failed: &mut Vec<PartError>) {
        let error = match part {
            DB_STORAGE => self.store.apply(&self.local, config).err(),
            QUERY_ENGINE => self.apply_queries(config).err(),
            REMOTE_STORAGE => {
                let errors = self.remote.apply(config);
                failed.extend(errors.into_iter().map(|error| {
                    let lasts = error.lasts();
                    PartError::new(part, error).lasting_if(lasts)
                }));
                None
            }
            NOTIFY => {
                self.agents.apply_notifier(config, failed);
                None
            }
            _ => None,
        };
        failed.extend(error.map(|error: anyhow::Error| PartError::new(part, error)));
    }

    fn reported(failed: Vec<PartError>, file: &str) -> Result<(), ReloadError> {
        for err in &failed {
            error!("Failed to apply configuration", err = err);
        }
        if failed.is_empty() { Ok(()) } else { Err(ReloadError::Parts { file: file.to_owned(), failed }) }
    }

    /// The Alertmanager reloads its file even if other parts fail, or the server's own file is invalid. At the start, it
    /// has already read it.
    fn reload_alertmanager(&self, applied: Result<(), ReloadError>, file: &str) -> Result<(), ReloadError> {
        let Some(alertmanager) = &self.alertmanager else { return applied };
        let Err(error) = alertmanager.reload() else { return applied };
        let error = PartError::new("alertmanager", error);
        error!("Failed to apply configuration", err = error);
        match applied {
            Ok(()) => Err(ReloadError::Parts { file: file.to_owned(), failed: vec![error] }),
            Err(ReloadError::Parts { mut failed, file }) => {
                failed.push(error);
                Err(ReloadError::Parts { file, failed })
            }
            Err(other) => Err(ReloadError::AlsoAlertmanager(Box::new(other), error)),
        }
    }

    fn apply_queries(&self, config: &Config) -> anyhow::Result<()> {
        let mut options = self.queries.engine().options().clone();
        let step = config.global.evaluation_interval.as_millis();
        options.default_subquery_step_ms = i64::try_from(step).unwrap_or(i64::MAX);
        self.queries.set_engine(Engine::new(options));
        let log = &config.global.query_log_file;
        self.queries.set_log(log).with_context(|| format!("open {log}"))
    }
}

/// Parts that failed are tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// The parts that may get the configuration in force without a reload.
const RETRIED: [&str; 4] = [DB_STORAGE, REMOTE_STORAGE, QUERY_ENGINE, NOTIFY];
/// In the place of a part: the file itself was not loaded.
const FILE: &str = "file";

/// The parts that do not have the configuration of the file, and whether they may get it without another one.
#[derive(Debug, Default)]
struct FailedParts(BTreeMap<&'static str, bool>);

impl FailedParts {
    /// Takes the result of a start or a reload, which are about everything.
    fn loaded(&mut self, result: &Result<(), ReloadError>) {
        match result {
            Ok(()) => self.0.clear(),
            Err(ReloadError::Parts { failed, .. }) => {
                self.0.clear();
                self.add(failed);
            }
            // What was in force stays in force, where it was.
            Err(_) => drop(self.0.insert(FILE, false)),
        }
    }

    fn add(&mut self, failed: &[PartError]) {
        for error in failed {
            let may_pass = RETRIED.contains(&error.part()) && !error.lasts();
            *self.0.entry(error.part()).or_default() |= may_pass;
        }
    }

    /// Those to be tried again.
    fn to_retry(&self) -> Vec<&'static str> {
        self.0.iter().filter(|(_, may_pass)| **may_pass).map(|(part, _)| *part).collect()
    }

    /// Takes the result of a retry of those. Returns whether no part is left.
    fn retried(&mut self, result: &Result<(), ReloadError>) -> bool {
        self.0.retain(|_, may_pass| !*may_pass);
        if let Err(ReloadError::Parts { failed, .. }) = result {
            self.add(failed);
        }
        self.0.is_empty()
    }
}

/// Loads the configuration repeatedly.
pub struct Reloader {
    source: ConfigSource,
    /// This server's address, for the embedded configuration.
    own_address: String,
    parts: ConfiguredParts,
    metrics: ReloadMetrics,
    loaded: watch::Sender<Arc<LoadedConfig>>,
    failed: Mutex<FailedParts>,
}

impl Reloader {
    /// Loads the first configuration and applies it to every part. Also returns a receiver for the configuration in
    /// force. Parts that fail do not prevent the start: they are tried again later.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub fn start(
        source: ConfigSource,
        own_address: String,
        parts: ConfiguredParts,
        metrics: ReloadMetrics,
    ) -> Result<(Self, watch::Receiver<Arc<LoadedConfig>>), ReloadError> {
        let begin = parts.site.clock.elapsed();
        let file = source.name();
        let first = load(&source, &own_address, &parts)?;
        let (loaded, receiver) = watch::channel(first.clone());
        let failed = Mutex::default();
        let reloader = Reloader { source, own_address, parts, metrics, loaded, failed };
        let applied = reloader.parts.apply(&first.config, &file);
        reloader.failed.locked().loaded(&applied);
        match reloader.note(&file, begin, applied) {
            Err(ReloadError::Parts { .. }) | Ok(()) => Ok((reloader, receiver)),
            Err(other) => Err(other),
        }
    }

    /// Loads the configuration and applies it to every part.
    ///
    /// # Errors
    /// The configuration is invalid and the old one stays in force, or some parts failed to apply it and the others
    /// have it.
    pub fn reload(&self) -> Result<(), ReloadError> {
        let begin = self.parts.site.clock.elapsed();
        let file = self.source.name();
        let applied = load(&self.source, &self.own_address, &self.parts).and_then(|loaded| {
            let applied = self.parts.apply(&loaded.config, &file);
            self.loaded.send_replace(loaded);
            applied
        });
        let applied = self.parts.reload_alertmanager(applied, &file);
        self.failed.locked().loaded(&applied);
        self.note(&file, begin, applied)
    }

    /// Whether a part lacks the configuration in force and may get it without a reload.
    fn may_retry(&self) -> bool {
        !self.failed.locked().to_retry().is_empty()
    }

    /// Tries again what failed. It is a success only when nothing is left, rules and scrape jobs and the file included.
    fn retry(&self) -> Result<(), ReloadError> {
        let begin = self.parts.site.clock.elapsed();
        let file = self.source.name();
        let loaded = self.loaded.borrow().clone();
        let parts = self.failed.locked().to_retry();
        let applied = self.parts.retry(&parts, &loaded.config, &file);
        if self.failed.locked().retried(&applied) { self.note(&file, begin, applied) } else { applied }
    }

    fn note(&self, file: &str, begin: Duration, result: Result<(), ReloadError>) -> Result<(), ReloadError> {
        let clock = &self.parts.site.clock;
        self.metrics.note(result.is_ok(), clock.now().seconds());
        if result.is_ok() {
            let took = clock.elapsed().saturating_sub(begin);
            info!(
                "Completed loading of configuration file",
                filename = file,
                totalDuration = format!("{took:?}")
            );
        }
        result
    }

    /// A checksum of all files behind the configuration.
    fn checksum(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut add = |path: &Path| {
            path.hash(&mut hasher);
            std::fs::read(path).ok().hash(&mut hasher);
        };
        if let ConfigSource::File(path) = &self.source {
            add(path);
        }
        if let Some(alertmanager) = &self.parts.alertmanager {
            add(alertmanager.file());
        }
        let loaded = self.loaded.borrow().clone();
        for name in loaded.config.rule_file_names() {
            add(Path::new(&name));
        }
        for pattern in &loaded.config.scrape_config_files.0 {
            for name in ferula_config::glob(pattern) {
                add(Path::new(&name));
            }
        }
        hasher.finish()
    }
}

fn load(
    source: &ConfigSource,
    own_address: &str,
    parts: &ConfiguredParts,
) -> Result<Arc<LoadedConfig>, ReloadError> {
    let file = source.name();
    info!("Loading configuration file", filename = file);
    let settings = &parts.site.settings;
    let mut config = source
        .load(own_address, &settings.route_prefix, settings.agent, settings.machine_metrics.is_some())
        .map_err(|error| ReloadError::Load { file, error: Box::new(error) })?;
    parts.store.fill(&mut config);
    let retention = retention_text(&config, &parts.store);
    Ok(Arc::new(LoadedConfig::new(config, retention)))
}

/// The sources of reload and shutdown requests.
pub struct Requests {
    hangup: Signal,
    lifecycle: mpsc::Receiver<Lifecycle>,
    auto_reload: Option<Duration>,
}

impl Requests {
    /// Listens from now on, so nothing is missed while the store is being opened.
    pub fn new(lifecycle: mpsc::Receiver<Lifecycle>, auto_reload: Option<Duration>) -> std::io::Result<Self> {
        Ok(Requests { hangup: signal(SignalKind::hangup())?, lifecycle, auto_reload })
    }

    /// Until the configuration is loaded, only shutdown can be requested.
    pub async fn quit_while_starting(&mut self) {
        while let Some(request) = self.lifecycle.recv().await {
            match request {
                Lifecycle::Quit => return,
                // Dropping the sender tells the client that there is no answer.
                Lifecycle::Reload(_) => {}
            }
        }
        std::future::pending::<()>().await;
    }

    /// Handles requests until shutdown.
    pub async fn serve(mut self, reloader: Arc<Reloader>, shutdown: Shutdown) {
        let mut files = WatchedFiles::new(|| reloader.checksum());
        if let Some(interval) = self.auto_reload {
            info!("Automatic configuration file reloading enabled", interval = format!("{interval:?}"));
        }
        // The moment of the next retry. It stands still while the other timer starts again and again.
        let mut retry_at = None;
        loop {
            let now = reloader.parts.site.clock.elapsed();
            retry_at = reloader.may_retry().then(|| retry_at.unwrap_or(now + RETRY_AFTER));
            let retry_in = retry_at.map(|at: Duration| at.saturating_sub(now));
            let answer = tokio::select! {
                () = shutdown.requested() => return,
                hangup = self.hangup.recv() => match hangup {
                    Some(()) => None,
                    None => return,
                },
                request = self.lifecycle.recv() => match request {
                    Some(Lifecycle::Reload(answer)) => Some(answer),
                    Some(Lifecycle::Quit) => {
                        warn!("Received termination request via web service, exiting gracefully...");
                        shutdown.request();
                        return;
                    }
                    None => return,
                },
                () = tick(&reloader.parts.site.clock, retry_in) => {
                    retry_at = None;
                    let worker = reloader.clone();
                    if let Err(panic) = tokio::task::spawn_blocking(move || worker.retry()).await {
                        error!("Error reloading config", err = panic);
                    }
                    // The other timer starts again from zero, and must not be delayed forever.
                    if self.auto_reload.is_none() || !files.has_changed() {
                        continue;
                    }
                    info!("Configuration file change detected, reloading the configuration.");
                    None
                }
                () = tick(&reloader.parts.site.clock, self.auto_reload) => {
                    if !files.has_changed() {
                        continue;
                    }
                    info!("Configuration file change detected, reloading the configuration.");
                    None
                }
            };
            let worker = reloader.clone();
            let result = files.read_by(tokio::task::spawn_blocking(move || worker.reload())).await;
            let result = result.unwrap_or_else(|panic| Err(ReloadError::Panicked(panic.to_string())));
            if let Err(err) = &result {
                error!("Error reloading config", err = err);
            }
            if let Some(answer) = answer {
                // The client may have gone.
                let _ = answer.send(result.map_err(Into::into));
            }
        }
    }
}

/// Files that are read again when they have changed.
struct WatchedFiles<C> {
    /// Returns another number when a file has changed.
    checksum: C,
    read: u64,
}

impl<C: Fn() -> u64> WatchedFiles<C> {
    fn new(checksum: C) -> Self {
        let read = checksum();
        WatchedFiles { checksum, read }
    }

    fn has_changed(&self) -> bool {
        (self.checksum)() != self.read
    }

    /// Waits for something that reads the files. One that changes meanwhile may have been read as it was before, so it
    /// counts as changed afterwards.
    async fn read_by<T>(&mut self, reading: impl Future<Output = T>) -> T {
        self.read = (self.checksum)();
        reading.await
    }
}

async fn tick(clock: &SharedClock, interval: Option<Duration>) {
    match interval {
        Some(interval) => clock.sleep(interval).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn parts(names: &[&'static str]) -> Result<(), ReloadError> {
        let failed = names.iter().map(|name| PartError::new(name, anyhow::anyhow!("no"))).collect();
        Err(ReloadError::Parts { file: "f".to_owned(), failed })
    }

    #[test]
    fn a_retry_is_a_success_only_when_nothing_is_left() {
        let mut failed = FailedParts::default();
        failed.loaded(&parts(&["rules", REMOTE_STORAGE, NOTIFY]));
        assert_eq!(failed.to_retry(), [NOTIFY, REMOTE_STORAGE]);
        assert!(!failed.retried(&parts(&[NOTIFY])), "two are left");
        assert_eq!(failed.to_retry(), [NOTIFY]);
        assert!(!failed.retried(&Ok(())), "the rules are the old ones");
        assert!(failed.to_retry().is_empty());
        // A file that is not loaded stays one, whatever parts do.
        failed.loaded(&parts(&[REMOTE_STORAGE]));
        failed.loaded(&Err(ReloadError::Panicked("no".to_owned())));
        assert_eq!(failed.to_retry(), [REMOTE_STORAGE]);
        assert!(!failed.retried(&Ok(())), "the file is invalid");
        failed.loaded(&parts(&[REMOTE_STORAGE]));
        assert!(failed.retried(&Ok(())));
        // Equal sections stay equal.
        let equal = PartError::new(REMOTE_STORAGE, anyhow::anyhow!("no")).lasting_if(true);
        failed.loaded(&Err(ReloadError::Parts { file: "f".to_owned(), failed: vec![equal] }));
        assert!(failed.to_retry().is_empty());
        assert!(!failed.retried(&parts(&[NOTIFY])) && failed.to_retry() == [NOTIFY]);
        assert!(!failed.retried(&Ok(())), "the sections are still equal");
    }

    #[tokio::test]
    async fn a_file_that_changes_while_it_is_read_is_read_again() {
        let content = Cell::new(1);
        let mut files = WatchedFiles::new(|| content.get());
        assert!(!files.has_changed());
        content.set(2);
        assert!(files.has_changed());
        files.read_by(async {}).await;
        assert!(!files.has_changed(), "what was read as it is needs no second reading");
        let read = files.read_by(async { content.replace(3) }).await;
        assert_eq!(read, 2);
        assert!(files.has_changed(), "3 is not loaded yet");
        files.read_by(async {}).await;
        assert!(!files.has_changed());
    }
}

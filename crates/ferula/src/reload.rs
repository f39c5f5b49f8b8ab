//! Loading the configuration, at the start and again: all of it or nothing.
//!
//! A configuration that is wrong leaves the running one as it is. One that is right is handed to every part in turn; a
//! part that cannot take it is logged, the others keep the new one, and the reload counts as failed, as in Prometheus.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferula_api::{Api, Lifecycle};
use ferula_config::Config;
use ferula_config::storage::ExemplarsConfig;
use ferula_promql::Engine;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{error, info, warn};
use ferula_tsdb::{Db, FloatEncoding};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::agents::Agents;
use crate::config_source::ConfigSource;
use crate::flags::StorageFlags;
use crate::own_metrics::ReloadMetrics;
use crate::serve::{retention, retention_of_flags, retention_text};

/// Everything that a configuration is handed to.
pub struct Reloader {
    /// Where it comes from.
    pub source: ConfigSource,
    /// Address of this server, for the embedded configuration.
    pub own_address: String,
    /// HTTP, and through it the query engine.
    pub api: Arc<Api>,
    /// The store.
    pub db: Arc<Db>,
    /// What scrapes.
    pub agents: Arc<Agents>,
    /// Flags that fill in what the configuration leaves open.
    pub storage: StorageFlags,
    /// Whether exemplars are stored.
    pub exemplars: bool,
    /// Metrics of loading.
    pub metrics: ReloadMetrics,
    /// The time.
    pub clock: SharedClock,
}

/// Exemplars that are kept when the feature is on and the configuration names no number.
const EXEMPLARS_DEFAULT: i64 = 100_000;

/// How many exemplars are kept when the feature is on.
pub fn exemplars_max(config: Option<&Config>) -> usize {
    let configured = config.and_then(|config| config.storage.exemplars.as_ref());
    let max = configured.map_or(EXEMPLARS_DEFAULT, |exemplars| exemplars.max_exemplars);
    usize::try_from(max).unwrap_or(0)
}

/// How floats are to be written, if the configuration says so.
pub fn float_encoding(config: Option<&Config>) -> Option<FloatEncoding> {
    match config?.storage.tsdb.as_ref()?.chunk_encoding.floats.as_str() {
        "xor" => Some(FloatEncoding::Xor),
        "xor2" => Some(FloatEncoding::Xor2),
        _ => None,
    }
}

impl Reloader {
    /// Loads the configuration and hands it to every part.
    pub fn reload(&self) -> Result<(), String> {
        let begin = self.clock.elapsed();
        let file = self.source.name();
        info!("Loading configuration file", filename = file);
        let result = self
            .source
            .load(&self.own_address, &self.api.settings.route_prefix)
            .map_err(|error| format!("couldn't load configuration (--config.file=\"{file}\"): {error}"))
            .and_then(|mut config| {
                let exemplars = ExemplarsConfig { max_exemplars: EXEMPLARS_DEFAULT };
                config.fill_storage(retention_of_flags(&self.storage), self.exemplars.then_some(exemplars));
                self.apply(Arc::new(config), &file)
            });
        self.metrics.note(result.is_ok(), self.clock.now().seconds());
        if result.is_ok() {
            let took = self.clock.elapsed().saturating_sub(begin);
            info!(
                "Completed loading of configuration file",
                filename = file,
                totalDuration = format!("{took:?}")
            );
        }
        result
    }

    /// Hands a configuration to every part; a part that fails does not keep the others from it.
    fn apply(&self, config: Arc<Config>, file: &str) -> Result<(), String> {
        let mut failed = false;
        let mut note = |result: Result<(), String>| {
            if let Err(err) = result {
                error!("Failed to apply configuration", err = err);
                failed = true;
            }
        };
        note(self.apply_store(&config));
        self.api.set_retention(&retention_text(&config, &self.storage));
        self.api.set_config(config.clone());
        note(self.apply_queries(&config));
        note(self.agents.apply(&config));
        if failed {
            return Err(format!(
                "one or more errors occurred while applying the new configuration (--config.file=\"{file}\")"
            ));
        }
        Ok(())
    }

    fn apply_store(&self, config: &Config) -> Result<(), String> {
        let tsdb = config.storage.tsdb.as_ref();
        let window_ms = tsdb.map_or(0, |tsdb| tsdb.out_of_order_time_window_ms);
        self.db.set_retention(retention(Some(config), &self.storage));
        self.db.set_stale_series_threshold(tsdb.map_or(0.0, |tsdb| tsdb.stale_series_compaction_threshold));
        self.db.set_out_of_order_window(window_ms).map_err(|error| error.to_string())?;
        if self.exemplars {
            self.db.set_exemplars_max(exemplars_max(Some(config)));
        }
        self.db.set_float_encoding(float_encoding(Some(config))).map_err(|error| error.to_string())
    }

    fn apply_queries(&self, config: &Config) -> Result<(), String> {
        let mut options = self.api.queries.engine().options().clone();
        let step = config.global.evaluation_interval.as_millis();
        options.default_subquery_step_ms = i64::try_from(step).unwrap_or(i64::MAX);
        self.api.queries.set_engine(Engine::new(options));
        let log = &config.global.query_log_file;
        self.api.queries.set_log(log).map_err(|error| format!("open {log}: {error}"))
    }

    /// What a change of the files behind the configuration would change.
    fn checksum(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut add = |path: &Path| {
            path.hash(&mut hasher);
            std::fs::read(path).ok().hash(&mut hasher);
        };
        if let ConfigSource::File(path) = &self.source {
            add(path);
        }
        if let Some(loaded) = self.api.loaded() {
            for name in loaded.config.rule_file_names() {
                add(Path::new(&name));
            }
            for pattern in &loaded.config.scrape_config_files.0 {
                for name in ferula_config::glob(pattern) {
                    add(Path::new(&name));
                }
            }
        }
        hasher.finish()
    }
}

/// Who may ask for a reload, or for the end.
pub struct Requests {
    hangup: Signal,
    lifecycle: mpsc::Receiver<Lifecycle>,
    auto_reload: Option<Duration>,
}

impl Requests {
    /// Listens from now on, so that nothing is missed while the store is being opened.
    pub fn new(lifecycle: mpsc::Receiver<Lifecycle>, auto_reload: Option<Duration>) -> std::io::Result<Self> {
        Ok(Requests { hangup: signal(SignalKind::hangup())?, lifecycle, auto_reload })
    }

    /// Only the end can be asked for as long as nothing is loaded.
    pub async fn quit_while_starting(&mut self) {
        while let Some(request) = self.lifecycle.recv().await {
            match request {
                Lifecycle::Quit => return,
                // The sender hears that nobody answers.
                Lifecycle::Reload(_) => {}
            }
        }
        std::future::pending::<()>().await;
    }

    /// Serves requests until shutdown.
    pub async fn serve(mut self, reloader: Arc<Reloader>, shutdown: Shutdown) {
        let mut checksum = reloader.checksum();
        if let Some(interval) = self.auto_reload {
            info!("Automatic configuration file reloading enabled", interval = format!("{interval:?}"));
        }
        loop {
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
                () = tick(&reloader.clock, self.auto_reload) => {
                    if reloader.checksum() == checksum {
                        continue;
                    }
                    info!("Configuration file change detected, reloading the configuration.");
                    None
                }
            };
            let worker = reloader.clone();
            let result = tokio::task::spawn_blocking(move || worker.reload()).await;
            let result = result.unwrap_or_else(|panic| Err(panic.to_string()));
            checksum = reloader.checksum();
            if let Err(err) = &result {
                error!("Error reloading config", err = err);
            }
            if let Some(answer) = answer {
                // Whoever asked may have gone.
                let _ = answer.send(result);
            }
        }
    }
}

async fn tick(clock: &SharedClock, interval: Option<Duration>) {
    match interval {
        Some(interval) => clock.sleep(interval).await,
        None => std::future::pending().await,
    }
}

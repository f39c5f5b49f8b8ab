//! An Alertmanager inside the server: `--alertmanager.config.file`. Rules pass their alerts in memory. The API is below
//! `/alertmanager`; the files are in the directory `alertmanager` of the data directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ferula_alertmanager::api::Api;
use ferula_alertmanager::engine::Metrics;
use ferula_alertmanager::{Alertmanager, Intervals};
use ferula_config::alertmanager::{LoadOptions, MatcherSyntax};
use ferula_model::AlertSink;
use ferula_runtime::{SharedClock, TaskGroup};
use ferula_storage::MemoryContract;
use ferula_telemetry::Registry;
use tokio::sync::mpsc;

use super::configuration::{Configuration, LoadError};
use super::metrics::{self, ConfigMetrics};
use super::settings::{RETENTION, build, engine_settings};
use super::web::{Reload, Web, WebLimits};

/// Relative to the server's own prefix.
const PATH: &str = "alertmanager";
const GET_CONCURRENCY: usize = 16;
const INTERVALS: Intervals =
    Intervals { maintenance: Duration::from_secs(15 * 60), alert_gc: Duration::from_secs(30 * 60) };

/// The Alertmanager's configuration, files and address.
pub struct EmbeddedSettings<'a> {
    pub config_file: &'a Path,
    pub data_dir: &'a Path,
    /// The server's, without a final slash.
    pub external_url: &'a str,
    /// The server's: `/` or `/x`.
    pub route_prefix: &'a str,
    /// Shared with the server's own requests.
    pub body_memory: &'a MemoryContract,
}

/// Reloads the Alertmanager's configuration.
pub struct AlertmanagerReload {
    alertmanager: Arc<Alertmanager>,
    configuration: Arc<Configuration>,
}

impl AlertmanagerReload {
    /// The configuration file.
    pub fn file(&self) -> &Path {
        &self.configuration.file
    }

    /// Applies the file's current content.
    ///
    /// # Errors
    /// The file cannot be used; the previous configuration stays in force.
    pub fn reload(&self) -> Result<(), LoadError> {
        self.configuration.reload(&self.alertmanager)
    }
}

/// An open Alertmanager that is not running yet.
pub struct Embedded {
    alertmanager: Arc<Alertmanager>,
    configuration: Arc<Configuration>,
    web: Web,
    reloads: mpsc::Receiver<Reload>,
}

impl Embedded {
    /// Loads the configuration and opens the files.
    pub fn open(
        settings: &EmbeddedSettings<'_>,
        clock: &SharedClock,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let configuration = Arc::new(Configuration {
            file: settings.config_file.to_owned(),
            options: LoadOptions::default(),
            external_url: format!("{}/{PATH}", settings.external_url),
            clock: clock.clone(),
            metrics: ConfigMetrics::new(registry),
        });
        let setup = configuration.load().with_context(|| {
            format!("error loading config (--alertmanager.config.file={})", settings.config_file.display())
        })?;
        let metrics = Metrics::new(registry, false, false);
        let opened = Alertmanager::open(
            &settings.data_dir.join(PATH),
            engine_settings(RETENTION, MatcherSyntax::Fallback, clock),
            setup,
            metrics,
            registry,
            clock.clone(),
        )?;
        let alertmanager = Arc::new(opened);
        metrics::register(registry, &alertmanager, 0);
        let (reload, reloads) = mpsc::channel(1);
        let api = Api::new(alertmanager.clone(), MatcherSyntax::Fallback, build(), registry);
        let prefix = format!("{}/{PATH}", settings.route_prefix.trim_end_matches('/'));
        let limits = WebLimits {
            get_concurrency: GET_CONCURRENCY,
            timeout: Duration::ZERO,
            body_memory: settings.body_memory.clone(),
            checks_users: false,
        };
        let web = Web::new(api, prefix, registry, limits, reload);
        Ok(Embedded { alertmanager, configuration, web, reloads })
    }

    /// The sink for the alerts of rules.
    pub fn sink(&self) -> Arc<dyn AlertSink> {
        self.alertmanager.clone()
    }

    /// Called by the server's own reload, too.
    pub fn reload(&self) -> AlertmanagerReload {
        AlertmanagerReload {
            alertmanager: self.alertmanager.clone(),
            configuration: self.configuration.clone(),
        }
    }

    /// Adds the Alertmanager's paths to the server's.
    pub fn mount(&self, router: axum::Router) -> axum::Router {
        self.web.mount(router)
    }

    /// Starts notifications, and reloads on request. SIGHUP and the server's `/-/reload` come through [`Embedded::reload`].
    pub fn start(self, tasks: &mut TaskGroup) {
        let Embedded { alertmanager, configuration, mut reloads, .. } = self;
        let shutdown = tasks.shutdown().clone();
        let running = alertmanager.clone().run(INTERVALS, shutdown.clone());
        tasks.spawn("alertmanager", async move {
            running.await;
            Ok(())
        });
        tasks.spawn("alertmanager reload", async move {
            loop {
                let answer = tokio::select! {
                    () = shutdown.requested() => return Ok(()),
                    Some(answer) = reloads.recv() => answer,
                };
                let (configuration, alertmanager) = (configuration.clone(), alertmanager.clone());
                let reloaded =
                    tokio::task::spawn_blocking(move || configuration.reload(&alertmanager)).await?;
                let _ = answer.send(reloaded.map_err(|error| error.to_string()));
            }
        });
    }
}

//! An Alertmanager inside the server: `--alertmanager.config.file`. Rules pass their alerts in memory. The API is below
//! `/alertmanager`; the files are in the directory `alertmanager` of the data directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ferula_alertmanager::api::Api;
use ferula_alertmanager::engine::Metrics;
use ferula_alertmanager::{Alertmanager, Intervals};
use ferula_config::alertmanager::MatcherSyntax;
use ferula_model::AlertSink;
use ferula_runtime::{SharedClock, TaskGroup};
use ferula_telemetry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::configuration::Configuration;
use super::metrics::{self, ConfigMetrics};
use super::settings::{RETENTION, build, engine_settings};
use super::web::{Reload, Web};

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
            syntax: MatcherSyntax::Fallback,
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
        let web = Web::new(api, prefix, registry, GET_CONCURRENCY, Duration::ZERO, reload);
        Ok(Embedded { alertmanager, configuration, web, reloads })
    }

    /// The sink for the alerts of rules.
    pub fn sink(&self) -> Arc<dyn AlertSink> {
        self.alertmanager.clone()
    }

    /// Adds the Alertmanager's paths to the server's.
    pub fn mount(&self, router: axum::Router) -> axum::Router {
        self.web.mount(router)
    }

    /// Starts notifications, and reloads on SIGHUP and on request.
    pub fn start(self, tasks: &mut TaskGroup) -> anyhow::Result<()> {
        let Embedded { alertmanager, configuration, mut reloads, .. } = self;
        let mut hangup = signal(SignalKind::hangup())?;
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
                    _ = hangup.recv() => None,
                    Some(answer) = reloads.recv() => Some(answer),
                };
                let (configuration, alertmanager) = (configuration.clone(), alertmanager.clone());
                let reloaded =
                    tokio::task::spawn_blocking(move || configuration.reload(&alertmanager)).await?;
                if let Some(answer) = answer {
                    let _ = answer.send(reloaded.map_err(|error| error.to_string()));
                }
            }
        });
        Ok(())
    }
}

//! Mechanisms that poll all targets at an interval.
//!
//! The first round starts immediately. Rounds keep to the slots of their interval: as with Go's ticker, a
//! round that takes longer than the interval is followed immediately by the next, and the missed slots are
//! skipped. A failed round is counted and logged, and the groups of the last successful one stay in force.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ferula_config::discovery::DiscoveryConfigs;
use ferula_go::quote::go_quote;
use ferula_http_client::aws::AwsError;
use ferula_http_client::jwt::KeyError;
use ferula_http_client::program::ProgramError;
use ferula_http_client::{BodyError, RequestError};
use ferula_telemetry::{CounterVec, HistogramVec, Registry, SummaryVec};

use crate::TargetGroup;
use crate::group::GroupsError;
use crate::json::JsonError;
use crate::provider::{Context, Output, Provider, ProviderError};
use crate::xml::XmlError;

/// An interval of 0 would poll in a tight loop (and crashes Prometheus).
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// A mechanism that is polled at an interval. The items are those of [`Provider`].
pub(crate) trait Refresh: Sized + Send + 'static {
    type Section: Clone + PartialEq + Send + Sync + 'static;

    const MECHANISM: &'static str;

    fn sections(configs: &DiscoveryConfigs) -> Vec<Self::Section>;

    fn interval(section: &Self::Section) -> Duration;

    fn register_metrics(_registry: &Registry) {}

    fn new(section: Self::Section, context: &Context) -> Result<Self, ProviderError>;

    /// Returns all current groups. A round that takes longer than its interval is not interrupted here: its
    /// requests have timeouts.
    ///
    /// # Errors
    /// Why this round failed.
    fn refresh(&mut self) -> impl Future<Output = Result<Vec<TargetGroup>, RefreshError>> + Send;
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("{0}")]
    Body(#[from] BodyError),
    /// The text states the time, because limits differ between mechanisms.
    #[error("no complete answer within {}s", .0.as_secs_f64())]
    Timeout(Duration),
    /// Any status but 200, in the server's words.
    #[error("server returned HTTP status {0}")]
    Status(String),
    #[error("unsupported content type {}", go_quote(.0))]
    ContentType(String),
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error("{0}")]
    Xml(#[from] XmlError),
    #[error("{0}")]
    XmlRpc(#[from] crate::xml::rpc::AnswerError),
    #[error("{0}")]
    Aws(#[from] AwsError),
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("{0}")]
    Program(#[from] ProgramError),
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    #[error("{0}")]
    Groups(#[from] GroupsError),
    /// An answer that violates the API.
    #[error("{0}")]
    Answer(String),
}

impl RefreshError {
    /// Prefixes the error with what was being done, as Go wraps errors.
    pub(crate) fn within(self, what: impl std::fmt::Display) -> Self {
        RefreshError::Answer(format!("{what}: {self}"))
    }
}

/// Runs a [`Refresh`] as a provider.
pub(crate) struct Refreshed<R: Refresh> {
    mechanism: R,
    interval: Duration,
    context: Context,
    metrics: RefreshMetrics,
}

impl<R: Refresh> Provider for Refreshed<R> {
    type Section = R::Section;

    const MECHANISM: &'static str = R::MECHANISM;

    fn sections(configs: &DiscoveryConfigs) -> Vec<R::Section> {
        R::sections(configs)
    }

    fn register_metrics(registry: &Registry) {
        RefreshMetrics::new(registry);
        R::register_metrics(registry);
    }

    fn new(section: R::Section, context: &Context) -> Result<Self, ProviderError> {
        let interval = R::interval(&section).max(INTERVAL_MIN);
        Ok(Refreshed {
            mechanism: R::new(section, context)?,
            interval,
            context: context.clone(),
            metrics: RefreshMetrics::new(&context.registry),
        })
    }

    async fn run(mut self, output: Output) {
        let clock = self.context.clock.clone();
        let mut slot = clock.elapsed();
        loop {
            self.round(&output).await;
            slot += self.interval;
            let now = clock.elapsed();
            match slot.checked_sub(now) {
                Some(wait) => clock.sleep(wait).await,
                // One missed slot is made up for immediately; the others are skipped.
                None => slot = latest_slot(slot, self.interval, now),
            }
        }
    }
}

/// The last slot at or before `now`.
fn latest_slot(slot: Duration, interval: Duration, now: Duration) -> Duration {
    let missed = now.saturating_sub(slot).as_nanos() / interval.as_nanos();
    slot + interval * u32::try_from(missed).unwrap_or(u32::MAX)
}

impl<R: Refresh> Refreshed<R> {
    async fn round(&mut self, output: &Output) {
        let start = self.context.clock.elapsed();
        let result = self.mechanism.refresh().await;
        let took = self.context.clock.elapsed().saturating_sub(start);
        // Looked up each time: an earlier provider of the same job may have removed the job's instruments.
        let labels = [R::MECHANISM, &*self.context.job];
        self.metrics.duration.with(&labels).observe_duration(took);
        self.metrics.duration_histogram.with(&[R::MECHANISM]).observe_duration(took);
        let failures = self.metrics.failures.with(&labels);
        match result {
            Ok(groups) => output.send(groups.into_iter().map(Arc::new).collect()),
            Err(error) => {
                failures.inc();
                ferula_telemetry::error!(
                    "Unable to refresh target groups",
                    discovery = R::MECHANISM,
                    config = self.context.job,
                    err = error
                );
            }
        }
    }
}

impl<R: Refresh> Drop for Refreshed<R> {
    fn drop(&mut self) {
        let labels = [R::MECHANISM, &*self.context.job];
        self.metrics.failures.remove(&labels);
        self.metrics.duration.remove(&labels);
    }
}

/// Metrics that all such mechanisms have, by mechanism and job.
struct RefreshMetrics {
    failures: CounterVec,
    duration: SummaryVec,
    duration_histogram: HistogramVec,
}

impl RefreshMetrics {
    fn new(registry: &Registry) -> Self {
        RefreshMetrics {
            failures: registry.counter_vec(
                "prometheus_sd_refresh_failures_total",
                "Failed rounds of a discovery mechanism. The targets of its last successful round stay in use; if this keeps rising, they become stale.",
                &["mechanism", "config"],
            ),
            duration: registry.summary_vec(
                "prometheus_sd_refresh_duration_seconds",
                "Duration of rounds of a discovery mechanism, including failed ones.",
                &[0.5, 0.9, 0.99],
                &["mechanism", "config"],
            ),
            duration_histogram: registry.histogram_vec(
                "prometheus_sd_refresh_duration_histogram_seconds",
                "Duration of rounds of a discovery mechanism, including failed ones.",
                &[0.01, 0.1, 1.0, 10.0],
                &["mechanism"],
            ),
        }
    }
}

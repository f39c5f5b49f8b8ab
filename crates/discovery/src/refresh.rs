//! Mechanisms that ask for all targets again at an interval.
//!
//! The first round starts at once. Rounds keep to the slots of their interval: one that takes longer than the
//! interval is followed by the next at once, and the slots that it missed are left out, as with Go's ticker.
//! A round that fails is counted and logged, and the groups of the last good one stay in force.

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

/// An interval of 0 would ask without pause (and crashes Prometheus).
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// A mechanism that is asked at an interval. The items are those of [`Provider`].
pub(crate) trait Refresh: Sized + Send + 'static {
    type Section: Clone + PartialEq + Send + Sync + 'static;

    const MECHANISM: &'static str;

    fn sections(configs: &DiscoveryConfigs) -> Vec<Self::Section>;

    fn interval(section: &Self::Section) -> Duration;

    fn register_metrics(_registry: &Registry) {}

    fn new(section: Self::Section, context: &Context) -> Result<Self, ProviderError>;

    /// All groups that there are now. A round that takes longer than its interval is not cut off here: the
    /// requests inside have timeouts.
    ///
    /// # Errors
    /// Why this round found nothing.
    fn refresh(&mut self) -> impl Future<Output = Result<Vec<TargetGroup>, RefreshError>> + Send;
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("{0}")]
    Body(#[from] BodyError),
    /// The time is in the text because it is not the scrape's or the interval's everywhere.
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
    /// An answer that is not what the API promises.
    #[error("{0}")]
    Answer(String),
}

impl RefreshError {
    /// The same with what was to be done in front, as Go wraps errors.
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
                // One missed slot is made up for at once; the others are not.
                None => slot = latest_slot(slot, self.interval, now),
            }
        }
    }
}

/// The last slot that is not after `now`.
fn latest_slot(slot: Duration, interval: Duration, now: Duration) -> Duration {
    let missed = now.saturating_sub(slot).as_nanos() / interval.as_nanos();
    slot + interval * u32::try_from(missed).unwrap_or(u32::MAX)
}

impl<R: Refresh> Refreshed<R> {
    async fn round(&mut self, output: &Output) {
        let start = self.context.clock.elapsed();
        let result = self.mechanism.refresh().await;
        let took = self.context.clock.elapsed().saturating_sub(start);
        // Looked up each time: the job's instruments may have gone with an earlier provider of the same job.
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

/// What all such mechanisms count, by mechanism and job.
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
                "Rounds of a discovery mechanism that failed. The targets of its last good round stay in use; if this keeps rising, they grow stale.",
                &["mechanism", "config"],
            ),
            duration: registry.summary_vec(
                "prometheus_sd_refresh_duration_seconds",
                "How long a round of a discovery mechanism took, failed ones included.",
                &[0.5, 0.9, 0.99],
                &["mechanism", "config"],
            ),
            duration_histogram: registry.histogram_vec(
                "prometheus_sd_refresh_duration_histogram_seconds",
                "How long a round of a discovery mechanism took, failed ones included.",
                &[0.01, 0.1, 1.0, 10.0],
                &["mechanism"],
            ),
        }
    }
}

//! Remote read, the client's side: other servers as sources of this one's queries (`remote_read`).
//!
//! ```text
//! ReadSources::apply ─▶ RemoteSource (storage::Source) ── begin ─▶ task: client ── pieces of the body ─▶ wait: answer ─▶ rows
//! ```
//!
//! Here: the part of a query that is requested from a source, the request, its answer. Elsewhere: how answers and the store's own
//! series become one (`ferula_storage::fanout`), our own answers to others ([`crate::read`]).

pub mod answer;
mod client;
mod metrics;
mod pending;
mod request;

use std::collections::BTreeSet;
use std::sync::Arc;

use ferula_config::Config;
use ferula_config::remote::RemoteReadConfig;
use ferula_model::{MatchOp, Matcher, TimeRange, Timestamp};
use ferula_runtime::SharedClock;
use ferula_storage::{Hints, PendingRead, Source};
use ferula_telemetry::Registry;
use tokio::runtime::Handle;

use self::client::ReadClient;
pub use self::client::{ReadFailure, SetupProblem};
use self::metrics::Metrics;
use self::pending::Pending;

/// Returns the first moment, in milliseconds, from which on the store surely has everything itself.
pub type LocalStart = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why a source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// Two sections are equal.
    #[error("duplicate remote read configs are not allowed, found duplicate for URL: {0}")]
    Duplicate(String),
    /// A section cannot be read from.
    #[error("remote_read[{index}]: {problem}")]
    Client { index: usize, problem: SetupProblem },
}

/// What sources are built on.
pub struct ReadSources {
    metrics: Metrics,
    clock: SharedClock,
    runtime: Handle,
    local_start: LocalStart,
}

impl ReadSources {
    /// Must be called within the runtime.
    pub fn new(registry: &Registry, clock: SharedClock, local_start: LocalStart) -> Self {
        ReadSources { metrics: Metrics::new(registry), clock, runtime: Handle::current(), local_start }
    }

    /// The sources of a configuration, and why some sections are not among them: they cannot be read from, or are there
    /// twice.
    pub fn of(&self, config: &Config) -> (Vec<Arc<dyn Source>>, Vec<SourcesError>) {
        let mut failed = Vec::new();
        let mut hashes = BTreeSet::new();
        let mut sources: Vec<Arc<dyn Source>> = Vec::with_capacity(config.remote_read.len());
        for (index, section) in config.remote_read.iter().enumerate() {
            let hash = section.hash();
            let name =
                if section.name.is_empty() { hash.chars().take(6).collect() } else { section.name.clone() };
            let client = match ReadClient::new(section, &name, &self.metrics, self.clock.clone()) {
                Ok(client) => client,
                Err(problem) => {
                    failed.push(SourcesError::Client { index, problem });
                    continue;
                }
            };
            if !hashes.insert(hash) {
                failed.push(SourcesError::Duplicate(client.shown_url().to_owned()));
                continue;
            }
            let external = match section.filter_external_labels {
                true => config.global.external_labels.0.clone().into_iter().collect(),
                false => Vec::new(),
            };
            sources.push(Arc::new(RemoteSource {
                client: Arc::new(client),
                external,
                required: required(section),
                reads_recent: section.read_recent,
                frame_bytes_max: section.chunked_read_limit,
                runtime: self.runtime.clone(),
                local_start: self.local_start.clone(),
            }));
        }
        (sources, failed)
    }
}

fn required(section: &RemoteReadConfig) -> Vec<(String, String)> {
    section.required_matchers.0.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// One server that is read from.
struct RemoteSource {
    client: Arc<ReadClient>,
    /// Labels that are asked for and taken off the answer.
    external: Vec<(String, String)>,
    /// Equality matchers that a selector must have for the source to be asked.
    required: Vec<(String, String)>,
    reads_recent: bool,
    frame_bytes_max: u64,
    runtime: Handle,
    local_start: LocalStart,
}

impl Source for RemoteSource {
    fn part_of(&self, range: TimeRange) -> Option<TimeRange> {
        if self.reads_recent {
            return Some(range);
        }
        let local_start = (self.local_start)();
        (range.start <= local_start).then(|| TimeRange::new(range.start, range.end.min(local_start)))
    }

    fn begin(&self, range: TimeRange, matchers: &[Matcher], hints: &Hints) -> Option<Box<dyn PendingRead>> {
        if !self.required.iter().all(|(name, value)| asks_for(matchers, name, value)) {
            return None;
        }
        // A label that the selector names itself may be meant to have another value.
        let added: Vec<&(String, String)> = self
            .external
            .iter()
            .filter(|(name, _)| matchers.iter().all(|matcher| *matcher.name != **name))
            .collect();
        let mut matchers = matchers.to_vec();
        matchers.extend(added.iter().map(|(name, value)| Matcher::equal(name, value)));
        let body = request::encode(range, &matchers, hints);
        let pending = Pending::begin(
            &self.runtime,
            self.client.clone(),
            body,
            pending::Expected {
                range,
                hidden: added.iter().map(|(name, _)| name.clone()).collect(),
                frame_bytes_max: self.frame_bytes_max,
                hints: hints.clone(),
            },
        );
        Some(Box::new(pending))
    }
}

fn asks_for(matchers: &[Matcher], name: &str, value: &str) -> bool {
    matchers
        .iter()
        .any(|matcher| matcher.op == MatchOp::Equal && &*matcher.name == name && &*matcher.value == value)
}

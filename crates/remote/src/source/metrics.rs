//! Metrics of reading from others, with the names that Prometheus has for them.

use ferula_telemetry::{CounterVec, Gauge, GaugeVec, HistogramVec, Registry};

const LABELS: [&str; 2] = ["remote_name", "url"];
const WITH_TYPE: [&str; 3] = ["remote_name", "url", "response_type"];
const WITH_CODE: [&str; 4] = ["remote_name", "url", "response_type", "code"];

/// Upper bounds in seconds of how long requests take.
const DURATION_BOUNDS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];

/// The families of all sources.
#[derive(Clone)]
pub struct Metrics {
    queries: CounterVec,
    running: GaugeVec,
    duration: HistogramVec,
}

impl Metrics {
    /// Registers the families.
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            queries: registry.counter_vec(
                "prometheus_remote_read_client_queries_total",
                "Requests to sources of remote read that were answered.",
                &WITH_CODE,
            ),
            running: registry.gauge_vec(
                "prometheus_remote_read_client_queries",
                "Requests to sources of remote read that wait for the beginning of their answer.",
                &LABELS,
            ),
            duration: registry.histogram_vec(
                "prometheus_remote_read_client_request_duration_seconds",
                "How long a source of remote read took until its answer began.",
                &DURATION_BOUNDS,
                &WITH_TYPE,
            ),
        }
    }

    /// Those of one source.
    pub fn of(&self, name: &str, url: &str) -> SourceMetrics {
        let running = self.running.with(&[name, url]);
        SourceMetrics { all: self.clone(), name: name.to_owned(), url: url.to_owned(), running }
    }
}

/// The metrics of one source.
pub struct SourceMetrics {
    all: Metrics,
    name: String,
    url: String,
    running: Gauge,
}

impl SourceMetrics {
    /// Counts a request as running until dropped.
    pub fn begin(&self) -> RunningRequest<'_> {
        self.running.inc();
        RunningRequest(&self.running)
    }

    /// Notes how long the beginning of an answer of this type took.
    pub fn note_answer(&self, response_type: &str, seconds: f64) {
        self.all.duration.with(&[&self.name, &self.url, response_type]).observe(seconds);
    }

    /// Counts a request whose answer came to its end.
    pub fn note_end(&self, response_type: &str, code: &str) {
        self.all.queries.with(&[&self.name, &self.url, response_type, code]).inc();
    }
}

/// A request that runs.
pub struct RunningRequest<'a>(&'a Gauge);

impl Drop for RunningRequest<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

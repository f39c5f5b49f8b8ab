//! The server's request metrics, by route.

use std::time::Duration;

use ferula_telemetry::{CounterVec, HistogramVec, Registry};

/// Counters and histograms of requests.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: CounterVec,
    duration: HistogramVec,
    size: HistogramVec,
}

impl HttpMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Self {
        HttpMetrics {
            requests: registry.counter_vec(
                "prometheus_http_requests_total",
                "Requests that were answered, by route and status.",
                &["handler", "code"],
            ),
            duration: registry.native_histogram_vec(
                "prometheus_http_request_duration_seconds",
                "Seconds from the complete request to the start of its answer, by route.",
                &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0],
                &["handler"],
            ),
            size: registry.native_histogram_vec(
                "prometheus_http_response_size_bytes",
                "Bytes of answers, by route. Streamed answers, such as large query results, have no known size and do not count.",
                &[1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9],
                &["handler"],
            ),
        }
    }

    /// Makes the route's counter visible before its first request.
    pub fn expect_route(&self, handler: &str) {
        self.requests.with(&[handler, "200"]);
    }

    /// Counts one answer. A streamed body has no known size and is left out of the sizes.
    pub fn count(&self, handler: &str, code: u16, took: Duration, bytes: Option<u64>) {
        self.requests.with(&[handler, &code.to_string()]).inc();
        self.duration.with(&[handler]).observe_duration(took);
        if let Some(bytes) = bytes {
            self.size.with(&[handler]).observe(bytes as f64);
        }
    }
}

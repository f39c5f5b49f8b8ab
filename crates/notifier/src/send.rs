//! The loop that sends one queue to one Alertmanager.

use std::sync::Arc;
use std::time::Duration;

use ferula_http_client::{HttpClient, Method, Request, RequestError, StatusCode};
use ferula_model::Alert;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{error, warn};
use tokio::sync::Notify;

use crate::metrics::OfOne;
use crate::payload::encode;
use crate::queue::Queue;

/// The wait after the first failure…
const RETRY_MIN: Duration = Duration::from_secs(1);
/// … which doubles after each further failure, up to this.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// One Alertmanager with its queue.
pub(crate) struct Sender {
    pub url: String,
    pub queue: Queue,
    pub metrics: OfOne,
    work: Notify,
    client: HttpClient,
    timeout: Duration,
    batch_size: usize,
    clock: SharedClock,
}

/// Why a batch was not delivered.
enum Failure {
    /// A retry may succeed.
    Passing(String),
    /// The Alertmanager rejected the batch.
    Refused(String),
}

/// What a sender needs besides its address.
pub(crate) struct SenderOptions {
    pub client: HttpClient,
    pub metrics: OfOne,
    pub timeout: Duration,
    pub queue_capacity: usize,
    pub batch_size: usize,
    pub clock: SharedClock,
}

impl Sender {
    pub fn new(url: String, options: SenderOptions) -> Self {
        Sender {
            url,
            queue: Queue::new(options.queue_capacity),
            metrics: options.metrics,
            work: Notify::new(),
            client: options.client,
            timeout: options.timeout,
            batch_size: options.batch_size,
            clock: options.clock,
        }
    }

    /// Queues alerts. Never blocks.
    pub fn add(&self, alerts: &[Arc<Alert>]) {
        let dropped = self.queue.add(alerts);
        self.note_dropped(dropped);
        self.note_length();
        self.work.notify_one();
    }

    fn note_length(&self) {
        self.metrics.queue_length.set(self.queue.len() as f64);
    }

    fn note_dropped(&self, count: usize) {
        if count > 0 {
            warn!("Alert notification queue full, dropping alerts", alertmanager = self.url, count = count);
            self.metrics.dropped.add(count as u64);
        }
    }

    /// Sends until `stop` is requested; then drains the queue if `drain` is set.
    pub async fn run(self: Arc<Self>, stop: Shutdown, drain: bool) {
        let mut pause = RETRY_MIN;
        while !stop.is_requested() {
            if self.queue.len() == 0 {
                tokio::select! {
                    () = self.work.notified() => {}
                    () = stop.requested() => break,
                }
                continue;
            }
            if self.send_batch().await {
                pause = RETRY_MIN;
                continue;
            }
            tokio::select! {
                () = self.clock.sleep(pause) => {}
                () = stop.requested() => break,
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
        // One failure ends the draining: an unreachable Alertmanager must not delay the shutdown.
        while drain && self.queue.len() > 0 && self.send_batch().await {}
        let left = self.queue.take(usize::MAX).len();
        if left > 0 {
            let text = "Alert notification queue not drained on shutdown, dropping alerts";
            warn!(text, alertmanager = self.url, count = left);
            self.metrics.dropped.add(left as u64);
        }
    }

    /// Sends one batch. Returns `false` when it was put back for a retry.
    async fn send_batch(&self) -> bool {
        let batch = self.queue.take(self.batch_size);
        let count = batch.len();
        let began = self.clock.elapsed();
        let result = self.post(encode(&batch)).await;
        let took = self.clock.elapsed().saturating_sub(began);
        let passed = match result {
            Ok(()) => {
                self.metrics.latency.observe_duration(took);
                self.metrics.latency_histogram.observe_duration(took);
                self.metrics.sent.add(count as u64);
                true
            }
            Err(failure) => {
                self.metrics.errors.add(count as u64);
                let (reason, passing) = match failure {
                    Failure::Passing(reason) => (reason, true),
                    Failure::Refused(reason) => (reason, false),
                };
                error!("Error sending alerts", alertmanager = self.url, count = count, err = reason);
                if passing {
                    self.note_dropped(self.queue.put_back(batch));
                } else {
                    self.metrics.dropped.add(count as u64);
                }
                !passing
            }
        };
        self.note_length();
        passed
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), Failure> {
        let passing = |error: RequestError| Failure::Passing(error.to_string());
        let request = Request::post(&self.url, "application/json", body.into()).map_err(passing)?;
        let answer = async {
            let response = self.client.send(request).await?;
            let (status, text) = (response.status(), response.status_text().to_owned());
            // The connection can be reused once the body has been read. Its content does not matter.
            response.drain().await;
            Ok((status, text))
        };
        tokio::select! {
            answer = answer => {
                let (status, text) = answer.map_err(passing)?;
                judge(status, &text)
            }
            () = self.clock.sleep(self.timeout) => Err(passing(RequestError::deadline(&Method::POST, &self.url))),
        }
    }
}

fn judge(status: StatusCode, text: &str) -> Result<(), Failure> {
    let text = || format!("bad response status {text}");
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Failure::Passing(text())),
        status if status.is_server_error() => Err(Failure::Passing(text())),
        _ => Err(Failure::Refused(text())),
    }
}

#[cfg(test)]
mod tests {
    use ferula_config::http_client::HttpClientConfig;
    use ferula_runtime::RealClock;
    use ferula_telemetry::Registry;
    use ferula_testkit::http_lab::Lab;

    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn every_key_of_the_client_section_works_as_elsewhere() {
        let lab = Lab::start().await;
        for case in lab.cases() {
            let section = HttpClientConfig::parse_file(&case.section, ".").expect("a good section");
            let outcome = match HttpClient::new(&section, "Prometheus/3.14.0") {
                Err(error) => Err(error.to_string()),
                Ok(client) => {
                    let url = format!("{}://{}/api/v2/alerts", case.scheme, case.address);
                    let options = SenderOptions {
                        client,
                        metrics: Metrics::new(&Registry::new(), 1).of(&url),
                        timeout: Duration::from_secs(60),
                        queue_capacity: 1,
                        batch_size: 1,
                        clock: Arc::new(RealClock::new()),
                    };
                    match Sender::new(url, options).post(b"[]".to_vec()).await {
                        Ok(()) => Ok(()),
                        Err(Failure::Passing(reason) | Failure::Refused(reason)) => Err(reason),
                    }
                }
            };
            lab.judge(&case, outcome);
        }
    }
}

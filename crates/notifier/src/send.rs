//! The loop that sends one queue to one Alertmanager.

use std::sync::Arc;
use std::time::Duration;

use ferula_config::alerting::AlertmanagerConfig;
use ferula_http_client::aws::SigV4;
use ferula_http_client::{HttpClient, Method, Request, RequestError, SetupError, StatusCode};
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
    client: AlertmanagerClient,
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

/// How the Alertmanagers of a section are spoken to.
#[derive(Clone, Debug)]
pub(crate) struct AlertmanagerClient {
    pub http: HttpClient,
    pub signer: Option<SigV4>,
}

impl AlertmanagerClient {
    pub fn of(section: &AlertmanagerConfig, user_agent: &'static str) -> Result<Self, SetupError> {
        let http = HttpClient::new(&section.http, user_agent)?;
        let signer = section.sigv4.as_ref().map(|section| SigV4::of(section, user_agent)).transpose()?;
        Ok(AlertmanagerClient { http, signer })
    }
}

/// What a sender needs besides its address.
pub(crate) struct SenderOptions {
    pub client: AlertmanagerClient,
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
            let request = match &self.client.signer {
                Some(signer) => {
                    signer.sign(request).await.map_err(|error| Failure::Passing(error.to_string()))?
                }
                None => request,
            };
            let response = self.client.http.send(request).await.map_err(passing)?;
            let (status, text) = (response.status(), response.status_text().to_owned());
            // The connection can be reused once the body has been read. Its content does not matter.
            response.drain().await;
            judge(status, &text)
        };
        tokio::select! {
            answer = answer => answer,
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
    use ferula_config::Secret;
    use ferula_config::alerting::SigV4Config;
    use ferula_config::http_client::HttpClientConfig;
    use ferula_runtime::RealClock;
    use ferula_telemetry::Registry;
    use ferula_testkit::http_lab::{Case, Lab};

    use super::*;
    use crate::metrics::Metrics;

    /// The head of the first request that comes in.
    async fn head_of_one(listener: tokio::net::TcpListener) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            stream.read_buf(&mut head).await.expect("a request");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("answered");
        String::from_utf8_lossy(&head).to_lowercase()
    }

    fn sender(url: String, http: HttpClient, signer: Option<SigV4>) -> Sender {
        let options = SenderOptions {
            client: AlertmanagerClient { http, signer },
            metrics: Metrics::new(&Registry::new(), 1).of(&url),
            timeout: Duration::from_secs(60),
            queue_capacity: 1,
            batch_size: 1,
            clock: Arc::new(RealClock::new()),
        };
        Sender::new(url, options)
    }

    #[tokio::test]
    async fn alerts_for_aws_are_signed() {
        let section = SigV4Config {
            region: "eu-west-1".into(),
            access_key: "KEY".into(),
            secret_key: Secret::new("secret"),
            ..SigV4Config::default()
        };
        let http = HttpClient::new(&HttpClientConfig::default(), "x").expect("a client");
        let signer = Some(SigV4::of(&section, "x").expect("a signer"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/api/v2/alerts", listener.local_addr().expect("bound"));
        let sender = sender(url, http, signer);
        let (head, sent) = tokio::join!(head_of_one(listener), sender.post(b"[]".to_vec()));
        assert!(sent.is_ok());
        let authorization = "\r\nauthorization: aws4-hmac-sha256 credential=key/";
        assert!(head.contains(authorization) && head.contains("/eu-west-1/aps/aws4_request"), "{head}");
    }

    #[tokio::test]
    async fn every_key_of_the_client_section_works_as_elsewhere() {
        let lab = Lab::start().await;
        let connect = |case: &Case| {
            let section = HttpClientConfig::parse_file(&case.section, ".").expect("a good section");
            let client = HttpClient::new(&section, "Prometheus/3.14.0").map_err(|error| error.to_string())?;
            Ok(sender(format!("{}://{}/api/v2/alerts", case.scheme, case.address), client, None))
        };
        let send = async |sender: &Sender, _: &Case| match sender.post(b"[]".to_vec()).await {
            Ok(()) => Ok(()),
            Err(Failure::Passing(reason) | Failure::Refused(reason)) => Err(reason),
        };
        // An Alertmanager has no Unix socket in Prometheus.
        let cases = lab.cases().into_iter().filter(|case| case.unix_socket.is_none()).collect();
        lab.run(cases, connect, send).await;
    }
}

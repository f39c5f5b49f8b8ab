//! Delivery to Alertmanagers that answer, fail, are slow, or never answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::Config;
use ferula_discovery::Manager as Discovery;
use ferula_model::{Alert, AlertSink, LabelSet, Timestamp, UnixNanos};
use ferula_notifier::{Manager, Options};
use ferula_runtime::{RealClock, SharedClock, Shutdown, SimClock};
use ferula_telemetry::Registry;
use ferula_telemetry::logging::{Format, Level};
use ferula_testkit::http_lab::Lab;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The status that a fake Alertmanager answers with; `None` never answers.
type Answer = Option<u16>;

/// An Alertmanager that records what it receives.
struct Fake {
    address: String,
    answer: watch::Sender<Answer>,
    /// Heads and bodies of the requests, in order.
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl Fake {
    async fn start(answer: Answer) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (answer, answers) = watch::channel(answer);
        let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers.clone(), kept.clone()));
            }
        });
        Fake { address, answer, seen }
    }

    /// Names of the alerts in order of arrival; resolved ones are in capitals.
    fn alerts(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let names = |body: &String| -> Vec<String> {
            let alerts: serde_json::Value = serde_json::from_str(body).unwrap();
            let alerts = alerts.as_array().unwrap().clone();
            alerts.iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
        };
        seen.iter().flat_map(|(_, body)| names(body)).collect()
    }

    async fn wait_for(&self, count: usize) {
        while self.seen.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: watch::Receiver<Answer>,
    seen: Arc<Mutex<Vec<(String, String)>>>,
) {
    let mut bytes = Vec::new();
    loop {
        let (head, length) = loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned))
                    .map_or(0, |length| length.parse::<usize>().unwrap());
                if body.len() >= length {
                    break (head.to_owned(), length);
                }
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
        };
        let body_at = head.len() + 4;
        let body = String::from_utf8(bytes[body_at..body_at + length].to_vec()).unwrap();
        bytes.drain(..body_at + length);
        let answer = *answers.borrow();
        let Some(status) = answer else { return std::future::pending().await };
        seen.lock().unwrap().push((head, body));
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn alert(name: &str) -> Alert {
    Alert {
        labels: LabelSet::from_pairs([("alertname", name)]),
        annotations: Arc::new([]),
        starts_at: Some(UnixNanos::from_millis(1_000)),
        ends_at: None,
        resolved: false,
        generator_url: "http://x".into(),
    }
}

fn alerts(names: &[&str]) -> Vec<Alert> {
    names.iter().map(|name| alert(name)).collect()
}

struct TestBed {
    manager: Manager,
    shutdown: Shutdown,
    registry: Registry,
    task: tokio::task::JoinHandle<()>,
    discovery: Discovery,
}

impl TestBed {
    fn start(config: &str, options: Options) -> TestBed {
        Self::start_with(config, options, RealClock::shared())
    }

    /// `clock` drives the manager; discovery uses the system clock.
    fn start_with(config: &str, options: Options, clock: SharedClock) -> TestBed {
        ferula_telemetry::logging::init(Level::Error, Format::Logfmt);
        let (registry, shutdown) = (Registry::new(), Shutdown::new());
        let manager = Manager::new(options, &registry, clock, shutdown.clone());
        let discovery = Discovery::new("notify", RealClock::shared(), &registry, shutdown.clone());
        let bed = TestBed {
            task: tokio::spawn({
                let (manager, targets) = (manager.clone(), discovery.subscribe());
                async move { manager.run(targets).await }
            }),
            manager,
            shutdown,
            registry,
            discovery,
        };
        bed.apply(config);
        bed
    }

    fn apply(&self, config: &str) {
        let config = Config::parse(config).unwrap();
        assert!(self.manager.apply_config(&config).is_empty());
        let jobs = Manager::discovery_jobs(&config);
        self.discovery.apply_config(jobs.iter().map(|(name, section)| (name.as_str(), *section)));
    }

    /// Waits until this many Alertmanagers are known.
    async fn discovered(&self, count: usize) {
        while self.manager.snapshot().active.len() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn count(&self, name: &str, url: &str) -> f64 {
        self.count_if_any(name, url).unwrap()
    }

    fn count_if_any(&self, name: &str, url: &str) -> Option<f64> {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name)?;
        let of_url = family.metrics.iter().find(|metric| metric.labels.value("alertmanager") == url)?;
        match of_url.value {
            ferula_model::MetricValue::Single(value) => Some(value),
            _ => panic!("{name} is not a single number"),
        }
    }

    async fn stop(self) {
        self.shutdown.request();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn alerts_are_relabelled_and_sent_with_credentials_to_everyone() {
    let (first, second) = (Fake::start(Some(200)).await, Fake::start(Some(202)).await);
    let bed = TestBed::start(
        &format!(
            "global: {{external_labels: {{dc: x, job: never}}}}
alerting:
  alert_relabel_configs: [{{source_labels: [alertname], regex: Dropped, action: drop}}]
  alertmanagers:
  - static_configs: [{{targets: ['{}']}}]
    basic_auth: {{username: u, password: p}}
    http_headers: {{X-Extra: {{values: [yes]}}}}
    path_prefix: /am
  - static_configs: [{{targets: ['{}']}}]
    alert_relabel_configs: [{{action: labeldrop, regex: dc}}, {{source_labels: [alertname], regex: Other, action: drop}}]
",
            first.address, second.address
        ),
        Options::default(),
    );
    bed.discovered(2).await;
    let mut sent = alerts(&["A", "Dropped", "Other"]);
    sent[0].labels = LabelSet::from_pairs([("alertname", "A"), ("job", "own")]);
    bed.manager.send(sent);
    first.wait_for(1).await;
    second.wait_for(1).await;
    let (head, body) = first.seen.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /am/api/v2/alerts HTTP/1.1\r\n"), "{head}");
    let head = head.to_lowercase();
    for line in [
        "authorization: basic dtpw",
        "x-extra: yes",
        "content-type: application/json",
        "user-agent: prometheus/3.14.0",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert!(body.contains(r#""labels":{"alertname":"A","dc":"x","job":"own"}"#), "{body}");
    assert_eq!(first.alerts(), ["A", "Other"]);
    assert_eq!(second.alerts(), ["A"]);
    assert!(!second.seen.lock().unwrap()[0].1.contains("\"dc\""));
    let url = format!("http://{}/am/api/v2/alerts", first.address);
    assert_eq!(bed.manager.snapshot().active[0], url);
    bed.stop().await;
}

fn one_each(addresses: &[&str]) -> String {
    let section =
        |address: &&str| format!("  - {{static_configs: [{{targets: ['{address}']}}], timeout: 200ms}}\n");
    format!("alerting:\n  alertmanagers:\n{}", addresses.iter().map(section).collect::<String>())
}

#[tokio::test]
async fn a_hanging_or_failing_alertmanager_delays_no_other_and_loses_nothing() {
    let (good, hanging, failing) =
        (Fake::start(Some(200)).await, Fake::start(None).await, Fake::start(Some(500)).await);
    let bed = TestBed::start(
        &one_each(&[&good.address, &hanging.address, &failing.address]),
        Options { batch_size: 2, ..Options::default() },
    );
    bed.discovered(3).await;
    bed.manager.send(alerts(&["A", "B", "C"]));
    bed.manager.send(alerts(&["D"]));
    while good.alerts().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(good.alerts(), ["A", "B", "C", "D"]);
    failing.wait_for(1).await;
    // A repeated alert takes no additional room in the queue.
    bed.manager.send(alerts(&["C", "D"]));
    let url = |fake: &Fake| format!("http://{}/api/v2/alerts", fake.address);
    while bed.count("prometheus_notifications_errors_total", &url(&hanging)) == 0.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for fake in [&hanging, &failing] {
        fake.seen.lock().unwrap().clear();
        fake.answer.send_replace(Some(200));
    }
    for fake in [&hanging, &failing] {
        while fake.alerts().len() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(fake.alerts(), ["A", "B", "C", "D"]);
        assert_eq!(bed.count("prometheus_notifications_dropped_total", &url(fake)), 0.0);
    }
    bed.stop().await;
}

#[tokio::test]
async fn refused_batches_are_dropped_and_a_full_queue_drops_the_oldest() {
    let refusing = Fake::start(Some(400)).await;
    let down = "127.0.0.1:1";
    let bed = TestBed::start(
        &one_each(&[&refusing.address, down]),
        Options { queue_capacity: 3, batch_size: 2, ..Options::default() },
    );
    bed.discovered(2).await;
    bed.manager.send(alerts(&["A"]));
    refusing.wait_for(1).await;
    refusing.answer.send_replace(Some(200));
    bed.manager.send(alerts(&["B"]));
    refusing.wait_for(2).await;
    assert_eq!(refusing.alerts(), ["A", "B"]);
    let url = format!("http://{}/api/v2/alerts", refusing.address);
    assert_eq!(bed.count("prometheus_notifications_dropped_total", &url), 1.0);
    let down_url = format!("http://{down}/api/v2/alerts");
    while bed.count("prometheus_notifications_errors_total", &down_url) == 0.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bed.manager.send(alerts(&["C", "D", "E", "F"]));
    while bed.count("prometheus_notifications_dropped_total", &down_url) < 3.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bed.count("prometheus_notifications_queue_length", &down_url), 3.0);
    bed.stop().await;
}

#[tokio::test]
async fn queues_are_drained_at_shutdown_and_survive_a_reload() {
    let (fake, other) = (Fake::start(Some(200)).await, Fake::start(Some(200)).await);
    let bed = TestBed::start(&one_each(&[&fake.address]), Options { batch_size: 1, ..Options::default() });
    bed.discovered(1).await;
    bed.apply(&one_each(&[&other.address, &fake.address]));
    bed.discovered(2).await;
    bed.manager.send(alerts(&["A", "B", "C"]));
    bed.stop().await;
    assert_eq!(fake.alerts(), ["A", "B", "C"]);
    assert_eq!(other.alerts(), ["A", "B", "C"]);
}

#[tokio::test]
async fn metrics_of_an_address_stay_while_any_sender_uses_it() {
    let fake = Fake::start(Some(200)).await;
    let url = format!("http://{}/api/v2/alerts", fake.address);
    let sent = "prometheus_notifications_sent_total";
    let both = one_each(&[&fake.address, &fake.address]).replacen("200ms", "300ms", 1);
    let bed = TestBed::start(&both, Options::default());
    bed.discovered(2).await;
    bed.manager.send(alerts(&["A"]));
    fake.wait_for(2).await;
    while bed.count(sent, &url) < 2.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // One section is removed and its sender stops. The other sender's counts remain.
    bed.apply(&one_each(&[&fake.address]));
    bed.discovered(1).await;
    bed.manager.send(alerts(&["B"]));
    fake.wait_for(3).await;
    while bed.count(sent, &url) < 3.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Without any sender, the metrics are gone.
    bed.apply("{}");
    while bed.count_if_any(sent, &url).is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bed.stop().await;
}

#[tokio::test]
async fn a_section_with_missing_files_starts_sending_once_they_exist() {
    let (fake, lab) = (Fake::start(Some(200)).await, Lab::start().await);
    let ca = lab.path("later.pem");
    let text = format!(
        "alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}], timeout: 1h, \
         tls_config: {{ca_file: '{}'}}}}]}}",
        fake.address,
        ca.display()
    );
    let clock = SimClock::at(Timestamp::from_millis(0));
    let bed = TestBed::start_with("{}", Options::default(), Arc::new(clock.clone()));
    let config = Config::parse(&text).unwrap();
    assert_eq!(bed.manager.apply_config(&config).len(), 1);
    let jobs = Manager::discovery_jobs(&config);
    bed.discovery.apply_config(jobs.iter().map(|(name, section)| (name.as_str(), *section)));
    bed.discovered(1).await;
    bed.manager.send(alerts(&["before"]));
    std::fs::copy(lab.path("ca.pem"), &ca).unwrap();
    // No new discovery result and no reload.
    while fake.seen.lock().unwrap().is_empty() {
        clock.advance(Duration::from_secs(5));
        bed.manager.send(alerts(&["after"]));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fake.alerts()[0], "after");
    bed.stop().await;
}

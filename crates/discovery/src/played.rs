//! For tests: an HTTP server that plays an API, a provider that runs against it, and its groups as text.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::Config;
use ferula_model::Timestamp;
use ferula_runtime::{RealClock, Shutdown, SimClock};
use ferula_telemetry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::provider::{Context, Shared};
use crate::refresh::Refresh;
use crate::{Manager, TargetGroup, TargetSets};

/// What a played server does with a request.
#[derive(Debug)]
pub(crate) enum Play {
    /// 200 with this body and type.
    Json(String),
    /// A status line such as `503 Out of order`, further header lines, and a body.
    Raw(&'static str, String, Vec<u8>),
    /// Pieces of a body that never ends after them.
    Stream(Vec<String>),
    /// A body whose pieces come as they are sent to the channel; its end ends the body.
    Live(tokio::sync::broadcast::Receiver<String>),
    /// The same bytes again and again.
    Endless(&'static [u8]),
    /// Closes the connection without an answer.
    Close,
}

type Script = Arc<dyn Fn(&Asked) -> Play + Send + Sync>;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub method: String,
    pub target: String,
    /// In lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

pub(crate) struct PlayedServer {
    pub address: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for PlayedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PlayedServer {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: Script = Arc::new(script);
        let seen = asked.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, script.clone(), seen.clone()));
            }
        });
        PlayedServer { address, asked, task }
    }

    /// Answers each path with a JSON text; others with 404.
    pub(crate) async fn of_paths(paths: &'static [(&'static str, &'static str)]) -> Self {
        Self::start(move |asked| {
            let path = asked.target.split('?').next().unwrap_or_default();
            match paths.iter().find(|(known, _)| *known == path) {
                Some((_, json)) => Play::Json((*json).to_owned()),
                None => Play::Raw("404 Not Found", String::new(), b"no such path".to_vec()),
            }
        })
        .await
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.asked.lock().expect("a test").iter().map(|asked| asked.target.clone()).collect()
    }
}

async fn serve(mut stream: TcpStream, script: Script, seen: Arc<Mutex<Vec<Asked>>>) {
    let mut bytes = Vec::new();
    loop {
        let Some(asked) = read_request(&mut stream, &mut bytes).await else { return };
        let (play, is_head) = (script(&asked), asked.method == "HEAD");
        seen.lock().expect("a test").push(asked);
        let written = match play {
            Play::Json(body) => {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                );
                stream.write_all((head + &body).as_bytes()).await
            }
            Play::Raw(status, headers, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
                let both = [head.into_bytes(), if is_head { Vec::new() } else { body }].concat();
                stream.write_all(&both).await
            }
            Play::Stream(pieces) => {
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut text = head.to_owned();
                for piece in pieces {
                    text.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
                }
                let written = stream.write_all(text.as_bytes()).await;
                if written.is_ok() {
                    std::future::pending::<()>().await;
                }
                written
            }
            Play::Live(mut pieces) => {
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut written = stream.write_all(head.as_bytes()).await;
                while written.is_ok()
                    && let Ok(piece) = pieces.recv().await
                {
                    let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                    written = stream.write_all(chunk.as_bytes()).await;
                }
                if written.is_ok() { stream.write_all(b"0\r\n\r\n").await } else { written }
            }
            Play::Endless(piece) => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
                let mut written = stream.write_all(head.as_bytes()).await;
                let block = piece.repeat(65_536 / piece.len().max(1));
                while written.is_ok() {
                    written = stream.write_all(&block).await;
                }
                written
            }
            Play::Close => return,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Asked> {
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut lines = head.split("\r\n");
            let mut first = lines.next()?.split(' ');
            let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
                bytes.drain(..end + 4 + length);
                return Some(Asked { method, target, headers, body });
            }
        }
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

/// A manager with one job, `a`, whose discovery is given as YAML in flow style.
pub(crate) struct Bed {
    pub manager: Manager,
    pub registry: Registry,
    pub clock: SimClock,
    shutdown: Shutdown,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

impl Bed {
    /// `discovery` is such as `http_sd_configs: [{url: 'http://x'}]`. Time stands still until it is moved on.
    pub(crate) fn new(discovery: &str) -> Self {
        let clock = SimClock::at(Timestamp::from_millis(0));
        Self::with_clock(discovery, clock.clone(), Arc::new(clock))
    }

    /// The same by the machine's clock.
    pub(crate) fn in_real_time(discovery: &str) -> Self {
        Self::with_clock(discovery, SimClock::at(Timestamp::from_millis(0)), RealClock::shared())
    }

    fn with_clock(discovery: &str, sim: SimClock, clock: ferula_runtime::SharedClock) -> Self {
        let (registry, shutdown) = (Registry::new(), Shutdown::new());
        let manager = Manager::new("scrape", clock, &registry, shutdown.clone());
        let bed = Bed { manager, registry, clock: sim, shutdown };
        bed.apply(discovery);
        let manager = bed.manager.clone();
        tokio::spawn(async move { manager.run().await });
        bed
    }

    pub(crate) fn apply(&self, discovery: &str) {
        let yaml = format!("scrape_configs:\n- job_name: a\n  {}\n", discovery.replace('\n', "\n  "));
        let config = Config::parse(&yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}"));
        let jobs = config.scrape_configs.iter().map(|job| (job.job_name.as_str(), &job.discovery));
        self.manager.apply_config(jobs);
    }

    /// Waits until the targets are as wanted, moving time on in the meantime; panics with what they are when
    /// that does not come.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut sets = self.manager.subscribe();
        let is_wanted = |sets: &TargetSets| wanted(&shown(&sets["a"]));
        let moving = async {
            loop {
                tokio::time::sleep(Duration::from_millis(2)).await;
                self.clock.advance(Duration::from_millis(20));
            }
        };
        let deadline = tokio::time::sleep(Duration::from_secs(60));
        tokio::select! {
            found = sets.wait_for(is_wanted) => {
                let found = found.expect("the manager lives");
                return shown(&found["a"]);
            }
            () = deadline => {}
            () = moving => {}
        }
        let now = self.manager.subscribe().borrow().clone();
        panic!("not as wanted:\n{}", shown(&now["a"]).join("\n"));
    }

    /// The targets once there are as many.
    pub(crate) async fn targets(&self, count: usize) -> Vec<String> {
        self.wait_for(|targets| targets.len() == count).await
    }

    /// The value of a metric, over all its labels; 0 while it has none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|family| family.name == name).flat_map(|family| &family.metrics);
        metrics
            .map(|metric| match &metric.value {
                ferula_model::MetricValue::Single(value) => *value,
                other => panic!("{name} is {other:?}"),
            })
            .sum()
    }

    /// Waits until a counter has reached a value.
    pub(crate) async fn wait_for_metric(&self, name: &str, at_least: f64) {
        let start = std::time::Instant::now();
        while self.metric(name) < at_least {
            assert!(start.elapsed() < Duration::from_secs(60), "{name} stays at {}", self.metric(name));
            self.clock.advance(Duration::from_millis(100));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Each target as `address name=value …` with the labels of its group, sorted.
pub(crate) fn shown(groups: &[Arc<TargetGroup>]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for group in groups {
        for target in &group.targets {
            let mut labels: BTreeMap<&str, &str> = group.labels.iter().collect();
            labels.extend(target.iter());
            let address = labels.remove("__address__").unwrap_or_default().to_owned();
            let pairs: String = labels.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            all.push(address + &pairs);
        }
    }
    all.sort();
    all
}

/// The one section of a mechanism in a job, and what its provider gets. For APIs whose address is fixed.
pub(crate) fn section_of<R: Refresh>(discovery: &str) -> (R::Section, Context) {
    let yaml = format!("scrape_configs:\n- job_name: a\n  {discovery}\n");
    let config = Config::parse(&yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}"));
    let context = Context {
        clock: RealClock::shared(),
        registry: Registry::new(),
        job: "a".into(),
        shared: Shared::default(),
    };
    (R::sections(&config.scrape_configs[0].discovery).remove(0), context)
}

/// The targets of one round.
pub(crate) async fn round_of<R: Refresh>(mechanism: &mut R) -> Vec<String> {
    let groups = mechanism.refresh().await.unwrap_or_else(|error| panic!("{error}"));
    shown(&groups.into_iter().map(Arc::new).collect::<Vec<_>>())
}

//! A receiver of remote write 1.0 that records what arrives, counts duplicates and out-of-order samples, and
//! fails on demand.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_remote::snappy;
use ferula_remote::write::message::{Item, WriteRequest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    None,
    /// Not stored; answered with a status and additional headers.
    Status(u16, &'static str),
    /// Not stored; the connection closes without an answer.
    CutBeforeAnswer,
    /// The request is not read to its end.
    CutInBody,
    /// Not stored; the answer is truncated.
    HalfAnAnswer,
    /// Stored, but the connection stays open without an answer.
    StoredAndNeverAnswered,
    /// Stored after a delay.
    Slow(Duration),
}

/// Everything that has arrived. The value of a sample is its number.
#[derive(Clone, Debug, Default)]
pub struct ReceivedData {
    pub requests: u64,
    pub series: usize,
    /// Samples that were new.
    pub samples: u64,
    pub doubled: u64,
    /// New samples that are older than a previous one of their series.
    pub out_of_order: u64,
    /// Requests with both new and old samples.
    pub mixed_requests: u64,
    /// The lowest number that arrived.
    pub first: Option<u64>,
    per_series: Numbers,
}

/// The numbers of each series in the order of arrival.
#[derive(Clone, Default)]
struct Numbers(HashMap<String, Vec<u64>>);

/// Thousands of numbers would not help anybody.
impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} series", self.0.len())
    }
}

impl ReceivedData {
    /// How many of the samples 0 to `stored`, over all series, did not arrive.
    pub fn missing(&self, stored: u64) -> u64 {
        let missing_of = |numbers: &Vec<u64>| {
            let all: std::collections::HashSet<u64> = numbers.iter().copied().collect();
            (0..stored).filter(|number| !all.contains(number)).count() as u64
        };
        self.per_series.0.values().map(missing_of).sum()
    }
}

type Faults = Box<dyn Fn(u64) -> Fault + Send>;

struct RecorderState {
    seen: Mutex<ReceivedData>,
    faults: Mutex<Faults>,
    changed: Notify,
}

impl RecorderState {
    fn seen(&self) -> MutexGuard<'_, ReceivedData> {
        self.seen.lock().expect("no test panics with it")
    }
}

pub struct Recorder {
    shared: Arc<RecorderState>,
    address: SocketAddr,
}

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let faults: Faults = Box::new(|_| Fault::None);
        let shared = Arc::new(RecorderState {
            seen: Mutex::default(),
            faults: Mutex::new(faults),
            changed: Notify::new(),
        });
        let all = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = all.clone();
                tokio::spawn(async move { while let Some(()) = serve(&shared, &stream).await {} });
            }
        });
        Recorder { shared, address }
    }

    pub fn url(&self) -> String {
        format!("http://{}/write", self.address)
    }

    /// Decides the outcome of a request by its number, counted from 0.
    pub fn set_faults(&self, faults: impl Fn(u64) -> Fault + Send + 'static) {
        *self.shared.faults.lock().expect("no test panics with it") = Box::new(faults);
    }

    pub fn seen(&self) -> ReceivedData {
        self.shared.seen().clone()
    }

    /// Waits until this many samples have arrived.
    pub async fn wait_for(&self, samples: u64) {
        self.wait(|seen| seen.samples >= samples).await;
    }

    /// Waits until this many requests have arrived, whatever their outcome.
    pub async fn wait_for_requests(&self, requests: u64) {
        self.wait(|seen| seen.requests >= requests).await;
    }

    async fn wait(&self, done: impl Fn(&ReceivedData) -> bool) {
        let reached = async {
            loop {
                let changed = self.shared.changed.notified();
                if done(&self.shared.seen()) {
                    return;
                }
                changed.await;
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(120), reached).await;
        assert!(result.is_ok(), "still waiting: {:?}", self.seen());
    }
}

/// Answers one request; `None` if the connection has ended.
async fn serve(shared: &RecorderState, stream: &TcpStream) -> Option<()> {
    // Another handle to the same socket.
    let mut stream = TcpHalves(stream);
    let (head, mut body) = read_head(&mut stream).await?;
    let length: usize = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok())?;
    let fault = {
        let mut seen = shared.seen();
        seen.requests += 1;
        shared.faults.lock().expect("no test panics with it")(seen.requests - 1)
    };
    shared.changed.notify_waiters();
    let wanted = if matches!(fault, Fault::CutInBody) { length / 2 } else { length };
    while body.len() < wanted {
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Some(0) | None => return None,
            Some(read) => body.extend_from_slice(&more[..read]),
        }
    }
    match fault {
        Fault::CutBeforeAnswer | Fault::CutInBody => return None,
        Fault::HalfAnAnswer => {
            stream.write(b"HTTP/1.1 500 Inte").await;
            return None;
        }
        Fault::Status(status, headers) => {
            let text = format!("HTTP/1.1 {status} Fault\r\n{headers}Content-Length: 5\r\n\r\nfault");
            stream.write(text.as_bytes()).await;
            return Some(());
        }
        Fault::Slow(time) => tokio::time::sleep(time).await,
        Fault::None | Fault::StoredAndNeverAnswered => {}
    }
    record(&mut shared.seen(), &body);
    shared.changed.notify_waiters();
    if matches!(fault, Fault::StoredAndNeverAnswered) {
        std::future::pending::<()>().await;
    }
    stream.write(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    Some(())
}

/// Reads and writes a shared socket.
struct TcpHalves<'s>(&'s TcpStream);

impl TcpHalves<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            self.0.readable().await.ok()?;
            match self.0.try_read(buffer) {
                Ok(read) => return Some(read),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.0.writable().await.is_err() {
                return;
            }
            match self.0.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

async fn read_head(stream: &mut TcpHalves<'_>) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).expect("headers are text"), body));
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Some(0) | None => return None,
            Some(read) => bytes.extend_from_slice(&more[..read]),
        }
    }
}

fn record(seen: &mut ReceivedData, body: &[u8]) {
    let message = snappy::decode(body).expect("packed");
    let mut request = WriteRequest::new(&message);
    let (mut new, mut old) = (0, 0);
    while let Some(series) = request.next_series().expect("readable") {
        let labels = series.labels().expect("readable");
        let key: Vec<_> = labels
            .iter()
            .map(|(name, value)| {
                format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            })
            .collect();
        let numbers = seen.per_series.0.entry(key.join(",")).or_default();
        let (mut doubled, mut out_of_order) = (0, 0);
        series
            .items(|item| {
                let Item::Sample(_, value) = item else { panic!("only samples are sent here") };
                let number = value as u64;
                if numbers.contains(&number) {
                    doubled += 1;
                } else {
                    new += 1;
                    out_of_order += u64::from(numbers.last().is_some_and(|last| *last > number));
                    seen.first = Some(seen.first.map_or(number, |first| first.min(number)));
                    numbers.push(number);
                }
                Ok::<(), ferula_remote::protobuf::ProtobufError>(())
            })
            .expect("readable");
        old += doubled;
        seen.doubled += doubled;
        seen.out_of_order += out_of_order;
    }
    seen.samples += new;
    seen.mixed_requests += u64::from(new > 0 && old > 0);
    seen.series = seen.per_series.0.len();
}

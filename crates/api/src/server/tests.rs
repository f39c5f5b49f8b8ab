//! A server with few places, over real connections.

use axum::routing::get;
use ferula_model::Timestamp;
use ferula_runtime::SimClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

struct Served {
    address: SocketAddr,
    clock: SimClock,
    /// Releases the answers of `/held`.
    release: Arc<Semaphore>,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Served {
    async fn with_places(places: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let clock = SimClock::at(Timestamp::default());
        let (shutdown, release) = (Shutdown::new(), Arc::new(Semaphore::new(0)));
        let held = release.clone();
        let answer_held = move || {
            let held = held.clone();
            async move {
                held.acquire().await.expect("never closed").forget();
                "held"
            }
        };
        let shared = Connections {
            router: axum::Router::new()
                .route("/", get(async || "ok"))
                .route("/held", get(answer_held))
                .route("/empty", get(async || ())),
            clock: Arc::new(clock.clone()),
            read_timeout: Duration::from_secs(300),
            access: None,
            places: Arc::new(Semaphore::new(places)),
            crowded: Arc::default(),
            shutdown: shutdown.clone(),
        };
        Served { address, clock, release, shutdown, task: tokio::spawn(accept(shared, listener)) }
    }

    /// Opens a connection and sends this much.
    async fn sent(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(bytes.as_bytes()).await.expect("written");
        stream
    }

    /// Returns what a client has read once it is done; the clock advances meanwhile.
    async fn turn_until_read(&self, reading: JoinHandle<String>) -> String {
        while !reading.is_finished() {
            self.clock.advance_to_next();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        reading.await.expect("no panic")
    }

    async fn stop(self) {
        self.shutdown.request();
        self.task.await.expect("no panic");
    }
}

/// Reads until the server closes the connection.
async fn read(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    // A cut connection may end with a reset.
    let _ = stream.read_to_end(&mut all).await;
    String::from_utf8_lossy(&all).into_owned()
}

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
const GET_HELD: &str = "GET /held HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test]
async fn idle_and_incomplete_connections_end_when_others_wait() {
    let served = Served::with_places(3).await;
    // Nothing, one byte, and a head without its end.
    let mut hogs = Vec::new();
    for sent in ["", "G", "GET / HTTP/1.1\r\nhost: "] {
        hogs.push(served.sent(sent).await);
    }
    let asking = tokio::spawn(read(served.sent(GET).await));
    assert!(served.turn_until_read(asking).await.ends_with("ok"));
    drop(hogs);
    served.stop().await;
}

#[tokio::test]
async fn an_answer_in_progress_is_finished_when_others_wait() {
    let served = Served::with_places(1).await;
    let held = tokio::spawn(read(served.sent(GET_HELD).await));
    let asking = tokio::spawn(read(served.sent(GET).await));
    // The waiting client is retried again and again; the connection with the answer is not cut.
    for _ in 0..20 {
        while served.clock.sleepers() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        served.clock.advance_to_next();
    }
    assert!(!held.is_finished() && !asking.is_finished());
    served.release.add_permits(1);
    assert!(held.await.expect("no panic").ends_with("held"), "and then the connection ends");
    assert!(asking.await.expect("no panic").ends_with("ok"));
    served.stop().await;
}

#[tokio::test]
async fn clients_that_were_accepted_at_a_full_server_get_their_turn() {
    let served = Served::with_places(1).await;
    let held = tokio::spawn(read(served.sent(GET_HELD).await));
    let waiting: Vec<_> = {
        let mut waiting = Vec::new();
        for _ in 0..5 {
            waiting.push(tokio::spawn(read(served.sent(GET).await)));
        }
        waiting
    };
    // Connections end while the next client waits for its place, which is when that client could be lost.
    served.release.add_permits(1);
    assert!(served.turn_until_read(held).await.ends_with("held"));
    for answer in waiting {
        assert!(served.turn_until_read(answer).await.ends_with("ok"));
    }
    served.stop().await;
}

#[tokio::test]
async fn an_answer_to_head_without_a_body_has_no_length() {
    let served = Served::with_places(1).await;
    for (path, has_length) in [("/empty", false), ("/", true)] {
        let head = format!("HEAD {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        let answer = read(served.sent(&head).await).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(answer.contains("content-length: "), has_length, "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
    served.stop().await;
}

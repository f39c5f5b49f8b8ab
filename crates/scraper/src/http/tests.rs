//! Real requests to a small server that answers whatever bytes a case wants.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ferula_config::Config;
use ferula_discovery::TargetGroup;
use ferula_model::LabelSet;
use ferula_runtime::{Clock, RealClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::options::{Features, JobOptions};
use crate::target::{Made, TargetMaker};

/// A server that gives every connection the same bytes and keeps the heads of requests.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

/// What happens after the answer was sent.
#[derive(Clone, Copy)]
enum Then {
    Close,
    /// The connection stays open and silent.
    Hang,
    /// The same bytes again and again.
    Repeat,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (answer, kept) = (Arc::new(answer), requests.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), kept.clone(), then));
            }
        });
        Server { address, requests, task }
    }

    async fn plain(answer: &str) -> Self {
        let answer = answer.to_owned().into_bytes();
        Self::start(move |_| answer.clone(), Then::Close).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test panics here").clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<impl Fn(&str) -> Vec<u8>>,
    kept: Arc<Mutex<Vec<String>>>,
    then: Then,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let bytes = answer(&head);
    kept.lock().expect("no test panics here").push(head);
    let mut sent = stream.write_all(&bytes).await;
    while matches!(then, Then::Repeat) && sent.is_ok() {
        sent = stream.write_all(&bytes).await;
    }
    if matches!(then, Then::Hang) {
        // Until the client gives up.
        while stream.read_u8().await.is_ok() {}
    }
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

const TEXT: &str = "content-type: text/plain; version=0.0.4\r\n";

fn fetcher(address: &str, job_yaml: &str) -> HttpFetch {
    let yaml = format!("scrape_configs:\n- job_name: j\n{job_yaml}");
    let config = Config::parse(&yaml).expect("a good configuration").scrape_configs[0].clone();
    let group = TargetGroup { source: "s".into(), targets: Vec::new(), labels: LabelSet::empty() };
    let made = TargetMaker::new(&config).make(&LabelSet::from_pairs([("__address__", address)]), &group);
    let Ok(Made::Target(target)) = made else { panic!("not a target: {made:?}") };
    let client = Arc::new(HttpClient::new(&config.http).expect("a good client"));
    HttpFetch::new(client, PageMemory::default(), &target, &JobOptions::of(&config, Features::default()))
}

async fn fetch(fetcher: &HttpFetch) -> Result<Page, FetchError> {
    fetcher.fetch(RealClock::new().sleep(Duration::from_secs(60))).await
}

async fn error(fetcher: &HttpFetch) -> String {
    match fetch(fetcher).await {
        Ok(page) => panic!("{page:?}"),
        Err(error) => error.to_string(),
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

#[tokio::test]
async fn the_request_is_prometheus() {
    let server = Server::start(|_| answer(TEXT, b"up 1\n"), Then::Close).await;
    let job = "  scrape_timeout: 1500ms\n  scrape_interval: 2s\n  params: {m: [x]}\n  basic_auth: {username: u, password: p}\n  http_headers: {X-Own: {values: [a, b], secrets: [s]}}\n";
    let page = fetch(&fetcher(&server.address.to_string(), job)).await.expect("a page");
    assert_eq!((&page.body[..], page.content_type.as_str()), (&b"up 1\n"[..], "text/plain; version=0.0.4"));
    let head = server.requests().remove(0);
    assert!(head.starts_with("GET /metrics?m=x HTTP/1.1\r\n"), "{head}");
    for line in [
        "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,",
        "accept-encoding: gzip\r\n",
        "user-agent: Prometheus/3.14.0\r\n",
        "x-prometheus-scrape-timeout-seconds: 1.5\r\n",
        "authorization: Basic dTpw\r\n",
        "x-own: a\r\nx-own: b\r\nx-own: s\r\n",
        &format!("host: {}\r\n", server.address),
    ] {
        assert!(head.to_lowercase().contains(&line.to_lowercase()), "{line} in {head}");
    }
}

#[tokio::test]
async fn secrets_are_read_from_their_files_at_every_request() {
    let server = Server::start(|_| answer(TEXT, b"up 1\n"), Then::Close).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").expect("written");
    let fetcher = fetcher(
        &server.address.to_string(),
        &format!("  authorization: {{credentials_file: '{}'}}\n", file.display()),
    );
    fetch(&fetcher).await.expect("a page");
    std::fs::write(&file, "second").expect("written");
    fetch(&fetcher).await.expect("a page");
    std::fs::remove_file(&file).expect("removed");
    let text = error(&fetcher).await;
    assert!(text.contains("unable to read authorization credentials: unable to read file"), "{text}");
    let heads = server.requests();
    assert_eq!(heads.len(), 2);
    for (head, token) in heads.iter().zip(["Bearer first\r\n", "Bearer second\r\n"]) {
        assert!(head.contains(token), "{head}");
    }
}

#[tokio::test]
async fn compressed_pages_come_out_plain() {
    let plain = b"some_metric{label=\"value\"} 12345\n".repeat(5000);
    let body = gzip(&plain);
    let server =
        Server::start(move |_| answer(&format!("{TEXT}content-encoding: gzip\r\n"), &body), Then::Close)
            .await;
    let page = fetch(&fetcher(&server.address.to_string(), "")).await.expect("a page");
    assert_eq!(page.body, plain);
    let head = &server.requests()[0];
    assert!(head.to_lowercase().contains("accept-encoding: gzip\r\n"), "{head}");
    fetch(&fetcher(&server.address.to_string(), "  enable_compression: false\n")).await.expect("a page");
    let head = &server.requests()[1];
    assert!(head.to_lowercase().contains("accept-encoding: identity\r\n"), "{head}");
}

#[tokio::test]
async fn answers_that_are_no_page_say_what_they_are() {
    for (bytes, expected) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "server returned HTTP status 404 Not Found"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "server returned HTTP status 204 No Content"),
        (
            "HTTP/1.1 206 Partial Content\r\ncontent-length: 1\r\n\r\nx",
            "server returned HTTP status 206 Partial Content",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", "unexpected EOF"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n", "unexpected EOF"),
        (
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain",
            "gzip: invalid header",
        ),
    ] {
        let server = Server::plain(bytes).await;
        assert_eq!(error(&fetcher(&server.address.to_string(), "")).await, expected);
    }
    for (bytes, expected) in [
        ("", "EOF"),
        (
            "\u{0}\u{1}\u{2} binary noise \r\n\r\n",
            "net/http: HTTP/1.x transport connection broken: malformed HTTP response",
        ),
        ("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", "302 response missing Location header"),
    ] {
        let server = Server::plain(bytes).await;
        let expected = format!("Get \"http://{}/metrics\": {expected}", server.address);
        assert_eq!(error(&fetcher(&server.address.to_string(), "")).await, expected);
    }
}

#[tokio::test]
async fn nobody_there_is_told_as_go_tells_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    assert_eq!(
        error(&fetcher(&address.to_string(), "")).await,
        format!("Get \"http://{address}/metrics\": dial tcp {address}: connect: connection refused")
    );
}

#[tokio::test]
async fn a_name_that_nobody_has_is_told_with_the_url_as_written() {
    let text = error(&fetcher("nobody.invalid:80", "")).await;
    assert_eq!(
        text,
        "Get \"http://nobody.invalid:80/metrics\": dial tcp: lookup nobody.invalid: no such host"
    );
}

#[tokio::test]
async fn a_target_that_hangs_fails_at_the_deadline() {
    for (bytes, expected) in [
        ("", "Get \"http://{}/metrics\": context deadline exceeded"),
        ("HTTP/1.1 200 OK\r\n", "Get \"http://{}/metrics\": context deadline exceeded"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "context deadline exceeded"),
    ] {
        let server = Server::start(move |_| bytes.as_bytes().to_vec(), Then::Hang).await;
        let fetcher = fetcher(&server.address.to_string(), "");
        // The deadline ends when the server has answered all it will.
        let requests = server.requests.clone();
        let deadline: Sleep = Box::pin(async move {
            while requests.lock().expect("no test panics here").is_empty() {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        let error = fetcher.fetch(deadline).await.expect_err("it hangs");
        assert_eq!(error.to_string(), expected.replace("{}", &server.address.to_string()));
    }
}

#[tokio::test]
async fn floods_are_cut_off() {
    let line = b"flood_metric 1\n".repeat(1000);
    let head = format!("HTTP/1.1 200 OK\r\n{TEXT}transfer-encoding: chunked\r\n\r\n");
    let chunk = [format!("{:x}\r\n", line.len()).as_bytes(), &line, b"\r\n"].concat();
    let first = Mutex::new(Some(head.into_bytes()));
    let server = Server::start(
        move |_| {
            [first.lock().expect("no test panics here").take().unwrap_or_default(), chunk.repeat(100)]
                .concat()
        },
        Then::Close,
    )
    .await;
    assert_eq!(
        error(&fetcher(&server.address.to_string(), "  body_size_limit: 1MB\n")).await,
        "body size limit exceeded"
    );

    // A page that says it will be endless, and is.
    let server = Server::start(
        |_| [b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".as_slice(), &[b'x'; 65536]].concat(),
        Then::Repeat,
    )
    .await;
    assert_eq!(
        error(&fetcher(&server.address.to_string(), "  body_size_limit: 10MB\n")).await,
        "body size limit exceeded"
    );
    let bomb = gzip(&vec![b'x'; 20 << 20]);
    let server =
        Server::start(move |_| answer(&format!("{TEXT}content-encoding: gzip\r\n"), &bomb), Then::Close)
            .await;
    assert_eq!(
        error(&fetcher(&server.address.to_string(), "  body_size_limit: 10MB\n")).await,
        "body size limit exceeded"
    );
}

#[tokio::test]
async fn the_limit_is_exclusive() {
    let server = Server::start(|_| answer(TEXT, &[b'#'; 1024]), Then::Close).await;
    let address = server.address.to_string();
    assert_eq!(error(&fetcher(&address, "  body_size_limit: 1KB\n")).await, "body size limit exceeded");
    assert_eq!(fetch(&fetcher(&address, "  body_size_limit: 2KB\n")).await.expect("a page").body.len(), 1024);
}

#[tokio::test]
async fn redirects_are_followed_without_telling_secrets_to_others() {
    let end = Server::start(|_| answer(TEXT, b"up 1\n"), Then::Close).await;
    let to = format!("http://{}/elsewhere", end.address);
    let start = Server::start(
        move |head| {
            let location = if head.starts_with("GET /metrics ") { "/second" } else { &to };
            format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
                .into_bytes()
        },
        Then::Close,
    )
    .await;
    let job = "  bearer_token: secret\n  http_headers: {X-Own: {values: [v]}}\n";
    let page = fetch(&fetcher(&start.address.to_string(), job)).await.expect("a page");
    assert_eq!(page.body, b"up 1\n"[..]);
    let (at_start, at_end) = (start.requests(), end.requests());
    assert_eq!(at_start.len(), 2);
    assert!(
        at_start.iter().all(|head| head.contains("Bearer secret") && head.contains("x-own: v")),
        "{at_start:?}"
    );
    assert!(at_end[0].starts_with("GET /elsewhere "));
    assert!(!at_end[0].contains("secret") && !at_end[0].contains("x-own"), "{}", at_end[0]);

    let unwanted = error(&fetcher(&start.address.to_string(), "  follow_redirects: false\n")).await;
    assert_eq!(unwanted, "server returned HTTP status 307 Temporary Redirect");
}

#[tokio::test]
async fn endless_redirects_end() {
    let server = Server::plain("HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(
        error(&fetcher(&server.address.to_string(), "")).await,
        format!("Get \"http://{}/again\": stopped after 10 redirects", server.address)
    );
    assert_eq!(server.requests().len(), 11);
}

#[tokio::test]
async fn an_https_target_that_speaks_http_is_told() {
    let server = Server::plain("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let fetcher = fetcher(&server.address.to_string(), "  scheme: https\n");
    // The server waits for the end of a request that never comes; whatever ends it first is an error of this target.
    let error = tokio::time::timeout(
        Duration::from_secs(5),
        fetcher.fetch(RealClock::new().sleep(Duration::from_secs(1))),
    );
    let error = error.await.expect("the deadline is earlier").expect_err("not TLS").to_string();
    assert!(error.starts_with(&format!("Get \"https://{}/metrics\": ", server.address)), "{error}");
}

#[test]
fn clients_that_cannot_be_built_say_why() {
    for (job, expected) in [
        (
            "  tls_config: {ca_file: /nonexistent/ca.pem}\n",
            "error creating HTTP client: unable to read CA cert: unable to read file /nonexistent/ca.pem: open /nonexistent/ca.pem: no such file or directory",
        ),
        (
            "  tls_config: {server_name: other}\n",
            "error creating HTTP client: not supported yet: tls_config.server_name",
        ),
    ] {
        let yaml = format!("scrape_configs:\n- job_name: j\n{job}");
        let config = Config::parse(&yaml).expect("a good configuration").scrape_configs[0].clone();
        assert_eq!(HttpClient::new(&config.http).err().as_deref(), Some(expected));
    }
}

#[test]
fn base64_is_padded() {
    for (plain, encoded) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("user:pass", "dXNlcjpwYXNz")]
    {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}

#[test]
fn statuses_look_like_gos() {
    assert_eq!(status_text(StatusCode::NOT_FOUND), "404 Not Found");
    assert_eq!(status_text(StatusCode::from_u16(599).expect("a status")), "599");
}

#[test]
fn texts_of_the_operating_system_look_like_gos() {
    assert_eq!(io_text(&io::Error::from_raw_os_error(111)), "connection refused");
}

#[test]
fn jobs_with_equal_options_share_a_client() {
    let (clients, plain) = (HttpClients::default(), HttpClientConfig::default());
    let other = HttpClientConfig { enable_http2: false, ..plain.clone() };
    let first = clients.get(&plain).expect("a good client");
    assert!(Arc::ptr_eq(&first, &clients.get(&plain).expect("a good client")));
    assert!(!Arc::ptr_eq(&first, &clients.get(&other).expect("a good client")));
    drop(first);
    assert_eq!(
        clients.0.lock().expect("no test panics here").iter().filter(|c| c.strong_count() > 0).count(),
        0
    );
}

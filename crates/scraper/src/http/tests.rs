//! Real requests to a small server that answers with the bytes of each case.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::Config;
use ferula_config::http_client::HttpClientConfig;
use ferula_discovery::TargetGroup;
use ferula_model::LabelSet;
use ferula_runtime::{Clock, RealClock};
use ferula_testkit::http_lab::{Case, Lab};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::options::{Features, JobOptions};
use crate::target_maker::{TargetMaker, TargetOutcome};

/// A server that answers every connection with the same bytes and records request heads.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

/// What happens after the answer has been sent.
#[derive(Clone, Copy)]
enum AfterAnswer {
    Close,
    /// The connection stays open without further bytes.
    Hang,
    /// The same bytes are repeated.
    Repeat,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static, then: AfterAnswer) -> Self {
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
        Self::start(move |_| answer.clone(), AfterAnswer::Close).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test panics here").clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<impl Fn(&str) -> Vec<u8>>,
    kept: Arc<Mutex<Vec<String>>>,
    then: AfterAnswer,
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
    while matches!(then, AfterAnswer::Repeat) && sent.is_ok() {
        sent = stream.write_all(&bytes).await;
    }
    if matches!(then, AfterAnswer::Hang) {
        // Until the client disconnects.
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
    fetcher_with(address, job_yaml, Features::default())
}

fn fetcher_with(address: &str, job_yaml: &str, features: Features) -> HttpFetch {
    let yaml = format!("scrape_configs:\n- job_name: j\n{job_yaml}");
    let config = Config::parse(&yaml).expect("a good configuration").scrape_configs[0].clone();
    let group = TargetGroup { source: "s".into(), targets: Vec::new(), labels: LabelSet::empty() };
    let made = TargetMaker::new(&config).make(&LabelSet::from_pairs([("__address__", address)]), &group);
    let Ok(TargetOutcome::Scraped(target)) = made else { panic!("not a target: {made:?}") };
    let client = HttpClient::new(&config.http, USER_AGENT_TEXT).expect("a good client");
    let reading = PageReading::new(PageMemory::new(512 << 20));
    HttpFetch::new(client, reading, &target, &JobOptions::of(&config, features))
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
async fn the_request_is_as_in_prometheus() {
    let server = Server::start(|_| answer(TEXT, b"up 1\n"), AfterAnswer::Close).await;
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
    let server = Server::start(|_| answer(TEXT, b"up 1\n"), AfterAnswer::Close).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
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
async fn compressed_pages_are_decompressed() {
    let plain = b"some_metric{label=\"value\"} 12345\n".repeat(5000);
    let body = gzip(&plain);
    let server = Server::start(
        move |_| answer(&format!("{TEXT}content-encoding: gzip\r\n"), &body),
        AfterAnswer::Close,
    )
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
async fn zstd_is_offered_and_read_where_that_is_enabled() {
    let small = b"some_metric{label=\"value\"} 12345\n".repeat(5000);
    for plain in [small.clone(), small.repeat(10)] {
        let body = zstd::bulk::compress(&plain, 3).expect("memory can be written");
        let packed = body.clone();
        let server = Server::start(
            move |_| answer(&format!("{TEXT}content-encoding: zstd\r\n"), &body),
            AfterAnswer::Close,
        )
        .await;
        let address = server.address.to_string();
        let enabled = Features { zstd: true, ..Features::default() };
        let limited = format!("  body_size_limit: {}B\n", plain.len());
        for (job, features, expected, offered) in [
            ("", enabled, Ok(&plain), "zstd, gzip"),
            // As in Prometheus, an encoding that was not offered is read as it is.
            ("", Features::default(), Ok(&packed), "gzip"),
            ("  enable_compression: false\n", enabled, Ok(&packed), "identity"),
            (&limited, enabled, Err("body size limit exceeded"), "zstd, gzip"),
        ] {
            let page = fetch(&fetcher_with(&address, job, features)).await;
            let page = page.as_ref().map(|page| page.body.to_vec()).map_err(ToString::to_string);
            assert_eq!(page, expected.cloned().map_err(str::to_owned), "{job}");
            let head = server.requests().pop().expect("a request").to_lowercase();
            assert!(head.contains(&format!("accept-encoding: {offered}\r\n")), "{head}");
        }
    }
}

#[tokio::test]
async fn answers_without_a_page_are_reported() {
    for (bytes, expected) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "server returned HTTP status 404 Not Found"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "server returned HTTP status 204 No Content"),
        // With the server's own reason phrase.
        (
            "HTTP/1.1 503 Backend fetch failed\r\ncontent-length: 0\r\n\r\n",
            "server returned HTTP status 503 Backend fetch failed",
        ),
        (
            "HTTP/1.1 529 Site is overloaded\r\ncontent-length: 0\r\n\r\n",
            "server returned HTTP status 529 Site is overloaded",
        ),
        // A redirect without a target is an ordinary answer.
        ("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", "server returned HTTP status 302 Found"),
        (
            "HTTP/1.1 206 Partial Content\r\ncontent-length: 1\r\n\r\nx",
            "server returned HTTP status 206 Partial Content",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", "unexpected EOF"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n", "unexpected EOF"),
        (
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 11\r\n\r\nplain text\n",
            "gzip: invalid header",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain", "unexpected EOF"),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n", "EOF"),
    ] {
        let server = Server::plain(bytes).await;
        assert_eq!(error(&fetcher(&server.address.to_string(), "")).await, expected);
    }
    for (bytes, expected) in [
        ("", "EOF"),
        (
            "\u{0}\u{1}\u{2} binary noise \r\n\r\n",
            "net/http: HTTP/1.x transport connection broken: malformed HTTP status code \"binary\"",
        ),
        (
            "SSH-2.0-OpenSSH_9.2\r\n",
            "net/http: HTTP/1.x transport connection broken: malformed HTTP response \"SSH-2.0-OpenSSH_9.2\"",
        ),
    ] {
        let server = Server::plain(bytes).await;
        let expected = format!("Get \"http://{}/metrics\": {expected}", server.address);
        assert_eq!(error(&fetcher(&server.address.to_string(), "")).await, expected);
    }
}

#[tokio::test]
async fn a_refused_connection_is_reported_as_in_go() {
    let address = format!("127.0.0.1:{}", ferula_free_port::free_port().expect("a port"));
    assert_eq!(
        error(&fetcher(&address, "")).await,
        format!("Get \"http://{address}/metrics\": dial tcp {address}: connect: connection refused")
    );
}

#[tokio::test]
async fn an_unknown_host_is_reported_with_the_url_as_written() {
    let text = error(&fetcher("nobody.invalid:80", "")).await;
    assert_eq!(
        text,
        "Get \"http://nobody.invalid:80/metrics\": dial tcp: lookup nobody.invalid: no such host"
    );
}

#[tokio::test]
async fn a_hanging_target_fails_at_the_deadline() {
    for (bytes, expected) in [
        ("", "Get \"http://{}/metrics\": context deadline exceeded"),
        ("HTTP/1.1 200 OK\r\n", "Get \"http://{}/metrics\": context deadline exceeded"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "context deadline exceeded"),
    ] {
        let server = Server::start(move |_| bytes.as_bytes().to_vec(), AfterAnswer::Hang).await;
        let fetcher = fetcher(&server.address.to_string(), "");
        // The deadline ends once the server has sent everything it will.
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
async fn endless_answers_are_cut_off() {
    let line = b"flood_metric 1\n".repeat(1000);
    let head = format!("HTTP/1.1 200 OK\r\n{TEXT}transfer-encoding: chunked\r\n\r\n");
    let chunk = [format!("{:x}\r\n", line.len()).as_bytes(), &line, b"\r\n"].concat();
    let first = Mutex::new(Some(head.into_bytes()));
    let server = Server::start(
        move |_| {
            [first.lock().expect("no test panics here").take().unwrap_or_default(), chunk.repeat(100)]
                .concat()
        },
        AfterAnswer::Close,
    )
    .await;
    assert_eq!(
        error(&fetcher(&server.address.to_string(), "  body_size_limit: 1MB\n")).await,
        "body size limit exceeded"
    );

    // A page that claims to be endless, and is.
    let server = Server::start(
        |_| [b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".as_slice(), &[b'x'; 65536]].concat(),
        AfterAnswer::Repeat,
    )
    .await;
    assert_eq!(
        error(&fetcher(&server.address.to_string(), "  body_size_limit: 10MB\n")).await,
        "body size limit exceeded"
    );
    let bomb = gzip(&vec![b'x'; 20 << 20]);
    let server = Server::start(
        move |_| answer(&format!("{TEXT}content-encoding: gzip\r\n"), &bomb),
        AfterAnswer::Close,
    )
    .await;
    assert_eq!(
        error(&fetcher(&server.address.to_string(), "  body_size_limit: 10MB\n")).await,
        "body size limit exceeded"
    );
}

#[tokio::test]
async fn the_limit_is_exclusive() {
    let server = Server::start(|_| answer(TEXT, &[b'#'; 1024]), AfterAnswer::Close).await;
    let address = server.address.to_string();
    assert_eq!(error(&fetcher(&address, "  body_size_limit: 1KB\n")).await, "body size limit exceeded");
    assert_eq!(fetch(&fetcher(&address, "  body_size_limit: 2KB\n")).await.expect("a page").body.len(), 1024);
}

#[tokio::test]
async fn redirects_are_followed_without_leaking_secrets() {
    let end = Server::start(|_| answer(TEXT, b"up 1\n"), AfterAnswer::Close).await;
    let to = format!("http://localhost:{}/elsewhere", end.address.port());
    let start = Server::start(
        move |head| {
            let location = if head.starts_with("GET /metrics ") { "/second" } else { &to };
            format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
                .into_bytes()
        },
        AfterAnswer::Close,
    )
    .await;
    let job = "  bearer_token: secret\n  http_headers: {X-Own: {values: [v]}}\n";
    let page = fetch(&fetcher(&start.address.to_string(), job)).await.expect("a page");
    assert_eq!(page.body, b"up 1\n"[..]);
    let (at_start, at_end) = (start.requests(), end.requests());
    assert_eq!(at_start.len(), 2);
    assert!(
        at_start.iter().all(|head| head.contains("Bearer secret") && head.contains("X-Own: v")),
        "{at_start:?}"
    );
    assert!(at_end[0].starts_with("GET /elsewhere "));
    assert!(!at_end[0].contains("secret") && !at_end[0].contains("X-Own"), "{}", at_end[0]);

    let unwanted = error(&fetcher(&start.address.to_string(), "  follow_redirects: false\n")).await;
    assert_eq!(unwanted, "server returned HTTP status 307 Temporary Redirect");
}

#[tokio::test]
async fn endless_redirects_end() {
    let server = Server::plain("HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(
        error(&fetcher(&server.address.to_string(), "")).await,
        "Get \"/again\": stopped after 10 redirects"
    );
    assert_eq!(server.requests().len(), 11);
}

#[tokio::test]
async fn an_https_target_that_speaks_http_is_reported() {
    for (bytes, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "http: server gave HTTP response to HTTPS client"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "tls: first record does not look like a TLS handshake"),
    ] {
        // Whatever the client sends first, it is answered at once.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            stream.write_all(bytes.as_bytes()).await.expect("it listens");
            while stream.read_u8().await.is_ok() {}
        });
        let text = error(&fetcher(&address.to_string(), "  scheme: https\n")).await;
        assert_eq!(text, format!("Get \"https://{address}/metrics\": {expected}"));
        answering.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_page_that_claims_a_wrong_size_is_read_anyway() {
    let mut body = gzip(&b"some_metric 1\n".repeat(100_000));
    let end = body.len();
    body[end - 4..].copy_from_slice(&7u32.to_le_bytes());
    let lying = Server::start(
        move |_| answer(&format!("{TEXT}content-encoding: gzip\r\n"), &body),
        AfterAnswer::Close,
    )
    .await;
    // The length at the end is part of the trailer, which Go verifies as well.
    let text = error(&fetcher(&lying.address.to_string(), "")).await;
    assert_eq!(text, "gzip: invalid checksum");

    let plain = b"some_metric 1\n".repeat(100_000);
    let members = [gzip(&plain), gzip(b"tail 1\n")].concat();
    let server = Server::start(
        move |_| answer(&format!("{TEXT}content-encoding: gzip\r\n"), &members),
        AfterAnswer::Close,
    )
    .await;
    let fetcher = fetcher(&server.address.to_string(), "");
    let page = fetch(&fetcher).await.expect("a page");
    assert_eq!(page.body.len(), plain.len() + b"tail 1\n".len());
    assert!(page.share.is_some_and(|share| share.bytes() >= page.body.len()));
}

/// Each member says its own length, so the page is as large as none of them says.
#[tokio::test]
async fn pages_of_many_members_are_read_whole_and_counted_whole() {
    // More than twice what a page gets without asking for more.
    let member = b"# a comment of thirty-two bytes.\n".repeat(32 << 10);
    let count = 40;
    let body: Vec<u8> = gzip(&member).repeat(count - 1).into_iter().chain(gzip(b"up 1\n")).collect();
    let plain_bytes = member.len() * (count - 1) + b"up 1\n".len();
    assert!(plain_bytes > 32 << 20 && crate::gzip::expected_bytes(&body) == 5, "{plain_bytes}");
    let server = Server::start(
        move |_| answer(&format!("{TEXT}content-encoding: gzip\r\n"), &body),
        AfterAnswer::Close,
    )
    .await;
    let address = server.address.to_string();
    let plain = fetcher(&address, "");
    let before = plain.reading.memory.free_kib();
    let page = fetch(&plain).await.expect("a page");
    assert_eq!((page.body.len(), &page.body[page.body.len() - 5..]), (plain_bytes, &b"up 1\n"[..]));
    let held = (before - plain.reading.memory.free_kib()) as usize * 1024;
    assert!(held >= plain_bytes, "{held} bytes are counted for {plain_bytes}");
    drop(page);
    assert_eq!(plain.reading.memory.free_kib(), before, "and given back");
    // The job's limit holds for the sum of the members.
    let text = error(&fetcher(&address, "  body_size_limit: 4MB\n")).await;
    let too_large = [
        "body size limit exceeded",
        "the page needs more than the 4194304 bytes that pages may take of memory",
    ];
    assert!(too_large.contains(&text.as_str()), "{text}");
}

/// Its length is not stated, so it is found out while it arrives.
#[tokio::test]
async fn a_page_of_more_than_all_pages_may_take_is_refused() {
    let line = b"flood_metric 1\n".repeat(1000);
    let chunk = [format!("{:x}\r\n", line.len()).as_bytes(), &line, b"\r\n"].concat();
    let head = format!("HTTP/1.1 200 OK\r\n{TEXT}transfer-encoding: chunked\r\n\r\n");
    let page = [head.as_bytes(), &chunk.repeat(300), b"0\r\n\r\n"].concat();
    let server = Server::start(move |_| page.clone(), AfterAnswer::Close).await;
    let mut small = fetcher(&server.address.to_string(), "");
    small.reading = PageReading::new(PageMemory::new(1 << 20));
    let before = small.reading.memory.free_kib();
    assert_eq!(
        error(&small).await,
        "the page needs more than the 786432 bytes that pages may take of memory"
    );
    assert_eq!(small.reading.memory.free_kib(), before, "all is given back");
    let large = fetcher(&server.address.to_string(), "");
    assert_eq!(fetch(&large).await.expect("a page").body.len(), 300 * line.len());
}

/// Pages that wait for memory hold none that others wait for: ten large ones, of stated and of unstated length, whose room
/// takes two at a time.
#[tokio::test]
async fn large_pages_that_arrive_together_all_arrive_and_small_ones_pass_them() {
    const LARGE_BYTES: usize = 16 << 20;
    let body = b"large_metric 1\n".repeat(LARGE_BYTES / 15);
    let stated = answer(TEXT, &body);
    let unstated = [format!("HTTP/1.0 200 OK\r\n{TEXT}\r\n").as_bytes(), &body].concat();
    let small = answer(TEXT, b"small 1\n");
    let page = move |head: &str| match head.split(' ').nth(1) {
        Some("/stated") => stated.clone(),
        Some("/unstated") => unstated.clone(),
        _ => small.clone(),
    };
    let server = Server::start(page, AfterAnswer::Close).await;
    let memory = PageMemory::new(48 << 20);
    let of_path = |path: &str| {
        let job = format!("  metrics_path: {path}\n");
        let mut fetcher = fetcher(&server.address.to_string(), &job);
        fetcher.reading = PageReading::new(memory.clone());
        fetcher
    };
    // The room of large pages is full for as long as the test wants.
    let before = memory.free_kib();
    let full = memory.share(usize::MAX, None).await;
    let mut large = Vec::new();
    for path in ["/stated", "/unstated"].repeat(5) {
        let fetcher = of_path(path);
        large.push(tokio::spawn(async move { fetch(&fetcher).await.map(|page| page.body.len()) }));
    }
    // All of them have sent their requests, and read what fits in the rooms of smaller pages.
    while server.requests().len() < large.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..20 {
        assert_eq!(fetch(&of_path("/small")).await.expect("a small page").body.len(), 8);
    }
    assert!(large.iter().all(|task| !task.is_finished()));
    drop(full);
    for task in large {
        assert_eq!(task.await.expect("no panic").expect("a large page"), body.len());
    }
    assert_eq!(memory.free_kib(), before, "all is given back");
}

#[tokio::test]
async fn memory_of_a_cancelled_page_is_released_when_its_work_ends() {
    let bomb = gzip(&vec![b'#'; 100 << 20]);
    let server = Server::start(
        move |_| answer(&format!("{TEXT}content-encoding: gzip\r\n"), &bomb),
        AfterAnswer::Close,
    )
    .await;
    let fetcher = fetcher(&server.address.to_string(), "");
    let before = fetcher.reading.memory.free_kib();
    // Cancelled once the share of the whole page is taken, which is when its decompression begins.
    let memory = fetcher.reading.memory.clone();
    let deadline: Sleep = Box::pin(async move {
        while before - memory.free_kib() < 90 << 10 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(
        fetcher.fetch(deadline).await.expect_err("cancelled").to_string(),
        "context deadline exceeded"
    );
    while fetcher.reading.memory.free_kib() < before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_unix_socket_replaces_the_address() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("exporter.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a request"));
        }
        stream.write_all(&answer(TEXT, b"up 1\n")).await.expect("it listens");
        String::from_utf8_lossy(&head).into_owned()
    });
    let relabelling = format!(
        "  relabel_configs: [{{target_label: __unix_socket__, replacement: '{}'}}]\n",
        path.display()
    );
    let page = fetch(&fetcher("", &relabelling)).await.expect("a page");
    assert_eq!(page.body, b"up 1\n"[..]);
    let head = serving.await.expect("no panic");
    assert!(head.starts_with("GET /metrics HTTP/1.1\r\n") && head.contains("localhost\r\n"), "{head}");
}

#[tokio::test]
async fn a_get_on_a_closing_connection_is_retried() {
    // Every connection answers once and closes at the next request, like servers that close idle connections.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                for request in 0..2 {
                    head.clear();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.expect("a request"));
                    }
                    if request == 0 {
                        stream.write_all(&answer(TEXT, b"up 1\n")).await.expect("it listens");
                    }
                }
            });
        }
    });
    let fetcher = fetcher(&address.to_string(), "");
    for _ in 0..6 {
        assert_eq!(fetch(&fetcher).await.expect("a page").body, b"up 1\n"[..]);
    }
}

#[tokio::test]
async fn at_most_ten_megabytes_of_headers_are_read() {
    let fields = |count: usize, bytes: usize| {
        let value = "v".repeat(bytes);
        let fields: String = (0..count).map(|field| format!("x-field-{field}: {value}\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{TEXT}content-length: 5\r\n{fields}\r\nup 1\n").into_bytes()
    };
    for (count, bytes) in [(101, 10), (2_000, 10), (20, 30_000), (190, 50_000)] {
        let server = Server::start(move |_| fields(count, bytes), AfterAnswer::Close).await;
        let page = fetch(&fetcher(&server.address.to_string(), "")).await;
        assert_eq!(page.expect("a page").body, b"up 1\n"[..], "{count} of {bytes}");
    }
    let server = Server::start(move |_| fields(230, 50_000), AfterAnswer::Close).await;
    let text = error(&fetcher(&server.address.to_string(), "")).await;
    assert!(text.ends_with("net/http: server response headers exceeded 10485760 bytes; aborted"), "{text}");
}

#[tokio::test]
async fn addresses_are_used_as_written() {
    let server = Server::start(|_| answer(TEXT, b"up 1\n"), AfterAnswer::Close).await;
    let port = server.address.port();
    fetch(&fetcher(&format!(":{port}"), "  metrics_path: /a/./b/../c\n")).await.expect("a page");
    let head = server.requests().remove(0);
    assert!(head.starts_with("GET /a/./b/../c HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains(&format!("host: :{port}\r\n")), "{head}");
    for (address, expected) in [
        ("127.0.0.1:1?x", "parse \"http://127.0.0.1:1%3Fx/metrics\": invalid port \":1%3Fx\" after host"),
        ("127.0.0.1:1#x", "parse \"http://127.0.0.1:1%23x/metrics\": invalid port \":1%23x\" after host"),
        ("user@127.0.0.1:1", "parse \"http://user%40127.0.0.1:1/metrics\": invalid URL escape \"%40\""),
    ] {
        assert_eq!(error(&fetcher(address, "")).await, expected, "{address}");
    }
}

#[tokio::test]
async fn every_key_of_the_client_section_works_as_elsewhere() {
    let lab = Lab::start().await;
    let connect = |case: &Case| {
        let section = HttpClientConfig::parse_file(&case.section, ".").expect("a good section");
        let client = HttpClient::new(&section, USER_AGENT_TEXT).map_err(|error| error.to_string())?;
        let relabelling = match &case.unix_socket {
            Some(path) => format!(
                "  relabel_configs: [{{target_label: __unix_socket__, replacement: '{}'}}]\n",
                path.display()
            ),
            None => String::new(),
        };
        let job = format!("  scheme: {}\n{relabelling}", case.scheme);
        Ok(HttpFetch { client, ..fetcher(&case.address, &job) })
    };
    let send = async |fetcher: &HttpFetch, _: &Case| {
        fetch(fetcher).await.map(drop).map_err(|error| error.to_string())
    };
    lab.run(lab.cases(), connect, send).await;
}

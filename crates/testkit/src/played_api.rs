//! An HTTP server that plays the API of a service, with a script that decides the answer to each request.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the server does with a request.
#[derive(Debug)]
pub enum Play {
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
    /// A body that is as long as its header says: the same byte, so many times.
    Long(u8, u64),
    /// Closes the connection without an answer.
    Close,
}

/// All requests so far, in the order of their arrival.
type ReceivedRequests = Arc<Mutex<Vec<ReceivedRequest>>>;

type Script = Arc<dyn Fn(&ReceivedRequest) -> Play + Send + Sync>;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    pub method: String,
    pub target: String,
    /// In lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// A running server; dropping it closes all its connections.
pub struct PlayedServer {
    /// `127.0.0.1:port`
    pub address: String,
    pub requests: ReceivedRequests,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for PlayedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PlayedServer {
    /// A server that follows the script.
    pub async fn start(script: impl Fn(&ReceivedRequest) -> Play + Send + Sync + 'static) -> Self {
        Self::start_with(script, None).await
    }

    /// The same over TLS, with a certificate that nobody trusts.
    pub async fn start_tls(script: impl Fn(&ReceivedRequest) -> Play + Send + Sync + 'static) -> Self {
        Self::start_with(script, Some(untrusted())).await
    }

    /// The same over TLS (if given).
    pub async fn start_with(
        script: impl Fn(&ReceivedRequest) -> Play + Send + Sync + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let requests: ReceivedRequests = Arc::default();
        let script: Script = Arc::new(script);
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen, tls) = (script.clone(), seen.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, script, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, script, seen).await;
                            }
                        }
                    }
                });
            }
        });
        PlayedServer { address, requests, task }
    }

    /// Answers each path with a JSON text; others with 404.
    pub async fn of_paths(paths: &'static [(&'static str, &'static str)]) -> Self {
        Self::start(move |request| {
            let path = request.target.split('?').next().unwrap_or_default();
            match paths.iter().find(|(known, _)| *known == path) {
                Some((_, json)) => Play::Json((*json).to_owned()),
                None => Play::Raw("404 Not Found", String::new(), b"no such path".to_vec()),
            }
        })
        .await
    }

    /// Paths and queries of all requests so far.
    pub fn targets(&self) -> Vec<String> {
        self.requests.lock().expect("a test").iter().map(|request| request.target.clone()).collect()
    }
}

/// TLS with a fresh certificate for the loopback, for servers of other protocols too.
///
/// # Panics
/// If no certificate can be made.
pub fn untrusted() -> TlsAcceptor {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let issued = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).expect("it was just made");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions that the provider speaks")
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: Script, seen: ReceivedRequests) {
    let mut bytes = Vec::new();
    loop {
        let Some(request) = read_request(&mut stream, &mut bytes).await else { return };
        let (play, is_head) = (script(&request), request.method == "HEAD");
        seen.lock().expect("a test").push(request);
        if act(&mut stream, play, is_head).await.is_err() {
            return;
        }
    }
}

/// The head of an answer in JSON, up to what it says about the length.
const JSON_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

/// Writes one answer. An error ends the connection.
async fn act(stream: &mut (impl AsyncWrite + Unpin), play: Play, is_head: bool) -> io::Result<()> {
    match play {
        Play::Json(body) => {
            let answer = format!("{JSON_HEAD}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await
        }
        Play::Raw(status, headers, body) => {
            let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
            let both = [head.into_bytes(), if is_head { Vec::new() } else { body }].concat();
            stream.write_all(&both).await
        }
        Play::Stream(pieces) => {
            let chunks: String = pieces.iter().map(|piece| chunk(piece)).collect();
            stream.write_all((chunked_head() + &chunks).as_bytes()).await?;
            std::future::pending().await
        }
        Play::Live(mut pieces) => {
            stream.write_all(chunked_head().as_bytes()).await?;
            while let Ok(piece) = pieces.recv().await {
                stream.write_all(chunk(&piece).as_bytes()).await?;
            }
            stream.write_all(b"0\r\n\r\n").await
        }
        Play::Endless(piece) => {
            stream.write_all(format!("{JSON_HEAD}\r\n").as_bytes()).await?;
            let block = piece.repeat(65_536 / piece.len().max(1));
            loop {
                stream.write_all(&block).await?;
            }
        }
        Play::Long(byte, length) => {
            stream.write_all(format!("{JSON_HEAD}Content-Length: {length}\r\n\r\n").as_bytes()).await?;
            let (block, mut left) = ([byte; 65_536], length);
            while left > 0 {
                let piece = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
                stream.write_all(&block[..piece]).await?;
                left -= piece as u64;
            }
            Ok(())
        }
        Play::Close => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

fn chunked_head() -> String {
    format!("{JSON_HEAD}Transfer-Encoding: chunked\r\n\r\n")
}

fn chunk(piece: &str) -> String {
    format!("{:x}\r\n{piece}\r\n", piece.len())
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Option<ReceivedRequest> {
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut lines = head.split("\r\n");
            let mut first = lines.next()?.split(' ');
            let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
                bytes.drain(..end + 4 + length);
                return Some(ReceivedRequest { method, target, headers, body });
            }
        }
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

//! The servers of the lab. Each records the head of every request, followed by its body.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nup 1\n";
const TOKEN: &str = r#"{"access_token":"lab-token","token_type":"bearer","expires_in":3600}"#;
const REFUSAL: &str = r#"{"error":"invalid_client","error_description":"nobody knows i"}"#;

/// What a server does with a request.
#[derive(Clone)]
pub enum Behaviour {
    /// Answers with a page.
    Page,
    /// Sends the client elsewhere: 307.
    Redirect,
    /// Tunnels `CONNECT` requests, and answers the rest itself.
    Proxy,
    /// Tunnels for the user `u` with the password `p`.
    Socks,
    /// `403 Get lost`
    Refuse,
    /// Issues tokens.
    Tokens,
    /// Issues tokens if name and secret are in the form.
    FormTokens,
    /// Refuses to issue tokens.
    RefuseTokens,
    /// Answers with these bytes, and closes the connection.
    Bytes(Arc<[u8]>),
    /// The same over TLS.
    Tls(Arc<ServerConfig>, Box<Behaviour>),
}

/// One server; dropping it ends it.
pub struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    location: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Requests: the server's name, and the head as it arrived, followed by the body.
pub type ReceivedHeads = Arc<Mutex<Vec<(&'static str, String)>>>;

/// A server's name, and what its connections share.
#[derive(Clone)]
struct Context {
    name: &'static str,
    seen: ReceivedHeads,
    location: Arc<Mutex<String>>,
}

impl Context {
    fn note(&self, head: String) {
        self.seen.lock().expect("no test panics here").push((self.name, head));
    }
}

impl Server {
    /// Listens on a port of its own.
    pub async fn start(name: &'static str, behaviour: Behaviour, seen: ReceivedHeads) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let listener = Arc::new(listener);
        Server::serving(name, port, behaviour, seen, move || {
            let listener = listener.clone();
            async move { Ok(listener.accept().await?.0) }
        })
    }

    /// Listens on a Unix socket.
    pub fn start_on_socket(
        name: &'static str,
        path: &Path,
        behaviour: Behaviour,
        seen: ReceivedHeads,
    ) -> Self {
        let listener = Arc::new(UnixListener::bind(path).expect("a socket in a directory of one's own"));
        Server::serving(name, 0, behaviour, seen, move || {
            let listener = listener.clone();
            async move { Ok(listener.accept().await?.0) }
        })
    }

    /// Serves the connections that `accept` returns, until it fails.
    fn serving<S, F>(
        name: &'static str,
        port: u16,
        behaviour: Behaviour,
        seen: ReceivedHeads,
        accept: impl Fn() -> F + Send + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<S>> + Send,
    {
        let (connections, location) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<String>>::default());
        let context = Context { name, seen, location: location.clone() };
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok(stream) = accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, behaviour.clone(), context.clone()));
            }
        });
        Server { port, connections, location, task }
    }

    /// Where it listens, on 127.0.0.1; 0 for a Unix socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections that it accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Where a redirecting server sends its clients.
    pub fn redirect_to(&self, location: String) {
        *self.location.lock().expect("no test panics here") = location;
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, behaviour: Behaviour, context: Context) {
    let Behaviour::Tls(config, inner) = behaviour else {
        return serve_plain(stream, behaviour, context).await;
    };
    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return serve_http2(stream, context).await;
    }
    serve_plain(stream, *inner, context).await;
}

async fn serve_http2(stream: impl AsyncRead + AsyncWrite + Unpin, context: Context) {
    let answer = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let context = context.clone();
        async move {
            let (head, body) = request.into_parts();
            let mut text = format!("{} {} {:?}\r\n", head.method, head.uri, head.version);
            for (name, value) in &head.headers {
                text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or("?")));
            }
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            context.note(format!("{text}\r\n{}", String::from_utf8_lossy(&body)));
            let page = Full::new(Bytes::from_static(b"up 1\n"));
            Ok::<_, Infallible>(
                hyper::Response::builder().header("content-type", "text/plain").body(page).expect("a page"),
            )
        }
    });
    // Ends with its client, whose errors the tests check.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

async fn serve_plain(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: Behaviour,
    context: Context,
) {
    if matches!(behaviour, Behaviour::Socks) {
        return socks(stream, context).await;
    }
    while let Some(head) = read_request(&mut stream).await {
        context.note(head.clone());
        let json = |status: &str, body: &str| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        };
        let answer = match behaviour {
            _ if head.starts_with('\u{16}') => "HTTP/1.0 400 Bad Request\r\n\r\n".to_owned(),
            Behaviour::Proxy if head.starts_with("CONNECT ") => {
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                return tunnel(stream, &target, b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            }
            Behaviour::Redirect => {
                let location = context.location.lock().expect("no test panics here").clone();
                format!(
                    "HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
                )
            }
            Behaviour::Refuse => "HTTP/1.1 403 Get lost\r\ncontent-length: 0\r\n\r\n".to_owned(),
            Behaviour::Tokens => json("200 OK", TOKEN),
            Behaviour::FormTokens if head.to_ascii_lowercase().contains("authorization:") => {
                json("401 Unauthorized", "{}")
            }
            Behaviour::FormTokens => json("200 OK", TOKEN),
            Behaviour::RefuseTokens => json("401 Unauthorized", REFUSAL),
            Behaviour::Bytes(ref bytes) => {
                // A client that refuses the answer may be gone before its end.
                let _ = stream.write_all(bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            _ => PAGE.to_owned(),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Head and body; `None` when the client is gone.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = Vec::new();
    // A client that speaks TLS does not end a head; its first byte tells.
    while !request.ends_with(b"\r\n\r\n") && request.first() != Some(&0x16) {
        request.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    request.extend_from_slice(&body);
    Some(String::from_utf8_lossy(&request).into_owned())
}

async fn tunnel(mut stream: impl AsyncRead + AsyncWrite + Unpin, target: &str, accepted: &[u8]) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    if stream.write_all(accepted).await.is_ok() && stream.flush().await.is_ok() {
        // Either side may end it.
        let _ = copy_bidirectional(&mut stream, &mut server).await;
    }
}

async fn socks(mut stream: impl AsyncRead + AsyncWrite + Unpin, context: Context) {
    let Some((user, target)) = socks_request(&mut stream).await else { return };
    context.note(format!("{user} {target}"));
    tunnel(stream, &target, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await;
}

/// User and target, if the client follows RFC 1928 and RFC 1929.
async fn socks_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<(String, String)> {
    async fn counted(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::from(stream.read_u8().await.ok()?)];
        stream.read_exact(&mut bytes).await.ok()?;
        Some(bytes)
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    stream.read_u8().await.ok()?;
    if !counted(stream).await?.contains(&2) {
        stream.write_all(&[5, 255]).await.ok()?;
        return None;
    }
    stream.write_all(&[5, 2]).await.ok()?;
    stream.read_u8().await.ok()?;
    let name = text(counted(stream).await?);
    let password = text(counted(stream).await?);
    stream.write_all(&[1, 0]).await.ok()?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    let host = match head[3] {
        1 => {
            let mut address = [0; 4];
            stream.read_exact(&mut address).await.ok()?;
            std::net::Ipv4Addr::from(address).to_string()
        }
        3 => text(counted(stream).await?),
        _ => return None,
    };
    let port = stream.read_u16().await.ok()?;
    Some((format!("{name}:{password}"), format!("{host}:{port}")))
}

/// The lab's authority, and what it issues.
pub struct Issued {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
    client: (String, String),
}

impl Default for Issued {
    fn default() -> Self {
        Self::new()
    }
}

impl Issued {
    /// A new certificate authority.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are no bad names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "the lab's authority");
        let certificate = params.self_signed(&key).expect("a certificate");
        let mut issued =
            Issued { certificate, issuer: Issuer::new(params, key), client: (String::new(), String::new()) };
        issued.client = issued.issue(&["client"]);
        issued
    }

    /// Certificate and key for these names, in PEM.
    fn issue(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("good names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// The authority's certificate.
    pub fn authority_pem(&self) -> String {
        self.certificate.pem()
    }

    /// Certificate and key of a client.
    pub fn client_pem(&self) -> (String, String) {
        self.client.clone()
    }

    /// Certificate and key of another client.
    pub fn another_client_pem(&self) -> (String, String) {
        self.issue(&["client"])
    }

    /// TLS on the loopback for clients with a certificate of this authority.
    pub fn mutual_acceptor(&self) -> tokio_rustls::TlsAcceptor {
        let config = self.server(&["127.0.0.1", "localhost"], rustls::ALL_VERSIONS, true);
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }

    fn server(
        &self,
        names: &[&str],
        versions: &[&'static SupportedProtocolVersion],
        wants_client: bool,
    ) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .expect("versions that the provider speaks");
        let builder = match wants_client {
            false => builder.with_no_client_auth(),
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(self.certificate.der().clone()).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("one root"))
            }
        };
        let (certificate, key) = self.issue(names);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("it was just made");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it was just made");
        builder.with_single_cert(vec![certificate], key).expect("they belong together")
    }
}

/// The servers that listen on Unix sockets in the lab's directory, which have their names.
pub fn on_sockets(issued: &Issued) -> Vec<(&'static str, Behaviour)> {
    let config = issued.server(&["localhost"], rustls::ALL_VERSIONS, false);
    vec![
        ("socket", Behaviour::Page),
        ("tls-socket", Behaviour::Tls(Arc::new(config), Box::new(Behaviour::Page))),
    ]
}

/// All servers of the lab that have a port.
pub fn all(issued: &Issued) -> Vec<(&'static str, Behaviour)> {
    let here = ["127.0.0.1", "localhost"];
    let tls = |config: ServerConfig, inner| Behaviour::Tls(Arc::new(config), Box::new(inner));
    let usual = || issued.server(&here, rustls::ALL_VERSIONS, false);
    let mut both_protocols = usual();
    both_protocols.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let only = |version| issued.server(&here, &[version], false);
    vec![
        ("plain", Behaviour::Page),
        ("redirect-away", Behaviour::Redirect),
        ("redirect-home", Behaviour::Redirect),
        ("tls-redirect-away", tls(usual(), Behaviour::Redirect)),
        ("tls-redirect-home", tls(usual(), Behaviour::Redirect)),
        ("tls", tls(both_protocols, Behaviour::Page)),
        ("tls-named", tls(issued.server(&["lab.example"], rustls::ALL_VERSIONS, false), Behaviour::Page)),
        ("tls-mutual", tls(issued.server(&here, rustls::ALL_VERSIONS, true), Behaviour::Page)),
        ("tls12", tls(only(&rustls::version::TLS12), Behaviour::Page)),
        ("tls13", tls(only(&rustls::version::TLS13), Behaviour::Page)),
        ("proxy", Behaviour::Proxy),
        ("tls-proxy", tls(usual(), Behaviour::Proxy)),
        ("refusing-proxy", Behaviour::Refuse),
        ("socks", Behaviour::Socks),
        ("tls-tokens", tls(usual(), Behaviour::Tokens)),
        ("form-tokens", Behaviour::FormTokens),
        ("refusing-tokens", Behaviour::RefuseTokens),
        ("own-words", bytes("HTTP/1.1 503 Backend fetch failed\r\ncontent-length: 0\r\n\r\n")),
        ("no-words", bytes("HTTP/1.1 529\x20\r\ncontent-length: 0\r\n\r\n")),
        ("no-location", bytes("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n")),
        ("not-http", bytes("SSH-2.0-OpenSSH_9\r\n")),
        (
            "odd-head",
            bytes(
                "HTTP/2.0 200 OK\r\nContent-Type: text/plain\r\nOdd name : x\r\nContent-Length: 5\r\n\r\nup 1\n",
            ),
        ),
        ("interim", bytes(&format!("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n{PAGE}"))),
        ("until-closed", bytes("HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nup 1\n")),
        ("large-head", bytes(&with_fields(60, 5_000))),
        ("endless-head", bytes(&with_fields(11, 1 << 20))),
        ("silent", bytes("")),
    ]
}

fn bytes(text: &str) -> Behaviour {
    Behaviour::Bytes(text.as_bytes().into())
}

/// A page with this many more header fields, each with a value of this size.
fn with_fields(count: usize, value_bytes: usize) -> String {
    let field = format!("x-field: {}\r\n", "v".repeat(value_bytes));
    PAGE.replacen("\r\n", &format!("\r\n{}", field.repeat(count)), 1)
}

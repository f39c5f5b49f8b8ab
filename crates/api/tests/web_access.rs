//! The port as configured in `--web.config.file`: TLS, client certificates, passwords, headers, and replaced files.

use std::path::Path;
use std::sync::Arc;

use axum::routing::get;
use ferula_api::server::{ServerLimits, serve_router};
use ferula_api::web_access::WebAccess;
use ferula_runtime::{RealClock, Shutdown};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A bcrypt hash of "secret" at the lowest cost.
fn hash() -> String {
    bcrypt::hash("secret", 4).expect("hashed")
}

/// A certificate for localhost with its key, as PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

struct Lab {
    dir: tempfile::TempDir,
    address: std::net::SocketAddr,
    shutdown: Shutdown,
}

impl Lab {
    /// Starts a server with these lines in the file; `cert.pem` and `key.pem` exist.
    async fn start(lines: &str) -> Lab {
        let dir = tempfile::tempdir().expect("a directory");
        write_pair(dir.path(), &certificate());
        std::fs::write(dir.path().join("web.yml"), lines).expect("written");
        let access = WebAccess::load(&dir.path().join("web.yml")).expect("a good file");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let limits = ServerLimits {
            connections_max: 10,
            read_timeout: std::time::Duration::from_secs(60),
            clock: RealClock::shared(),
            access: Some(Arc::new(access)),
        };
        let shutdown = Shutdown::new();
        let router = axum::Router::new().route("/", get(|| async { "hello" }));
        tokio::spawn(serve_router(router, limits, vec![listener], shutdown.clone()));
        Lab { dir, address, shutdown }
    }

    fn authority(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("cert.pem")).expect("readable")
    }

    /// The answer to a TLS request from a client that trusts `authority` and presents `identity`.
    async fn ask(
        &self,
        authority: &str,
        identity: Option<(String, String)>,
        headers: &str,
    ) -> std::io::Result<String> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate"))
            .expect("taken");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let client = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        exchange(self.encrypted(client).await?, headers).await
    }

    async fn encrypted(&self, client: rustls::ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(client)).connect(name, stream).await
    }

    /// A connection of a client that would speak both versions.
    async fn either(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        let authority = self.authority();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("one")).expect("taken");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let mut client = builder.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        self.encrypted(client).await.expect("connected")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

fn write_pair(dir: &Path, (certificate, key): &(String, String)) {
    std::fs::write(dir.join("cert.pem"), certificate).expect("written");
    std::fs::write(dir.join("key.pem"), key).expect("written");
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, headers: &str) -> std::io::Result<String> {
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

const TLS: &str = "tls_server_config: {cert_file: cert.pem, key_file: key.pem";

#[tokio::test]
async fn a_replaced_certificate_takes_effect_with_the_next_connection() {
    let lab = Lab::start(&format!("{TLS}}}\n")).await;
    let old = lab.authority();
    let answer = lab.ask(&old, None, "").await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    write_pair(lab.dir.path(), &certificate());
    assert!(lab.ask(&old, None, "").await.is_err(), "another certificate is shown");
    assert!(lab.ask(&lab.authority(), None, "").await.is_ok());
    // An invalid file changes nothing.
    std::fs::write(lab.dir.path().join("web.yml"), "nonsense: 1\n").expect("written");
    assert!(lab.ask(&lab.authority(), None, "").await.is_ok());
}

/// A way of replacing a file.
#[derive(Clone, Copy, Debug)]
enum Replacement {
    InPlace,
    Rename,
    Symlink,
}

impl Replacement {
    /// Replaces a file so that neither its size nor its time reveals it.
    fn put(self, dir: &Path, name: &str, text: &str) {
        static VERSIONS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let version = VERSIONS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (path, beside) = (dir.join(name), dir.join(format!("{version}.{name}")));
        let text = format!("{text:\n<8000}");
        match self {
            Replacement::InPlace => std::fs::write(&path, text).expect("written"),
            Replacement::Rename => {
                std::fs::write(&beside, text).expect("written");
                std::fs::rename(&beside, &path).expect("renamed");
            }
            Replacement::Symlink => {
                std::fs::write(&beside, text).expect("written");
                std::os::unix::fs::symlink(&beside, dir.join("link")).expect("linked");
                std::fs::rename(dir.join("link"), &path).expect("renamed");
            }
        }
        let file = std::fs::File::options().write(true).open(&path).expect("it is there");
        file.set_modified(std::time::UNIX_EPOCH).expect("its time is set");
    }
}

#[tokio::test]
async fn every_replaced_file_takes_effect_with_the_next_connection() {
    for replacement in [Replacement::InPlace, Replacement::Rename, Replacement::Symlink] {
        let lab = Lab::start(&format!("{TLS}}}\n")).await;
        let put = |name: &str, text: &str| replacement.put(lab.dir.path(), name, text);
        let (servers, clients) = ([certificate(), certificate()], [certificate(), certificate()]);
        let file = |password: &str| {
            let hash = bcrypt::hash(password, 4).expect("hashed");
            format!(
                "{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}}\nbasic_auth_users: {{ada: '{hash}'}}\n"
            )
        };
        // Which server and client certificate and which password are in force.
        let mut current = [0; 3];
        put("cert.pem", &servers[0].0);
        put("key.pem", &servers[0].1);
        put("ca.pem", &clients[0].0);
        put("web.yml", &file("secret-0"));
        let passwords =
            ["Authorization: Basic YWRhOnNlY3JldC0w\r\n", "Authorization: Basic YWRhOnNlY3JldC0x\r\n"];
        for change in [0, 1, 2, 0, 1, 2] {
            let [server, client, password] = current;
            for (trusted, shown, sent) in [
                (server, client, password),
                (1 - server, client, password),
                (server, 1 - client, password),
                (server, client, 1 - password),
            ] {
                let answer =
                    lab.ask(&servers[trusted].0, Some(clients[shown].clone()), passwords[sent]).await;
                let is_let_in = answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
                assert_eq!(
                    is_let_in,
                    (trusted, shown, sent) == (server, client, password),
                    "{replacement:?} {current:?}"
                );
            }
            current[change] = 1 - current[change];
            match change {
                0 => {
                    put("cert.pem", &servers[current[0]].0);
                    put("key.pem", &servers[current[0]].1);
                }
                1 => put("ca.pem", &clients[current[1]].0),
                _ => put("web.yml", &file(&format!("secret-{}", current[2]))),
            }
        }
    }
}

/// As in Prometheus, whether a port uses TLS does not change until a restart.
#[tokio::test]
async fn a_file_without_tls_does_not_open_a_port_that_began_with_it() {
    let lab = Lab::start(&format!("{TLS}}}\n")).await;
    assert!(lab.ask(&lab.authority(), None, "").await.is_ok());
    std::fs::write(lab.dir.path().join("web.yml"), "http_server_config: {http2: false}\n").expect("written");
    assert!(lab.ask(&lab.authority(), None, "").await.is_err());
    let plain = TcpStream::connect(lab.address).await.expect("connected");
    let answer = exchange(plain, "").await.unwrap_or_default();
    assert!(!answer.contains("hello"), "{answer}");
    std::fs::write(lab.dir.path().join("web.yml"), format!("{TLS}}}\n")).expect("written");
    assert!(lab.ask(&lab.authority(), None, "").await.is_ok(), "the settings are back");
}

#[tokio::test]
async fn client_certificates_are_requested_as_configured() {
    for (kind, without, any, good) in [
        ("NoClientCert", true, true, true),
        ("RequestClientCert", true, true, true),
        ("RequireAnyClientCert", false, true, true),
        ("VerifyClientCertIfGiven", true, false, true),
        ("RequireAndVerifyClientCert", false, false, true),
    ] {
        let authority = if kind.contains("Verify") { ", client_ca_file: cert.pem" } else { "" };
        let lab = Lab::start(&format!("{TLS}, client_auth_type: {kind}{authority}}}\n")).await;
        let own =
            (lab.authority(), std::fs::read_to_string(lab.dir.path().join("key.pem")).expect("readable"));
        for (identity, want) in [(None, without), (Some(certificate()), any), (Some(own), good)] {
            let shown = identity.is_some();
            let answer = lab.ask(&lab.authority(), identity, "").await;
            let ok = answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
            assert_eq!(ok, want, "{kind}, a certificate shown: {shown}");
        }
    }
}

#[tokio::test]
async fn passwords_and_headers_work_without_tls_and_follow_the_file() {
    let headers = "http_server_config: {headers: {X-Frame-Options: deny}}\n";
    let lab = Lab::start(&format!("{headers}basic_auth_users: {{ada: '{}'}}\n", hash())).await;
    // "ada:secret", "ada:wrong", "eve:secret"
    let (good, bad, other) = ("YWRhOnNlY3JldA==", "YWRhOndyb25n", "ZXZlOnNlY3JldA==");
    let address = lab.address;
    let ask = |token: Option<&str>| {
        let header = token.map_or(String::new(), |token| format!("Authorization: Basic {token}\r\n"));
        async move {
            let stream = TcpStream::connect(address).await.expect("connected");
            exchange(stream, &header).await.expect("answered")
        }
    };
    // Each twice: the second time the result is cached.
    for _ in 0..2 {
        let answer = ask(Some(good)).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-frame-options: deny"), "{answer}");
        for refused in [None, Some(bad), Some(other), Some("%%%")] {
            let answer = ask(refused).await;
            assert!(
                answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate: Basic"),
                "{answer}"
            );
            assert!(answer.contains("x-frame-options: deny") && !answer.contains("hello"), "{answer}");
        }
    }
    std::fs::write(lab.dir.path().join("web.yml"), format!("basic_auth_users: {{eve: '{}'}}\n", hash()))
        .expect("written");
    assert!(ask(Some(good)).await.starts_with("HTTP/1.1 401"));
    assert!(ask(Some(other)).await.starts_with("HTTP/1.1 200"));
}

#[test]
fn invalid_files_are_refused_at_start() {
    let dir = tempfile::tempdir().expect("a directory");
    write_pair(dir.path(), &certificate());
    std::fs::write(dir.path().join("other.pem"), certificate().1).expect("written");
    for (lines, want) in [
        ("tls_server_config: {cert_file: missing, key_file: key.pem}", "/missing: no such file or directory"),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: ''}",
            "unknown TLS version: ",
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]}",
            "unknown cipher: TLS_RSA_WITH_AES_128_CBC_SHA",
        ),
        ("tls_server_config: {cert_file: cert.pem, key_file: other.pem}", "failed to load X509KeyPair: "),
        ("tls_server_config: {cert_file: key.pem, key_file: cert.pem}", "failed to load X509KeyPair: "),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, max_version: TLS11}",
            "only TLS 1.2 and 1.3 are supported",
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, cipher_suites: [X]}",
            "unknown cipher: X",
        ),
        ("basic_auth_users: {ada: plain}", "the password of ada is not a bcrypt hash"),
    ] {
        std::fs::write(dir.path().join("web.yml"), lines).expect("written");
        let error = WebAccess::load(&dir.path().join("web.yml")).err().expect(lines).to_string();
        assert!(error.contains(want) && !error.contains("plain"), "{lines}: {error}");
    }
    for lines in [
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: null, max_version: }",
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, cipher_suites: [null], curve_preferences: [null]}",
    ] {
        std::fs::write(dir.path().join("web.yml"), lines).expect("written");
        assert!(WebAccess::load(&dir.path().join("web.yml")).is_ok(), "{lines}");
    }
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_tls_unless_the_newer_is_off() {
    let lab = Lab::start(&format!("{TLS}}}\nbasic_auth_users: {{ada: '{}'}}\n", hash())).await;
    let stream = lab.either().await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.expect("a connection of version 2");
    tokio::spawn(connection);
    let ask = |authorization: &'static str| {
        let mut sender = sender.clone();
        async move {
            let request = axum::http::Request::get("https://localhost/")
                .header("authorization", authorization)
                .body(axum::body::Body::empty())
                .expect("a request");
            let answer = sender.send_request(request).await.expect("answered");
            let status = answer.status().as_u16();
            let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 100).await;
            (status, body.expect("a body"))
        }
    };
    let (good, bad) = tokio::join!(ask("Basic YWRhOnNlY3JldA=="), ask("Basic YWRhOndyb25n"));
    assert_eq!((good.0, &good.1[..]), (200, &b"hello"[..]));
    assert_eq!((bad.0, &bad.1[..]), (401, &b"Unauthorized\n"[..]));
    let lab = Lab::start(&format!("{TLS}}}\nhttp_server_config: {{http2: false}}\n")).await;
    let stream = lab.either().await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(exchange(stream, "").await.expect("answered").starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn plain_http_on_a_port_with_tls_is_told_so_in_gos_words() {
    let lab = Lab::start(&format!("{TLS}}}\n")).await;
    let stream = TcpStream::connect(lab.address).await.expect("connected");
    let answer = exchange(stream, "").await.expect("answered");
    assert_eq!(answer, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused() {
    let lab = Lab::start(
        "rate_limit: {burst: 2, interval: 1h}\nhttp_server_config: {headers: {X-Frame-Options: deny}}\n",
    )
    .await;
    for want in ["200", "200", "429", "429"] {
        let stream = TcpStream::connect(lab.address).await.expect("connected");
        let answer = exchange(stream, "").await.expect("answered");
        assert!(answer.starts_with(&format!("HTTP/1.1 {want}")), "{answer}");
        let (refused, with_header) = (want == "429", answer.contains("x-frame-options: deny"));
        assert!(refused != with_header && answer.ends_with("Too Many Requests\n") == refused, "{answer}");
    }
}

#[tokio::test]
async fn only_clients_with_an_allowed_name_are_let_in() {
    for (allowed, ok) in [("[localhost, x]", true), ("[other]", false)] {
        let options = format!("client_auth_type: RequireAnyClientCert, client_allowed_sans: {allowed}");
        let lab = Lab::start(&format!("{TLS}, {options}}}\n")).await;
        let answer = lab.ask(&lab.authority(), Some(certificate()), "").await;
        assert_eq!(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")), ok, "{allowed}");
    }
}

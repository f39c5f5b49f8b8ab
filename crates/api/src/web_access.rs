//! Access to the port: TLS, passwords and headers as set in `--web.config.file`.
//!
//! The file is read again when it, or a file that it names, has changed, so a renewed certificate or a new password
//! takes effect without a restart. If the changed file is invalid, that is logged and the previous settings stay in
//! force.
//!
//! Always true: passwords are compared with bcrypt on one thread at a time, whether or not the user exists. Results of
//! comparisons are cached under a keyed hash.

mod rate_limit;
mod sans;
mod tls;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Body;
use axum::http::Response;
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use ferula_config::ConfigError;
use ferula_config::web::WebConfig;
use ferula_go::sync::MutexExt;
use ferula_telemetry::error;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use rate_limit::RateLimit;
pub use tls::TlsSetupError;

use crate::error::{Refusal, RefusalKind};

/// The number of cached comparisons.
const REMEMBERED_MAX: usize = 100;
/// The hash to compare with if there is no such user, so that timing reveals nothing.
const NOBODY: &str = "$2b$10$sBgh5Jxenu.JVO83Glmtae1BRuXsJwrOvT9IVoPa65fSTB6.EAuWe";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The password is not hashed with bcrypt. It is not shown.
    #[error("basic_auth_users: the password of {0} is not a bcrypt hash")]
    Password(String),
    #[error("the system has no random bytes for the key of cached comparisons")]
    NoRandomness,
}

/// The settings in force.
struct Current {
    config: WebConfig,
    tls: Option<TlsAcceptor>,
    headers: HeaderMap,
    /// The files, each with a hash of its content.
    stamps: Vec<(PathBuf, Option<u64>)>,
}

/// Guards the port of a server.
pub struct WebAccess {
    path: PathBuf,
    /// Whether the port began with TLS. A file that changes must not turn encrypted connections into plain ones.
    is_tls: bool,
    current: Mutex<Arc<Current>>,
    /// One comparison at a time: each deliberately costs tens of milliseconds of CPU.
    comparing: Semaphore,
    key: ring::hmac::Key,
    remembered: Mutex<HashMap<Vec<u8>, bool>>,
    /// As in Prometheus, of the file as it was at the start.
    rate_limit: Option<RateLimit>,
}

/// What is decided about a request.
pub(crate) struct Verdict {
    /// The answer, if the request may not continue.
    pub refusal: Option<Response<Body>>,
    /// Headers that are added to every answer.
    pub headers: HeaderMap,
}

/// File times are too coarse to tell two writes apart, and these files are small.
fn stamp(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    std::fs::read(path).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

impl Current {
    fn load(path: &Path) -> Result<Self, WebConfigError> {
        let config = WebConfig::load(path)?;
        let tls = &config.tls_server_config;
        for (user, hash) in &config.basic_auth_users {
            if hash.reveal().parse::<bcrypt::HashParts>().is_err() {
                return Err(WebConfigError::Password(user.clone()));
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &config.http_server_config.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        let named =
            [&tls.cert_file, &tls.key_file, &tls.client_ca_file].into_iter().filter(|name| !name.is_empty());
        let files = std::iter::once(path.to_owned()).chain(named.map(PathBuf::from));
        let stamps = files.map(|file| (file.clone(), stamp(&file))).collect();
        let acceptor = match tls.is_enabled() {
            true => Some(tls::acceptor(tls, config.http_server_config.http2)?),
            false => None,
        };
        Ok(Current { config, tls: acceptor, headers, stamps })
    }

    fn is_fresh(&self) -> bool {
        self.stamps.iter().all(|(path, then)| stamp(path) == *then)
    }
}

impl WebAccess {
    /// Reads the file.
    ///
    /// # Errors
    /// An error in it, or in a file that it names.
    pub fn load(path: &Path) -> Result<Self, WebConfigError> {
        let current = Current::load(path)?;
        let mut random = [0; 32];
        let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
        filled.map_err(|_| WebConfigError::NoRandomness)?;
        Ok(WebAccess {
            path: path.to_owned(),
            is_tls: current.tls.is_some(),
            rate_limit: RateLimit::of(&current.config.rate_limit),
            current: Mutex::new(Arc::new(current)),
            comparing: Semaphore::new(1),
            key: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &random),
            remembered: Mutex::default(),
        })
    }

    /// Whether connections are TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    fn current(&self) -> Arc<Current> {
        let mut current = self.current.locked();
        if !current.is_fresh() {
            match Current::load(&self.path) {
                Ok(loaded) => *current = Arc::new(loaded),
                Err(err) => error!("Unable to parse configuration", component = "web", err = err),
            }
        }
        current.clone()
    }

    /// Performs the TLS handshake with a client.
    ///
    /// # Errors
    /// The client does not speak TLS, or lacks the required certificate.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<Result<TlsStream<TcpStream>, TcpStream>> {
        if !self.is_tls {
            return Ok(Err(stream));
        }
        let stream = match in_plain_http(&stream).await {
            true => return Err(refuse_plain_http(stream).await),
            false => stream,
        };
        match &self.current().tls {
            None => Err(std::io::Error::other("the web configuration file no longer has TLS settings")),
            Some(acceptor) => acceptor.accept(stream).await.map(Ok),
        }
    }

    /// Decides about a request, with a single check of the files.
    pub(crate) async fn check(&self, headers: &HeaderMap) -> Verdict {
        let current = self.current();
        if self.rate_limit.as_ref().is_some_and(|limit| !limit.allows(Instant::now())) {
            let refusal = Refusal::new(RefusalKind::TooMany, "Too Many Requests");
            return Verdict { refusal: Some(refusal.into_answer()), headers: HeaderMap::new() };
        }
        Verdict { refusal: self.refusal(&current, headers).await, headers: current.headers.clone() }
    }

    async fn refusal(&self, current: &Current, headers: &HeaderMap) -> Option<Response<Body>> {
        let users = &current.config.basic_auth_users;
        if users.is_empty() {
            return None;
        }
        if let Some((user, password)) = basic(headers) {
            let hash = users.get(&user).map(|hash| hash.reveal().to_owned());
            if self.is_right(&user, hash, password).await {
                return None;
            }
        }
        let mut response = Refusal::new(RefusalKind::Unauthorized, "Unauthorized").into_answer();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        Some(response)
    }

    async fn is_right(&self, user: &str, hash: Option<String>, password: Vec<u8>) -> bool {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let mut context = ring::hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), hash.as_bytes(), &password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign().as_ref().to_vec();
        let remembered = || self.remembered.locked();
        if let Some(right) = remembered().get(&tag) {
            return *right;
        }
        let Ok(_place) = self.comparing.acquire().await else { return false };
        // Another request may have cached the result while this one waited.
        if let Some(right) = remembered().get(&tag) {
            return *right;
        }
        let compared = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false));
        let right = compared.await.unwrap_or(false) && known;
        let mut all = remembered();
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(tag, right);
        right
    }
}

/// Whether a client begins like HTTP rather than TLS. Only peeks at the received bytes.
async fn in_plain_http(stream: &TcpStream) -> bool {
    let mut begin = [0; 5];
    // A client that sends a shorter first piece needs no answer.
    matches!(stream.peek(&mut begin).await, Ok(5))
        && [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"].contains(&&begin)
}

/// Answers the client with Go's text.
async fn refuse_plain_http(mut stream: TcpStream) -> std::io::Error {
    const ANSWER: &[u8] =
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    // The request is read before closing; otherwise the client sees a broken connection instead of the answer.
    let mut rest = [0; 4096];
    let _ = stream.try_read(&mut rest);
    let _ = stream.write_all(ANSWER).await;
    let _ = stream.shutdown().await;
    std::io::Error::other("client sent an HTTP request to an HTTPS server")
}

/// User and password of a request.
fn basic(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = ferula_go::base64::decode(rest.trim())?;
    let colon = both.iter().position(|byte| *byte == b':')?;
    Some((String::from_utf8(both[..colon].to_vec()).ok()?, both[colon + 1..].to_vec()))
}

//! Getting pages over HTTP, with every option of a job's section.
//!
//! Redirects are followed here, not by the client library, because credentials and configured headers must not travel
//! to another host and because the texts of failures are Go's. A body is read whole, decompressed whole, and bounded
//! twice: by the job's `body_size_limit` (or a default), and by what all pages together may take of memory.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ferula_config::http_client::{HttpClientConfig, TlsConfig};
use ferula_discovery::tls::Trust;
use ferula_runtime::clock::Sleep;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LOCATION, USER_AGENT,
};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fetch::{DEADLINE, Fetch, FetchError, Fetching, Page};
use crate::gzip;
use crate::target::Target;

/// What outgoing requests call themselves: the version whose behaviour this is.
pub const USER_AGENT_TEXT: &str = "Prometheus/3.14.0";

/// Redirects that are followed, as in Go.
const REDIRECTS_MAX: usize = 10;
/// Pages of jobs without a limit may have this many bytes.
pub const DEFAULT_BODY_BYTES_MAX: u64 = 256 << 20;
/// All pages that are being read may take this many KiB together.
const PAGES_KIB_MAX: usize = 512 << 10;
/// Idle connections are closed after this time, as in Go.
const IDLE_CONNECTION: Duration = Duration::from_secs(300);

/// Memory that pages may take together. Fetches wait when it is used up.
#[derive(Clone)]
pub struct PageMemory(Arc<Semaphore>);

impl Default for PageMemory {
    fn default() -> Self {
        PageMemory(Arc::new(Semaphore::new(PAGES_KIB_MAX)))
    }
}

impl PageMemory {
    /// Makes `held` cover this many bytes, waiting for other pages if needed. A page that alone exceeds everything
    /// gets everything.
    async fn grow(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) {
        let wanted = bytes.div_ceil(1024).min(PAGES_KIB_MAX);
        let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) =
            wanted.checked_sub(has).and_then(|more| u32::try_from(more).ok()).filter(|more| *more > 0)
        else {
            return;
        };
        let permit = self.0.clone().acquire_many_owned(more).await.expect("this semaphore is never closed");
        match held {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
    }
}

/// Clients by their options: jobs with equal options share one, with its certificates and connections.
#[derive(Clone, Default)]
pub struct HttpClients(Arc<Mutex<Vec<Weak<HttpClient>>>>);

impl HttpClients {
    /// The client with these options, built if there is none.
    ///
    /// # Errors
    /// See [`HttpClient::new`].
    pub fn get(&self, config: &HttpClientConfig) -> Result<Arc<HttpClient>, String> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|client| client.strong_count() > 0);
        let known = clients.iter().filter_map(Weak::upgrade).find(|client| client.config == *config);
        if let Some(client) = known {
            return Ok(client);
        }
        let client = Arc::new(HttpClient::new(config)?);
        clients.push(Arc::downgrade(&client));
        Ok(client)
    }
}

/// A client for all targets of a job.
pub struct HttpClient {
    client: Client,
    config: HttpClientConfig,
}

impl HttpClient {
    /// Builds the client.
    ///
    /// # Errors
    /// Files that cannot be read, certificates that are none, or options that are not supported yet.
    pub fn new(config: &HttpClientConfig) -> Result<Self, String> {
        build(config)
            .map(|client| HttpClient { client, config: config.clone() })
            .map_err(|error| format!("error creating HTTP client: {error}"))
    }

    /// Credentials and configured headers. Files are read for every request, so that they can be changed.
    fn own_headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = self.authorization()? {
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| "credentials have characters that no header can have")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, header) in self.config.http_headers.iter().flat_map(|headers| &headers.0) {
            let name: HeaderName = name.parse().map_err(|_| format!("invalid header name {name}"))?;
            let secrets = header.secrets.iter().map(|secret| secret.reveal().to_owned());
            let mut values: Vec<String> = header.values.iter().cloned().chain(secrets).collect();
            for file in &header.files.0 {
                values.push(read_secret(file, "header")?);
            }
            for value in values {
                let value =
                    HeaderValue::from_str(&value).map_err(|_| format!("invalid value of header {name}"))?;
                headers.append(name.clone(), value);
            }
        }
        Ok(headers)
    }

    fn authorization(&self) -> Result<Option<String>, String> {
        if let Some(basic) = &self.config.basic_auth {
            let username = match basic.username_file.as_str() {
                "" => basic.username.clone(),
                file => read_secret(file, "basic auth username")?,
            };
            let password = match basic.password_file.as_str() {
                "" => basic.password.reveal().to_owned(),
                file => read_secret(file, "basic auth password")?,
            };
            return Ok(Some(format!("Basic {}", base64(format!("{username}:{password}").as_bytes()))));
        }
        let Some(authorization) = &self.config.authorization else { return Ok(None) };
        let credentials = match authorization.credentials_file.as_str() {
            "" => authorization.credentials.reveal().to_owned(),
            file => read_secret(file, "authorization credentials")?,
        };
        if credentials.is_empty() {
            return Ok(None);
        }
        Ok(Some(format!("{} {credentials}", authorization.kind)))
    }
}

/// A secret's file, without the white space around it.
fn read_secret(file: &str, what: &str) -> Result<String, String> {
    std::fs::read_to_string(file)
        .map(|text| text.trim().to_owned())
        .map_err(|error| format!("unable to read {what}: unable to read file {file}: {}", io_text(&error)))
}

fn build(config: &HttpClientConfig) -> Result<Client, String> {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .pool_idle_timeout(IDLE_CONNECTION);
    if !config.enable_http2 {
        builder = builder.http1_only();
    }
    if config.oauth2.is_some() {
        return Err("not supported yet: oauth2".into());
    }
    let proxy = &config.proxy;
    if !proxy.proxy_from_environment {
        builder = builder.no_proxy();
    }
    if !proxy.proxy_url.is_empty() {
        let mut to = reqwest::Proxy::all(proxy.proxy_url.as_str()).map_err(|error| error.to_string())?;
        to = to.no_proxy(reqwest::NoProxy::from_string(&proxy.no_proxy));
        let mut headers = HeaderMap::new();
        for (name, values) in &proxy.proxy_connect_header {
            let name: HeaderName = name.parse().map_err(|_| format!("invalid header name {name}"))?;
            for value in values {
                let value = HeaderValue::from_str(value.reveal())
                    .map_err(|_| format!("invalid value of header {name}"))?;
                headers.append(name.clone(), value);
            }
        }
        if !headers.is_empty() {
            to = to.headers(headers);
        }
        builder = builder.proxy(to);
    }
    tls(builder, &config.tls_config, config.enable_http2)?.build().map_err(|error| chain_text(&error))
}

fn tls(
    mut builder: reqwest::ClientBuilder,
    config: &TlsConfig,
    http2: bool,
) -> Result<reqwest::ClientBuilder, String> {
    if !config.server_name.is_empty() {
        return Err("not supported yet: tls_config.server_name".into());
    }
    let text = |what: &str, inline: &str, file: &str| -> Result<Option<Vec<u8>>, String> {
        match (inline, file) {
            ("", "") => Ok(None),
            ("", file) => std::fs::read(file).map(Some).map_err(|error| {
                format!("unable to read {what}: unable to read file {file}: open {file}: {}", io_text(&error))
            }),
            (inline, _) => Ok(Some(inline.as_bytes().to_vec())),
        }
    };
    let authorities = text("CA cert", &config.ca, &config.ca_file)?;
    let certificate = text("client cert", &config.cert, &config.cert_file)?;
    let key = text("client key", config.key.reveal(), &config.key_file)?;
    let identity = certificate.as_deref().zip(key.as_deref());
    if let Some(authorities) = authorities.filter(|_| !config.insecure_skip_verify) {
        let versions = match (config.min_version.as_str(), config.max_version.as_str()) {
            ("TLS13", _) => &[&rustls::version::TLS13][..],
            (_, "TLS12") => &[&rustls::version::TLS12][..],
            (_, "" | "TLS13") => rustls::ALL_VERSIONS,
            (_, old) => return Err(format!("not supported yet: tls_config.max_version {old}")),
        };
        let trust = Trust { authorities: &authorities, identity, versions, http2 };
        let tls = trust.client_config();
        let tls =
            tls.map_err(|error| format!("unable to use specified CA cert {}: {error}", config.ca_file))?;
        return Ok(builder.tls_backend_preconfigured(tls));
    }
    if let Some((certificate, key)) = identity {
        let both = [certificate, b"\n", key].concat();
        let identity = reqwest::Identity::from_pem(&both).map_err(|error| chain_text(&error))?;
        builder = builder.identity(identity);
    }
    if config.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    match config.min_version.as_str() {
        "TLS13" => builder = builder.tls_version_min(reqwest::tls::Version::TLS_1_3),
        _ => builder = builder.tls_version_min(reqwest::tls::Version::TLS_1_2),
    }
    match config.max_version.as_str() {
        "" | "TLS13" => {}
        "TLS12" => builder = builder.tls_version_max(reqwest::tls::Version::TLS_1_2),
        old => return Err(format!("not supported yet: tls_config.max_version {old}")),
    }
    Ok(builder)
}

/// Gets the page of one target.
pub struct HttpFetch {
    client: Arc<HttpClient>,
    memory: PageMemory,
    url: String,
    accept: String,
    compression: bool,
    timeout_seconds: String,
    body_bytes_limit: u64,
}

impl HttpFetch {
    /// For a target of a job.
    pub(crate) fn new(
        client: Arc<HttpClient>,
        memory: PageMemory,
        target: &Target,
        job: &crate::options::JobOptions,
    ) -> Self {
        HttpFetch {
            client,
            memory,
            url: target.url.clone(),
            accept: job.accept.clone(),
            compression: job.compression,
            timeout_seconds: ferula_go::float::format_f(target.timeout.as_secs_f64()),
            body_bytes_limit: job.body_bytes_limit,
        }
    }

    async fn get(&self, mut deadline: Sleep) -> Result<Page, FetchError> {
        let response = tokio::select! {
            response = self.follow() => response?,
            () = &mut deadline => return Err(failed(&self.url, DEADLINE.to_owned())),
        };
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(status_text(response.status())));
        }
        tokio::select! {
            page = self.page(response) => page,
            () = &mut deadline => Err(FetchError::Body(DEADLINE.to_owned())),
        }
    }

    /// Sends the request, and again to where it is redirected.
    async fn follow(&self) -> Result<Response, FetchError> {
        let own_headers = self.client.own_headers().map_err(|reason| failed(&self.url, reason))?;
        let mut url = Url::parse(&self.url).map_err(|error| {
            FetchError::Setup(format!("parse {}: {error}", ferula_go::quote::go_quote(&self.url)))
        })?;
        // As it is written in the configuration, until a redirect leads elsewhere: a default port stays visible.
        let mut shown = self.url.clone();
        let home = (url.host_str().map(str::to_owned), url.port_or_known_default());
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = self.plain_headers();
            if (url.host_str().map(str::to_owned), url.port_or_known_default()) == home {
                headers.extend(own_headers.clone());
            }
            let response = match self.client.client.get(url.clone()).headers(headers).send().await {
                Ok(response) => response,
                Err(error) => return Err(failed(&shown, request_text(&error, &url).await)),
            };
            let target = redirect_target(&url, &response);
            match target {
                Some(next) if self.client.config.follow_redirects => {
                    url = next.map_err(|reason| failed(&shown, reason))?;
                    shown = url.to_string();
                }
                _ => return Ok(response),
            }
        }
        Err(failed(&shown, format!("stopped after {REDIRECTS_MAX} redirects")))
    }

    fn plain_headers(&self) -> HeaderMap {
        let text = |text: &str| HeaderValue::from_str(text).expect("built from fixed texts and numbers");
        HeaderMap::from_iter([
            (ACCEPT, text(&self.accept)),
            (ACCEPT_ENCODING, text(if self.compression { "gzip" } else { "identity" })),
            (USER_AGENT, text(USER_AGENT_TEXT)),
            (HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), text(&self.timeout_seconds)),
        ])
    }

    async fn page(&self, mut response: Response) -> Result<Page, FetchError> {
        let header = |name| {
            let value = response.headers().get(name).map(|value: &HeaderValue| value.as_bytes());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let (content_type, encoding) = (header(CONTENT_TYPE), header(CONTENT_ENCODING));
        let limit = self.limit();
        let mut memory = None;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| FetchError::Body(body_text(&error)))? {
            // Compressed bytes cannot outgrow the limit either: the page would be larger still.
            if (body.len() + chunk.len()) as u64 >= limit.bytes {
                return Err(limit.error);
            }
            self.memory.grow(&mut memory, body.len() + chunk.len()).await;
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        if encoding != "gzip" {
            return Ok(Page { body, content_type, memory });
        }
        let plain = self.inflate(body, limit, &mut memory).await?;
        Ok(Page { body: plain, content_type, memory })
    }

    /// Decompresses away from the loops' threads.
    async fn inflate(
        &self,
        body: Bytes,
        limit: Limit,
        memory: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Bytes, FetchError> {
        let expected = gzip::expected_bytes(&body).min(usize::try_from(limit.bytes).unwrap_or(usize::MAX));
        self.memory.grow(memory, body.len() + expected).await;
        let most = usize::try_from(limit.bytes).unwrap_or(usize::MAX);
        let inflated = if expected < SMALL_PAGE_BYTES {
            gzip::inflate(&body, most)
        } else {
            let joined = tokio::task::spawn_blocking(move || gzip::inflate(&body, most)).await;
            joined.map_err(|error| FetchError::Body(error.to_string()))?
        };
        match inflated {
            Ok(plain) if plain.len() as u64 >= limit.bytes => Err(limit.error),
            Ok(plain) => {
                self.memory.grow(memory, plain.len()).await;
                Ok(plain.into())
            }
            Err(gzip::GzipError::TooLarge) => Err(limit.error),
            Err(error) => Err(FetchError::Body(error.to_string())),
        }
    }

    fn limit(&self) -> Limit {
        match self.body_bytes_limit {
            0 => Limit {
                bytes: DEFAULT_BODY_BYTES_MAX,
                error: FetchError::DefaultBodySizeLimit(DEFAULT_BODY_BYTES_MAX),
            },
            bytes => Limit { bytes, error: FetchError::BodySizeLimit },
        }
    }
}

/// Pages below this size are decompressed where they are; it takes some ten microseconds.
const SMALL_PAGE_BYTES: usize = 64 << 10;

/// How many bytes a page may not reach, and what is said when it does.
struct Limit {
    bytes: u64,
    error: FetchError,
}

impl Fetch for HttpFetch {
    fn fetch(&self, deadline: Sleep) -> Fetching<'_> {
        Box::pin(self.get(deadline))
    }
}

fn failed(url: &str, reason: String) -> FetchError {
    FetchError::Request { url: url.to_owned(), reason }
}

/// Where an answer redirects to, if it does.
fn redirect_target(from: &Url, response: &Response) -> Option<Result<Url, String>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let Some(location) = response.headers().get(LOCATION) else {
        return Some(Err(format!("{} response missing Location header", response.status().as_u16())));
    };
    let location = String::from_utf8_lossy(location.as_bytes());
    let next = from.join(&location);
    Some(match next {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(url) => Err(format!("unsupported protocol scheme {}", ferula_go::quote::go_quote(url.scheme()))),
        Err(error) => {
            Err(format!("failed to parse Location header {}: {error}", ferula_go::quote::go_quote(&location)))
        }
    })
}

/// `404 Not Found`, or the bare number of a status that has no name.
fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// The cause of an error that has the type `T`.
fn cause<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// All causes of an error, the outermost first.
fn chain_text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let inner = error.to_string();
        if !text.ends_with(&inner) {
            text = format!("{text}: {inner}");
        }
        next = error.source();
    }
    text
}

/// The operating system's text, as Go prints it: no capital, no number.
fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Why no answer came, in Go's words.
async fn request_text(error: &reqwest::Error, url: &Url) -> String {
    let text = chain_text(error);
    if let Some(tls) = cause::<rustls::Error>(error) {
        return tls_text(tls);
    }
    // TLS errors come wrapped in I/O errors, whose own source the chain does not always show.
    let io = cause::<io::Error>(error);
    if let Some(tls) = io.and_then(|io| io.get_ref()).and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return tls_text(tls);
    }
    if error.is_connect() {
        if text.contains("dns error") || text.contains("failed to lookup") {
            return format!("dial tcp: lookup {}: no such host", url.host_str().unwrap_or_default());
        }
        if let Some(io) = io {
            return format!("dial tcp {}: connect: {}", dialled(url).await, io_text(io));
        }
        return format!("dial tcp {}: {text}", dialled(url).await);
    }
    match io {
        Some(io) if io.kind() == io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        Some(io) => format!("read tcp {}: read: {}", dialled(url).await, io_text(io)),
        None if text.contains("before message completed") => "EOF".to_owned(),
        None if text.contains("invalid HTTP") || text.contains("parsed") => {
            "net/http: HTTP/1.x transport connection broken: malformed HTTP response".to_owned()
        }
        None => text,
    }
}

fn tls_text(error: &rustls::Error) -> String {
    use rustls::CertificateError::{Expired, NotValidForName, NotValidForNameContext, UnknownIssuer};
    match error {
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
        }
        rustls::Error::InvalidCertificate(Expired) => {
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid".to_owned()
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            format!("tls: failed to verify certificate: x509: {error}")
        }
        rustls::Error::InvalidMessage(_) => "http: server gave HTTP response to HTTPS client".to_owned(),
        other => format!("tls: {other}"),
    }
}

/// The address that was dialled. Names are resolved once more: the client does not tell.
async fn dialled(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let shown = format!("{host}:{port}");
    let first = tokio::net::lookup_host(&shown).await.ok().and_then(|mut found| found.next());
    first.map_or(shown, |address| address.to_string())
}

/// Why a body ended badly, in Go's words.
fn body_text(error: &reqwest::Error) -> String {
    let text = chain_text(error);
    match cause::<io::Error>(error) {
        Some(io) if io.kind() != io::ErrorKind::UnexpectedEof && io.raw_os_error().is_some() => {
            format!("read: {}", io_text(io))
        }
        Some(_) => "unexpected EOF".to_owned(),
        None if text.contains("end of file") || text.contains("before message completed") => {
            "unexpected EOF".to_owned()
        }
        None => text,
    }
}

/// Standard base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let shown = digit <= chunk.len();
            let index = (group >> (18 - 6 * digit)) as usize & 63;
            out.push(if shown { char::from(DIGITS[index]) } else { '=' });
        }
    }
    out
}

mod call;
#[cfg(test)]
mod tests;

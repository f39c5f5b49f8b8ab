//! An HTTP client as a section of the configuration describes it.
//!
//! Certificates are read when the client is made; names, passwords, credentials and header values that stand in files
//! are read for every request, so that they can be changed without a reload.

use std::time::Duration;

use ferula_config::Secret;
use ferula_config::http_client::{HttpClientConfig, TlsConfig};
use ferula_discovery::tls::Trust;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Identity, NoProxy, Proxy, Request, Response, redirect, tls};

/// Why a client could not be made, or a request not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file could not be read.
    #[error("unable to read {what} {file}: {error}")]
    File {
        /// What the file holds.
        what: &'static str,
        /// Its name.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// Certificates, keys, proxies and headers that make no sense.
    #[error("{0}")]
    Invalid(String),
    /// The request could not be made, sent or answered.
    #[error("{0}")]
    Http(String),
}

/// The causes of an error in one line: reqwest keeps the interesting one at the bottom.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        // The address is part of the log line already, and may hold a password.
        ClientError::Http(with_causes(&error.without_url()))
    }
}

/// A client with what it adds to every request.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client,
    config: HttpClientConfig,
    user_agent: String,
}

impl HttpClient {
    /// Makes a client.
    ///
    /// # Errors
    /// Files that cannot be read, and options that make no sense or are not supported.
    pub fn new(config: &HttpClientConfig, user_agent: &str) -> Result<Self, ClientError> {
        // Another part of the process may have chosen a provider before; then that one holds.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder().no_proxy().pool_idle_timeout(Duration::from_secs(300));
        if !config.follow_redirects {
            builder = builder.redirect(redirect::Policy::none());
        }
        if !config.enable_http2 {
            builder = builder.http1_only();
        }
        builder = with_proxy(builder, config)?;
        builder = with_tls(builder, &config.tls_config, config.enable_http2)?;
        let client = builder.build().map_err(|error| ClientError::Invalid(with_causes(&error)))?;
        Ok(HttpClient { client, config: config.clone(), user_agent: user_agent.to_owned() })
    }

    /// A request that the caller completes.
    pub fn post(&self, url: &str) -> Result<Request, ClientError> {
        let mut request = self.client.post(url).build()?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, header(&self.user_agent)?);
        if let Some(value) = self.authorization()? {
            let mut value = header(&value)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, values) in self.config.http_headers.iter().flat_map(|headers| &headers.0) {
            let name: HeaderName =
                name.parse().map_err(|_| ClientError::Invalid(format!("header name {name}")))?;
            for value in &values.values {
                headers.append(name.clone(), header(value)?);
            }
            for value in &values.secrets {
                headers.append(name.clone(), header(value.reveal())?);
            }
            for file in &values.files.0 {
                headers.append(name.clone(), header(read("headers file", file)?.trim())?);
            }
        }
        Ok(request)
    }

    /// Sends a request.
    pub async fn send(&self, request: Request) -> Result<Response, ClientError> {
        Ok(self.client.execute(request).await?)
    }

    fn authorization(&self) -> Result<Option<String>, ClientError> {
        if let Some(basic) = &self.config.basic_auth {
            let name = given_or_file(&basic.username, "username file", &basic.username_file)?;
            let password = secret_or_file(&basic.password, "basic auth password file", &basic.password_file)?;
            return Ok(Some(format!("Basic {}", base64(format!("{name}:{password}").as_bytes()))));
        }
        let Some(authorization) = &self.config.authorization else { return Ok(None) };
        let credentials = secret_or_file(
            &authorization.credentials,
            "authorization credentials file",
            &authorization.credentials_file,
        )?;
        Ok(Some(format!("{} {credentials}", authorization.kind)))
    }
}

fn header(value: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(value)
        .map_err(|_| ClientError::Invalid("a header value has characters it may not have".into()))
}

fn read(what: &'static str, file: &str) -> Result<String, ClientError> {
    std::fs::read_to_string(file).map_err(|error| ClientError::File { what, file: file.to_owned(), error })
}

fn given_or_file(given: &str, what: &'static str, file: &str) -> Result<String, ClientError> {
    if file.is_empty() { Ok(given.to_owned()) } else { Ok(read(what, file)?.trim().to_owned()) }
}

fn secret_or_file(secret: &Secret, what: &'static str, file: &str) -> Result<String, ClientError> {
    given_or_file(secret.reveal(), what, file)
}

fn with_proxy(
    builder: reqwest::ClientBuilder,
    config: &HttpClientConfig,
) -> Result<reqwest::ClientBuilder, ClientError> {
    let options = &config.proxy;
    if !options.proxy_connect_header.is_empty() {
        return Err(ClientError::Invalid("not supported yet: proxy_connect_header".into()));
    }
    let (url, no_proxy) = if options.proxy_from_environment {
        let variable = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        (variable.unwrap_or_default(), NoProxy::from_env())
    } else {
        (options.proxy_url.as_str().to_owned(), NoProxy::from_string(&options.no_proxy))
    };
    if url.is_empty() {
        return Ok(builder);
    }
    let proxy = Proxy::all(&url)
        .map_err(|error| ClientError::Invalid(format!("proxy_url: {}", with_causes(&error))))?;
    Ok(builder.proxy(proxy.no_proxy(no_proxy)))
}

fn with_tls(
    mut builder: reqwest::ClientBuilder,
    config: &TlsConfig,
    http2: bool,
) -> Result<reqwest::ClientBuilder, ClientError> {
    for (given, key) in [
        (!config.server_name.is_empty(), "server_name"),
        (!config.ca_ref.is_empty() || !config.cert_ref.is_empty() || !config.key_ref.is_empty(), "…_ref"),
    ] {
        if given {
            return Err(ClientError::Invalid(format!("not supported yet: tls_config.{key}")));
        }
    }
    let invalid = |what: &str, error: &reqwest::Error| {
        ClientError::Invalid(format!("unable to use specified {what}: {}", with_causes(error)))
    };
    let ca = given_or_file(&config.ca, "CA cert", &config.ca_file)?;
    let cert = given_or_file(&config.cert, "client cert", &config.cert_file)?;
    let key = secret_or_file(&config.key, "client key", &config.key_file)?;
    if !ca.is_empty() && !config.insecure_skip_verify {
        let versions = match (config.min_version.as_str(), config.max_version.as_str()) {
            ("TLS13", _) => &[&rustls::version::TLS13][..],
            (_, "" | "TLS13") => rustls::ALL_VERSIONS,
            _ => &[&rustls::version::TLS12][..],
        };
        let identity = (!cert.is_empty()).then_some((cert.as_bytes(), key.as_bytes()));
        let trust = Trust { authorities: ca.as_bytes(), identity, versions, http2 };
        let unusable = |error| ClientError::Invalid(format!("unable to use specified CA cert: {error}"));
        return Ok(builder.tls_backend_preconfigured(trust.client_config().map_err(unusable)?));
    }
    if !cert.is_empty() {
        let identity = Identity::from_pem(format!("{key}\n{cert}").as_bytes())
            .map_err(|error| invalid("client cert & key", &error))?;
        builder = builder.identity(identity);
    }
    if let Some(version) = tls_version(config.min_version.as_str()) {
        builder = builder.tls_version_min(version);
    }
    if let Some(version) = tls_version(config.max_version.as_str()) {
        builder = builder.tls_version_max(version);
    }
    Ok(builder.tls_danger_accept_invalid_certs(config.insecure_skip_verify))
}

/// Versions below 1.2 do not exist in rustls; asking for one of them as the lowest asks for 1.2.
fn tls_version(name: &str) -> Option<tls::Version> {
    match name {
        "" => None,
        "TLS13" => Some(tls::Version::TLS_1_3),
        _ => Some(tls::Version::TLS_1_2),
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4usize {
            if index <= group.len() {
                out.push(char::from(ALPHABET[(bits >> (18 - 6 * index) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (text, encoded) in
            [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("user:pass", "dXNlcjpwYXNz")]
        {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let config = HttpClientConfig {
            tls_config: TlsConfig { server_name: "x".into(), ..TlsConfig::default() },
            ..HttpClientConfig::default()
        };
        let error = HttpClient::new(&config, "x").unwrap_err();
        assert_eq!(error.to_string(), "not supported yet: tls_config.server_name");
        let config = HttpClientConfig {
            tls_config: TlsConfig { ca_file: "/nowhere/ca.pem".into(), ..TlsConfig::default() },
            ..HttpClientConfig::default()
        };
        let error = HttpClient::new(&config, "x").unwrap_err();
        assert!(error.to_string().starts_with("unable to read CA cert /nowhere/ca.pem: "), "{error}");
    }
}

//! Talking to servers: the client of `--http.config.file`, and addresses as people write them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ferula_config::http_client::HttpClientConfig;
use ferula_go::quote::go_quote;
use ferula_scraper::http::HttpClient;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Method, Url};

use super::args::{Args, Flag, Kind, flag};

/// The flag of all commands that talk to servers.
pub const CONFIG_FILE: Flag = flag(
    "http.config.file",
    Kind::File,
    "File with the HTTP settings for the server: users, tokens, TLS, proxies. See \
     https://prometheus.io/docs/prometheus/latest/configuration/promtool",
)
.placeholder("<filename>");

/// An answer may be so large.
const BODY_BYTES_MAX: usize = 1 << 30;
/// Who asks.
const USER_AGENT_TEXT: &str = "promtool/3.14.0";

/// A server, and how to talk to it.
pub struct Server {
    runtime: tokio::runtime::Runtime,
    client: HttpClient,
    /// Its address.
    pub url: Url,
    /// Sent with every request.
    pub headers: HeaderMap,
}

/// What it answered.
pub struct Answer {
    /// `200`
    pub code: u16,
    /// `200 OK`
    pub status: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Server {
    /// The server at `address`, with the client that the flags ask for.
    ///
    /// # Errors
    /// An address that is none, a configuration that is wrong.
    pub fn new(args: &Args, address: &str, headers: &BTreeMap<&str, &str>) -> Result<Self> {
        let url = parse_address(address)?;
        let config = match args.last(CONFIG_FILE) {
            None => default_config(),
            Some(_) if !url.username().is_empty() => {
                bail!(
                    "{}: error: Cannot set base auth in the server URL and use a http.config.file at the same time",
                    args.program
                )
            }
            Some(file) => read_config(file).map_err(|error| {
                anyhow!("{}: error: Failed to load HTTP config file: {error:#}", args.program)
            })?,
        };
        let client = HttpClient::new(&config).map_err(|error| {
            let error = error.trim_start_matches("error creating HTTP client: ");
            anyhow!("{}: error: Failed to create a new HTTP round tripper: {error}", args.program)
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut all = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT))]);
        for (name, value) in headers {
            let name: HeaderName = name.parse().with_context(|| format!("invalid header name {name}"))?;
            all.insert(name, value.parse().context("invalid header value")?);
        }
        Ok(Server { runtime, client, url, headers: all })
    }

    /// The address of something on the server.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let whole = format!("{}/{}", self.url.path().trim_end_matches('/'), path.trim_start_matches('/'));
        url.set_path(&whole);
        url
    }

    /// Sends a request and waits for the whole answer, no longer than `timeout`.
    ///
    /// # Errors
    /// When no answer came, in Go's words.
    pub fn call(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Answer> {
        let mut all = self.headers.clone();
        for (name, value) in headers {
            all.insert(*name, HeaderValue::from_str(value).context("invalid header value")?);
        }
        let name = if method == Method::GET { "Get" } else { "Post" };
        if !matches!(url.scheme(), "http" | "https") {
            bail!(
                "{name} {}: unsupported protocol scheme {}",
                go_quote(url.as_str()),
                go_quote(url.scheme())
            );
        }
        self.runtime.block_on(async {
            let exchange = async {
                let mut response =
                    self.client.call(method, url, all, body).await.map_err(|error| anyhow!(error))?;
                let status = response.status();
                let mut body = Vec::new();
                while let Some(chunk) = response.chunk().await? {
                    if body.len() + chunk.len() > BODY_BYTES_MAX {
                        bail!("the answer is larger than {BODY_BYTES_MAX} bytes");
                    }
                    body.extend_from_slice(&chunk);
                }
                let reason = status.canonical_reason().unwrap_or_default();
                Ok(Answer {
                    code: status.as_u16(),
                    status: format!("{} {reason}", status.as_u16()).trim_end().to_owned(),
                    headers: response.headers().clone(),
                    body,
                })
            };
            tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| {
                Err(anyhow!("{name} {}: context deadline exceeded", go_quote(url.as_str())))
            })
        })
    }

    /// Waits.
    pub fn sleep(&self, time: Duration) {
        self.runtime.block_on(tokio::time::sleep(time));
    }
}

/// Proxies come from the environment, as in Go.
fn default_config() -> HttpClientConfig {
    let mut config = HttpClientConfig::default();
    config.proxy.proxy_from_environment = true;
    config
}

fn read_config(file: &str) -> Result<HttpClientConfig> {
    let text = std::fs::read_to_string(file).with_context(|| format!("open {file}"))?;
    let folder = Path::new(file).parent().map_or_else(String::new, |folder| folder.display().to_string());
    let folder = if folder.is_empty() { ".".to_owned() } else { folder };
    Ok(HttpClientConfig::parse_file(&text, &folder)?)
}

/// `host:port` behind `//` is taken for `http`.
fn parse_address(address: &str) -> Result<Url> {
    let with_scheme = match address.strip_prefix("//") {
        Some(rest) => format!("http://{rest}"),
        None => address.to_owned(),
    };
    Url::parse(&with_scheme)
        .map_err(|error| anyhow!("error creating API client: parse {}: {error}", go_quote(address)))
}

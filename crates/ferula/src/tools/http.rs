//! Talks to servers: the client of `--http.config.file`, and addresses as users write them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ferula_config::http_client::HttpClientConfig;
use ferula_go::quote::go_quote;
use ferula_http_client::{
    HeaderMap, HeaderName, HeaderValue, HttpClient, Method, Request, RequestError, Url, url,
};

use super::args::{Args, Flag, ValueKind, flag};

/// The flag shared by all commands that talk to servers.
pub const CONFIG_FILE: Flag = flag(
    "http.config.file",
    ValueKind::File,
    "File with the HTTP settings for the server: users, tokens, TLS, proxies. See \
     https://prometheus.io/docs/prometheus/latest/configuration/promtool",
)
.placeholder("<filename>");

/// The size limit of an answer.
const BODY_BYTES_MAX: usize = 1 << 30;
/// The `User-Agent`.
const USER_AGENT_TEXT: &str = "promtool/3.14.0";

/// A server and the client for it.
pub struct Server {
    runtime: tokio::runtime::Runtime,
    client: HttpClient,
    /// Its address.
    pub url: Url,
    /// Sent with every request.
    pub headers: HeaderMap,
}

/// A server's answer.
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
    /// The server at `address`, with the client that the flags configure.
    ///
    /// # Errors
    /// The address or the client configuration is invalid.
    pub fn new(args: &Args, address: &str, headers: &BTreeMap<&str, &str>) -> Result<Self> {
        let url = parse_address(address, args.program == "promtool")?;
        // `debug` has no such flag, as in promtool.
        let file = if args.takes(CONFIG_FILE) { args.last(CONFIG_FILE) } else { None };
        let config = match file {
            None => default_config(),
            Some(_) if url.username().is_some() => {
                bail!(
                    "{}: error: Cannot set base auth in the server URL and use a http.config.file at the same time",
                    args.program
                )
            }
            Some(file) => read_config(file).map_err(|error| {
                anyhow!("{}: error: Failed to load HTTP config file: {error:#}", args.program)
            })?,
        };
        let client = HttpClient::new(&config, USER_AGENT_TEXT).map_err(|error| {
            anyhow!("{}: error: Failed to create a new HTTP round tripper: {error}", args.program)
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().with_context(|| format!("invalid header name {name}"))?;
            all.insert(name, value.parse().context("invalid header value")?);
        }
        Ok(Server { runtime, client, url, headers: all })
    }

    /// The URL of a path on the server.
    pub fn at(&self, path: &str) -> Url {
        let base = self.url.path();
        let mut url = self.url.clone();
        url.set_unescaped_path(&format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')));
        url.set_raw_query("");
        url.clear_fragment();
        url
    }

    /// Sends a request and waits for the whole answer, at most for `timeout`.
    ///
    /// # Errors
    /// No answer came, in Go's words.
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
        let request = Request::to(method.clone(), url.clone()).headers(all).body(body.into());
        self.runtime.block_on(async {
            let exchange = async {
                let response = self.client.send(request).await?;
                Ok(Answer {
                    code: response.status().as_u16(),
                    status: response.status_text().trim_end().to_owned(),
                    headers: response.headers().clone(),
                    body: response.bytes(BODY_BYTES_MAX).await?.to_vec(),
                })
            };
            tokio::time::timeout(timeout, exchange)
                .await
                .unwrap_or_else(|_| Err(RequestError::deadline(&method, &url::masked(url)).into()))
        })
    }

    /// Sleeps.
    pub fn sleep(&self, time: Duration) {
        // The timer belongs to the runtime, so it must be created inside it.
        self.runtime.block_on(async { tokio::time::sleep(time).await });
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
    let directory =
        Path::new(file).parent().map_or_else(String::new, |directory| directory.display().to_string());
    let directory = if directory.is_empty() { ".".to_owned() } else { directory };
    Ok(HttpClientConfig::parse_file(&text, &directory)?)
}

/// `//host:port` is read as `http`. Called as promtool, an address without a scheme fails with the first request, as
/// in promtool; otherwise the error suggests what was probably meant.
fn parse_address(address: &str, is_promtool: bool) -> Result<Url> {
    let with_scheme = match address.strip_prefix("//") {
        Some(rest) => format!("http://{rest}"),
        None => address.to_owned(),
    };
    let parsed = url::parse(&with_scheme).map_err(|error| anyhow!("error creating API client: {error}"));
    if is_promtool || parsed.as_ref().is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
        return parsed;
    }
    let host = with_scheme.split_once("://").map_or(&*with_scheme, |(_, rest)| rest);
    bail!("{} is not the URL of a server, did you mean 'http://{host}'?", go_quote(address))
}

#[cfg(test)]
mod tests {
    use ferula_testkit::http_lab::Lab;

    use super::*;

    /// A server as the commands make it from `--http.config.file`.
    fn server(section: &str, address: &str) -> Result<Server> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), section).expect("written");
        let config = read_config(&file.path().display().to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = HttpClient::new(&config, USER_AGENT_TEXT)?;
        Ok(Server { runtime, client, url: parse_address(address, true)?, headers: HeaderMap::new() })
    }

    #[test]
    fn every_key_of_the_client_section_works_as_elsewhere() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let lab = runtime.block_on(Lab::start());
        for case in lab.cases_of_addresses() {
            let outcome = server(&case.section, &case.url("")).and_then(|server| {
                let url = server.at("/api/v1/query");
                let answer = server.call(Method::GET, &url, &[], Vec::new(), Duration::from_secs(60))?;
                if answer.code == 200 { Ok(()) } else { bail!("{}", answer.status) }
            });
            lab.judge(&case, outcome.map_err(|error| error.to_string()));
        }
    }
}

//! The HTTP side of a source: one request, and the beginning of its answer.

use std::time::Duration;

use bytes::Bytes;
use ferula_config::remote::RemoteReadConfig;
use ferula_go::duration;
use ferula_http_client::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use ferula_http_client::{
    BodyError, HeaderMap, HeaderName, HeaderValue, HttpClient, Method, Request, RequestError, Response,
    SetupError, Url, masked,
};
use ferula_runtime::SharedClock;

use super::metrics::{Metrics, SourceMetrics};
use crate::USER_AGENT_TEXT;

/// An error's text of another server is read up to here.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Why a source cannot be read from at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupProblem {
    /// The section's client cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The address is none.
    #[error("{0}")]
    Url(String),
    /// A header that cannot be sent. Its value is not shown.
    #[error("header {0} of remote_read cannot be sent")]
    Header(String),
}

/// Why a request was not answered with series. The texts are Prometheus'.
#[derive(Debug, thiserror::Error)]
pub enum ReadFailure {
    #[error("error sending request: {0}")]
    Request(RequestError),
    #[error("error sending request: {request}: request timed out after {}", go_text(.timeout))]
    Timeout { request: RequestError, timeout: Duration },
    #[error("remote server {url} returned http status {status}: {text}")]
    Status { url: String, status: String, text: String },
    #[error("unsupported content type: {0}")]
    ContentType(String),
    #[error("error reading response. HTTP status code: {status}: {error}")]
    Body { status: String, error: BodyError },
}

fn go_text(timeout: &Duration) -> String {
    duration::format(i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX))
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// One packed message with all samples.
    Sampled,
    /// Frames with chunks.
    Chunked,
}

/// Sends requests to one source.
pub struct ReadClient {
    http: HttpClient,
    url: Url,
    shown_url: String,
    headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) clock: SharedClock,
    pub(super) metrics: SourceMetrics,
}

impl ReadClient {
    /// The client of a section.
    ///
    /// # Errors
    /// Files that cannot be read, and headers that cannot be sent.
    pub fn new(
        section: &RemoteReadConfig,
        name: &str,
        metrics: &Metrics,
        clock: SharedClock,
    ) -> Result<Self, SetupProblem> {
        let address = section.url.as_ref().map_or("", |url| url.as_str());
        let url = Url::parse(address).map_err(|error| SetupProblem::Url(error.to_string()))?;
        let shown_url = masked(&url);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
        let version = HeaderName::from_static("x-prometheus-remote-read-version");
        headers.insert(version, HeaderValue::from_static("0.1.0"));
        for (name, value) in &section.headers {
            let cannot = || SetupProblem::Header(name.clone());
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| cannot())?;
            headers.insert(header, HeaderValue::from_str(value).map_err(|_| cannot())?);
        }
        Ok(ReadClient {
            http: HttpClient::new(&section.http, USER_AGENT_TEXT)?,
            metrics: metrics.of(name, &shown_url),
            url,
            shown_url,
            headers,
            timeout: section.remote_timeout,
            clock,
        })
    }

    /// The address without password.
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }

    /// Sends a request and returns its answer, if it has series.
    ///
    /// # Errors
    /// See [`ReadFailure`].
    pub async fn ask(&self, body: Bytes) -> Result<(BodyKind, Response), ReadFailure> {
        let _running = self.metrics.begin();
        let begin = self.clock.elapsed();
        let request = Request::to(Method::POST, self.url.clone()).headers(self.headers.clone()).body(body);
        let response = self.http.send(request).await.map_err(ReadFailure::Request)?;
        if !response.status().is_success() {
            let status = response.status_text().to_owned();
            let text = beginning(response).await;
            return Err(ReadFailure::Status { url: self.shown_url.clone(), status, text });
        }
        let took = self.clock.elapsed().saturating_sub(begin).as_secs_f64();
        let content_type = response.header_text(&CONTENT_TYPE);
        let code = response.status();
        if content_type.starts_with("application/x-protobuf") {
            self.metrics.note_answer("sampled", took);
            self.metrics.note_end("sampled", code.as_str());
            Ok((BodyKind::Sampled, response))
        } else if content_type
            .starts_with("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
        {
            self.metrics.note_answer("chunked", took);
            Ok((BodyKind::Chunked, response))
        } else {
            self.metrics.note_answer("unsupported", took);
            self.metrics.note_end("unsupported", code.as_str());
            // A short answer is read to its end, so that its connection serves the next request.
            beginning(response).await;
            Err(ReadFailure::ContentType(content_type))
        }
    }

    /// The error of a request whose time ran out.
    pub fn timed_out(&self) -> ReadFailure {
        let request = RequestError::deadline(&Method::POST, &self.shown_url);
        ReadFailure::Timeout { request, timeout: self.timeout }
    }
}

async fn beginning(mut response: Response) -> String {
    let mut text = Vec::new();
    while text.len() < ERROR_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => text.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    text.truncate(ERROR_BYTES_MAX);
    String::from_utf8_lossy(&text).trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use ferula_config::Config;
    use ferula_runtime::RealClock;
    use ferula_telemetry::Registry;
    use ferula_testkit::http_lab::{Case, Lab};

    use super::*;

    #[tokio::test]
    async fn every_key_of_the_client_section_works_as_elsewhere() {
        let lab = Lab::start().await;
        let metrics = Metrics::new(&Registry::new());
        let connect = |case: &Case| {
            let section = case.section_with(&format!("url: '{}'", case.url("/api/v1/read")));
            let config = Config::parse(&format!("remote_read: [{section}]")).expect("a good section");
            ReadClient::new(&config.remote_read[0], "lab", &metrics, RealClock::shared())
                .map_err(|error| error.to_string())
        };
        let send = async |client: &ReadClient, _: &Case| match client.ask(Bytes::from_static(b"x")).await {
            // The lab's page has no series in it.
            Ok(_) | Err(ReadFailure::ContentType(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        lab.run(lab.cases_of_addresses(), connect, send).await;
    }
}

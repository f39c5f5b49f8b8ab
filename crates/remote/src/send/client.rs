//! A single attempt to send a request: headers, time limit, and how the answer is interpreted.

use std::time::Duration;

use bytes::Bytes;
use ferula_config::remote::RemoteWriteConfig;
use ferula_go::calendar::parse_rfc3339;
use ferula_http_client::aws::SigV4;
use ferula_http_client::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use ferula_http_client::{
    HeaderMap, HeaderName, HeaderValue, HttpClient, Method, Request, RequestError, Response, SetupError,
    StatusCode, Url, masked,
};
use ferula_runtime::SharedClock;

use super::encode::Counts;
use crate::USER_AGENT_TEXT;
use crate::write::headers::Message;

/// How much of an answer's text is shown.
const ERROR_BYTES_MAX: usize = 1024;

/// Why nothing can be sent to a destination.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No HTTP client can be created from the section.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A header that cannot be sent. Its value is not shown.
    #[error("header {0} of remote_write cannot be sent")]
    Header(String),
}

/// Why an attempt failed.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum SendError {
    /// Another attempt may help, but not before `after`, if the destination asked for that.
    #[error("{text}")]
    Passing { text: String, after: Option<Duration>, stored: Option<Counts> },
    /// The destination refused all or part of the request.
    #[error("{text}")]
    Refused { text: String, stored: Option<Counts> },
}

/// Sends requests to one destination.
#[derive(Clone, Debug)]
pub struct WriteClient {
    http: HttpClient,
    url: Url,
    headers: HeaderMap,
    message: Message,
    timeout: Duration,
    retries_rate_limit: bool,
    signer: Option<SigV4>,
    clock: SharedClockDebug,
}

/// A clock has nothing to print.
#[derive(Clone)]
struct SharedClockDebug(SharedClock);

impl std::fmt::Debug for SharedClockDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// The message format that a section selects.
pub fn message_of(config: &RemoteWriteConfig) -> Message {
    if config.protobuf_message == Message::V2.name() { Message::V2 } else { Message::V1 }
}

impl WriteClient {
    /// Creates the client of a section.
    ///
    /// # Errors
    /// Files cannot be read, or headers are invalid.
    pub fn new(config: &RemoteWriteConfig, clock: SharedClock) -> Result<Self, ClientError> {
        let url = config.url.as_ref().and_then(|url| url.parsed()).cloned().unwrap_or_default();
        let message = message_of(config);
        let (content_type, version) = match message {
            Message::V1 => ("application/x-protobuf", "0.1.0"),
            Message::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
        let version_header = HeaderName::from_static("x-prometheus-remote-write-version");
        headers.insert(version_header, HeaderValue::from_static(version));
        for (name, value) in &config.headers {
            let cannot = || ClientError::Header(name.clone());
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| cannot())?;
            headers.insert(header, HeaderValue::from_str(value).map_err(|_| cannot())?);
        }
        let http = HttpClient::new(&config.http, USER_AGENT_TEXT)?;
        let signer = match &config.sigv4 {
            Some(section) => Some(SigV4::of(section, USER_AGENT_TEXT)?),
            None => None,
        };
        Ok(WriteClient {
            http,
            signer,
            url,
            headers,
            message,
            timeout: config.remote_timeout,
            retries_rate_limit: config.queue_config.retry_on_http_429,
            clock: SharedClockDebug(clock),
        })
    }

    /// Sends a compressed message. `attempt` counts from 0. Returns how many items the destination reports as
    /// stored, if it reports that.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, body: Bytes, attempt: u32) -> Result<Option<Counts>, SendError> {
        let mut request =
            Request::to(Method::POST, self.url.clone()).headers(self.headers.clone()).body(body);
        if attempt > 0 {
            let number = HeaderValue::from(attempt);
            request = request.header(HeaderName::from_static("retry-attempt"), number);
        }
        let passing =
            |error: RequestError| SendError::Passing { text: error.to_string(), after: None, stored: None };
        let answer = async {
            let request = match &self.signer {
                None => request,
                Some(signer) => signer.sign(request).await.map_err(|error| SendError::Passing {
                    text: error.to_string(),
                    after: None,
                    stored: None,
                })?,
            };
            let response = self.http.send(request).await.map_err(passing)?;
            self.judge(response).await
        };
        tokio::select! {
            answer = answer => answer,
            () = self.clock.0.sleep(self.timeout) => {
                Err(passing(RequestError::deadline(&Method::POST, &masked(&self.url))))
            }
        }
    }

    async fn judge(&self, response: Response) -> Result<Option<Counts>, SendError> {
        let (status, stored) = (response.status(), stored_of(response.headers()));
        if status.is_success() {
            response.drain().await;
            return Ok(stored);
        }
        let after = retry_after(&response.header_text(&RETRY_AFTER), self.clock.0.now().millis());
        let status_text = response.status_text().to_owned();
        let text = format!("server returned HTTP status {status_text}: {}", beginning(response).await);
        let limited = self.retries_rate_limit && status == StatusCode::TOO_MANY_REQUESTS;
        if status.is_server_error() || limited {
            return Err(SendError::Passing { text, after, stored });
        }
        Err(SendError::Refused { text, stored })
    }

    /// The message format it sends.
    pub fn message(&self) -> Message {
        self.message
    }
}

/// The beginning of an answer's text.
async fn beginning(mut response: Response) -> String {
    let mut text = Vec::new();
    while text.len() < ERROR_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => text.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    text.truncate(ERROR_BYTES_MAX);
    let text = String::from_utf8_lossy(&text).into_owned();
    response.drain().await;
    text
}

/// The numbers of stored items in the headers of version 2.
fn stored_of(headers: &HeaderMap) -> Option<Counts> {
    let number = |name: &str| -> Option<u64> { headers.get(name)?.to_str().ok()?.parse().ok() };
    let all = [
        number("x-prometheus-remote-write-samples-written"),
        number("x-prometheus-remote-write-histograms-written"),
        number("x-prometheus-remote-write-exemplars-written"),
    ];
    let [samples, histograms, exemplars] = all;
    all.iter().any(Option::is_some).then(|| Counts {
        samples: samples.unwrap_or(0),
        histograms: histograms.unwrap_or(0),
        exemplars: exemplars.unwrap_or(0),
    })
}

/// How long a destination asks to wait, given in seconds or as a date. A date in the past means no wait.
fn retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    let millis = match text.trim().parse::<i64>() {
        Ok(seconds) => seconds.checked_mul(1000)?,
        Err(_) => http_date_seconds(text.trim())?.checked_mul(1000)?.checked_sub(now_ms)? / 1000 * 1000,
    };
    u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Duration::from_millis)
}

/// Converts `Mon, 02 Jan 2006 15:04:05 GMT` to seconds since 1970.
fn http_date_seconds(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).map(|(seconds, _)| seconds)
}

#[cfg(test)]
mod tests {
    use ferula_config::Config;
    use ferula_runtime::RealClock;
    use ferula_testkit::http_lab::{Case, Lab};

    use super::*;

    #[tokio::test]
    async fn every_key_of_the_client_section_works_as_elsewhere() {
        let lab = Lab::start().await;
        let connect = |case: &Case| {
            // Only here is HTTP/2 off unless a section asks for it.
            let http2 = if case.section.contains("enable_http2") { "" } else { ", enable_http2: true" };
            let section = case.section_with(&format!("url: '{}'{http2}", case.url("/api/v1/write")));
            let config = Config::parse(&format!("remote_write: [{section}]")).expect("a good section");
            WriteClient::new(&config.remote_write[0], RealClock::shared()).map_err(|error| error.to_string())
        };
        let send = async |client: &WriteClient, _: &Case| {
            client.send(Bytes::from_static(b"x"), 0).await.map(drop).map_err(|error| error.to_string())
        };
        lab.run(lab.cases_of_addresses(), connect, send).await;
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now_ms = 1_136_214_245_000;
        for (text, want) in [
            ("", None),
            ("3", Some(3)),
            ("-3", None),
            ("0", None),
            ("soon", None),
            ("Mon, 02 Jan 2006 15:04:15 GMT", Some(10)),
            ("Mon, 02 Jan 2006 15:04:05 GMT", None),
            ("Mon, 02 Jan 2006 15:03:05 GMT", None),
            ("Mon, 02 Foo 2006 15:04:15 GMT", None),
        ] {
            assert_eq!(retry_after(text, now_ms), want.map(Duration::from_secs), "{text}");
        }
    }
}

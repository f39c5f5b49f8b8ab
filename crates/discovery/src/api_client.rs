//! Asking a service's HTTP API: one request, one bounded answer, read as Go reads JSON.

use std::time::Duration;

use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::{Bytes, HeaderMap, HeaderName, HeaderValue, HttpClient, Request, StatusCode};
use ferula_runtime::SharedClock;
use serde::de::DeserializeOwned;

use crate::json;
use crate::provider::{Context, ProviderError};
use crate::refresh::RefreshError;

/// A larger answer is refused.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Services log who asks, and some allow Prometheus only.
const USER_AGENT: &str = "Prometheus/3.14.0";

/// A client with the credentials, TLS and proxy settings of one section. Cloning gives another handle to it.
#[derive(Clone)]
pub(crate) struct ApiClient {
    client: HttpClient,
    clock: SharedClock,
    /// For a whole request, its body included.
    timeout: Duration,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// As the server sent it: `503 Backend fetch failed`.
    pub status_text: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl ApiClient {
    pub(crate) fn new(
        config: &HttpClientConfig,
        context: &Context,
        timeout: Duration,
    ) -> Result<Self, ProviderError> {
        let client = HttpClient::new(config, USER_AGENT)?;
        Ok(ApiClient { client, clock: context.clock.clone(), timeout })
    }

    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }

    /// Sends a request and reads its whole answer, whatever its status.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, RefreshError> {
        let exchange = async {
            let response = self.client.send(request).await?;
            let (status, status_text) = (response.status(), response.status_text().to_owned());
            let headers = response.headers().clone();
            let body = response.bytes(ANSWER_BYTES_MAX).await?;
            Ok(Answer { status, status_text, headers, body })
        };
        tokio::select! {
            answer = exchange => answer,
            () = self.clock.sleep(self.timeout) => Err(RefreshError::Timeout(self.timeout)),
        }
    }

    /// The answer of a `GET` that must be 200.
    pub(crate) async fn get(&self, url: &str) -> Result<Answer, RefreshError> {
        self.send(Request::get(url)?).await?.expect_ok()
    }

    /// The JSON behind a `GET`.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, url: &str) -> Result<T, RefreshError> {
        self.get(url).await?.json()
    }
}

impl Answer {
    /// The answer, unless its status is another than 200.
    pub(crate) fn expect_ok(self) -> Result<Self, RefreshError> {
        if self.status == StatusCode::OK { Ok(self) } else { Err(RefreshError::Status(self.status_text)) }
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, RefreshError> {
        Ok(json::from_slice(&self.body)?)
    }

    /// The first value of a header, or "".
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// A header from the configuration, such as a token.
pub(crate) fn header_value(name: &'static str, text: &str) -> Result<HeaderValue, ProviderError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| ProviderError::HeaderValue(name))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A header whose name is known when the program is built.
pub(crate) fn header_name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// Escapes a part of a query as Go's `url.QueryEscape`.
pub(crate) fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Escapes a segment of a path as Go's `url.PathEscape`, but for signs that may stay and do no harm escaped.
pub(crate) fn path_escape(text: &str) -> String {
    query_escape(text).replace('+', "%20")
}

//! Asking a service's HTTP API: one request, one bounded answer, read as Go reads JSON.

use std::time::Duration;

use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::url::encode_form;
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

    /// The answer of a `POST` of JSON, whatever its status.
    pub(crate) async fn post_json(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
        body: &serde_json::Value,
    ) -> Result<Answer, RefreshError> {
        let request = Request::post(url, "application/json", Bytes::from(body.to_string()))?;
        self.send(with_headers(request, headers)?).await
    }

    /// The answer of a `POST` of a form, whatever its status.
    pub(crate) async fn post_form(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
        form: &[(&str, &str)],
    ) -> Result<Answer, RefreshError> {
        let body = Bytes::from(encode_form(form.iter().copied()));
        let request = Request::post(url, "application/x-www-form-urlencoded", body)?;
        self.send(with_headers(request, headers)?).await
    }

    /// The answer of a `GET` with headers, whatever its status.
    pub(crate) async fn get_with(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, RefreshError> {
        self.send(with_headers(Request::get(url)?, headers)?).await
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

/// The request with more headers, none of which is shown in logs.
pub(crate) fn with_headers(
    mut request: Request,
    headers: &[(&'static str, &str)],
) -> Result<Request, RefreshError> {
    for (name, value) in headers {
        let value = header_value(name, value).map_err(|error| RefreshError::Answer(error.to_string()))?;
        request = request.header(header_name(name), value);
    }
    Ok(request)
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

//! Requests to a service's HTTP API: sends one request, reads one answer of limited size, and parses JSON as
//! Go does.

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

/// Services log the client's name, and some of them accept only Prometheus.
const USER_AGENT: &str = "Prometheus/3.14.0";

/// A client with the credentials, TLS and proxy settings of one section. Clones are handles to the same
/// client.
#[derive(Clone)]
pub(crate) struct ApiClient {
    client: HttpClient,
    clock: SharedClock,
    /// Time limit for a whole request, including the body.
    timeout: Duration,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// As sent by the server: `503 Backend fetch failed`.
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

    /// Sends a request and reads its whole answer, whatever the status.
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

    /// Sends a `GET` and returns the answer, whose status must be 200.
    pub(crate) async fn get(&self, url: &str) -> Result<Answer, RefreshError> {
        self.send(Request::get(url)?).await?.expect_ok()
    }

    /// Sends a `POST` of JSON and returns the answer, whatever its status.
    pub(crate) async fn post_json(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
        body: &serde_json::Value,
    ) -> Result<Answer, RefreshError> {
        let request = Request::post(url, "application/json", Bytes::from(body.to_string()))?;
        self.send(with_headers(request, headers)?).await
    }

    /// Sends a `POST` of a form and returns the answer, whatever its status.
    pub(crate) async fn post_form(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
        form: &[(&str, &str)],
    ) -> Result<Answer, RefreshError> {
        let body = Bytes::from(ferula_go::url::encode_query(form.iter().copied()));
        let request = Request::post(url, "application/x-www-form-urlencoded", body)?;
        self.send(with_headers(request, headers)?).await
    }

    /// Sends a `GET` with headers and returns the answer, whatever its status.
    pub(crate) async fn get_with(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, RefreshError> {
        self.send(with_headers(Request::get(url)?, headers)?).await
    }

    /// Sends a `GET` and parses the JSON of its answer.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, url: &str) -> Result<T, RefreshError> {
        self.get(url).await?.json()
    }
}

impl Answer {
    /// Returns an error unless the status is 200.
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

/// Adds headers to a request; logs show none of them.
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

/// A header value from the configuration, such as a token.
pub(crate) fn header_value(name: &'static str, text: &str) -> Result<HeaderValue, ProviderError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| ProviderError::HeaderValue(name))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A header name that is known at compile time.
pub(crate) fn header_name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

#[cfg(test)]
mod tests {
    use ferula_testkit::http_lab::{Case, Lab};

    use super::*;
    use crate::played;

    #[tokio::test]
    async fn every_key_of_the_client_section_works_as_elsewhere() {
        let lab = Lab::start().await;
        let connect = |case: &Case| {
            let section = HttpClientConfig::parse_file(&case.section, ".").expect("a good section");
            ApiClient::new(&section, &played::context(), Duration::from_secs(60))
                .map_err(|error| error.to_string())
        };
        let send = async |client: &ApiClient, case: &Case| {
            client.get(&case.url("/targets")).await.map(drop).map_err(|error| error.to_string())
        };
        lab.run(lab.cases_of_addresses(), connect, send).await;
    }
}

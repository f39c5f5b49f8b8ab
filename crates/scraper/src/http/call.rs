//! Requests of any kind, for commands that talk to servers. Errors are worded as Go's client words them.

use reqwest::header::{HeaderMap, USER_AGENT};
use reqwest::{Method, Response, Url};

use super::{HttpClient, redirect_target, request_text};

/// Redirects that are followed, as in Go.
const REDIRECTS_MAX: usize = 10;

impl HttpClient {
    /// Sends a request. A redirect is followed when it lets method and body as they are; a `GET` follows any.
    /// Credentials go to the host that was named and to no other.
    ///
    /// # Errors
    /// `Get "http://h/": dial tcp …`, when no answer came.
    pub async fn call(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response, String> {
        let failed = |url: &Url, reason: String| {
            let name = method.as_str();
            let (first, rest) = name.split_at(1.min(name.len()));
            let shown = ferula_go::quote::go_quote(url.as_str());
            format!("{first}{} {shown}: {reason}", rest.to_ascii_lowercase())
        };
        let own = self.own_headers().map_err(|reason| failed(url, reason))?;
        let mut at = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut request = self.client.request(method.clone(), at.clone()).headers(headers.clone());
            if !headers.contains_key(USER_AGENT) {
                request = request.header(USER_AGENT, super::USER_AGENT_TEXT);
            }
            if at.host_str() == url.host_str() && at.port_or_known_default() == url.port_or_known_default() {
                request = request.headers(own.clone());
            }
            let response = match request.body(body.clone()).send().await {
                Ok(response) => response,
                Err(error) => return Err(failed(&at, request_text(&error, &at).await)),
            };
            let keeps = method == Method::GET || matches!(response.status().as_u16(), 307 | 308);
            match redirect_target(&at, &response) {
                Some(next) if self.config.follow_redirects && keeps => {
                    at = next.map_err(|reason| failed(&at, reason))?;
                }
                _ => return Ok(response),
            }
        }
        Err(failed(&at, format!("stopped after {REDIRECTS_MAX} redirects")))
    }
}

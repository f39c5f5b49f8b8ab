//! Tokens from an OAuth 2.0 server: client credentials, or a signed assertion (RFC 7523).
//!
//! A token is kept until ten seconds before it expires. One request fetches it while others wait, and the
//! fetch completes even if that request times out. The token server has its own TLS and proxy settings.

mod assertion;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferula_config::http_client::{HttpClientConfig, OAuth2};
use ferula_go::json_reader;
use ferula_go::mime::parse_media_type;
use ferula_go::quote::go_quote;
use ferula_go::url::{encode_query, parse_query, query_escape};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::{Cause, RequestError, SetupError, TokenError};
use crate::message::{Request, Response};
use crate::secret::{Source, basic_text, read, secret_value};

/// A token is renewed this long before it expires, as in Go.
const RENEWED_BEFORE: Duration = Duration::from_secs(10);
/// A token request that takes longer has failed.
const FETCH_TIME_MAX: Duration = Duration::from_secs(60);
/// Maximum size of an answer, as in Go.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const FORM: &str = "application/x-www-form-urlencoded";

/// Requests tokens. A trait, because the client that needs tokens is built on this module.
pub(crate) trait Ask: std::fmt::Debug + Send + Sync {
    fn ask(&self, request: Request) -> PendingTokenRequest<'_>;
}

/// A token request in progress.
pub(crate) type PendingTokenRequest<'a> =
    Pin<Box<dyn Future<Output = Result<Response, RequestError>> + Send + 'a>>;

/// The client section for token requests.
pub(crate) fn client_section(section: &OAuth2) -> HttpClientConfig {
    HttpClientConfig {
        tls_config: section.tls_config.clone(),
        proxy: section.proxy.clone(),
        enable_http2: false,
        ..HttpClientConfig::default()
    }
}

/// Fetches tokens and caches the last one.
#[derive(Debug)]
pub(crate) struct TokenSource {
    server: Arc<TokenServer>,
    /// Held while a token is fetched.
    state: Arc<Mutex<State>>,
}

/// A token server, and how to authenticate to it.
#[derive(Debug)]
struct TokenServer {
    client: Box<dyn Ask>,
    section: OAuth2,
    /// The client's secret, or the key that signs its assertions.
    secret: Option<Source>,
}

#[derive(Debug, Default)]
struct State {
    secret: String,
    token: Option<Token>,
    /// Whether name and secret are sent in the form. Determined by trying the header first.
    secret_in_form: bool,
}

#[derive(Debug)]
struct Token {
    authorization: HeaderValue,
    ends: Option<Instant>,
}

impl Token {
    fn is_valid(&self) -> bool {
        self.ends.is_none_or(|ends| ends > Instant::now() + RENEWED_BEFORE)
    }
}

/// Parameters of a token request; each name occurs once.
type Form = BTreeMap<String, String>;

impl TokenSource {
    pub fn new(section: &OAuth2, client: Box<dyn Ask>) -> Result<Self, SetupError> {
        let signs = assertion::is_asked_for(section);
        if !section.client_secret_ref.is_empty() || !section.client_certificate_key_ref.is_empty() {
            return Err(SetupError::SecretReference);
        }
        let secret = match signs {
            true => Source::of(section.client_certificate_key.reveal(), &section.client_certificate_key_file),
            false => Source::of(section.client_secret.reveal(), &section.client_secret_file),
        };
        let server = Arc::new(TokenServer { client, section: section.clone(), secret });
        Ok(TokenSource { server, state: Arc::default() })
    }

    /// The value of `Authorization`, with a valid token.
    pub async fn authorization(&self) -> Result<HeaderValue, Cause> {
        let mut state = self.state.clone().lock_owned().await;
        let secret = self.server.read_secret().await?;
        if state.secret != secret {
            *state = State { secret, ..State::default() };
        }
        if let Some(token) = state.token.as_ref().filter(|token| token.is_valid()) {
            return Ok(token.authorization.clone());
        }
        // A separate task, because callers give up when their time is over: with a slower server, no token
        // would ever arrive.
        let server = self.server.clone();
        let fetching = async move {
            let Ok(token) = tokio::time::timeout(FETCH_TIME_MAX, server.fetch(&mut state)).await else {
                return Err(server.deadline());
            };
            let token = token?;
            let authorization = token.authorization.clone();
            state.token = Some(token);
            Ok(authorization)
        };
        tokio::spawn(fetching).await.map_err(|error| Cause::Other(error.to_string()))?
    }
}

impl TokenServer {
    fn deadline(&self) -> Cause {
        let error = RequestError::deadline(&http::Method::POST, &self.section.token_url);
        Cause::Token(TokenError::Request(Box::new(error)))
    }

    async fn read_secret(&self) -> Result<String, Cause> {
        const WHAT: &str = "oauth2 client secret";
        let secret = self.secret.clone();
        match &secret {
            Some(Source::File(_)) => tokio::task::spawn_blocking(move || read(&secret, WHAT))
                .await
                .map_err(|error| Cause::Other(error.to_string()))?
                .map_err(Cause::Section),
            _ => read(&secret, WHAT).map_err(Cause::Section),
        }
    }

    async fn fetch(&self, state: &mut State) -> Result<Token, Cause> {
        let section = &self.section;
        if assertion::is_asked_for(section) {
            let assertion = assertion::sign(section, &state.secret).map_err(Cause::Token)?;
            let form = self.form(&[("grant_type", assertion::GRANT_TYPE), ("assertion", &assertion)]);
            return self.ask(form.map_err(Cause::Token)?, None).await;
        }
        let form = || self.form(&[("grant_type", "client_credentials")]).map_err(Cause::Token);
        if !state.secret_in_form {
            let basic = basic_text(&query_escape(&section.client_id), &query_escape(&state.secret));
            match self.ask(form()?, Some(basic)).await {
                // Some servers require name and secret in the form; only a trial shows which.
                Err(Cause::Token(TokenError::Status { .. } | TokenError::Refused(_))) => {}
                other => return other,
            }
        }
        let mut form = form()?;
        form.insert("client_id".to_owned(), section.client_id.clone());
        if !state.secret.is_empty() {
            form.insert("client_secret".to_owned(), state.secret.clone());
        }
        let token = self.ask(form, None).await?;
        state.secret_in_form = true;
        Ok(token)
    }

    /// The fixed parameters of a request, and those of the section.
    fn form(&self, fixed: &[(&str, &str)]) -> Result<Form, TokenError> {
        let mut form: Form =
            fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if !self.section.scopes.is_empty() {
            form.insert("scope".to_owned(), self.section.scopes.join(" "));
        }
        for (name, value) in &self.section.endpoint_params {
            // Non-standard servers require another grant type.
            if form.contains_key(name) && name != "grant_type" {
                return Err(TokenError::Parameter(name.clone()));
            }
            form.insert(name.clone(), value.clone());
        }
        Ok(form)
    }

    async fn ask(&self, form: Form, basic: Option<String>) -> Result<Token, Cause> {
        let body = encode_query(form.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let body = Bytes::from(body);
        let request_error = |error| Cause::Token(TokenError::Request(Box::new(error)));
        let mut request = Request::post(&self.section.token_url, FORM, body).map_err(request_error)?;
        if let Some(basic) = basic {
            request = request.header(AUTHORIZATION, secret_value(&AUTHORIZATION, &basic)?);
        }
        let response = self.client.ask(request).await.map_err(request_error)?;
        let (good, status) = (response.status().is_success(), response.status_text().to_owned());
        let content_type = response.header_text(&CONTENT_TYPE);
        let body = response.bytes(ANSWER_BYTES_MAX).await;
        let body = body.map_err(|error| Cause::Token(TokenError::Body(error)))?;
        let answer = read_answer(&content_type, &body);
        if let Some(refusal) = answer.as_ref().ok().and_then(refusal) {
            return Err(Cause::Token(TokenError::Refused(refusal)));
        }
        if !good {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(Cause::Token(TokenError::Status { status, body }));
        }
        token_of(&answer.map_err(Cause::Token)?)
    }
}

/// A server's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    /// A number, or a number in quotes, as some servers send it.
    expires_in: Value,
    error: String,
    error_description: String,
    error_uri: String,
}

/// Reads an answer, a form or JSON.
fn read_answer(content_type: &str, body: &[u8]) -> Result<TokenAnswer, TokenError> {
    let media_type = parse_media_type(content_type).unwrap_or_default();
    if media_type != FORM && media_type != "text/plain" {
        return json_reader::from_slice(body).map_err(|error| TokenError::Json(error.to_string()));
    }
    let (pairs, error) = parse_query(body);
    if let Some(error) = error {
        return Err(TokenError::Form(error));
    }
    let text = |name: &str| {
        let found = pairs.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    Ok(TokenAnswer {
        access_token: text("access_token"),
        token_type: text("token_type"),
        expires_in: Value::String(text("expires_in")),
        error: text("error"),
        error_description: text("error_description"),
        error_uri: text("error_uri"),
    })
}

/// The server's reason for a refusal, as Go prints it.
fn refusal(answer: &TokenAnswer) -> Option<String> {
    let stated = |text: &&String| !text.is_empty();
    let mut shown = Some(&answer.error).filter(stated).map(|error| go_quote(error))?;
    for more in [&answer.error_description, &answer.error_uri].into_iter().filter(stated) {
        shown = format!("{shown} {}", go_quote(more));
    }
    Some(shown)
}

fn token_of(answer: &TokenAnswer) -> Result<Token, Cause> {
    let token = &answer.access_token;
    if token.is_empty() {
        return Err(Cause::Token(TokenError::NoToken));
    }
    let kind = match answer.token_type.as_str() {
        "" => "Bearer",
        kind if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        kind if kind.eq_ignore_ascii_case("basic") => "Basic",
        kind if kind.eq_ignore_ascii_case("mac") => "MAC",
        kind => kind,
    };
    let seconds = match &answer.expires_in {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64().or_else(|| number.as_f64().map(|seconds| seconds as u64)),
    };
    // A year exceeds the life of any process, and the cap keeps the sum within the range of the clock.
    let seconds = seconds.filter(|seconds| (1..365 * 86_400).contains(seconds));
    Ok(Token {
        authorization: secret_value(&AUTHORIZATION, &format!("{kind} {token}"))?,
        ends: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
    })
}

//! Access tokens: one is requested, and then used until shortly before it expires.

use std::time::Duration;

use ferula_runtime::SharedClock;
use serde::{Deserialize, Deserializer};

use crate::api_client::Answer;
use crate::json::{Json, answers};
use crate::refresh::RefreshError;

/// A token is renewed this long before it expires.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);
/// The assumed lifetime of a token without a stated expiry.
const LIFETIME: Duration = Duration::from_secs(3600);

answers! { "snake_case":
    TokenAnswer {
        access_token: String,
        #[serde(deserialize_with = "seconds")]
        expires_in: Option<u64>,
        error: String,
        error_description: String,
    }
}

/// A number, or a number in quotes, as some servers send it.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Json::deserialize(deserializer)? {
        Json::Number(seconds) => Some(seconds as u64),
        Json::Text(text) => text.parse().ok(),
        _ => None,
    })
}

/// A token, if it is still good.
pub(crate) struct TokenCache {
    clock: SharedClock,
    token: Option<(String, Duration)>,
}

impl TokenCache {
    pub(crate) fn new(clock: &SharedClock) -> Self {
        TokenCache { clock: clock.clone(), token: None }
    }

    /// The cached token, unless it expires within the next minute.
    pub(crate) fn get(&self) -> Option<String> {
        let (token, ends) = self.token.as_ref()?;
        (*ends > self.clock.elapsed()).then(|| token.clone())
    }

    /// Drops the token, so that a new one is requested next time.
    pub(crate) fn forget(&mut self) {
        self.token = None;
    }

    /// Extracts the token from an OAuth answer and caches it.
    ///
    /// # Errors
    /// The server refused, or its answer contains no token.
    pub(crate) fn keep(&mut self, answer: &Answer) -> Result<String, RefreshError> {
        let (token, lifetime) = Self::read(answer)?;
        self.put(&token, lifetime);
        Ok(token)
    }

    /// The token of an OAuth answer, and how long it is good.
    ///
    /// # Errors
    /// The server refused, or its answer contains no token.
    pub(crate) fn read(answer: &Answer) -> Result<(String, Duration), RefreshError> {
        let said: Result<TokenAnswer, _> = answer.json();
        if !answer.status.is_success() {
            let said = said.unwrap_or_default();
            let reason = format!("{} {}", said.error, said.error_description);
            let text = format!("cannot fetch token: {} {reason}", answer.status_text);
            return Err(RefreshError::Answer(text.trim().to_owned()));
        }
        let said = said?;
        if said.access_token.is_empty() {
            return Err(RefreshError::Answer("server response missing access_token".to_owned()));
        }
        Ok((said.access_token, said.expires_in.map_or(LIFETIME, Duration::from_secs)))
    }

    /// Keeps a token that is good for so long.
    pub(crate) fn put(&mut self, token: &str, lifetime: Duration) {
        let ends = self.clock.elapsed().saturating_add(lifetime.saturating_sub(RENEWED_BEFORE));
        self.token = Some((token.to_owned(), ends));
    }
}

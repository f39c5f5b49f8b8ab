//! A token of a service account, for the holder of another account's token.

use std::time::Duration;

use ferula_runtime::SharedClock;
use serde_json::json;

use crate::api_client::ApiClient;
use crate::json::answers;
use crate::refresh::RefreshError;
use crate::token::TokenCache;

const LIFETIME_DEFAULT: u64 = 3600;

answers! { "camelCase":
    ServiceAccountToken { access_token: String, expire_time: String, }
}

/// A service account to impersonate.
pub(super) struct Impersonated {
    pub url: String,
    /// The accounts between the holder of the token and the service account.
    pub delegates: Vec<String>,
    /// 0 for an hour.
    pub lifetime_seconds: u64,
    /// What the token is good for.
    pub scope: &'static str,
}

impl Impersonated {
    /// Requests a token with that of the other account, and keeps it.
    pub(super) async fn token(
        &self,
        api: &ApiClient,
        clock: &SharedClock,
        cache: &mut TokenCache,
        other: &str,
    ) -> Result<String, RefreshError> {
        let lifetime = if self.lifetime_seconds == 0 { LIFETIME_DEFAULT } else { self.lifetime_seconds };
        let mut body = json!({"lifetime": format!("{lifetime}s"), "scope": [self.scope]});
        if !self.delegates.is_empty() {
            body["delegates"] = json!(self.delegates);
        }
        let bearer = format!("Bearer {other}");
        let answer = api.post_json(&self.url, &[("authorization", &bearer)], &body).await?;
        if !answer.status.is_success() {
            let status = answer.status_text;
            return Err(RefreshError::Answer(format!("unable to impersonate the service account: {status}")));
        }
        let said: ServiceAccountToken = answer.json()?;
        if said.access_token.is_empty() {
            return Err(RefreshError::Answer("the answer has no accessToken".to_owned()));
        }
        let now = clock.unix_nanos().div_euclid(1_000_000_000);
        let ends = ferula_go::calendar::parse_rfc3339(&said.expire_time).map_or(now, |(seconds, _)| seconds);
        let left = Duration::from_secs(u64::try_from(ends.saturating_sub(now)).unwrap_or(0));
        cache.put(&said.access_token, left);
        Ok(said.access_token)
    }
}

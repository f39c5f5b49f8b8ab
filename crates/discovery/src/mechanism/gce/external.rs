//! Federated identities (`external_account`): a token of another identity provider, from a file or a URL, is exchanged for
//! one of Google, and that for one of a service account, if the file names one.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_http_client::{HeaderName, HeaderValue, Request};
use ferula_runtime::SharedClock;
use serde_json::{Value as Json, json};
use tokio::io::AsyncReadExt;

use crate::api_client::{Answer, ApiClient};
use crate::json::{self, answers};
use crate::provider::Context;
use crate::refresh::RefreshError;
use crate::token::TokenCache;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const REQUESTED_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What the exchanged token must be good for before a service account's is requested with it.
const IMPERSONATION_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const LIFETIME_DEFAULT: u64 = 3600;
/// A token of an identity provider is smaller.
const TOKEN_FILE_BYTES_MAX: u64 = 1 << 20;

answers! { "snake_case":
    ExternalFile {
        audience: String,
        subject_token_type: String,
        token_url: String,
        service_account_impersonation_url: String,
        service_account_impersonation: Impersonation,
        client_id: String,
        client_secret: String,
        workforce_pool_user_project: String,
        credential_source: CredentialSource,
    }
    Impersonation { token_lifetime_seconds: u64, }
    CredentialSource {
        file: String,
        url: String,
        headers: BTreeMap<String, String>,
        environment_id: String,
        executable: Option<Executable>,
        certificate: Option<Certificate>,
        format: TokenFormat,
    }
    Executable { command: String, }
    Certificate { certificate_config_location: String, }
    TokenFormat {
        #[serde(rename = "type")]
        format_type: String,
        subject_token_field_name: String,
    }
}

answers! { "camelCase":
    ServiceAccountToken { access_token: String, expire_time: String, }
}

/// Why a file describes no identity that can be used here.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExternalError {
    #[error("{0}")]
    Json(#[from] json::JsonError),
    #[error("external_account: credential_source {0} is not supported; use a file or a URL")]
    Source(&'static str),
    #[error("external_account: {0} is missing")]
    Missing(&'static str),
    #[error("external_account: invalid credential_source format type {0:?}")]
    Format(String),
}

/// An identity of another provider.
pub(super) struct External {
    file: ExternalFile,
    /// What the token must be good for.
    scope: &'static str,
    token_url: String,
    impersonation_url: String,
}

impl External {
    pub(super) fn of_file(text: &str, scope: &'static str, context: &Context) -> Result<Self, ExternalError> {
        let file: ExternalFile = json::from_slice(text.as_bytes())?;
        let source = &file.credential_source;
        if !source.environment_id.is_empty() {
            return Err(ExternalError::Source("environment_id (AWS)"));
        }
        if source.executable.is_some() {
            return Err(ExternalError::Source("executable"));
        }
        if source.certificate.is_some() {
            return Err(ExternalError::Source("certificate"));
        }
        let has_source = !source.file.is_empty() || !source.url.is_empty();
        for (name, is_given) in [
            ("audience", !file.audience.is_empty()),
            ("subject_token_type", !file.subject_token_type.is_empty()),
            ("credential_source", has_source),
        ] {
            if !is_given {
                return Err(ExternalError::Missing(name));
            }
        }
        match source.format.format_type.as_str() {
            "" | "text" => {}
            "json" if source.format.subject_token_field_name.is_empty() => {
                return Err(ExternalError::Missing("subject_token_field_name"));
            }
            "json" => {}
            other => return Err(ExternalError::Format(other.to_owned())),
        }
        let url = |url: &str| context.service_url(url);
        let token_url = match file.token_url.as_str() {
            "" => url("https://sts.googleapis.com/v1/token"),
            named => url(named),
        };
        Ok(External {
            token_url,
            impersonation_url: url(&file.service_account_impersonation_url),
            scope,
            file,
        })
    }

    /// Requests a token and keeps it.
    pub(super) async fn token(
        &self,
        api: &ApiClient,
        clock: &SharedClock,
        cache: &mut TokenCache,
    ) -> Result<String, RefreshError> {
        let subject = self.subject_token(api).await?;
        let answer = self.exchange(api, &subject).await?;
        if self.impersonation_url.is_empty() {
            return cache.keep(&answer);
        }
        // This one is not the one to be kept.
        let (exchanged, _) = TokenCache::read(&answer)?;
        self.impersonate(api, clock, cache, &exchanged).await
    }

    /// The token of the other provider, which is renewed by others and so read each time.
    async fn subject_token(&self, api: &ApiClient) -> Result<String, RefreshError> {
        let source = &self.file.credential_source;
        let text = match source.file.as_str() {
            "" => {
                let mut request = Request::get(&source.url)?;
                for (name, value) in &source.headers {
                    let wrong = || RefreshError::Answer(format!("external_account: invalid header {name:?}"));
                    let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
                    value.set_sensitive(true);
                    request = request.header(HeaderName::try_from(name).map_err(|_| wrong())?, value);
                }
                api.send(request).await?.expect_ok()?.body.to_vec()
            }
            file => {
                let failed = |error: std::io::Error| {
                    RefreshError::Answer(format!(
                        "external_account: failed to open credential file {file:?}: {error}"
                    ))
                };
                let mut bytes = Vec::new();
                let opened = tokio::fs::File::open(file).await.map_err(failed)?;
                opened.take(TOKEN_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await.map_err(failed)?;
                if bytes.len() as u64 > TOKEN_FILE_BYTES_MAX {
                    return Err(failed(std::io::Error::other("it is too large for a token")));
                }
                bytes
            }
        };
        let token = match source.format.format_type.as_str() {
            "json" => {
                let json: BTreeMap<String, json::Json> = json::from_slice(&text)?;
                json.get(&source.format.subject_token_field_name).map(json::Json::scalar).unwrap_or_default()
            }
            _ => String::from_utf8_lossy(&text).trim().to_owned(),
        };
        match token.is_empty() {
            true => Err(RefreshError::Answer("external_account: the subject token is empty".to_owned())),
            false => Ok(token),
        }
    }

    async fn exchange(&self, api: &ApiClient, subject: &str) -> Result<Answer, RefreshError> {
        let file = &self.file;
        let scope = if self.impersonation_url.is_empty() { self.scope } else { IMPERSONATION_SCOPE };
        let mut form = vec![
            ("audience", file.audience.as_str()),
            ("grant_type", GRANT),
            ("requested_token_type", REQUESTED_TYPE),
            ("subject_token_type", file.subject_token_type.as_str()),
            ("subject_token", subject),
            ("scope", scope),
        ];
        let options = json!({"userProject": file.workforce_pool_user_project}).to_string();
        if !file.workforce_pool_user_project.is_empty() && file.client_id.is_empty() {
            form.push(("options", &options));
        }
        let basic =
            ferula_go::base64::encode(format!("{}:{}", file.client_id, file.client_secret).as_bytes());
        let basic = [("authorization", format!("Basic {basic}"))];
        let basic = basic.each_ref().map(|(name, value)| (*name, value.as_str()));
        let headers = if file.client_id.is_empty() { &basic[..0] } else { &basic[..] };
        api.post_form(&self.token_url, headers, &form).await
    }

    async fn impersonate(
        &self,
        api: &ApiClient,
        clock: &SharedClock,
        cache: &mut TokenCache,
        exchanged: &str,
    ) -> Result<String, RefreshError> {
        let lifetime = match self.file.service_account_impersonation.token_lifetime_seconds {
            0 => LIFETIME_DEFAULT,
            seconds => seconds,
        };
        let body: Json = json!({"delegates": [], "lifetime": format!("{lifetime}s"), "scope": [self.scope]});
        let bearer = format!("Bearer {exchanged}");
        let answer = api.post_json(&self.impersonation_url, &[("authorization", &bearer)], &body).await?;
        if !answer.status.is_success() {
            let text = format!(
                "external_account: unable to impersonate the service account: {}",
                answer.status_text
            );
            return Err(RefreshError::Answer(text));
        }
        let said: ServiceAccountToken = answer.json()?;
        if said.access_token.is_empty() {
            return Err(RefreshError::Answer("external_account: the answer has no accessToken".to_owned()));
        }
        let now = clock.unix_nanos().div_euclid(1_000_000_000);
        let ends = ferula_go::calendar::parse_rfc3339(&said.expire_time).map_or(now, |(seconds, _)| seconds);
        let left = Duration::from_secs(u64::try_from(ends.saturating_sub(now)).unwrap_or(0));
        cache.put(&said.access_token, left);
        Ok(said.access_token)
    }
}

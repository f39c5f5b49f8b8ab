//! Federated identities (`external_account`): a token of another identity provider (`subject`) is exchanged for one of Google,
//! and that for one of a service account, if the file names one.

use ferula_runtime::SharedClock;
use serde_json::json;

use super::credentials_file::CredentialsFile;
use super::external_error::ExternalError;
use super::impersonate::Impersonated;
use super::subject::Subject;
use crate::api_client::{Answer, ApiClient};
use crate::provider::Context;
use crate::refresh::RefreshError;
use crate::token::TokenCache;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const REQUESTED_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What the exchanged token must be good for before a service account's is requested with it.
const IMPERSONATION_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// An identity of another provider.
pub(super) struct External {
    file: CredentialsFile,
    subject: Subject,
    /// What the token must be good for.
    scope: &'static str,
    token_url: String,
    impersonated: Option<Impersonated>,
}

impl External {
    pub(super) fn of_file(
        file: CredentialsFile,
        scope: &'static str,
        context: &Context,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ExternalError> {
        for (name, is_given) in [
            ("audience", !file.audience.is_empty()),
            ("subject_token_type", !file.subject_token_type.is_empty()),
        ] {
            if !is_given {
                return Err(ExternalError::Missing(name));
            }
        }
        let url = |url: &str| context.service_url(url);
        let token_url = match file.token_url.as_str() {
            "" => url("https://sts.googleapis.com/v1/token"),
            named => url(named),
        };
        let impersonated = (!file.service_account_impersonation_url.is_empty()).then(|| Impersonated {
            url: url(&file.service_account_impersonation_url),
            delegates: Vec::new(),
            lifetime_seconds: file.service_account_impersonation.token_lifetime_seconds,
            scope,
        });
        let subject = Subject::of_file(&file, variable)?;
        Ok(External { token_url, impersonated, subject, scope, file })
    }

    /// Requests a token and keeps it.
    pub(super) async fn token(
        &self,
        api: &ApiClient,
        clock: &SharedClock,
        cache: &mut TokenCache,
    ) -> Result<String, RefreshError> {
        let subject = self.subject.token(api, clock).await?;
        let answer = self.exchange(api, &subject).await?;
        let Some(impersonated) = &self.impersonated else { return cache.keep(&answer) };
        // This one is not the one to be kept.
        let (exchanged, _) = TokenCache::read(&answer)?;
        let token = impersonated.token(api, clock, cache, &exchanged).await;
        token.map_err(|error| error.within("external_account"))
    }

    async fn exchange(&self, api: &ApiClient, subject: &str) -> Result<Answer, RefreshError> {
        let file = &self.file;
        let scope = if self.impersonated.is_none() { self.scope } else { IMPERSONATION_SCOPE };
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
        let basic = file.basic();
        let basic = [("authorization", basic.as_str())];
        let headers = if file.client_id.is_empty() { &basic[..0] } else { &basic[..] };
        api.post_form(&self.token_url, headers, &form).await
    }
}

//! Application default credentials: the file named in the environment, the file that `gcloud` wrote, or the
//! account of the machine itself.

use std::collections::BTreeMap;

use ferula_http_client::jwt::{Algorithm, SigningKey};
use ferula_runtime::SharedClock;
use serde_json::json;

use super::credentials_file::CredentialsFile;
use super::external::External;
use super::impersonate::Impersonated;
use crate::api_client::ApiClient;
use crate::json::{self, answers};
use crate::provider::{Context, ProviderError};
use crate::refresh::RefreshError;
use crate::token::TokenCache;

const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Lifetime of an assertion, in seconds.
const ASSERTION_SECONDS: i64 = 3600;
/// The machine's metadata service.
const METADATA_HOST: &str = "169.254.169.254";

answers! { "snake_case":
    RefreshAnswer { refresh_token: String, }
}

/// Credentials, with the last token.
pub(super) struct Account {
    api: ApiClient,
    clock: SharedClock,
    source: Source,
    token: TokenCache,
}

enum Source {
    ServiceAccount {
        file: Box<CredentialsFile>,
        key: Box<SigningKey>,
        url: String,
    },
    User {
        file: Box<CredentialsFile>,
        url: String,
    },
    Machine {
        base: String,
    },
    External(Box<External>),
    /// Of a workforce pool. The refresh token may change with each use.
    ExternalUser {
        file: Box<CredentialsFile>,
        url: String,
    },
    Impersonated {
        source: Box<Account>,
        account: Impersonated,
    },
}

impl Account {
    pub(super) fn find(
        api: &ApiClient,
        context: &Context,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ProviderError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let source = match variable("GOOGLE_APPLICATION_CREDENTIALS") {
            Some(file) => {
                let text = std::fs::read_to_string(&file).map_err(|error| {
                    let what = "error setting up communication with GCE service: google: error getting \
                                credentials using GOOGLE_APPLICATION_CREDENTIALS environment variable: open";
                    ProviderError::File(format!("{what} {file}"), error)
                })?;
                of_text(&text, api, context, &variable)?
            }
            None => {
                let home = variable("HOME").unwrap_or_default();
                let file = format!("{home}/.config/gcloud/application_default_credentials.json");
                match std::fs::read_to_string(file) {
                    Ok(text) => of_text(&text, api, context, &variable)?,
                    Err(_) => {
                        let host = variable("GCE_METADATA_HOST").unwrap_or_else(|| METADATA_HOST.to_owned());
                        Source::Machine { base: context.service_url(&format!("http://{host}")) }
                    }
                }
            }
        };
        let clock = context.clock.clone();
        Ok(Account { api: api.clone(), source, token: TokenCache::new(&clock), clock })
    }

    /// Makes the next request fetch a new token.
    pub(super) fn forget_token(&mut self) {
        self.token.forget();
        if let Source::Impersonated { source, .. } = &mut self.source {
            source.forget_token();
        }
    }

    pub(super) async fn token(&mut self) -> Result<String, RefreshError> {
        if let Some(token) = self.token.get() {
            return Ok(token);
        }
        let answer = match &mut self.source {
            Source::ServiceAccount { file, key, url } => {
                let now = self.clock.unix_nanos().div_euclid(1_000_000_000);
                let claims = BTreeMap::from([
                    ("iss".to_owned(), json!(file.client_email)),
                    ("aud".to_owned(), json!(url)),
                    ("scope".to_owned(), json!(SCOPE)),
                    ("iat".to_owned(), json!(now)),
                    ("exp".to_owned(), json!(now + ASSERTION_SECONDS)),
                ]);
                let assertion = key.token(Algorithm::Rs256, &file.private_key_id, &claims)?;
                let form = [("grant_type", GRANT), ("assertion", assertion.as_str())];
                self.api.post_form(url, &[], &form).await?
            }
            Source::User { file, url } => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", file.refresh_token.as_str()),
                    ("client_id", &file.client_id),
                    ("client_secret", &file.client_secret),
                ];
                self.api.post_form(url, &[], &form).await?
            }
            Source::Machine { base } => {
                let path = "computeMetadata/v1/instance/service-accounts/default/token";
                let url = format!("{base}/{path}?scopes={}", ferula_go::url::query_escape(SCOPE));
                self.api.get_with(&url, &[("metadata-flavor", "Google")]).await?
            }
            Source::External(external) => {
                return external.token(&self.api, &self.clock, &mut self.token).await;
            }
            Source::ExternalUser { file, url } => {
                let form = [("grant_type", "refresh_token"), ("refresh_token", file.refresh_token.as_str())];
                let answer = self.api.post_form(url, &[("authorization", &file.basic())], &form).await?;
                let token = self.token.keep(&answer)?;
                let said: RefreshAnswer = answer.json()?;
                if !said.refresh_token.is_empty() {
                    file.refresh_token = said.refresh_token;
                }
                return Ok(token);
            }
            Source::Impersonated { source, account } => {
                let other = Box::pin(source.token()).await?;
                return account.token(&self.api, &self.clock, &mut self.token, &other).await;
            }
        };
        self.token.keep(&answer)
    }
}

fn wrong(reason: impl std::fmt::Display) -> ProviderError {
    ProviderError::Option(format!("error setting up communication with GCE service: {reason}"))
}

fn of_text(
    text: &str,
    api: &ApiClient,
    context: &Context,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Source, ProviderError> {
    let file = json::from_slice(text.as_bytes()).map_err(wrong)?;
    of_file(file, api, context, variable)
}

/// The nesting of files is that of JSON, which is limited.
fn of_file(
    file: CredentialsFile,
    api: &ApiClient,
    context: &Context,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Source, ProviderError> {
    let url = if file.token_uri.is_empty() { TOKEN_URL } else { &file.token_uri };
    let url = context.service_url(url);
    match file.credentials_type.as_str() {
        "service_account" => {
            let key = SigningKey::parse(&file.private_key).map_err(wrong)?;
            Ok(Source::ServiceAccount { file: Box::new(file), key: Box::new(key), url })
        }
        "authorized_user" => Ok(Source::User { file: Box::new(file), url }),
        "external_account" => {
            let external = External::of_file(file, SCOPE, context, variable).map_err(wrong)?;
            Ok(Source::External(Box::new(external)))
        }
        "external_account_authorized_user" => {
            if [&file.refresh_token, &file.token_url, &file.client_id, &file.client_secret]
                .iter()
                .any(|field| field.is_empty())
            {
                return Err(wrong(
                    "external_account_authorized_user needs refresh_token, token_url, client_id and client_secret",
                ));
            }
            let url = context.service_url(&file.token_url);
            Ok(Source::ExternalUser { file: Box::new(file), url })
        }
        "impersonated_service_account" => {
            let account = Impersonated {
                url: context.service_url(&file.service_account_impersonation_url),
                delegates: file.delegates,
                lifetime_seconds: 0,
                scope: SCOPE,
            };
            let (false, Some(source)) = (account.url.is_empty(), file.source_credentials) else {
                return Err(wrong(
                    "missing 'source_credentials' field or 'service_account_impersonation_url' in credentials",
                ));
            };
            let source = Box::new(Account {
                source: of_file(*source, api, context, variable)?,
                api: api.clone(),
                token: TokenCache::new(&context.clock),
                clock: context.clock.clone(),
            });
            Ok(Source::Impersonated { source, account })
        }
        "" => Err(wrong("missing 'type' field in credentials")),
        other => Err(wrong(format!("unknown credential type: {}", ferula_go::quote::go_quote(other)))),
    }
}

//! `stackit_sd_configs`: the servers of a STACKIT project.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::discovery::{DiscoveryConfigs, StackitSdConfig};
use ferula_go::url::path_escape;
use ferula_http_client::jwt::{Algorithm, SigningKey, random_uuid};
use ferula_runtime::SharedClock;
use serde_json::json;

use crate::TargetGroup;
use crate::api_client::ApiClient;
use crate::group::{Labels, host_port};
use crate::json::{self, Json, answers};
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};
use crate::token::TokenCache;

/// Exchanges a service account's key for a token.
const TOKEN_API: &str = "https://service-account.api.stackit.cloud/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Lifetime of an assertion, in seconds.
const ASSERTION_SECONDS: i64 = 600;

pub(crate) struct Stackit {
    section: StackitSdConfig,
    api: ApiClient,
    /// For the token request, which does not use the section's credentials.
    token_api: ApiClient,
    token_url: String,
    base: String,
    account: Option<Account>,
    token: TokenCache,
    clock: SharedClock,
}

/// The service account for requests.
struct Account {
    credentials: KeyCredentials,
    key: SigningKey,
}

answers! { "camelCase":
    KeyFile { credentials: KeyCredentials, }
    KeyCredentials { aud: String, iss: String, kid: String, sub: String, private_key: String, }
    Servers { items: Vec<Server>, }
    Server {
        availability_zone: String,
        id: String,
        labels: BTreeMap<String, Json>,
        machine_type: String,
        name: String,
        nics: Option<Vec<Nic>>,
        power_status: String,
        status: String,
    }
    Nic { network_name: String, ipv4: String, public_ip: String, }
}

impl Refresh for Stackit {
    type Section = StackitSdConfig;

    const MECHANISM: &'static str = "stackit";

    fn sections(configs: &DiscoveryConfigs) -> Vec<StackitSdConfig> {
        configs.stackit_sd_configs.clone()
    }

    fn interval(section: &StackitSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: StackitSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let base = match section.endpoint.as_str() {
            "" => context.service_url(&format!("https://iaas.api.{}.stackit.cloud", section.region)),
            endpoint => endpoint.trim_end_matches('/').to_owned(),
        };
        let plain = ferula_config::http_client::HttpClientConfig {
            authorization: None,
            basic_auth: None,
            oauth2: None,
            ..section.http.clone()
        };
        let token_url = std::env::var("STACKIT_TOKEN_BASEURL").unwrap_or_else(|_| TOKEN_API.to_owned());
        Ok(Stackit {
            api: ApiClient::new(&section.http, context, section.refresh_interval)?,
            token_api: ApiClient::new(&plain, context, section.refresh_interval)?,
            token_url: context.service_url(&token_url),
            base,
            account: account(&section)?,
            token: TokenCache::new(&context.clock),
            clock: context.clock.clone(),
            section,
        })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let token = self.token().await?;
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("accept", "application/json")];
        headers.extend(authorization.iter().map(|value| ("authorization", value.as_str())));
        let project = path_escape(&self.section.project);
        let url = format!("{}/v1/projects/{project}/servers?details=true", self.base);
        let answer =
            self.api.get_with(&url, &headers).await.map_err(|error| error.within("sending request"))?;
        if answer.status.as_u16() != 200 {
            self.token.forget();
            let (status, body) = (answer.status.as_u16(), String::from_utf8_lossy(&answer.body));
            let body: String = body.chars().take(1000).collect();
            return Err(RefreshError::Answer(format!("unexpected status code {status}: {body}")));
        }
        let servers: Servers = answer.json().map_err(|error| error.within("decoding response"))?;
        let targets = servers.items.iter().filter_map(|server| Some(self.labels(server)?.to_set()));
        Ok(vec![TargetGroup::of_targets("stackit", targets.collect())])
    }
}

/// The section's account: a key, inline or in a file, that contains its private key or is accompanied by it.
fn account(section: &StackitSdConfig) -> Result<Option<Account>, ProviderError> {
    let read = |inline: &str, file: &str| match (inline, file) {
        ("", "") => Ok(String::new()),
        ("", file) => std::fs::read_to_string(file)
            .map_err(|error| ProviderError::File(format!("setting up authentication: open {file}"), error)),
        (inline, _) => Ok(inline.to_owned()),
    };
    let key_file = read(section.service_account_key.reveal(), &section.service_account_key_path)?;
    if key_file.is_empty() {
        return Ok(None);
    }
    let wrong = |text: String| ProviderError::Option(format!("setting up authentication: {text}"));
    let parsed: Result<KeyFile, _> = json::from_slice(key_file.as_bytes());
    let credentials =
        parsed.map_err(|error| wrong(format!("unmarshalling service account key: {error}")))?.credentials;
    let mut private_key = read(section.private_key.reveal(), &section.private_key_path)?;
    if private_key.is_empty() {
        private_key.clone_from(&credentials.private_key);
    }
    if private_key.is_empty() {
        return Err(wrong(
            "private key is not part of the service account key and could not be found".into(),
        ));
    }
    let key = SigningKey::parse(&private_key);
    let key = key.map_err(|error| wrong(format!("parse private key from PEM file: {error}")))?;
    Ok(Some(Account { credentials, key }))
}

impl Stackit {
    /// A token of the service account; `None` without an account.
    async fn token(&mut self) -> Result<Option<String>, RefreshError> {
        let Some(account) = &self.account else { return Ok(None) };
        if let Some(token) = self.token.get() {
            return Ok(Some(token));
        }
        let now = self.clock.unix_nanos().div_euclid(1_000_000_000);
        let KeyCredentials { aud, iss, kid, sub, .. } = &account.credentials;
        let claims = BTreeMap::from([
            ("iss".to_owned(), json!(iss)),
            ("sub".to_owned(), json!(sub)),
            ("aud".to_owned(), json!(aud)),
            ("jti".to_owned(), json!(random_uuid()?)),
            ("iat".to_owned(), json!(now)),
            ("exp".to_owned(), json!(now + ASSERTION_SECONDS)),
        ]);
        let assertion = account.key.token(Algorithm::Rs512, kid, &claims)?;
        let form = [("grant_type", GRANT), ("assertion", assertion.as_str())];
        let answer = self.token_api.post_form(&self.token_url, &[], &form).await;
        let answer = answer.map_err(|error| error.within("get new access token"))?;
        self.token.keep(&answer).map(Some).map_err(|error| error.within("get new access token"))
    }

    /// `None` for a server without an address.
    fn labels(&self, server: &Server) -> Option<Labels> {
        let nics = server.nics.as_ref()?;
        let mut labels = Labels::of([
            ("__meta_stackit_project", self.section.project.as_str()),
            ("__meta_stackit_id", &server.id),
            ("__meta_stackit_name", &server.name),
            ("__meta_stackit_availability_zone", &server.availability_zone),
            ("__meta_stackit_status", &server.status),
            ("__meta_stackit_power_status", &server.power_status),
            ("__meta_stackit_type", &server.machine_type),
        ]);
        let mut address = "";
        for nic in nics {
            if !nic.public_ip.is_empty() && labels.value("__meta_stackit_public_ipv4").is_empty() {
                labels.set("__meta_stackit_public_ipv4", nic.public_ip.as_str());
                address = &nic.public_ip;
            }
            if !nic.ipv4.is_empty() {
                labels.set_key("__meta_stackit_private_ipv4_", &nic.network_name, nic.ipv4.as_str());
                if address.is_empty() {
                    address = &nic.ipv4;
                }
            }
        }
        if address.is_empty() {
            return None;
        }
        labels.set("__address__", host_port(address, self.section.port));
        for (key, value) in &server.labels {
            if let Json::Text(value) = value {
                labels.set_key("__meta_stackit_labelpresent_", key, "true");
                labels.set_key("__meta_stackit_label_", key, value.as_str());
            }
        }
        Some(labels)
    }
}

#[cfg(test)]
pub(crate) mod tests;

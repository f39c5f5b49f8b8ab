//! Authentication with Azure: by client secret, managed identity, workload identity, or the SDK's default
//! chain of these.

use std::time::Duration;

use ferula_config::discovery::AzureSdConfig;
use ferula_config::http_client::HttpClientConfig;
use ferula_go::unicode;
use ferula_go::url::query_escape;
use tokio::process::Command;

use crate::api_client::{Answer, ApiClient};
use crate::json::{self, answers};
use crate::provider::{Context, ProviderError};
use crate::refresh::RefreshError;
use crate::token::TokenCache;

const METADATA: &str = "http://169.254.169.254";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The metadata service is local. Where there is none, the next source is tried after this time.
const TIMEOUT: Duration = Duration::from_secs(10);
const PROGRAM_BYTES_MAX: usize = 64 << 10;

/// The endpoints of a cloud.
#[derive(Clone, Copy)]
pub(super) struct Cloud {
    /// The resource manager.
    pub manager: &'static str,
    /// The audience of tokens.
    audience: &'static str,
    authority: &'static str,
}

impl Cloud {
    /// A cloud by its name, in any case.
    pub(super) fn named(name: &str) -> Option<Cloud> {
        let (manager, audience, authority) = match unicode::upper(name).as_str() {
            "AZURECLOUD" | "AZUREPUBLICCLOUD" | "AZUREGERMANCLOUD" => (
                "https://management.azure.com",
                "https://management.core.windows.net/",
                "https://login.microsoftonline.com/",
            ),
            "AZURECHINACLOUD" => (
                "https://management.chinacloudapi.cn",
                "https://management.core.chinacloudapi.cn",
                "https://login.chinacloudapi.cn/",
            ),
            "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => (
                "https://management.usgovcloudapi.net",
                "https://management.core.usgovcloudapi.net",
                "https://login.microsoftonline.us/",
            ),
            _ => return None,
        };
        Some(Cloud { manager, audience, authority })
    }
}

/// A source of tokens.
enum TokenSource {
    Secret {
        tenant: String,
        client: String,
        secret: String,
    },
    Workload {
        tenant: String,
        client: String,
        token_file: String,
    },
    /// The managed identity of the machine, or of the app service that the environment names.
    Managed {
        client: String,
        service: Option<(String, String)>,
    },
    /// The command `az`, in which a user has logged in.
    CommandLine {
        tenant: String,
    },
}

pub(super) struct Credential {
    api: ApiClient,
    cloud: Cloud,
    authority: String,
    metadata: String,
    /// Tried in order until one returns a token.
    ways: Vec<TokenSource>,
    token: TokenCache,
}

answers! { "camelCase":
    CommandLineToken { access_token: String, }
}

impl Credential {
    pub(super) fn of(
        section: &AzureSdConfig,
        cloud: Cloud,
        context: &Context,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ProviderError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let wrong = |text: &str| ProviderError::Option(format!("could not create Azure client: {text}"));
        let workload = || {
            let tenant = variable("AZURE_TENANT_ID")?;
            let (client, token_file) =
                (variable("AZURE_CLIENT_ID")?, variable("AZURE_FEDERATED_TOKEN_FILE")?);
            Some(TokenSource::Workload { tenant, client, token_file })
        };
        let service = || Some((variable("IDENTITY_ENDPOINT")?, variable("IDENTITY_HEADER")?));
        let own_tenant = Some(section.tenant_id.clone()).filter(|tenant| !tenant.is_empty());
        let ways = match section.authentication_method.as_str() {
            "WorkloadIdentity" => vec![workload().ok_or_else(|| {
                wrong("no client ID, tenant ID or token file specified. Check pod configuration")
            })?],
            "ManagedIdentity" => {
                vec![TokenSource::Managed { client: section.client_id.clone(), service: service() }]
            }
            "SDK" => {
                let secret = || {
                    Some(TokenSource::Secret {
                        tenant: own_tenant.clone().or_else(|| variable("AZURE_TENANT_ID"))?,
                        client: variable("AZURE_CLIENT_ID")?,
                        secret: variable("AZURE_CLIENT_SECRET")?,
                    })
                };
                let client = variable("AZURE_CLIENT_ID").unwrap_or_default();
                let tenant = own_tenant.clone().unwrap_or_default();
                let always = [
                    TokenSource::Managed { client, service: service() },
                    TokenSource::CommandLine { tenant },
                ];
                secret().into_iter().chain(workload()).chain(always).collect()
            }
            _ => vec![TokenSource::Secret {
                tenant: section.tenant_id.clone(),
                client: section.client_id.clone(),
                secret: section.client_secret.reveal().to_owned(),
            }],
        };
        let authority = variable("AZURE_AUTHORITY_HOST").unwrap_or_else(|| cloud.authority.to_owned());
        // The SDK requests tokens with a separate client.
        let api = ApiClient::new(&HttpClientConfig::default(), context, TIMEOUT)?;
        Ok(Credential {
            api,
            cloud,
            authority: context.service_url(authority.trim_end_matches('/')),
            metadata: context.service_url(METADATA),
            ways,
            token: TokenCache::new(&context.clock),
        })
    }

    /// A token that stays valid for at least another minute.
    pub(super) async fn token(&mut self) -> Result<String, RefreshError> {
        if let Some(token) = self.token.get() {
            return Ok(token);
        }
        let mut errors: Vec<String> = Vec::new();
        for way in &self.ways {
            let token = match self.ask(way).await {
                Ok(TokenReply::Answer(answer)) => self.token.keep(&answer),
                Ok(TokenReply::Token(token)) => Ok(token),
                Err(error) => Err(error),
            };
            match token {
                Ok(token) => return Ok(token),
                Err(error) => errors.push(error.to_string()),
            }
        }
        Err(RefreshError::Answer(errors.join("; ")))
    }

    async fn ask(&self, way: &TokenSource) -> Result<TokenReply, RefreshError> {
        let scope = format!("{}/.default", self.cloud.audience);
        match way {
            TokenSource::Secret { tenant, client, secret } => {
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client.as_str()),
                    ("client_secret", secret),
                    ("scope", &scope),
                ];
                self.ask_authority(tenant, &form).await
            }
            TokenSource::Workload { tenant, client, token_file } => {
                let assertion = tokio::fs::read_to_string(token_file).await;
                let assertion =
                    assertion.map_err(|error| RefreshError::File(format!("open {token_file}"), error))?;
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client.as_str()),
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", assertion.trim()),
                    ("scope", &scope),
                ];
                self.ask_authority(tenant, &form).await
            }
            TokenSource::Managed { client, service } => {
                let resource = query_escape(self.cloud.audience);
                let client = match client.as_str() {
                    "" => String::new(),
                    client => format!("&client_id={}", query_escape(client)),
                };
                let answer = match service {
                    Some((endpoint, header)) => {
                        let url = format!("{endpoint}?api-version=2019-08-01&resource={resource}{client}");
                        self.api.get_with(&url, &[("x-identity-header", header)]).await?
                    }
                    None => {
                        let path = "metadata/identity/oauth2/token?api-version=2018-02-01";
                        let url = format!("{}/{path}&resource={resource}{client}", self.metadata);
                        self.api.get_with(&url, &[("metadata", "true")]).await?
                    }
                };
                Ok(TokenReply::Answer(answer))
            }
            TokenSource::CommandLine { tenant } => {
                let mut command = Command::new("az");
                let resource = self.cloud.audience;
                command.args(["account", "get-access-token", "-o", "json", "--resource", resource]);
                if !tenant.is_empty() {
                    command.args(["--tenant", tenant]);
                }
                let printed =
                    ferula_http_client::program::output(command, PROGRAM_BYTES_MAX, TIMEOUT).await?;
                // Requested again in each round: the command caches tokens itself.
                let token: CommandLineToken = json::from_slice(&printed)?;
                Ok(TokenReply::Token(token.access_token))
            }
        }
    }

    async fn ask_authority(&self, tenant: &str, form: &[(&str, &str)]) -> Result<TokenReply, RefreshError> {
        let tenant = ferula_go::url::path_escape(tenant);
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.authority);
        Ok(TokenReply::Answer(self.api.post_form(&url, &[], form).await?))
    }
}

/// The result of a source: an HTTP answer that contains a token, or the token itself.
enum TokenReply {
    Answer(Answer),
    Token(String),
}

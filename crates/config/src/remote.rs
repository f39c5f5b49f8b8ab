//! Sections `remote_write` and `remote_read`.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::unicode;

use crate::alerting::SigV4Config;
use crate::error::Problem;
use crate::global::ValidationScheme;
use crate::http_client::HttpClientConfig;
use crate::relabel::{RelabelConfig, check_rules, no_null_rules};
use crate::scalars::{Secret, TargetLabels, secs};
use crate::section::section;
use crate::url::Url;
use crate::yaml::decode::Value;
use crate::yaml::emit::emit;

section! {
    /// A server to which samples are also written.
    pub struct RemoteWriteConfig as "*config.RemoteWriteConfig" read as "config.plain", checked {
        keep url: Option<Url>;
        omit remote_timeout: Duration = secs(30);
        omit headers: BTreeMap<String, String>;
        omit write_relabel_configs: Vec<RelabelConfig>;
        omit name: String;
        omit send_exemplars: bool;
        omit send_native_histograms: bool;
        omit round_robin_dns: bool;
        /// `prometheus.WriteRequest` or `io.prometheus.write.v2.Request`.
        omit protobuf_message: String = WRITE_V1.into();
        omit failed_request_logging: bool;
        inline http: HttpClientConfig = HttpClientConfig { enable_http2: false, ..HttpClientConfig::default() };
        omit queue_config: QueueConfig;
        omit metadata_config: MetadataConfig;
        omit sigv4: Option<SigV4Config>;
        omit azuread: Option<AzureAdConfig>;
        omit google_iam: Option<GoogleIamConfig>;
    }
}

const WRITE_V1: &str = "prometheus.WriteRequest";
const WRITE_V2: &str = "io.prometheus.write.v2.Request";

section! {
    /// The queue in front of a remote write target.
    pub struct QueueConfig as "config.QueueConfig" {
        omit capacity: i64 = 10_000;
        omit max_shards: i64 = 50;
        omit min_shards: i64 = 1;
        omit max_samples_per_send: i64 = 2_000;
        omit batch_send_deadline: Duration = secs(5);
        omit min_backoff: Duration = Duration::from_millis(30);
        omit max_backoff: Duration = secs(5);
        omit retry_on_http_429: bool;
        omit sample_age_limit: Duration;
    }
}

section! {
    /// Whether and how metric metadata is sent along.
    pub struct MetadataConfig as "config.MetadataConfig" {
        keep send: bool = true;
        keep send_interval: Duration = secs(60);
        omit max_samples_per_send: i64 = 2_000;
    }
}

section! {
    /// Signing in with Microsoft Entra ID.
    pub struct AzureAdConfig as "azuread.AzureADConfig" read as "azuread.plain", checked {
        omit managed_identity: Option<ManagedIdentityConfig>;
        omit workload_identity: Option<WorkloadIdentityConfig>;
        omit oauth: Option<AzureOAuthConfig>;
        omit sdk: Option<AzureSdkConfig>;
        omit certificate: Option<AzureCertificateConfig>;
        omit cloud: String;
        omit scope: String;
    }
}

section! {
    /// A managed identity of Azure.
    pub struct ManagedIdentityConfig as "azuread.ManagedIdentityConfig" {
        omit client_id: String;
    }
}

section! {
    /// A workload identity of Azure.
    pub struct WorkloadIdentityConfig as "azuread.WorkloadIdentityConfig" {
        omit client_id: String;
        omit tenant_id: String;
        omit token_file_path: String;
    }
}

section! {
    /// An application registered with Azure.
    pub struct AzureOAuthConfig as "azuread.OAuthConfig" {
        omit client_id: String;
        omit client_secret: Secret;
        omit tenant_id: String;
    }
}

section! {
    /// Credentials that the Azure SDK finds by itself.
    pub struct AzureSdkConfig as "azuread.SDKConfig" {
        omit tenant_id: String;
    }
}

section! {
    /// A certificate known to Azure.
    pub struct AzureCertificateConfig as "azuread.CertificateConfig" {
        omit client_id: String;
        omit tenant_id: String;
        omit certificate_path: String;
        omit certificate_key_path: String;
        omit certificate_password: Secret;
        omit send_certificate_chain: bool;
    }
}

section! {
    /// A Google service account.
    pub struct GoogleIamConfig as "googleiam.Config" {
        omit credentials_file: String;
    }
}

section! {
    /// A server from which queries also read.
    pub struct RemoteReadConfig as "*config.RemoteReadConfig" read as "config.plain", checked {
        keep url: Option<Url>;
        omit remote_timeout: Duration = secs(60);
        omit chunked_read_limit: u64 = 50_000_000;
        omit headers: BTreeMap<String, String>;
        omit read_recent: bool;
        omit name: String;
        inline http: HttpClientConfig;
        omit required_matchers: TargetLabels;
        omit filter_external_labels: bool = true;
    }
}

/// Headers that the protocol sets itself, in lower case.
const RESERVED_HEADERS: [&str; 17] = [
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
    // Checked earlier, with another message.
    "authorization",
];

/// Refuses headers that must not be changed. For `authorization` the error names the alternative.
pub(crate) fn check_headers(headers: &BTreeMap<String, String>, authorization: &str) -> Result<(), Problem> {
    for name in headers.keys() {
        let lower = unicode::lower(name);
        let text = match lower.as_str() {
            "authorization" => authorization.to_owned(),
            lower if RESERVED_HEADERS.contains(&lower) => {
                format!("{name} is a reserved header. It must not be changed")
            }
            _ => continue,
        };
        return Err(Problem::new(text).at(name).at("headers"));
    }
    Ok(())
}

const AUTHORIZATION_ELSEWHERE: &str = "authorization header must be changed via the basic_auth, authorization, \
                                       oauth2, sigv4, azuread or google_iam parameter";

impl RemoteWriteConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.url.is_none() {
            return Err("url for remote_write is empty".into());
        }
        no_null_rules(
            &self.write_relabel_configs,
            "write_relabel_configs",
            "empty or null relabeling rule in remote write config",
        )?;
        check_headers(&self.headers, AUTHORIZATION_ELSEWHERE)?;
        if ![WRITE_V1, WRITE_V2].contains(&self.protobuf_message.as_str()) {
            let text = format!(
                "invalid protobuf_message value: unknown type for remote write protobuf message {}, supported: \
                 {WRITE_V1}, {WRITE_V2}",
                self.protobuf_message
            );
            return Err(Problem::new(text).at("protobuf_message"));
        }
        self.http.check()?;
        self.queue_config.check().map_err(|problem| problem.at("queue_config"))?;
        let configured: Vec<&str> = [
            ("basic_auth", self.http.basic_auth.is_some()),
            ("authorization", self.http.authorization.is_some()),
            ("oauth2", self.http.oauth2.is_some()),
            ("sigv4", self.sigv4.is_some()),
            ("azuread", self.azuread.is_some()),
            ("google_iam", self.google_iam.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        if configured.len() > 1 {
            return Err(format!(
                "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be \
                 configured. Currently configured: [{}]",
                configured.join(" ")
            )
            .into());
        }
        Ok(())
    }

    /// The hash of the section in hexadecimal digits, whose first six name a destination that has no other name.
    pub fn hash(&self) -> String {
        hash_of(self)
    }

    /// Checks the relabel rules, which needs the global naming scheme.
    pub(crate) fn check_names(&self, names: &ValidationScheme) -> Result<(), Problem> {
        check_rules(&self.write_relabel_configs, "write_relabel_configs", names)
    }
}

impl QueueConfig {
    fn check(&self) -> Result<(), Problem> {
        let refuse = |what: &str, key: &str| Err(Problem::new(format!("remote write queue {what}")).at(key));
        if self.max_shards <= 0 {
            return refuse("max_shards must be positive", "max_shards");
        }
        if self.min_shards <= 0 {
            return refuse("min_shards must be positive", "min_shards");
        }
        if self.min_shards > self.max_shards {
            return refuse("min_shards must not be greater than max_shards", "min_shards");
        }
        if self.max_samples_per_send <= 0 {
            return refuse("max_samples_per_send must be positive", "max_samples_per_send");
        }
        if self.capacity <= 0 {
            return refuse("capacity must be positive", "capacity");
        }
        if self.max_backoff < self.min_backoff {
            return refuse("max_backoff must not be less than min_backoff", "max_backoff");
        }
        Ok(())
    }
}

/// The MD5 of a section as it is printed.
fn hash_of(section: &impl Value) -> String {
    use md5::Digest;
    let digest = md5::Md5::digest(emit(&section.print()).as_bytes());
    ferula_go::hex::encode(digest)
}

impl RemoteReadConfig {
    /// The hash of the section in hexadecimal digits, whose first six name a source that has no other name.
    pub fn hash(&self) -> String {
        hash_of(self)
    }

    fn check(&mut self) -> Result<(), Problem> {
        if self.url.is_none() {
            return Err("url for remote_read is empty".into());
        }
        check_headers(&self.headers, AUTHORIZATION_ELSEWHERE)?;
        self.http.check()
    }
}

impl AzureAdConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.cloud.is_empty() {
            self.cloud = "AzurePublic".into();
        }
        if !matches!(self.cloud.as_str(), "AzureChina" | "AzureGovernment" | "AzurePublic") {
            return Err(Problem::new("must provide a cloud in the Azure AD config").at("cloud"));
        }
        let ways = [
            self.managed_identity.is_some(),
            self.workload_identity.is_some(),
            self.oauth.is_some(),
            self.sdk.is_some(),
            self.certificate.is_some(),
        ];
        match crate::http_client::count(&ways) {
            0 => {
                return Err(
                    "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure \
                            Certificate or Azure SDK in the Azure AD config"
                        .into(),
                );
            }
            1 => {}
            _ => return Err("cannot provide multiple authentication methods in the Azure AD config".into()),
        }
        self.check_identities()?;
        let scope_holds = |c: char| {
            c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || matches!(c, '_' | ':' | '/' | '.' | '-')
        };
        if !self.scope.chars().all(scope_holds) {
            return Err(Problem::new("the provided scope contains invalid characters").at("scope"));
        }
        Ok(())
    }

    fn check_identities(&mut self) -> Result<(), Problem> {
        let needs = |what: &str| Err(format!("must provide an {what} in the Azure AD config").into());
        let invalid = |what: &str| Err(format!("the provided {what} is invalid").into());
        if let Some(managed) = &self.managed_identity
            && !managed.client_id.is_empty()
            && !is_uuid(&managed.client_id)
        {
            return invalid("Azure Managed Identity client_id");
        }
        if let Some(workload) = &mut self.workload_identity {
            match (workload.client_id.as_str(), workload.tenant_id.as_str()) {
                ("", _) => return needs("Azure Workload Identity client_id"),
                (_, "") => return needs("Azure Workload Identity tenant_id"),
                (client, _) if !is_uuid(client) => return invalid("Azure Workload Identity client_id"),
                (_, tenant) if !is_uuid(tenant) => return invalid("Azure Workload Identity tenant_id"),
                _ => {}
            }
            if workload.token_file_path.is_empty() {
                workload.token_file_path = std::env::var("AZURE_FEDERATED_TOKEN_FILE")
                    .ok()
                    .filter(|path| !path.is_empty())
                    .unwrap_or_else(|| "/var/run/secrets/azure/tokens/azure-identity-token".into());
            }
        }
        if let Some(oauth) = &self.oauth {
            match (oauth.client_id.as_str(), oauth.client_secret.is_empty(), oauth.tenant_id.as_str()) {
                ("", ..) => return needs("Azure OAuth client_id"),
                (_, true, _) => return needs("Azure OAuth client_secret"),
                (.., "") => return needs("Azure OAuth tenant_id"),
                (client, ..) if !is_uuid(client) => return invalid("Azure OAuth client_id"),
                _ => {}
            }
        }
        if let Some(certificate) = &self.certificate {
            let given = (&certificate.client_id, &certificate.tenant_id, &certificate.certificate_path);
            match (given.0.as_str(), given.1.as_str(), given.2.as_str()) {
                ("", ..) => return needs("Azure Certificate client_id"),
                (_, "", _) => return needs("Azure Certificate tenant_id"),
                (.., "") => return needs("Azure Certificate certificate_path"),
                (client, ..) if !is_uuid(client) => return invalid("Azure Certificate client_id"),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a text is a UUID in one of the four forms that Go's `uuid.Parse` takes.
fn is_uuid(text: &str) -> bool {
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let text = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    if text.len() == 32 {
        return hex(text);
    }
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.into_iter().all(hex)
}

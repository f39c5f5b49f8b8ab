//! The metadata services of instances and containers: role credentials and the region.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::service::ask;
use super::sources::{AwsError, Credentials, Sources, moment};
use crate::message::Request;
use crate::url::Url;
use ferula_config::Secret;

/// These services are on the local network: a later answer never comes.
const TIMEOUT: Duration = Duration::from_secs(5);
const INSTANCE: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";
/// Hosts besides loopback addresses that may be queried without TLS: those of ECS and EKS.
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

impl Sources {
    /// Base URL of the instance's metadata; `None` if its use is disabled.
    fn instance_url(&self) -> Option<String> {
        let disabled = self.variable("AWS_EC2_METADATA_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let named = self.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let url = named.unwrap_or_else(|| INSTANCE.to_owned());
        Some(url.trim_end_matches('/').to_owned())
    }

    /// Fetches one page of the instance's metadata, with a token as version 2 of the service requires.
    /// Version 1 has no tokens.
    async fn instance_metadata(&self, path: &str) -> Result<String, AwsError> {
        const TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
        const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
        let base = self.instance_url().ok_or(AwsError::MetadataDisabled)?;
        let url = format!("{base}/latest/api/token");
        let request = Request::new(Method::PUT, &url)?.header(TTL, HeaderValue::from_static("300"));
        let token = match ask(&self.client, request, &url, TIMEOUT).await {
            Ok(token) => Some(HeaderValue::from_maybe_shared(token).map_err(|_| AwsError::Header)?),
            Err(AwsError::Status { status, .. })
                if ["403", "404", "405"].iter().any(|code| status.starts_with(code)) =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        let url = format!("{base}/latest/{path}");
        let mut request = Request::get(&url)?;
        if let Some(mut token) = token {
            token.set_sensitive(true);
            request = request.header(TOKEN, token);
        }
        let body = ask(&self.client, request, &url, TIMEOUT).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The region in which this instance runs.
    pub(super) async fn instance_region(&self) -> Option<String> {
        let document = self.instance_metadata("dynamic/instance-identity/document").await.ok()?;
        let document: Value = serde_json::from_str(&document).ok()?;
        document.get("region")?.as_str().filter(|region| !region.is_empty()).map(str::to_owned)
    }

    /// The credentials of the role that this instance has.
    pub(super) async fn instance_credentials(&self) -> Result<Credentials, AwsError> {
        let path = "meta-data/iam/security-credentials/";
        let roles = self.instance_metadata(path).await?;
        let role = roles.lines().next().map(str::trim).filter(|role| !role.is_empty());
        let role = role.ok_or_else(|| AwsError::Answer(path.to_owned()))?;
        let answer = self.instance_metadata(&format!("{path}{role}")).await?;
        credentials_of_json(answer.as_bytes()).ok_or_else(|| AwsError::Answer(path.to_owned()))
    }

    /// The URL from which a container gets its credentials; `None` outside of containers.
    pub(super) fn container_url(&self) -> Result<Option<String>, AwsError> {
        if let Some(path) = self.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return Ok(Some(format!("{CONTAINER}{path}")));
        }
        let Some(full) = self.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") else { return Ok(None) };
        let url = Request::get(&full)?.url;
        if url.scheme() != "https" && !is_own_host(&url) {
            return Err(AwsError::ContainerHost(url.hostname()));
        }
        Ok(Some(full))
    }

    pub(super) async fn container_credentials(&self, url: &str) -> Result<Credentials, AwsError> {
        let mut request = Request::get(url)?;
        let token = match self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            // Read each time, because the file is replaced before its token expires.
            Some(file) => {
                let token = tokio::fs::read_to_string(&file).await;
                Some(token.map_err(|error| AwsError::File { file, error })?)
            }
            None => self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.trim()).map_err(|_| AwsError::Header)?;
            value.set_sensitive(true);
            request = request.header(http::header::AUTHORIZATION, value);
        }
        let body = ask(&self.client, request, url, TIMEOUT).await?;
        credentials_of_json(&body).ok_or_else(|| AwsError::Answer(url.to_owned()))
    }
}

fn is_own_host(url: &Url) -> bool {
    let name = url.hostname();
    let loopback = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback || name == "localhost" || CONTAINER_HOSTS.contains(&&*name)
}

/// Parses credentials as printed by the metadata services and by `credential_process`.
pub(super) fn credentials_of_json(json: &[u8]) -> Option<Credentials> {
    let json: Value = serde_json::from_slice(json).ok()?;
    let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default();
    let session_token = if text("Token").is_empty() { text("SessionToken") } else { text("Token") };
    let credentials = Credentials {
        access_key: text("AccessKeyId").to_owned(),
        secret_key: Secret::new(text("SecretAccessKey")),
        session_token: Secret::new(session_token),
        ends: moment(text("Expiration")),
    };
    credentials.is_complete().then_some(credentials)
}

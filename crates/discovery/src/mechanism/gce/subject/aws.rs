//! An identity of AWS: a signed request for the caller's identity is the token. Google sends it to AWS, which says who signed it.

use std::time::Duration;

use ferula_config::Secret;
use ferula_go::url::query_escape;
use ferula_http_client::aws::{Credentials, sign};
use ferula_http_client::{HeaderName, HeaderValue, Method, Request};
use ferula_runtime::SharedClock;
use serde_json::json;

use super::super::credentials_file::{CredentialSource, CredentialsFile};
use crate::api_client::{ApiClient, with_headers};
use crate::json::{self, answers};
use crate::refresh::RefreshError;

const VERIFICATION_URL: &str =
    "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
const TARGET: HeaderName = HeaderName::from_static("x-goog-cloud-target-resource");
/// How long a session with the metadata service is good.
const SESSION_SECONDS: &str = "300";

answers! { "PascalCase":
    RoleCredentials {
        access_key_id: String,
        secret_access_key: String,
        token: String,
    }
}

pub(in crate::mechanism::gce) struct Identity {
    source: CredentialSource,
    audience: String,
    /// What the environment names.
    region: Option<String>,
    credentials: Option<Credentials>,
}

impl Identity {
    pub(super) fn of_file(file: &CredentialsFile, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let credentials = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        let credentials = credentials.map(|(access_key, secret_key)| Credentials {
            access_key,
            secret_key: Secret::new(secret_key),
            session_token: Secret::new(variable("AWS_SESSION_TOKEN").unwrap_or_default()),
            ends: None,
        });
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let (source, audience) = (file.credential_source.clone(), file.audience.clone());
        Identity { source, audience, region, credentials }
    }

    pub(super) async fn token(&self, api: &ApiClient, clock: &SharedClock) -> Result<String, RefreshError> {
        let session = match (&self.region, &self.credentials) {
            (Some(_), Some(_)) => String::new(),
            _ => self.session(api).await?,
        };
        let credentials = match &self.credentials {
            Some(credentials) => credentials.clone(),
            None => self.role_credentials(api, &session).await?,
        };
        let region = match &self.region {
            Some(region) => region.clone(),
            None => self.zone_region(api, &session).await?,
        };
        let url = match self.source.regional_cred_verification_url.as_str() {
            "" => VERIFICATION_URL,
            named => named,
        };
        let wrong = |_| RefreshError::Answer("external_account: the audience fits in no header".to_owned());
        let request = Request::new(Method::POST, &url.replacen("{region}", &region, 1))?
            .header(TARGET, HeaderValue::from_str(&self.audience).map_err(wrong)?);
        let host = request.url().host();
        let service = host.split('.').next().unwrap_or_default().to_owned();
        let since_epoch = Duration::from_nanos(u64::try_from(clock.unix_nanos()).unwrap_or(0));
        let signed = sign(request, &credentials, &region, &service, since_epoch)?;
        let mut headers = vec![json!({"key": "host", "value": host})];
        for (name, value) in signed.header_map() {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers.push(json!({"key": name.as_str(), "value": value}));
        }
        let text = json!({"url": signed.url().to_string(), "method": "POST", "headers": headers});
        Ok(query_escape(&text.to_string()))
    }

    /// A token for the metadata service, or "" if the file names no address for one.
    async fn session(&self, api: &ApiClient) -> Result<String, RefreshError> {
        let url = &self.source.imdsv2_session_token_url;
        if url.is_empty() {
            return Ok(String::new());
        }
        let request = Request::new(Method::PUT, url)?;
        let request = with_headers(request, &[("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS)])?;
        let answer = api.send(request).await?.expect_ok();
        let answer =
            answer.map_err(|error| error.within("external_account: unable to retrieve AWS session token"))?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    async fn metadata(
        &self,
        api: &ApiClient,
        (url, session): (&str, &str),
        what: &str,
    ) -> Result<Vec<u8>, RefreshError> {
        if url.is_empty() {
            return Err(RefreshError::Answer(format!(
                "external_account: unable to determine the AWS {what}"
            )));
        }
        let with_session = [("x-aws-ec2-metadata-token", session)];
        let headers = if session.is_empty() { &with_session[..0] } else { &with_session[..] };
        let answer = api.get_with(url, headers).await?.expect_ok();
        let answer = answer
            .map_err(|error| error.within(format!("external_account: unable to retrieve AWS {what}")))?;
        Ok(answer.body.to_vec())
    }

    async fn role_credentials(&self, api: &ApiClient, session: &str) -> Result<Credentials, RefreshError> {
        let url = &self.source.url;
        let role = self.metadata(api, (url, session), "role name").await?;
        let url = format!("{url}/{}", String::from_utf8_lossy(&role));
        let said = self.metadata(api, (&url, session), "security credentials").await?;
        let said: RoleCredentials = json::from_slice(&said)?;
        for (name, value) in
            [("AccessKeyId", &said.access_key_id), ("SecretAccessKey", &said.secret_access_key)]
        {
            if value.is_empty() {
                return Err(RefreshError::Answer(format!("external_account: missing {name} credential")));
            }
        }
        Ok(Credentials {
            access_key: said.access_key_id,
            secret_key: Secret::new(said.secret_access_key),
            session_token: Secret::new(said.token),
            ends: None,
        })
    }

    /// The region of the instance's zone: `us-east-2` of `us-east-2b`.
    async fn zone_region(&self, api: &ApiClient, session: &str) -> Result<String, RefreshError> {
        let zone = self.metadata(api, (&self.source.region_url, session), "region").await?;
        let zone = String::from_utf8_lossy(&zone).into_owned();
        let mut letters = zone.chars();
        letters.next_back();
        Ok(letters.as_str().to_owned())
    }
}

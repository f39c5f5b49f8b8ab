//! The Security Token Service: temporary credentials for a role.

use std::time::Duration;

use bytes::Bytes;
use ferula_config::Secret;
use ferula_go::url::encode_query;

use super::service::{ask, element_texts, service_url};
use super::sign::sign;
use super::sources::{AwsError, Credentials, Sources, moment, now};
use crate::message::Request;

const VERSION: &str = "2011-06-15";

/// A role and the name of its session.
pub(super) struct Role<'a> {
    pub arn: &'a str,
    pub external_id: &'a str,
    /// If empty, a name is generated.
    pub session_name: &'a str,
}

impl Role<'_> {
    fn session_name(&self) -> String {
        match self.session_name {
            "" => format!("ferula-{}", now().as_nanos()),
            name => name.to_owned(),
        }
    }
}

impl Sources {
    /// Returns credentials of a role, requested with the credentials of a principal that may assume it.
    pub(super) async fn assume_role(
        &self,
        role: &Role<'_>,
        with: &Credentials,
        region: &str,
    ) -> Result<Credentials, AwsError> {
        let name = role.session_name();
        let mut form = vec![
            ("Action", "AssumeRole"),
            ("Version", VERSION),
            ("RoleArn", role.arn),
            ("RoleSessionName", &name),
            ("DurationSeconds", "900"),
        ];
        if !role.external_id.is_empty() {
            form.push(("ExternalId", role.external_id));
        }
        let url = self.sts_url(region);
        let request = sts_request(&url, &form)?;
        let request = sign(request, with, region, "sts", now())?;
        self.sts_credentials(&url, request).await
    }

    /// Returns credentials of a role for the holder of a token, such as that of a pod.
    pub(super) async fn assume_role_with_web_identity(
        &self,
        role: &Role<'_>,
        token_file: &str,
        region: &str,
    ) -> Result<Credentials, AwsError> {
        let token = tokio::fs::read_to_string(token_file).await;
        let token = token.map_err(|error| AwsError::File { file: token_file.to_owned(), error })?;
        let name = role.session_name();
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", VERSION),
            ("RoleArn", role.arn),
            ("RoleSessionName", &name),
            ("WebIdentityToken", token.trim_end_matches('\n')),
        ];
        let url = self.sts_url(region);
        let request = sts_request(&url, &form)?;
        self.sts_credentials(&url, request).await
    }

    fn sts_url(&self, region: &str) -> String {
        let named = self.variable("AWS_ENDPOINT_URL_STS").or_else(|| self.variable("AWS_ENDPOINT_URL"));
        named.unwrap_or_else(|| {
            let service = if self.settings.use_fips_sts_endpoint { "sts-fips" } else { "sts" };
            service_url(service, region) + "/"
        })
    }

    async fn sts_credentials(&self, url: &str, request: Request) -> Result<Credentials, AwsError> {
        let body = ask(&self.client, request, url, Duration::from_secs(30)).await?;
        let text = String::from_utf8_lossy(&body);
        let [access_key, secret_key, session_token, expiration] =
            element_texts(&text, ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"]);
        let credentials = Credentials {
            access_key,
            secret_key: Secret::new(secret_key),
            session_token: Secret::new(session_token),
            ends: moment(&expiration),
        };
        if credentials.is_complete() { Ok(credentials) } else { Err(AwsError::Answer(url.to_owned())) }
    }
}

fn sts_request(url: &str, form: &[(&str, &str)]) -> Result<Request, AwsError> {
    let body = Bytes::from(encode_query(form.iter().copied()));
    Ok(Request::post(url, "application/x-www-form-urlencoded", body)?)
}

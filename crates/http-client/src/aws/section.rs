//! The section `sigv4` of a client.

use ferula_config::alerting::SigV4Config;
use ferula_config::http_client::HttpClientConfig;

use super::{Aws, AwsError, Settings};
use crate::client::HttpClient;
use crate::error::SetupError;
use crate::message::Request;

/// The default service: Amazon's Prometheus.
const SERVICE_DEFAULT: &str = "aps";

/// Signs requests according to a section.
#[derive(Clone, Debug)]
pub struct SigV4 {
    aws: Aws,
    service: String,
}

impl SigV4 {
    /// The signer of a section. Credentials are fetched over separate plain connections, as in the SDK.
    ///
    /// # Errors
    /// See [`HttpClient::new`].
    pub fn of(section: &SigV4Config, user_agent: &'static str) -> Result<Self, SetupError> {
        let client = HttpClient::new(&HttpClientConfig::default(), user_agent)?;
        let service = match section.service_name.as_str() {
            "" => SERVICE_DEFAULT,
            name => name,
        };
        Ok(SigV4 { aws: Aws::new(Settings::from(section), client), service: service.to_owned() })
    }

    /// The request with signature headers.
    ///
    /// # Errors
    /// See [`Aws::credentials`].
    pub async fn sign(&self, request: Request) -> Result<Request, AwsError> {
        self.aws.sign(request, &self.service).await
    }
}

impl From<&SigV4Config> for Settings {
    fn from(section: &SigV4Config) -> Self {
        Settings {
            region: section.region.clone(),
            access_key: section.access_key.clone(),
            secret_key: section.secret_key.clone(),
            profile: section.profile.clone(),
            role_arn: section.role_arn.clone(),
            external_id: section.external_id.clone(),
            use_fips_sts_endpoint: section.use_fips_sts_endpoint,
        }
    }
}

//! The handle with which sections sign their requests.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::service::service_url;
use super::sign::sign;
use super::sources::{AwsError, Credentials, Settings, Sources, now};
use crate::client::HttpClient;
use crate::message::Request;

/// Signs requests for one section of the configuration. Clones are handles to the same signer.
#[derive(Clone)]
pub struct Aws(Arc<Inner>);

struct Inner {
    sources: Sources,
    region: Mutex<Option<String>>,
    credentials: Mutex<Option<Credentials>>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("settings", &self.0.sources.settings).finish_non_exhaustive()
    }
}

impl Aws {
    /// Creates a signer; `client` talks to the services that issue credentials.
    pub fn new(settings: Settings, client: HttpClient) -> Self {
        Aws::with_environment(settings, client, |name| std::env::var(name).ok())
    }

    pub(super) fn with_environment(
        settings: Settings,
        client: HttpClient,
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Aws(Arc::new(Inner {
            sources: Sources { settings, client, variable: Box::new(variable) },
            region: Mutex::default(),
            credentials: Mutex::default(),
        }))
    }

    /// The region from the section, the environment, the profile, or the instance's metadata.
    ///
    /// # Errors
    /// None of them has one.
    pub async fn region(&self) -> Result<String, AwsError> {
        let mut known = self.0.region.lock().await;
        if let Some(region) = &*known {
            return Ok(region.clone());
        }
        let region = self.0.sources.find_region().await?;
        *known = Some(region.clone());
        Ok(region)
    }

    /// The URL of a service in the region of this section.
    ///
    /// # Errors
    /// See [`Aws::region`].
    pub async fn service_url(&self, service: &str) -> Result<String, AwsError> {
        Ok(service_url(service, &self.region().await?))
    }

    /// Credentials that remain valid for at least five more minutes.
    ///
    /// # Errors
    /// No credentials were found, or the service that issues them cannot be reached.
    pub async fn credentials(&self) -> Result<Credentials, AwsError> {
        let mut known = self.0.credentials.lock().await;
        if let Some(credentials) = known.as_ref().filter(|credentials| credentials.is_valid()) {
            return Ok(credentials.clone());
        }
        let region = self.region().await?;
        let found = self.0.sources.find_credentials(&region).await?;
        *known = Some(found.clone());
        Ok(found)
    }

    /// Looks up credentials again next time, because a service rejected the current ones.
    pub async fn forget_credentials(&self) {
        *self.0.credentials.lock().await = None;
    }

    /// Returns the request with the headers of its signature.
    ///
    /// # Errors
    /// See [`Aws::credentials`].
    pub async fn sign(&self, request: Request, service: &str) -> Result<Request, AwsError> {
        let (region, credentials) = (self.region().await?, self.credentials().await?);
        sign(request, &credentials, &region, service, now())
    }
}

//! The handle that sections sign their requests with.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::service::service_url;
use super::sign::sign;
use super::sources::{AwsError, Credentials, Settings, Sources, now};
use crate::client::HttpClient;
use crate::message::Request;

/// Signs requests for one section of the configuration. Cloning gives another handle to it.
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
    /// `client` speaks to the services that give credentials.
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

    /// The region of the section, of the environment, of the profile, or where this instance runs.
    ///
    /// # Errors
    /// None of them names one.
    pub async fn region(&self) -> Result<String, AwsError> {
        let mut known = self.0.region.lock().await;
        if let Some(region) = &*known {
            return Ok(region.clone());
        }
        let region = self.0.sources.find_region().await?;
        *known = Some(region.clone());
        Ok(region)
    }

    /// The address of a service in the region of this section.
    ///
    /// # Errors
    /// See [`Aws::region`].
    pub async fn service_url(&self, service: &str) -> Result<String, AwsError> {
        Ok(service_url(service, &self.region().await?))
    }

    /// Credentials that are good for another five minutes at least.
    ///
    /// # Errors
    /// None were found, or the service that gives them cannot be reached.
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

    /// Looks for credentials anew next time, since a service refused those that are known.
    pub async fn forget_credentials(&self) {
        *self.0.credentials.lock().await = None;
    }

    /// The request with the headers that show who asks.
    ///
    /// # Errors
    /// See [`Aws::credentials`].
    pub async fn sign(&self, request: Request, service: &str) -> Result<Request, AwsError> {
        let (region, credentials) = (self.region().await?, self.credentials().await?);
        sign(request, &credentials, &region, service, now())
    }
}

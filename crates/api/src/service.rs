//! What answers requests at each stage of the start.

use std::sync::Arc;

use crate::api::Api;
use crate::error::Refusal;
use crate::site::Site;

/// What answers requests, by stage.
#[derive(Clone)]
pub enum Service {
    /// The store is not open yet; requests that need it are refused.
    Starting(Arc<Site>),
    Running(Arc<Api>),
}

impl Service {
    /// What is available at every stage.
    pub fn site(&self) -> &Arc<Site> {
        match self {
            Service::Starting(site) => site,
            Service::Running(api) => &api.site,
        }
    }

    /// Returns the API, or a refusal while the server starts or stops.
    pub(crate) fn ready(&self) -> Result<&Arc<Api>, Refusal> {
        self.site().readiness.check()?;
        match self {
            Service::Running(api) => Ok(api),
            Service::Starting(_) => Err(Refusal::unavailable(false)),
        }
    }
}

//! What answers requests, at the stages of a start.

use std::sync::Arc;

use crate::api::Api;
use crate::error::Refusal;
use crate::site::Site;

/// What answers requests, by how far the start has come.
#[derive(Clone)]
pub enum Service {
    /// The store is not open yet: what needs it is refused.
    Starting(Arc<Site>),
    Running(Arc<Api>),
}

impl Service {
    /// What is there at every stage.
    pub fn site(&self) -> &Arc<Site> {
        match self {
            Service::Starting(site) => site,
            Service::Running(api) => &api.site,
        }
    }

    /// The whole API, or the answer to clients that come too early or too late.
    pub(crate) fn ready(&self) -> Result<&Arc<Api>, Refusal> {
        self.site().readiness.check()?;
        match self {
            Service::Running(api) => Ok(api),
            Service::Starting(_) => Err(Refusal::unavailable(false)),
        }
    }
}

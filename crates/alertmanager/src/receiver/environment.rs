//! What integrations are created from, and why creating them can fail.

use std::path::Path;
use std::sync::Arc;

use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::{HttpClients, SetupError};
use ferula_runtime::SharedClock;

use super::exchange::{Service, read_bounded};
use crate::template::{Templates, TemplatesError};

/// Services that integrations share.
#[derive(Clone)]
pub struct Environment {
    pub templates: Arc<Templates>,
    pub clients: HttpClients,
    pub clock: SharedClock,
}

/// Why the receivers of a configuration cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("failed to parse templates: {0}")]
    Templates(#[from] TemplatesError),
    #[error("{0}")]
    Client(#[from] SetupError),
    #[error("{what}: open {file}: {}", ferula_http_client::error::io_text(.error))]
    File { what: String, file: String, error: std::io::Error },
}

impl Environment {
    /// The client and templates for a service with this section.
    pub(super) fn service(
        &self,
        section: &HttpClientConfig,
        user_agent: &'static str,
    ) -> Result<Service, BuildError> {
        let client = self.clients.get(section, user_agent)?;
        Ok(Service { templates: self.templates.clone(), client, clock: self.clock.clone() })
    }
}

/// Refuses a configuration whose file is not there. Its content is read again before each use.
pub(super) fn must_be_readable(file: &str, what: &str) -> Result<(), BuildError> {
    read_bounded(Path::new(file)).map(drop).map_err(|error| BuildError::File {
        what: what.to_owned(),
        file: file.to_owned(),
        error,
    })
}

//! Why one part of the server could not apply a configuration.

// Prometheus' names for parts that can be tried again.
/// The retention and the out-of-order window of the store.
pub const DB_STORAGE: &str = "db_storage";
/// Destinations of remote write, and sources of remote read.
pub const REMOTE_STORAGE: &str = "remote_storage";
/// The engine's options and the query log.
pub const QUERY_ENGINE: &str = "query_engine";
/// The Alertmanagers.
pub const NOTIFY: &str = "notify";

/// The error of one part, with its name.
#[derive(Debug, thiserror::Error)]
#[error("{part}: {error:#}")]
pub struct PartError {
    /// Prometheus' name for the part.
    part: &'static str,
    error: anyhow::Error,
    /// Whether it lasts as long as the configuration does, so that trying again is of no use.
    lasts: bool,
}

impl PartError {
    pub fn new(part: &'static str, error: impl Into<anyhow::Error>) -> Self {
        PartError { part, error: error.into(), lasts: false }
    }

    /// The same, if it `lasts` as long as the configuration does.
    pub fn lasting_if(self, lasts: bool) -> Self {
        PartError { lasts, ..self }
    }

    /// Whether it lasts as long as the configuration does.
    pub fn lasts(&self) -> bool {
        self.lasts
    }

    /// The name of the part.
    pub fn part(&self) -> &'static str {
        self.part
    }
}

//! Why one part of the server could not apply a configuration.

/// Prometheus' names for parts that can be tried again.
pub const DB_STORAGE: &str = "db_storage";
pub const REMOTE_STORAGE: &str = "remote_storage";
pub const QUERY_ENGINE: &str = "query_engine";
pub const NOTIFY: &str = "notify";

/// The error of one part, with its name.
#[derive(Debug, thiserror::Error)]
#[error("{part}: {error:#}")]
pub struct PartError {
    /// Prometheus' name for the part.
    part: &'static str,
    error: anyhow::Error,
}

impl PartError {
    pub fn new(part: &'static str, error: impl Into<anyhow::Error>) -> Self {
        PartError { part, error: error.into() }
    }

    pub fn part(&self) -> &'static str {
        self.part
    }
}

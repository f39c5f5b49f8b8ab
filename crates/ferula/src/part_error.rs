//! Why one part of the server could not apply a configuration.

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
}

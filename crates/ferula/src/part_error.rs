//! The error of one part of the server that could not take a configuration.

/// Why one part could not take a configuration.
#[derive(Debug, thiserror::Error)]
#[error("{part}: {error:#}")]
pub struct PartError {
    /// Its name, as Prometheus has it.
    part: &'static str,
    error: anyhow::Error,
}

impl PartError {
    pub fn new(part: &'static str, error: impl Into<anyhow::Error>) -> Self {
        PartError { part, error: error.into() }
    }
}

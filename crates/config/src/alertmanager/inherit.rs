//! How integrations inherit from `global`.

use super::global::GlobalConfig;
use super::values::{HttpConfig, HttpUrl};
use crate::error::Problem;

/// An integration that inherits what it leaves out from `global`.
pub(crate) trait Inherit {
    /// Fills in what is inherited, and refuses what is still missing.
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem>;
}

/// Takes the global client options unless the integration has its own.
pub(crate) fn inherit_http(http: &mut Option<HttpConfig>, global: &GlobalConfig) {
    if http.is_none() {
        http.clone_from(&global.http_config);
    }
}

/// Takes the global address unless the integration has its own; refuses an integration with neither.
pub(crate) fn inherit_url(
    url: &mut Option<HttpUrl>,
    global: &Option<HttpUrl>,
    missing: &str,
) -> Result<(), Problem> {
    if url.is_none() {
        url.clone_from(global);
    }
    if url.is_some() { Ok(()) } else { Err(missing.into()) }
}

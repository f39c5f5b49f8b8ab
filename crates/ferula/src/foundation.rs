//! What scraping, rules and notifications are built on.

use std::sync::Arc;

use ferula_api::Site;
use ferula_model::AlertSink;
use ferula_query::QueryService;
use ferula_runtime::Shutdown;
use ferula_tsdb::Db;

/// What agents are built on.
pub struct Foundation<'a> {
    pub db: &'a Arc<Db>,
    pub queries: &'a Arc<QueryService>,
    pub site: &'a Site,
    /// Gets alerts beside the Alertmanagers of the configuration.
    pub local_alerts: Option<Arc<dyn AlertSink>>,
    /// Agents stop at this request.
    pub shutdown: &'a Shutdown,
}

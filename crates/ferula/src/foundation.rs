//! The parts that scraping, rules and notifications are built on.

use std::sync::Arc;

use ferula_api::Site;
use ferula_model::AlertSink;
use ferula_query::QueryService;
use ferula_runtime::Shutdown;

use crate::storage::LocalStore;

/// The parts that agents are built on.
pub struct Foundation<'a> {
    pub store: &'a LocalStore,
    pub queries: &'a Arc<QueryService>,
    pub site: &'a Site,
    /// Receives alerts in addition to the configured Alertmanagers.
    pub local_alerts: Option<Arc<dyn AlertSink>>,
    /// Tells the agents to stop.
    pub shutdown: &'a Shutdown,
}

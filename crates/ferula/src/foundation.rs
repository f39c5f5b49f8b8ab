//! The parts that scraping, rules and notifications are built on.

use std::sync::Arc;

use ferula_api::Site;
use ferula_model::AlertSink;
use ferula_query::QueryService;
use ferula_runtime::Shutdown;
use ferula_storage::Appendable;

use crate::storage::LocalStore;

/// The parts that agents are built on.
pub struct Foundation<'a> {
    pub store: &'a LocalStore,
    /// Where scraped samples go: the store, or a guard in front of it.
    pub intake: Arc<dyn Appendable>,
    pub queries: &'a Arc<QueryService>,
    pub site: &'a Site,
    /// Receives alerts in addition to the configured Alertmanagers.
    pub local_alerts: Option<Arc<dyn AlertSink>>,
    /// Tells the agents to stop.
    pub shutdown: &'a Shutdown,
}

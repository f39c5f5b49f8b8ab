//! What works on its own: discovery and scraping.

use std::sync::Arc;

use ferula_api::targets::{ActiveTarget, DroppedTarget, TargetMetadata, TargetSource};
use ferula_config::Config;
use ferula_discovery::Manager as Discovery;
use ferula_runtime::{SharedClock, TaskGroup};
use ferula_telemetry::Registry;
use ferula_tsdb::Db;

/// The agents, from before the store is open to the end.
pub struct Agents {
    discovery: Discovery,
}

impl Agents {
    /// Agents that do nothing yet.
    pub fn new(clock: SharedClock, registry: &Registry, tasks: &TaskGroup) -> Self {
        Agents { discovery: Discovery::new("scrape", clock, registry, tasks.shutdown().child()) }
    }

    /// Hands them a configuration. Must be called within the runtime.
    pub fn apply(&self, config: &Config) -> Result<(), String> {
        let jobs = config.scrape_jobs().map_err(|error| error.to_string())?.jobs;
        self.discovery.apply_config(jobs.iter().map(|job| (job.job_name.as_str(), &job.discovery)));
        Ok(())
    }

    /// The targets, for the API.
    pub fn targets(&self) -> Arc<dyn TargetSource> {
        Arc::new(NoTargets)
    }

    /// Starts them.
    pub fn start(self: &Arc<Self>, tasks: &mut TaskGroup, _: Arc<Db>) {
        let agents = self.clone();
        tasks.spawn("scrape discovery", async move {
            agents.discovery.run().await;
            Ok(())
        });
    }
}

struct NoTargets;

impl TargetSource for NoTargets {
    fn pools(&self) -> Vec<String> {
        Vec::new()
    }

    fn active(&self) -> Vec<ActiveTarget> {
        Vec::new()
    }

    fn dropped(&self) -> Vec<DroppedTarget> {
        Vec::new()
    }

    fn dropped_counts(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    fn metadata(&self, _: Option<&str>) -> Vec<TargetMetadata> {
        Vec::new()
    }
}

//! `static_configs`: targets that the configuration itself lists.

use std::sync::Arc;

use ferula_config::discovery::{DiscoveryConfigs, TargetGroup as ConfiguredGroup};

use crate::TargetGroup;
use crate::provider::{Context, Groups, Output, Provider, ProviderError};

/// All groups of one job, which is the unit of sharing in Prometheus too.
pub(crate) struct StaticTargets(Groups);

impl Provider for StaticTargets {
    type Section = Vec<ConfiguredGroup>;

    const MECHANISM: &'static str = "static";

    fn sections(configs: &DiscoveryConfigs) -> Vec<Self::Section> {
        let groups = &configs.static_configs;
        if groups.is_empty() { Vec::new() } else { vec![groups.clone()] }
    }

    fn new(section: Self::Section, _context: &Context) -> Result<Self, ProviderError> {
        let numbered = section.iter().enumerate();
        let groups = numbered.map(|(index, group)| {
            Arc::new(TargetGroup::new(index.to_string(), &group.targets, &group.labels.0))
        });
        Ok(StaticTargets(groups.collect()))
    }

    fn first_groups(&self) -> Groups {
        self.0.clone()
    }

    async fn run(self, output: Output) {
        // Counted as one update from a provider, as in Prometheus.
        output.send(self.0);
    }
}

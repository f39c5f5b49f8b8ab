//! The agents: scraping and target discovery, rules and alerts.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use ferula_api::{AlertingSource, TargetSource};
use ferula_config::Config;
use ferula_runtime::TaskGroup;
use ferula_scraper::{Scraper, ScraperSetup};

use crate::alerting::Alerting;
use crate::config_source::ConfigSource;
use crate::flags::Flags;
use crate::foundation::Foundation;
use crate::part_error::PartError;

/// All agents. They stay idle until they have a configuration and are started.
pub struct Agents {
    scraper: Scraper,
    alerting: Arc<Alerting>,
}

impl Agents {
    pub fn new(foundation: &Foundation<'_>, flags: &Flags) -> Self {
        let mut random = RandomState::new().build_hasher();
        random.write_u8(0);
        let (site, features) = (foundation.site, &flags.features);
        let scraper = Scraper::new(ScraperSetup {
            store: foundation.db.clone(),
            clock: site.clock.clone(),
            registry: site.registry.clone(),
            shutdown: foundation.shutdown.clone(),
            hostname: crate::limits::hostname(),
            random_seed: random.finish(),
            features: ferula_scraper::Features {
                exemplars: features.exemplars,
                type_and_unit_labels: features.promql.type_and_unit_labels,
                start_timestamps: features.reads_start_timestamps(),
                metadata: features.metadata,
                first_scrape_now: ConfigSource::of(flags) == ConfigSource::Embedded,
            },
        });
        Agents { scraper, alerting: Arc::new(Alerting::new(foundation, &flags.alerting)) }
    }

    /// Applies a configuration to each of them. A part that fails does not stop the others. Must be called
    /// within the runtime, on a thread that may block.
    pub fn apply(&self, config: &Config, failed: &mut Vec<PartError>) {
        if let Err(error) = self.scraper.apply_config(config) {
            failed.push(PartError::new("scrape", error));
        }
        self.alerting.apply(config, failed);
    }

    /// Starts them.
    pub fn start(&self, tasks: &mut TaskGroup) {
        let scraper = self.scraper.clone();
        tasks.spawn("scraper", async move {
            scraper.run().await;
            Ok(())
        });
        self.alerting.start(tasks);
    }

    /// The targets, for the API.
    pub fn targets(&self) -> Arc<dyn TargetSource> {
        Arc::new(self.scraper.clone())
    }

    /// Rules and Alertmanagers, for the API.
    pub fn alerting(&self) -> Arc<dyn AlertingSource> {
        self.alerting.clone()
    }
}

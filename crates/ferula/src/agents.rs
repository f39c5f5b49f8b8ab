//! The agents: scraping and target discovery, rules and alerts.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use ferula_api::{AlertingSource, TargetSource};
use ferula_config::Config;
use ferula_notifier::AlertmanagersSnapshot;
use ferula_rules::GroupSnapshot;
use ferula_runtime::TaskGroup;
use ferula_scraper::{Scraper, ScraperSetup};

use crate::alerting::Alerting;
use crate::config_source::ConfigSource;
use crate::flags::Flags;
use crate::foundation::Foundation;
use crate::memory_shares::MemoryShares;
use crate::part_error::PartError;
use crate::storage::LocalStore;

/// All agents. They stay idle until they have a configuration and are started.
pub struct Agents {
    scraper: Scraper,
    /// `None` in agent mode.
    alerting: Option<Arc<Alerting>>,
}

impl Agents {
    pub fn new(foundation: &Foundation<'_>, flags: &Flags) -> Self {
        let mut random = RandomState::new().build_hasher();
        random.write_u8(0);
        let (site, features) = (foundation.site, &flags.features);
        let scraper = Scraper::new(ScraperSetup {
            store: foundation.intake.clone(),
            clock: site.clock.clone(),
            registry: site.registry.clone(),
            shutdown: foundation.shutdown.clone(),
            hostname: crate::limits::hostname(),
            random_seed: random.finish(),
            features: ferula_scraper::Features {
                // An agent keeps none and sends all of them.
                exemplars: features.exemplars || flags.agent.is_some(),
                type_and_unit_labels: features.promql.type_and_unit_labels,
                start_timestamps: features.reads_start_timestamps(),
                metadata: features.metadata,
                first_scrape_now: ConfigSource::of(flags) == ConfigSource::Embedded,
                timestamp_tolerance_max: Some(flags.timestamp_tolerance_max),
                discovery_delay_max: Some(flags.discovery_delay_max),
                zstd: flags.scrape_zstd,
            },
            page_bytes_max: usize::try_from(MemoryShares::of_process().pages).unwrap_or(usize::MAX),
        });
        let alerting = match foundation.store {
            LocalStore::Server(db) => Some(Arc::new(Alerting::new(foundation, db, &flags.alerting))),
            LocalStore::Agent(_) => None,
        };
        Agents { scraper, alerting }
    }

    /// Applies a configuration to each of them. A part that fails does not stop the others. Must be called
    /// within the runtime, on a thread that may block.
    pub fn apply(&self, config: &Config, failed: &mut Vec<PartError>) {
        if let Err(error) = self.scraper.apply_config(config) {
            failed.push(PartError::new("scrape", error));
        }
        if let Some(alerting) = &self.alerting {
            alerting.apply(config, failed);
        }
    }

    /// Applies a configuration to the notifier only.
    pub fn apply_notifier(&self, config: &Config, failed: &mut Vec<PartError>) {
        if let Some(alerting) = &self.alerting {
            alerting.apply_notifier(config, failed);
        }
    }

    /// Starts them.
    pub fn start(&self, tasks: &mut TaskGroup) {
        let scraper = self.scraper.clone();
        tasks.spawn("scraper", async move {
            scraper.run().await;
            Ok(())
        });
        if let Some(alerting) = &self.alerting {
            alerting.start(tasks);
        }
    }

    /// The targets, for the API.
    pub fn targets(&self) -> Arc<dyn TargetSource> {
        Arc::new(self.scraper.clone())
    }

    /// Rules and Alertmanagers, for the API.
    pub fn alerting(&self) -> Arc<dyn AlertingSource> {
        match &self.alerting {
            Some(alerting) => alerting.clone(),
            None => Arc::new(NoAlerting),
        }
    }
}

/// An agent has no rules and no Alertmanagers.
struct NoAlerting;

impl AlertingSource for NoAlerting {
    fn groups(&self) -> Vec<GroupSnapshot> {
        Vec::new()
    }

    fn alertmanagers(&self) -> AlertmanagersSnapshot {
        AlertmanagersSnapshot::default()
    }
}

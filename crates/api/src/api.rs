//! The state that handlers of a running server share: handles to the crates that they read from.

use std::sync::Arc;

use ferula_config::Config;
use ferula_config::scrape::ScrapeConfig;
use ferula_notifier::AlertmanagersSnapshot;
use ferula_query::QueryService;
use ferula_rules::GroupSnapshot;
use ferula_scraper::bad_pages::BadPage;
use ferula_scraper::preview::Preview;
use ferula_scraper::{Scraper, TargetsSnapshot};
use tokio::sync::watch;

use crate::federation_metrics::FederationMetrics;
use crate::name_cache::NameCache;
use crate::read_gate::ReadGate;
use crate::site::Site;
use crate::store::Store;

/// How the API reads scrape targets.
pub trait TargetSource: Send + Sync {
    /// All jobs with their targets, by name.
    fn targets(&self) -> TargetsSnapshot;

    /// Scrapes a target once, outside of its loop; `None` if the job has no target with this URL.
    fn preview(&self, job: &str, url: &str) -> Option<Preview> {
        let _ = (job, url);
        None
    }

    /// The last page of a target that could not be ingested, if it was kept.
    fn bad_page(&self, job: &str, url: &str) -> Option<BadPage> {
        let _ = (job, url);
        None
    }
}

impl TargetSource for Scraper {
    fn targets(&self) -> TargetsSnapshot {
        Scraper::targets(self)
    }

    fn preview(&self, job: &str, url: &str) -> Option<Preview> {
        Scraper::preview(self, job, url)
    }

    fn bad_page(&self, job: &str, url: &str) -> Option<BadPage> {
        Scraper::bad_page(self, job, url)
    }
}

/// How the API reads rules and Alertmanagers.
pub trait AlertingSource: Send + Sync {
    /// All groups, by file and name.
    fn groups(&self) -> Vec<GroupSnapshot>;

    /// The Alertmanagers that alerts are sent to.
    fn alertmanagers(&self) -> AlertmanagersSnapshot;
}

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    pub config: Config,
    /// Printed as YAML.
    pub yaml: String,
    /// Its scrape jobs, including those from other files, as they were when it was loaded.
    pub jobs: Vec<ScrapeConfig>,
    /// How long samples are kept, as `status/runtimeinfo` shows it: `15d or 512MB`.
    pub retention: String,
}

impl LoadedConfig {
    pub fn new(config: Config, retention: String) -> Self {
        // Job files that cannot be read are reported by the scraper, which applies them.
        let jobs = config.scrape_jobs().map(|all| all.jobs).unwrap_or_default();
        LoadedConfig { yaml: config.to_yaml(), config, jobs, retention }
    }
}

/// What the handlers of a running server can reach.
pub struct Api {
    pub site: Arc<Site>,
    pub queries: Arc<QueryService>,
    pub store: Store,
    pub targets: Arc<dyn TargetSource>,
    pub alerting: Arc<dyn AlertingSource>,
    pub(crate) write: ferula_remote::write::Receiver,
    pub(crate) otlp: ferula_otlp::Receiver,
    pub(crate) read: ReadGate,
    pub(crate) editor_names: NameCache,
    pub(crate) federation: FederationMetrics,
    loaded: watch::Receiver<Arc<LoadedConfig>>,
}

impl Api {
    /// `loaded` changes with every reload.
    pub fn new(
        site: Arc<Site>,
        queries: Arc<QueryService>,
        store: Store,
        targets: Arc<dyn TargetSource>,
        alerting: Arc<dyn AlertingSource>,
        loaded: watch::Receiver<Arc<LoadedConfig>>,
    ) -> Self {
        let features = site.settings.remote_write_features;
        Api {
            write: ferula_remote::write::Receiver::new(&site.registry, features),
            otlp: ferula_otlp::Receiver::new(&site.registry, site.settings.otlp_features),
            read: ReadGate::new(site.settings.remote_read.concurrent_max, &site.registry),
            editor_names: NameCache::default(),
            federation: FederationMetrics::new(&site.registry),
            site,
            queries,
            store,
            targets,
            alerting,
            loaded,
        }
    }

    /// The configuration in force.
    pub fn loaded(&self) -> Arc<LoadedConfig> {
        self.loaded.borrow().clone()
    }
}

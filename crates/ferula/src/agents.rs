//! What works on its own: scraping with the discovery of its targets, and rules with the alerts they raise.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, OnceLock, PoisonError};

use ferula_api::targets::{ActiveTarget, DroppedTarget, Health, TargetMetadata, TargetSource};
use ferula_config::Config;
use ferula_runtime::TaskGroup;
use ferula_scraper::{Deps, PoolSnapshot, Scraper, Target, TargetsSnapshot};
use time::OffsetDateTime;

use crate::alerting::{Alerting, Parts};
use crate::flags::FeatureSet;

/// The agents. They come to life when the store is open; until then there are no targets.
#[derive(Default)]
pub struct Agents {
    scraper: OnceLock<Scraper>,
    alerting: OnceLock<Arc<Alerting>>,
}

impl Agents {
    /// Makes the agents, which do nothing until they get a configuration and are started.
    pub fn make(&self, parts: &Parts<'_>, features: &FeatureSet) {
        let mut random = RandomState::new().build_hasher();
        random.write_u8(0);
        self.scraper.get_or_init(|| {
            Scraper::new(Deps {
                store: parts.db.clone(),
                clock: parts.clock.clone(),
                registry: parts.registry.clone(),
                shutdown: parts.tasks.shutdown().clone(),
                hostname: crate::limits::hostname(),
                random_seed: random.finish(),
                features: ferula_scraper::Features {
                    exemplars: features.exemplars,
                    type_and_unit_labels: features.promql.type_and_unit_labels,
                    start_timestamps: features.reads_start_timestamps(),
                    metadata: features.metadata,
                },
            })
        });
        self.alerting.get_or_init(|| Arc::new(Alerting::new(parts)));
    }

    /// Hands them a configuration. Must be called within the runtime.
    pub fn apply(&self, config: &Config) -> Result<(), String> {
        if let Some(scraper) = self.scraper.get() {
            scraper.apply_config(config).map_err(|error| error.to_string())?;
        }
        self.alerting.get().map_or(Ok(()), |alerting| alerting.apply(config))
    }

    /// Starts them.
    pub fn start(&self, tasks: &mut TaskGroup) {
        if let Some(scraper) = self.scraper.get().cloned() {
            tasks.spawn("scraper", async move {
                scraper.run().await;
                Ok(())
            });
        }
        if let Some(alerting) = self.alerting.get() {
            alerting.start(tasks);
        }
    }

    /// Rules and Alertmanagers, for the API.
    pub fn alerting(&self) -> Option<Arc<Alerting>> {
        self.alerting.get().cloned()
    }

    fn snapshot(&self) -> TargetsSnapshot {
        self.scraper.get().map(Scraper::targets).unwrap_or_default()
    }
}

impl TargetSource for Agents {
    fn pools(&self) -> Vec<String> {
        self.snapshot().pools.into_iter().map(|pool| pool.name).collect()
    }

    fn active(&self) -> Vec<ActiveTarget> {
        let pools = self.snapshot().pools;
        pools.iter().flat_map(|pool| pool.active.iter().map(|target| active(pool, target))).collect()
    }

    fn dropped(&self) -> Vec<DroppedTarget> {
        let pools = self.snapshot().pools.into_iter();
        let of_pool = |pool: PoolSnapshot| {
            let name = pool.name;
            pool.dropped
                .into_iter()
                .map(move |labels| DroppedTarget { pool: name.clone(), discovered_labels: labels })
        };
        pools.flat_map(of_pool).collect()
    }

    fn dropped_counts(&self) -> Vec<(String, u64)> {
        self.snapshot().pools.into_iter().map(|pool| (pool.name, pool.dropped_count as u64)).collect()
    }

    fn metadata(&self, metric: Option<&str>) -> Vec<TargetMetadata> {
        let pools = self.snapshot().pools;
        let mut all = Vec::new();
        for target in pools.iter().flat_map(|pool| &pool.active) {
            let Some(cache) = target.metadata() else { continue };
            let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            let found = match metric {
                None => cache.list(),
                Some(name) => {
                    cache.get(name).map(|metadata| (name.to_owned(), metadata.clone())).into_iter().collect()
                }
            };
            all.extend(found.into_iter().map(|(family, metadata)| TargetMetadata {
                target: target.public_labels.clone(),
                family,
                metadata,
            }));
        }
        all
    }
}

fn active(pool: &PoolSnapshot, target: &Target) -> ActiveTarget {
    let last = target.last_scrape();
    ActiveTarget {
        pool: pool.name.clone(),
        discovered_labels: target.discovered_labels(),
        labels: target.public_labels.clone(),
        url: target.url.clone(),
        last_error: last.error,
        last_scrape: last
            .at_unix_nanos
            .and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).ok()),
        last_duration_seconds: last.took.as_secs_f64(),
        health: match last.health {
            ferula_scraper::Health::Up => Health::Up,
            ferula_scraper::Health::Down => Health::Down,
            ferula_scraper::Health::Unknown => Health::Unknown,
        },
        interval: target.labels.value("__scrape_interval__").to_owned(),
        timeout: target.labels.value("__scrape_timeout__").to_owned(),
    }
}

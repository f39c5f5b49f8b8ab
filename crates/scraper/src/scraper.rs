//! The scraper as a whole: from jobs to pools, from discovery to targets, and what the API sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_config::scrape::ScrapeConfig;
use ferula_config::{Config, ConfigError};
use ferula_discovery::{Manager, TargetSets};
use ferula_go::sync::MutexExt;
use ferula_http_client::{HttpClient, HttpClients};
use ferula_model::{LabelSet, Metric, MetricFamily, MetricType, MetricValue};
use ferula_runtime::{SharedClock, Shutdown};
use ferula_storage::Appendable;
use ferula_telemetry::{Registry, error, warn};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::bad_pages::{BadPage, BadPages};
use crate::failure_log::FailureLogs;
use crate::http::PageReading;
use crate::metrics::Metrics;
use crate::options::Features;
use crate::page_memory::PageMemory;
use crate::pool::{Pool, PoolContext, PoolError, Pools};
use crate::preview::Preview;
use crate::scrape_loop::LoopServices;
use crate::target::Target;
use crate::target_maker::{DroppedTarget, fnv64a};

/// How often to retry jobs that could not run when they were configured.
const WAITING_POOLS_INTERVAL: Duration = Duration::from_secs(5);

/// What a scraper needs.
pub struct ScraperSetup {
    pub store: Arc<dyn Appendable>,
    pub clock: SharedClock,
    pub registry: Registry,
    pub shutdown: Shutdown,
    /// This machine's name, so that replicas on other machines scrape at different times.
    pub hostname: String,
    /// A random number that targets cannot know.
    pub random_seed: u64,
    /// What the feature flags enable.
    pub features: Features,
    /// What all pages together may hold while they are fetched, decompressed and stored, in bytes.
    pub page_bytes_max: usize,
}

/// Scrapes the targets of all jobs. Clones are handles to the same scraper.
#[derive(Clone)]
pub struct Scraper(Arc<Inner>);

struct Inner {
    discovery: Manager,
    shared: LoopServices,
    reading: PageReading,
    clients: HttpClients,
    hostname: String,
    features: Features,
    pools: Pools,
    /// New jobs that cannot run yet because a file is missing or invalid.
    waiting: Mutex<BTreeMap<String, ScrapeConfig>>,
    failure_logs: FailureLogs,
    /// Depends on the external labels.
    offset_seed: Mutex<u64>,
    /// The number of permits of `shared.storing`.
    storing_permits: u32,
}

/// Why a configuration was not applied in full.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A file of jobs cannot be read.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// Running jobs that could not apply their new options, with reasons. They continue with the old ones; all
    /// other jobs are applied. A new job that cannot run is not an error: it is logged and retried.
    #[error("failed to apply the new configuration: {}", .0.join("; "))]
    Pools(Vec<String>),
}

/// All targets at one moment, for the API.
#[derive(Clone, Debug, Default)]
pub struct TargetsSnapshot {
    /// The jobs, by name.
    pub pools: Vec<PoolSnapshot>,
}

/// The targets of one job.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    /// The job's name.
    pub name: String,
    /// The job's section.
    pub config: Arc<ScrapeConfig>,
    /// Scraped targets, sorted by URL.
    pub active: Vec<Arc<Target>>,
    /// Targets that relabelling dropped, as many as `keep_dropped_targets` allows.
    pub dropped: Vec<DroppedTarget>,
    /// The total number of dropped targets.
    pub dropped_count: usize,
}

/// How many threads of the runtime may wait for the disk at the same time: all but one.
fn spare_threads() -> usize {
    Handle::try_current().map_or(0, |runtime| runtime.metrics().num_workers().saturating_sub(1))
}

impl Scraper {
    /// Creates a scraper without jobs.
    pub fn new(setup: ScraperSetup) -> Self {
        let parallel = std::thread::available_parallelism().map_or(2, std::num::NonZero::get) * 2;
        let shared = LoopServices {
            store: setup.store,
            clock: setup.clock.clone(),
            metrics: Metrics::new(&setup.registry),
            shutdown: setup.shutdown.clone(),
            storing: Arc::new(Semaphore::new(parallel)),
            storing_here: Arc::new(Semaphore::new(spare_threads())),
            seeds: Arc::new(AtomicU64::new(setup.random_seed)),
            bad_pages: BadPages::default(),
        };
        let pools = Pools::default();
        collect_metadata_sizes(&setup.registry, &pools);
        Scraper(Arc::new(Inner {
            discovery: Manager::new("scrape", setup.clock, &setup.registry, setup.shutdown)
                .with_delay_max(setup.features.discovery_delay_max),
            shared,
            reading: PageReading::new(PageMemory::new(setup.page_bytes_max)),
            clients: HttpClients::default(),
            hostname: setup.hostname,
            features: setup.features,
            pools,
            waiting: Mutex::default(),
            failure_logs: FailureLogs::default(),
            offset_seed: Mutex::default(),
            storing_permits: u32::try_from(parallel).unwrap_or(u32::MAX),
        }))
    }

    /// Applies the jobs of this configuration. Unchanged jobs continue undisturbed.
    ///
    /// Must be called within a Tokio runtime.
    pub fn apply_config(&self, config: &Config) -> Result<(), ApplyError> {
        let jobs = config.scrape_jobs()?.jobs;
        let seed_text = format!("{}{}", self.0.hostname, config.global.external_labels.to_label_set());
        *self.0.offset_seed.locked() = fnv64a(seed_text.as_bytes());
        let failed = self.0.apply_jobs(&jobs);
        self.0.failure_logs.reopen();
        self.0.discovery.apply_config(jobs.iter().map(|job| (job.job_name.as_str(), &job.discovery)));
        let sets = self.0.discovery.subscribe().borrow().clone();
        self.0.sync(&sets);
        if failed.is_empty() { Ok(()) } else { Err(ApplyError::Pools(failed)) }
    }

    /// Follows discovery until shutdown, then waits for scrapes that are being stored.
    pub async fn run(&self) {
        let inner = &self.0;
        let mut updates = inner.discovery.subscribe();
        let discovery = inner.discovery.clone();
        let passing_on = tokio::spawn(async move { discovery.run().await });
        loop {
            tokio::select! {
                changed = updates.changed() => if changed.is_err() { break },
                () = inner.shared.clock.sleep(WAITING_POOLS_INTERVAL) => {
                if !inner.make_waiting_pools() {
                    continue;
                }
            }
                () = inner.shared.shutdown.requested() => break,
            }
            let sets = updates.borrow_and_update().clone();
            inner.sync(&sets);
        }
        let pools = std::mem::take(&mut *inner.lock());
        for task in pools.into_values().flat_map(Pool::into_tasks) {
            if let Err(panic) = task.await {
                error!("A scrape loop panicked", component = "scrape manager", err = panic);
            }
        }
        // A loop that was cut short leaves its page to the storing thread.
        let all = inner.shared.storing.acquire_many(inner.storing_permits).await;
        drop(all.expect("this semaphore is never closed"));
        if let Err(panic) = passing_on.await {
            error!("Discovery panicked", component = "discovery manager scrape", err = panic);
        }
    }

    /// A preview of a target; `None` if the job has no target with this address.
    pub fn preview(&self, job: &str, url: &str) -> Option<Preview> {
        let context = self.0.context();
        self.0.lock().get(job)?.preview(url, &context)
    }

    /// The last page of a target that could not be ingested.
    pub fn bad_page(&self, job: &str, url: &str) -> Option<BadPage> {
        self.0.shared.bad_pages.of(job, url)
    }

    /// All current targets.
    pub fn targets(&self) -> TargetsSnapshot {
        let pools = self.0.lock();
        let pool = |(name, pool): (&String, &Pool)| {
            let mut active: Vec<Arc<Target>> = pool.active().cloned().collect();
            active.sort_by(|a, b| a.url.cmp(&b.url));
            let (dropped, dropped_count) = pool.dropped();
            PoolSnapshot {
                name: name.clone(),
                config: pool.config().clone(),
                active,
                dropped: dropped.to_vec(),
                dropped_count,
            }
        };
        TargetsSnapshot { pools: pools.iter().map(pool).collect() }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Pool>> {
        self.pools.locked()
    }

    fn context(&self) -> PoolContext {
        PoolContext {
            shared: self.shared.clone(),
            reading: self.reading.clone(),
            clients: self.clients.clone(),
            features: self.features,
            offset_seed: *self.offset_seed.locked(),
            failure_logs: self.failure_logs.clone(),
        }
    }

    /// Creates, changes and removes pools. Returns the names of jobs that could not be applied.
    fn apply_jobs(&self, jobs: &[ScrapeConfig]) -> Vec<String> {
        let context = self.context();
        let metrics = &self.shared.metrics;
        let wanted: BTreeSet<&str> = jobs.iter().map(|job| job.job_name.as_str()).collect();
        // Before the pools, as in `make_waiting_pools`: the opposite lock order could deadlock.
        let mut waiting_jobs = self.waiting.locked();
        let mut pools = self.lock();
        let gone: Vec<String> =
            pools.keys().filter(|name| !wanted.contains(name.as_str())).cloned().collect();
        for name in gone {
            if let Some(pool) = pools.remove(&name) {
                pool.end();
            }
            metrics.forget_job(&name);
            self.shared.bad_pages.forget_job(&name);
        }
        let mut failed = Vec::new();
        let mut waiting = BTreeMap::new();
        for job in jobs {
            warn_of_caveat(job);
            let name = &job.job_name;
            match pools.get_mut(name) {
                Some(pool) if **pool.config() == *job => {}
                Some(pool) => {
                    metrics.pool_reloads.inc();
                    if let Err(reason) = pool.reload(job.clone(), &context) {
                        metrics.pool_reloads_failed.inc();
                        log_pool_error("error reloading scrape pool", name, &reason);
                        failed.push(format!("job {name}: {reason}"));
                    }
                }
                None => match self.make_pool(job, &context) {
                    Ok(pool) => drop(pools.insert(name.clone(), pool)),
                    Err(reason) => {
                        log_pool_error("error creating new scrape pool", name, &reason);
                        waiting.insert(name.clone(), job.clone());
                    }
                },
            }
        }
        *waiting_jobs = waiting;
        failed
    }

    fn make_pool(&self, job: &ScrapeConfig, context: &PoolContext) -> Result<Pool, PoolError> {
        self.shared.metrics.pools.inc();
        Pool::new(job.clone(), context).inspect_err(|_| self.shared.metrics.pools_failed.inc())
    }

    /// Retries jobs that could not run when they were configured. Returns whether one can now.
    fn make_waiting_pools(&self) -> bool {
        let mut waiting = self.waiting.locked();
        if waiting.is_empty() {
            return false;
        }
        let context = self.context();
        let mut pools = self.lock();
        let before = waiting.len();
        waiting.retain(|name, job| match self.make_pool(job, &context) {
            Ok(pool) => {
                pools.insert(name.clone(), pool);
                false
            }
            // The first failure was logged.
            Err(_) => true,
        });
        waiting.len() < before
    }

    fn sync(&self, sets: &TargetSets) {
        let context = self.context();
        let mut pools = self.lock();
        for (job, groups) in sets.iter() {
            if let Some(pool) = pools.get_mut(job) {
                pool.sync(groups.clone(), &context);
            }
        }
    }
}

fn log_pool_error(text: &str, job: &str, reason: &PoolError) {
    error!(text, component = "scrape manager", err = reason, scrape_pool = job);
}

/// Client options that are only partly supported do no harm, but are logged.
fn warn_of_caveat(job: &ScrapeConfig) {
    if let Some(caveat) = HttpClient::caveat(&job.http) {
        warn!(caveat, component = "scrape manager", scrape_pool = job.job_name);
    }
}

/// Metadata sizes are computed on demand, because they change with every page.
fn collect_metadata_sizes(registry: &Registry, pools: &Pools) {
    let pools = Arc::downgrade(pools);
    registry.collector(move |families| {
        let Some(pools) = pools.upgrade() else { return };
        // Every target has its own lock; the pools are not locked while waiting for one.
        let jobs: Vec<(String, Vec<_>)> = {
            let pools = pools.locked();
            let metadata = |pool: &Pool| pool.active().filter_map(|target| target.metadata()).collect();
            pools.iter().map(|(job, pool)| (job.clone(), metadata(pool))).collect()
        };
        let (mut entries, mut bytes) = (Vec::new(), Vec::new());
        for (job, metadata) in &jobs {
            let sizes = metadata.iter().map(|one| one.locked().size());
            let total = sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
            entries.push(gauge(job, total.0));
            bytes.push(gauge(job, total.1));
        }
        families.push(gauges(
            "prometheus_target_metadata_cache_entries",
            "Metric families with cached type, help or unit, by job.",
            entries,
        ));
        families.push(gauges(
            "prometheus_target_metadata_cache_bytes",
            "Bytes of cached types, help texts and units of metric families, by job.",
            bytes,
        ));
    });
}

fn gauge(job: &str, value: usize) -> Metric {
    let labels = LabelSet::from_pairs([("scrape_job", job)]);
    Metric { labels, value: MetricValue::Single(value as f64), timestamp: None }
}

fn gauges(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    MetricFamily { name: name.to_owned(), help: help.to_owned(), kind: MetricType::Gauge, metrics }
}

#[cfg(test)]
mod tests;

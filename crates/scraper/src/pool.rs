//! The targets of one job and their loops.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use ferula_config::scrape::ScrapeConfig;
use ferula_discovery::TargetGroup;
use ferula_go::sync::MutexExt;
use ferula_http_client::{HttpClient, HttpClients, SetupError};
use ferula_runtime::Shutdown;
use ferula_telemetry::{error, warn};
use tokio::task::JoinHandle;

use crate::error::ScrapeError;
use crate::failure_log::FailureLogs;
use crate::http::{HttpFetch, PageReading, USER_AGENT_TEXT};
use crate::options::{Features, JobOptions, same_labels};
use crate::preview::Preview;
use crate::scrape_loop::{JobFailure, LoopServices, ScrapeLoop, Stopped};
use crate::target::Target;
use crate::target_maker::{DroppedTarget, TargetMaker, TargetOutcome};

/// The targets of one job.
pub(crate) struct Pool {
    config: Arc<ScrapeConfig>,
    job: Arc<JobOptions>,
    client: HttpClient,
    /// Keyed by the hash of the target.
    loops: BTreeMap<u64, Running>,
    groups: Vec<Arc<TargetGroup>>,
    dropped: Vec<DroppedTarget>,
    dropped_count: usize,
    /// Pairs of targets with equal labels that the log has named.
    told: HashSet<(u64, u64)>,
}

/// A target and its loop.
struct Running {
    target: Arc<Target>,
    forced: JobFailure,
    stop: Shutdown,
    task: JoinHandle<Stopped>,
}

/// Why the targets of a job cannot be scraped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    #[error("error creating HTTP client: {0}")]
    Client(#[from] SetupError),
    #[error("can't create json log file: {0}")]
    FailureLog(#[from] std::io::Error),
}

/// What the pools of all jobs need.
#[derive(Clone)]
pub(crate) struct PoolContext {
    pub(crate) shared: LoopServices,
    pub(crate) reading: PageReading,
    pub(crate) clients: HttpClients,
    pub(crate) features: Features,
    pub(crate) offset_seed: u64,
    pub(crate) failure_logs: FailureLogs,
}

impl PoolContext {
    fn client(&self, config: &ScrapeConfig) -> Result<HttpClient, PoolError> {
        Ok(self.clients.get(&config.http, USER_AGENT_TEXT)?)
    }

    fn options(&self, config: &ScrapeConfig) -> Result<Arc<JobOptions>, PoolError> {
        let mut options = JobOptions::of(config, self.features);
        options.failure_log = self.failure_logs.get(&config.scrape_failure_log_file)?;
        Ok(Arc::new(options))
    }
}

impl Pool {
    /// Creates a pool without targets.
    ///
    /// # Errors
    /// The client cannot be created from the job's options.
    pub(crate) fn new(config: ScrapeConfig, context: &PoolContext) -> Result<Self, PoolError> {
        Ok(Pool {
            job: context.options(&config)?,
            client: context.client(&config)?,
            config: Arc::new(config),
            loops: BTreeMap::new(),
            groups: Vec::new(),
            dropped: Vec::new(),
            dropped_count: 0,
            told: HashSet::new(),
        })
    }

    /// A preview of a target of this job; `None` if no target has this address.
    pub(crate) fn preview(&self, url: &str, context: &PoolContext) -> Option<Preview> {
        let target = self.active().find(|target| target.url == url)?.clone();
        let fetch = HttpFetch::new(self.client.clone(), context.reading.clone(), &target, &self.job);
        Some(Preview::new(fetch, target, self.config.clone(), self.job.clone(), context.shared.clock.clone()))
    }

    /// The job's section.
    pub(crate) fn config(&self) -> &Arc<ScrapeConfig> {
        &self.config
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.loops.values().map(|running| &running.target)
    }

    pub(crate) fn dropped(&self) -> (&[DroppedTarget], usize) {
        (&self.dropped, self.dropped_count)
    }

    /// Applies a new section. Loops of remaining targets are restarted and keep their state if it is still valid.
    pub(crate) fn reload(&mut self, config: ScrapeConfig, context: &PoolContext) -> Result<(), PoolError> {
        let start = context.shared.clock.elapsed();
        let client = context.client(&config)?;
        let job = context.options(&config)?;
        let keep_state = same_labels(&self.config, &config);
        self.client = client;
        self.job = job;
        self.config = Arc::new(config);
        let mut old = std::mem::take(&mut self.loops);
        for running in old.values() {
            running.stop.request();
        }
        let groups = self.groups.clone();
        self.sync_from(groups, &mut old, keep_state, context);
        let took = context.shared.clock.elapsed().saturating_sub(start);
        context.shared.metrics.reloaded(self.config.scrape_interval, took);
        Ok(())
    }

    /// Starts the loops of new targets and stops those of removed ones.
    pub(crate) fn sync(&mut self, groups: Vec<Arc<TargetGroup>>, context: &PoolContext) {
        self.sync_from(groups, &mut BTreeMap::new(), false, context);
    }

    /// Like `sync`. Loops in `replaced` have been told to stop; their targets, if they remain, continue from them.
    fn sync_from(
        &mut self,
        groups: Vec<Arc<TargetGroup>>,
        replaced: &mut BTreeMap<u64, Running>,
        keep_state: bool,
        context: &PoolContext,
    ) {
        let start = context.shared.clock.elapsed();
        let config = self.config.clone();
        let maker = TargetMaker::new(&config);
        let mut before = std::mem::take(&mut self.loops);
        let mut failed = 0;
        self.dropped.clear();
        self.dropped_count = 0;
        for (group, target) in
            groups.iter().flat_map(|group| group.targets.iter().map(move |target| (group, target)))
        {
            match maker.make(target, group) {
                Ok(TargetOutcome::Scraped(target)) => {
                    self.take_target(*target, &mut before, replaced, keep_state, context)
                }
                Ok(TargetOutcome::Dropped(dropped)) => {
                    let limit = config.keep_dropped_targets;
                    if limit == 0 || (self.dropped.len() as u64) < limit {
                        self.dropped.push(dropped);
                    }
                    self.dropped_count += 1;
                }
                Err(error) => {
                    failed += 1;
                    error!(
                        "Creating target failed",
                        component = "scrape manager",
                        scrape_pool = config.job_name,
                        err = format!("instance in group {}: {error}", group.source)
                    );
                }
            }
        }
        self.groups = groups;
        for running in before.into_values().chain(std::mem::take(replaced).into_values()) {
            running.end();
        }
        self.tell_equal_labels();
        self.force_errors(context);
        let took = context.shared.clock.elapsed().saturating_sub(start);
        context.shared.metrics.synced(&config.job_name, self.loops.len(), failed, config.target_limit, took);
    }

    /// Keeps or starts the loop of a target. Of two equal targets the first is used.
    fn take_target(
        &mut self,
        target: Target,
        before: &mut BTreeMap<u64, Running>,
        replaced: &mut BTreeMap<u64, Running>,
        keep_state: bool,
        context: &PoolContext,
    ) {
        let hash = target.hash;
        if let Some(running) = before.remove(&hash) {
            self.loops.insert(hash, running);
        }
        if let Some(running) = self.loops.get(&hash) {
            running.target.set_discovered_labels(target.discovered_labels());
            return;
        }
        let previous = replaced.remove(&hash);
        let target = Arc::new(target);
        if let Some(previous) = &previous {
            target.report(previous.target.last_scrape());
        }
        let running = self.start(target, previous, keep_state, context);
        self.loops.insert(hash, running);
    }

    fn start(
        &self,
        target: Arc<Target>,
        previous: Option<Running>,
        keep_state: bool,
        context: &PoolContext,
    ) -> Running {
        let shared = context.shared.clone();
        let (forced, stop) = (JobFailure::default(), shared.shutdown.child());
        let fetch = HttpFetch::new(self.client.clone(), context.reading.clone(), &target, &self.job);
        let new_loop = ScrapeLoop {
            state: shared.new_state(),
            shared,
            target: target.clone(),
            job: self.job.clone(),
            fetch: Arc::new(fetch),
            forced: forced.clone(),
            stop: stop.clone(),
            offset_seed: context.offset_seed,
        };
        let task = tokio::spawn(run_after(previous.map(|running| running.task), keep_state, new_loop));
        Running { target, forced, stop, task }
    }

    /// Logs, once each, targets that relabelling gives the same labels: each scrape of one then clashes with the other's.
    fn tell_equal_labels(&mut self) {
        let mut by_labels = HashMap::with_capacity(self.loops.len());
        let mut pairs = HashSet::new();
        for (hash, running) in &self.loops {
            let target = &running.target;
            let (first_hash, first) = *by_labels.entry(&target.public_labels).or_insert((*hash, target));
            if first_hash == *hash {
                continue;
            }
            pairs.insert((first_hash, *hash));
            if !self.told.contains(&(first_hash, *hash)) {
                warn!(
                    "Two targets have the same labels, so their samples clash",
                    component = "scrape manager",
                    scrape_pool = self.config.job_name,
                    labels = target.public_labels,
                    first = first.url,
                    second = target.url
                );
            }
        }
        self.told = pairs;
    }

    fn force_errors(&self, context: &PoolContext) {
        let (targets, limit) = (self.loops.len(), self.config.target_limit);
        let forced =
            (limit > 0 && targets as u64 > limit).then_some(ScrapeError::TargetLimit { targets, limit });
        if let Some(error) = &forced {
            context.shared.metrics.exceeded_target_limit.inc();
            warn!("Scrape pool over its limit", scrape_pool = self.config.job_name, err = error);
        }
        for running in self.loops.values() {
            (*running.forced.locked()).clone_from(&forced);
        }
    }

    /// Ends all loops because the job was removed.
    pub(crate) fn end(self) {
        for running in self.loops.into_values() {
            running.end();
        }
    }

    /// The loops' tasks, to be awaited.
    pub(crate) fn into_tasks(self) -> Vec<JoinHandle<Stopped>> {
        self.loops.into_values().map(|running| running.task).collect()
    }
}

impl Running {
    /// Stops the loop, which then ends the target's series in due time.
    fn end(self) {
        self.stop.request();
        tokio::spawn(async move {
            if let Ok(stopped) = self.task.await {
                stopped.end_of_run().await;
            }
        });
    }
}

/// Runs a loop once its predecessor has stopped. It takes over the state, or the predecessor's series end.
async fn run_after(previous: Option<JoinHandle<Stopped>>, keep_state: bool, mut new: ScrapeLoop) -> Stopped {
    if let Some(previous) = previous
        && let Ok(stopped) = previous.await
    {
        if keep_state {
            new.state = stopped.state;
        } else {
            tokio::spawn(stopped.end_of_run());
        }
    }
    new.run().await
}

/// Here because the collector of metadata sizes uses it.
pub(crate) type Pools = Arc<Mutex<BTreeMap<String, Pool>>>;

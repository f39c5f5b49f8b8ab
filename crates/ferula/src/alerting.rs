//! Rules and notifications: rule groups ask the engine, write to the store, and hand alerts to the notifier.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferula_api::alerting::AlertingSource;
use ferula_api::query::QueryRunner;
use ferula_config::Config;
use ferula_config::rules::{RuleFileOptions, load_rules};
use ferula_discovery::Manager as Discovery;
use ferula_go::quote::go_quote;
use ferula_model::{LabelSet, Timestamp};
use ferula_notifier::{AlertmanagersSnapshot, Manager as Notifier, Options};
use ferula_promql::{InstantSample, QueryControl, QueryOptions, QueryValue, SampleValue, StopReason};
use ferula_promql_syntax::{Expr, ParserOptions};
use ferula_rules::{
    GroupContext, GroupSnapshot, Manager as Rules, ManagerOptions, Metrics, RestoreOptions, RuleError,
    RuleQuery, RuleSet, check_template,
};
use ferula_runtime::{SharedClock, Shutdown, TaskGroup};
use ferula_telemetry::Registry;
use ferula_tsdb::Db;
use tokio::runtime::Handle;

use crate::flags::AlertingFlags;

/// Reads all rule files, as the start does before anything else begins.
///
/// # Errors
/// The first file that is wrong, with everything that is wrong with it.
pub fn check_rule_files(config: &Config, parser: ParserOptions) -> Result<(), String> {
    let options = RuleFileOptions {
        names: config.global.metric_name_validation_scheme.scheme(),
        ignore_unknown_fields: false,
        parser,
        check_template: &check_template,
    };
    for pattern in &config.rule_files.0 {
        for file in ferula_config::glob(pattern) {
            if let Err(errors) = load_rules(Path::new(&file), &options) {
                let (file, pattern) = (go_quote(&file), go_quote(pattern));
                return Err(format!(
                    "parse rules from file {file} (pattern: {pattern}): {}",
                    errors.join("\n")
                ));
            }
        }
    }
    Ok(())
}

/// What it is made of.
pub struct Parts<'a> {
    /// The store.
    pub db: &'a Arc<Db>,
    /// The engine, with its limits.
    pub queries: &'a Arc<QueryRunner>,
    /// The time.
    pub clock: &'a SharedClock,
    /// For the metrics.
    pub registry: &'a Registry,
    /// The tasks that it joins.
    pub tasks: &'a TaskGroup,
    /// Its flags.
    pub flags: &'a AlertingFlags,
    /// Parts of PromQL that are switched on.
    pub parser: ParserOptions,
    /// How others reach this server.
    pub external_url: String,
}

/// Rules, and the way of their alerts.
pub struct Alerting {
    rules: Rules,
    notifier: Notifier,
    discovery: Discovery,
    /// Without external labels and query offset, which come with each configuration.
    context: GroupContext,
    /// Stops after the rules, so that their last alerts are still sent.
    notifier_shutdown: Shutdown,
}

impl Alerting {
    /// Makes the managers; nothing runs before [`Alerting::start`].
    pub fn new(parts: &Parts<'_>) -> Self {
        let flags = parts.flags;
        let notifier_shutdown = Shutdown::new();
        let options = Options {
            queue_capacity: flags.queue_capacity,
            batch_size: flags.batch_size,
            drain_on_shutdown: flags.drain_on_shutdown,
            ..Options::default()
        };
        let notifier = Notifier::new(options, parts.registry, parts.clock.clone(), notifier_shutdown.clone());
        let restore =
            RestoreOptions { outage_tolerance: flags.outage_tolerance, grace_period: flags.grace_period };
        let query = RuleQueries {
            runner: parts.queries.clone(),
            db: parts.db.clone(),
            timeout: flags.query_timeout,
            runtime: Handle::current(),
            stopping: AtomicBool::new(false),
            running: Mutex::default(),
            next: AtomicU64::new(0),
        };
        Alerting {
            rules: Rules::new(
                ManagerOptions { restore, restore_new_groups: false },
                parts.tasks.shutdown().child(),
            ),
            discovery: Discovery::new(
                "notify",
                parts.clock.clone(),
                parts.registry,
                parts.tasks.shutdown().clone(),
            ),
            context: GroupContext {
                query: Arc::new(query),
                storage: parts.db.clone(),
                alerts: Arc::new(notifier.clone()),
                metrics: Metrics::new(parts.registry),
                clock: parts.clock.clone(),
                parser: parts.parser,
                external_labels: Arc::default(),
                external_url: parts.external_url.clone().into(),
                query_offset: Duration::ZERO,
                resend_delay: flags.resend_delay,
                concurrency: flags.concurrent.then(|| Arc::new(AtomicUsize::new(flags.max_concurrent))),
            },
            notifier,
            notifier_shutdown,
        }
    }

    /// Hands over a configuration. Must be called within the runtime, on a thread that may block.
    pub fn apply(&self, config: &Config) -> Result<(), String> {
        self.notifier.apply_config(config).map_err(|error| error.to_string())?;
        let jobs = Notifier::discovery_jobs(config);
        self.discovery.apply_config(jobs.iter().map(|(name, section)| (name.as_str(), *section)));
        let set = RuleSet {
            files: config.rule_file_names(),
            interval: config.global.evaluation_interval,
            names: config.global.metric_name_validation_scheme.scheme(),
            context: Arc::new(GroupContext {
                external_labels: Arc::new(config.global.external_labels.0.clone()),
                query_offset: config.global.rule_query_offset,
                ..self.context.clone()
            }),
        };
        tokio::task::block_in_place(|| Handle::current().block_on(self.rules.update(&set)))
            .map_err(|_| "error loading rules, previous rule set restored".to_owned())
    }

    /// Starts everything.
    pub fn start(self: &Arc<Self>, tasks: &mut TaskGroup) {
        let discovery = self.discovery.clone();
        tasks.spawn("notify discovery", async move {
            discovery.run().await;
            Ok(())
        });
        let (notifier, targets) = (self.notifier.clone(), self.discovery.subscribe());
        tasks.spawn("notifier", async move {
            notifier.run(targets).await;
            Ok(())
        });
        self.rules.start();
        let (alerting, shutdown) = (self.clone(), tasks.shutdown().clone());
        tasks.spawn("rules", async move {
            shutdown.requested().await;
            alerting.rules.stop().await;
            alerting.notifier_shutdown.request();
            Ok(())
        });
    }
}

impl AlertingSource for Alerting {
    fn groups(&self) -> Vec<GroupSnapshot> {
        self.rules.snapshot()
    }

    fn alertmanagers(&self) -> AlertmanagersSnapshot {
        self.notifier.snapshot()
    }
}

/// Queries of rules: by the engine that clients use, each with the timeout of a client's.
struct RuleQueries {
    runner: Arc<QueryRunner>,
    db: Arc<Db>,
    timeout: Duration,
    runtime: Handle,
    stopping: AtomicBool,
    running: Mutex<HashMap<u64, QueryControl>>,
    next: AtomicU64,
}

impl RuleQueries {
    fn running(&self) -> MutexGuard<'_, HashMap<u64, QueryControl>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RuleQuery for RuleQueries {
    fn instant(&self, expr: &Expr, at: Timestamp) -> Result<Vec<InstantSample>, RuleError> {
        let control = QueryControl::new();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.running().insert(id, control.clone());
        if self.stopping.load(Ordering::SeqCst) {
            control.stop(StopReason::Shutdown);
        }
        let (timeout, stop) = (self.timeout, control.clone());
        let timer = self.runtime.spawn(async move {
            tokio::time::sleep(timeout).await;
            stop.stop(StopReason::Timeout);
        });
        let engine = self.runner.engine();
        let outcome = engine.instant_expr(&*self.db, expr, at, &QueryOptions::default(), &control);
        timer.abort();
        self.running().remove(&id);
        match outcome.result? {
            QueryValue::Vector(samples) => Ok(samples),
            QueryValue::Scalar { timestamp_ms, value } => Ok(vec![InstantSample {
                labels: LabelSet::empty(),
                timestamp_ms,
                value: SampleValue::Float(value),
            }]),
            QueryValue::String { .. } | QueryValue::Matrix(_) => Err(RuleError::NotAVector),
        }
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for control in self.running().values() {
            control.stop(StopReason::Shutdown);
        }
    }
}

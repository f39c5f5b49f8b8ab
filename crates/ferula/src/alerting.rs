//! Rules and notifications: rule groups run queries, write to the store, and pass alerts to the notifier.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use ferula_api::AlertingSource;
use ferula_config::Config;
use ferula_config::rules::{RuleFileErrors, RuleFileOptions, load_rules};
use ferula_discovery::Manager as Discovery;
use ferula_go::quote::go_quote;
use ferula_notifier::{AlertmanagersSnapshot, Manager as Notifier, Options};
use ferula_promql_syntax::ParserOptions;
use ferula_rules::{
    GroupContext, GroupSnapshot, Manager as Rules, ManagerOptions, Metrics, RestoreOptions, RuleSet,
    ServiceQuery, check_template,
};
use ferula_runtime::{Shutdown, TaskGroup};
use ferula_tsdb::Db;
use tokio::runtime::Handle;

use crate::flags::AlertingFlags;
use crate::foundation::Foundation;
use crate::part_error::{NOTIFY, PartError};

/// A rule file that prevents the server from starting.
#[derive(Debug, thiserror::Error)]
#[error("parse rules from file {} (pattern: {}): {errors}", go_quote(.file), go_quote(.pattern))]
pub struct BadRuleFile {
    file: String,
    /// The entry of `rule_files` that matches it.
    pattern: String,
    errors: RuleFileErrors,
}

/// Reads all rule files. At start this happens before anything else begins.
///
/// # Errors
/// The first invalid file, with all its errors.
pub fn check_rule_files(config: &Config, parser: ParserOptions) -> Result<(), BadRuleFile> {
    let options = RuleFileOptions {
        names: config.global.metric_name_validation_scheme.scheme(),
        ignore_unknown_fields: false,
        parser,
        check_template: &check_template,
    };
    for pattern in &config.rule_files.0 {
        for file in ferula_config::glob(pattern) {
            if let Err(errors) = load_rules(Path::new(&file), &options) {
                return Err(BadRuleFile { file, pattern: pattern.clone(), errors });
            }
        }
    }
    Ok(())
}

/// Rules and the delivery of their alerts.
pub struct Alerting {
    rules: Rules,
    notifier: Notifier,
    discovery: Discovery,
    /// Without external labels and query offset, which come with each configuration.
    context: GroupContext,
    /// Requested after the rules have stopped, so that their last alerts are still sent.
    notifier_shutdown: Shutdown,
}

impl Alerting {
    /// Creates the managers; nothing runs before [`Alerting::start`]. Rules write to `db`.
    pub fn new(foundation: &Foundation<'_>, db: &Arc<Db>, flags: &AlertingFlags) -> Self {
        let Foundation { queries, site, local_alerts, shutdown, .. } = foundation;
        let notifier_shutdown = Shutdown::new();
        let options = Options {
            queue_capacity: flags.queue_capacity,
            batch_size: flags.batch_size,
            drain_on_shutdown: flags.drain_on_shutdown,
            ..Options::default()
        };
        let notifier = Notifier::new(options, &site.registry, site.clock.clone(), notifier_shutdown.clone());
        if let Some(sink) = local_alerts {
            notifier.set_local(sink.clone());
        }
        let restore =
            RestoreOptions { outage_tolerance: flags.outage_tolerance, grace_period: flags.grace_period };
        let query = ServiceQuery::new((*queries).clone(), Handle::current());
        Alerting {
            rules: Rules::new(ManagerOptions { restore, restore_new_groups: false }, shutdown.child()),
            discovery: Discovery::new("notify", site.clock.clone(), &site.registry, (*shutdown).clone()),
            context: GroupContext {
                query: Arc::new(query),
                storage: db.clone(),
                alerts: Arc::new(notifier.clone()),
                metrics: Metrics::new(&site.registry),
                clock: site.clock.clone(),
                parser: site.settings.parser,
                external_labels: Arc::default(),
                external_url: site.settings.external_url.to_string().into(),
                query_offset: Duration::ZERO,
                resend_delay: flags.resend_delay,
                concurrency: flags.concurrent.then(|| Arc::new(AtomicUsize::new(flags.max_concurrent))),
            },
            notifier,
            notifier_shutdown,
        }
    }

    /// Applies a configuration to each part. A part that fails does not stop the others. Must be
    /// called within the runtime, on a thread that may block.
    pub fn apply(&self, config: &Config, failed: &mut Vec<PartError>) {
        self.apply_notifier(config, failed);
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
        let updated = tokio::task::block_in_place(|| Handle::current().block_on(self.rules.update(&set)));
        if let Err(error) = updated {
            failed.push(PartError::new("rules", error));
        }
    }

    /// Applies a configuration to the notifier only.
    pub fn apply_notifier(&self, config: &Config, failed: &mut Vec<PartError>) {
        let errors = self.notifier.apply_config(config);
        failed.extend(errors.into_iter().map(|error| PartError::new(NOTIFY, error)));
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

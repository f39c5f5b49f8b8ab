//! Runs groups: loads them, starts a task for each, replaces them on reload, and stops them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_config::rules::{RuleFileOptions, load_rules};
use ferula_go::sync::MutexExt;
use ferula_model::UnixNanos;
use ferula_model::labels::NameScheme;
use ferula_runtime::{Clock, SharedClock, Shutdown};
use ferula_telemetry::{error, info, warn};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::LoadError;
use crate::context::GroupContext;
use crate::expand::check_template;
use crate::group::{Group, RestoreOptions};
use crate::snapshot::GroupSnapshot;

/// Settings that stay the same for the manager's whole life.
#[derive(Clone, Debug, Default)]
pub struct ManagerOptions {
    /// See [`RestoreOptions`].
    pub restore: RestoreOptions,
    /// Whether the alerts of groups that a reload adds are restored too.
    pub restore_new_groups: bool,
}

/// The rules section of a configuration.
#[derive(Clone)]
pub struct RuleSet {
    pub files: Vec<String>,
    /// Interval of groups that do not set one.
    pub interval: Duration,
    /// Which metric and label names are valid.
    pub names: NameScheme,
    /// The settings that groups use from now on.
    pub context: Arc<GroupContext>,
}

/// Runs the groups of the rule files.
pub struct Manager {
    options: ManagerOptions,
    /// One update at a time.
    updating: AsyncMutex<()>,
    running: Mutex<BTreeMap<String, Running>>,
    /// Set when groups may run; they wait for it before their first evaluation.
    started: watch::Sender<bool>,
    loaded_before: AtomicBool,
    /// Permits for evaluations; see [`EVALUATIONS_MAX`].
    turns: Arc<Semaphore>,
    shutdown: Shutdown,
}

/// How many groups are evaluated at once. Each occupies a thread, even while its rules wait for query
/// admission, and the admitted queries need threads too.
const EVALUATIONS_MAX: usize = 64;

struct Running {
    group: Arc<Group>,
    stop: Shutdown,
    task: JoinHandle<()>,
}

impl Running {
    /// Asks the task to stop after the rule that it is evaluating.
    fn ask_to_stop(&self) {
        self.group.stop();
        self.stop.request();
    }

    /// Waits until the task's current evaluation has ended. The task has been asked to stop before.
    async fn ended(self) -> Arc<Group> {
        if let Err(error) = self.task.await {
            error!("The task of a rule group failed", group = self.group.key(), err = error);
        }
        self.group
    }
}

impl Manager {
    /// Creates a manager without groups, which stops with `shutdown`.
    pub fn new(options: ManagerOptions, shutdown: Shutdown) -> Self {
        Manager {
            options,
            updating: AsyncMutex::new(()),
            running: Mutex::default(),
            started: watch::Sender::new(false),
            loaded_before: AtomicBool::new(false),
            turns: Arc::new(Semaphore::new(EVALUATIONS_MAX)),
            shutdown,
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.locked()
    }

    /// Lets groups evaluate: the storage is ready.
    pub fn start(&self) {
        info!("Starting rule manager...");
        self.started.send_replace(true);
    }

    /// Replaces all groups. An unchanged group continues; a changed one keeps the state of its rules. Alerts
    /// of a rule that moved to another group move with it, and those of a removed rule are resolved at once.
    /// The series of removed groups are ended.
    ///
    /// # Errors
    /// All errors of all files. The groups stay as they were.
    pub async fn update(&self, set: &RuleSet) -> Result<(), LoadError> {
        let _one_at_a_time = self.updating.lock().await;
        if self.shutdown.is_requested() {
            return Ok(());
        }
        let restore = !self.loaded_before.load(Ordering::Relaxed) || self.options.restore_new_groups;
        let groups = load_groups(set, !restore)?;
        self.loaded_before.store(true, Ordering::Relaxed);
        let mut old = std::mem::take(&mut *self.running());
        let mut changed = Vec::new();
        for (key, group) in groups {
            match old.remove(&key) {
                Some(same) if same.group.equals(&group) => {
                    same.group.set_context(set.context.clone());
                    self.running().insert(key, same);
                }
                before => changed.push((key, group, before)),
            }
        }
        // Ask all of them at once: an evaluation may take long, and the others must not begin another rule
        // meanwhile.
        let changing = changed.iter().filter_map(|(_, _, before)| before.as_ref());
        changing.chain(old.values()).for_each(Running::ask_to_stop);
        // Rules without a successor in their own group.
        let mut left: Vec<(Arc<Group>, usize)> = Vec::new();
        let mut fresh = Vec::new();
        for (key, group, before) in changed {
            if let Some(before) = before {
                let before = before.ended().await;
                left.extend(group.take_state(&before).into_iter().map(|rule| (before.clone(), rule)));
            }
            fresh.push((key, group));
        }
        for (key, gone) in old {
            let group = gone.ended().await;
            left.extend((0..group.rule_count()).map(|rule| (group.clone(), rule)));
            set.context.metrics.remove_group(&key);
            tokio::spawn(end_series(group, set.context.clock.clone(), self.shutdown.clone()));
        }
        let now = UnixNanos(set.context.clock.unix_nanos());
        let kept: Vec<Arc<Group>> = self.running().values().map(|running| running.group.clone()).collect();
        for (old, rule) in left {
            // A group that is kept has the same rule, and fires its alerts itself.
            if kept.iter().any(|group| group.has_same_rule(&old, rule)) {
                continue;
            }
            if !fresh.iter().any(|(_, group)| group.adopt_alerts(&old, rule)) {
                old.resolve_alerts(rule, now);
            }
        }
        for (key, group) in fresh {
            group.show_metrics();
            let running = self.run(group, restore, set.context.clock.clone());
            self.running().insert(key, running);
        }
        Ok(())
    }

    fn run(&self, group: Group, restore: bool, clock: SharedClock) -> Running {
        let (group, stop) = (Arc::new(group), self.shutdown.child());
        let restore = restore.then_some(self.options.restore);
        let signals =
            Signals { stop: stop.clone(), started: self.started.subscribe(), turns: self.turns.clone() };
        let task = tokio::spawn(run_group(group.clone(), restore, clock, signals));
        Running { group, stop, task }
    }

    /// Stops all groups and waits for them. No series is ended and no alert is resolved, since the rules
    /// continue after the restart.
    pub async fn stop(&self) {
        info!("Stopping rule manager...");
        let _one_at_a_time = self.updating.lock().await;
        self.shutdown.request();
        let running = std::mem::take(&mut *self.running());
        for group in running.values() {
            group.ask_to_stop();
            group.group.context().query.stop();
        }
        for group in running.into_values() {
            let group = group.ended().await;
            group.repeat_alerts(UnixNanos(group.context().clock.unix_nanos()));
        }
        info!("Rule manager stopped");
    }

    /// The current state of all groups, by file and name.
    pub fn snapshot(&self) -> Vec<GroupSnapshot> {
        let groups: Vec<Arc<Group>> = self.running().values().map(|running| running.group.clone()).collect();
        let mut all: Vec<GroupSnapshot> = groups.iter().map(|group| group.snapshot()).collect();
        all.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
        all
    }
}

/// Reads all rule files.
fn load_groups(set: &RuleSet, restored: bool) -> Result<BTreeMap<String, Group>, LoadError> {
    let options = RuleFileOptions {
        names: set.names,
        ignore_unknown_fields: false,
        parser: set.context.parser,
        check_template: &check_template,
    };
    let (mut groups, mut errors) = (BTreeMap::new(), Vec::new());
    for file in &set.files {
        let loaded = match load_rules(Path::new(file), &options) {
            Ok(loaded) => loaded,
            Err(more) => {
                errors.extend(more.texts());
                continue;
            }
        };
        if loaded.more_documents {
            let text =
                "Multiple document yaml rules files are not supported, only the first document is processed";
            warn!(text, file = file);
        }
        for group in loaded.groups {
            match Group::from_file(&group, file, set.interval, restored, set.context.clone()) {
                Ok(group) => {
                    groups.insert(group.key(), group);
                }
                Err(error) => errors.push(format!("{file}: {error}")),
            }
        }
    }
    for error in &errors {
        error!("Loading rule groups failed", err = error);
    }
    if errors.is_empty() { Ok(groups) } else { Err(LoadError { errors }) }
}

/// The signals that a group's task waits for.
struct Signals {
    stop: Shutdown,
    started: watch::Receiver<bool>,
    turns: Arc<Semaphore>,
}

/// Evaluates a group at every slot, until it is asked to stop.
async fn run_group(
    group: Arc<Group>,
    mut restore: Option<RestoreOptions>,
    clock: SharedClock,
    Signals { stop, mut started, turns }: Signals,
) {
    tokio::select! {
        () = stop.requested() => return,
        may = started.wait_for(|started| *started) => if may.is_err() { return },
    }
    let interval = i64::try_from(group.interval.as_nanos()).unwrap_or(i64::MAX).max(1);
    let mut slot = group.slot_before(UnixNanos(clock.unix_nanos()));
    let mut evaluations = 0u64;
    loop {
        if !wait_until(&*clock, slot.plus(group.interval), &stop).await {
            return;
        }
        // The newest slot that has passed is evaluated; earlier ones count as missed.
        let passed = (UnixNanos(clock.unix_nanos()).since(slot) / interval).max(1);
        slot = UnixNanos(slot.0.saturating_add(passed.saturating_mul(interval)));
        let missed = u64::try_from(passed - 1).unwrap_or(0);
        if missed > 0 {
            group.note_missed(missed);
        }
        evaluations += 1;
        let (running, moment) = (group.clone(), slot);
        // The `for` state is looked up after the second evaluation: by then, targets have been scraped, and
        // recording rules that alerts depend on have been evaluated.
        let restoring = if evaluations == 2 { restore.take() } else { None };
        let now = clock.clone();
        let _turn = tokio::select! {
            () = stop.requested() => return,
            turn = turns.acquire() => turn.expect("the semaphore is never closed"),
        };
        let step = tokio::task::spawn_blocking(move || {
            running.iterate(moment);
            if let Some(options) = restoring {
                running.restore(UnixNanos(now.unix_nanos()), &options);
            }
        });
        if let Err(error) = step.await {
            error!("Evaluating a rule group failed", group = group.key(), err = error);
        }
    }
}

/// Waits for a moment; returns `false` if the stop signal came first.
async fn wait_until(clock: &dyn Clock, moment: UnixNanos, stop: &Shutdown) -> bool {
    loop {
        if stop.is_requested() {
            return false;
        }
        let left = moment.since(UnixNanos(clock.unix_nanos()));
        let Ok(left) = u64::try_from(left) else { return true };
        if left == 0 {
            return true;
        }
        tokio::select! {
            () = stop.requested() => return false,
            () = clock.sleep(Duration::from_nanos(left)) => {}
        }
    }
}

/// Ends the series of a removed group after two intervals. By then, a rule that only moved has written them
/// again.
async fn end_series(group: Arc<Group>, clock: SharedClock, shutdown: Shutdown) {
    let gone_at = UnixNanos(clock.unix_nanos());
    if wait_until(&*clock, gone_at.plus(2 * group.interval), &shutdown).await {
        let ending = move || {
            group.abandon_series();
            group.end_stale_series(gone_at);
        };
        if let Err(error) = tokio::task::spawn_blocking(ending).await {
            error!("Ending the series of a rule group failed", err = error);
        }
    }
}

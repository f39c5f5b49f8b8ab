//! Backtest: when alerting rules would have been pending, fired and resolved over samples that are stored already.
//!
//! ```text
//! Group ─▶ Moments (the slots of the period) ─▶ evaluate.rs: range queries in slices, or instant queries
//!                                                     └─▶ replay.rs: the state machine of `alerting.rs` over rows
//! recorded.rs: series of recording rules that the alerts read, and their evaluation where history has none
//! ```
//!
//! Nothing is written and nothing is sent. The result is that of [`Group::evaluate`] at every slot, by a faster way: a
//! range query has at each step the value of an instant query there, except where `exact.rs` says so, and those
//! expressions are asked moment by moment. Memory is bounded: a slice has so many steps that its result is small, and
//! of every rule only so many episodes are kept (all are counted).
//!
//! Alerts begin as after the very first start of a server: nothing is active before the period. What was written
//! to storage later than it was due (by a slow scrape, by a rule further down) is seen at its timestamp.

mod evaluate;
mod exact;
mod recorded;
mod replay;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ferula_model::{LabelSet, UnixNanos};
use ferula_promql::EngineOptions;
use ferula_storage::Queryable;

use crate::group::Group;
use evaluate::Evaluator;
use replay::Replay;

pub use recorded::{Reading, Recorder, readings};

/// What is replayed, and how.
pub struct Options<'a> {
    /// The history.
    pub storage: &'a dyn Queryable,
    /// The engine's options, as the server would have them.
    pub engine: EngineOptions,
    /// First moment that may be a slot of a group.
    pub from: UnixNanos,
    /// Last such moment.
    pub to: UnixNanos,
    /// How many rules run at the same time.
    pub threads: usize,
    /// How many episodes of one rule are kept; all are counted.
    pub episodes_max: usize,
    /// Which alerts are replayed, by name.
    pub runs: &'a (dyn Fn(&str) -> bool + Sync),
    /// Hears how far it is, from any of the threads.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

/// How far a backtest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Evaluations that were made.
    pub done: u64,
    /// Evaluations that there are: rules times slots.
    pub all: u64,
    /// Rules that are finished.
    pub rules_done: usize,
    /// Rules that there are.
    pub rules: usize,
}

/// What happened to an alert at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Its expression began to hold, for less than `for`.
    Pending,
    /// It began to fire.
    Firing,
    /// It ended without having fired.
    Inactive,
    /// It stopped firing.
    Resolved,
    /// It was forgotten because its rule had more alerts than the group's limit; nobody is told that it ended.
    Dropped,
}

impl Change {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Change::Pending => "pending",
            Change::Firing => "firing",
            Change::Inactive => "inactive",
            Change::Resolved => "resolved",
            Change::Dropped => "dropped",
        }
    }

    /// Whether the alert is over.
    pub const fn is_end(self) -> bool {
        matches!(self, Change::Inactive | Change::Resolved | Change::Dropped)
    }
}

/// One change of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: UnixNanos,
    /// What.
    pub change: Change,
    /// The expression's value when it last held; 0 for a histogram, as in Prometheus.
    pub value: f64,
    /// The annotations of that moment, filled in.
    pub annotations: Arc<[(String, String)]>,
}

/// An alert from its beginning to its end, or to the end of the period.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The alert's labels.
    pub labels: LabelSet,
    /// What happened, in order of time; never empty.
    pub events: Vec<Event>,
}

impl Episode {
    /// When the change happened, if it did.
    pub fn moment_of(&self, change: Change) -> Option<UnixNanos> {
        self.events.iter().find(|event| event.change == change).map(|event| event.at)
    }
}

/// Evaluations that failed. They change no alert, except that too many alerts forget all.
#[derive(Clone, Debug, PartialEq)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// When the first did.
    pub first_at: UnixNanos,
    /// Why the first did.
    pub first_error: String,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleReport {
    /// Its name.
    pub name: String,
    /// The expression, as the printer writes it.
    pub query: String,
    /// `for`
    pub hold: Duration,
    /// `keep_firing_for`
    pub keep_firing_for: Duration,
    /// How often it was evaluated.
    pub evaluations: u64,
    /// Why it was asked moment by moment, if it was.
    pub by_instants: Option<&'static str>,
    /// Evaluations that failed.
    pub failures: Option<Failures>,
    /// How often an alert began.
    pub episodes_count: u64,
    /// How often one began to fire.
    pub fired_count: u64,
    /// How long its alerts fired, together.
    pub firing: Duration,
    /// The first episodes, in order of their beginning, then of labels.
    pub episodes: Vec<Episode>,
}

/// What became of the alerting rules of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupReport {
    /// Its name.
    pub name: String,
    /// The file it came from.
    pub file: String,
    /// How often it runs.
    pub interval: Duration,
    /// The rules that were replayed, in their order.
    pub rules: Vec<RuleReport>,
}

/// The slots of a group in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moments {
    first: UnixNanos,
    interval_nanos: i64,
    query_offset: Duration,
    /// How many there are.
    pub count: usize,
}

impl Moments {
    pub fn new(group: &Group, from: UnixNanos, to: UnixNanos) -> Self {
        let interval_nanos = i64::try_from(group.interval.as_nanos()).unwrap_or(i64::MAX).max(1);
        let mut first = group.slot_before(from);
        if first < from {
            first = UnixNanos(first.0.saturating_add(interval_nanos));
        }
        let count = if first > to { 0 } else { to.since(first) / interval_nanos + 1 };
        Moments {
            first,
            interval_nanos,
            query_offset: group.effective_query_offset(),
            count: usize::try_from(count).unwrap_or(usize::MAX),
        }
    }

    /// The slot with this index.
    pub fn at(&self, index: usize) -> UnixNanos {
        UnixNanos(self.first.0.saturating_add(self.interval_nanos.saturating_mul(index as i64)))
    }

    /// The moment for which the query of a slot is asked, in milliseconds.
    pub fn query_ms(&self, index: usize) -> i64 {
        self.at(index).minus(self.query_offset).timestamp().millis()
    }

    /// The distance of two moments in milliseconds, unless it is finer than that.
    pub fn step_ms(&self) -> Option<i64> {
        const MILLI: i64 = 1_000_000;
        (self.interval_nanos % MILLI == 0).then_some(self.interval_nanos / MILLI)
    }

    /// The slot whose query was asked for this millisecond.
    fn index_of(&self, query_ms: i64) -> usize {
        let passed = query_ms.saturating_sub(self.query_ms(0));
        usize::try_from(passed / self.step_ms().unwrap_or(1)).unwrap_or(0)
    }
}

/// Replays the alerting rules of the groups that are selected.
pub fn run(groups: &[Group], options: &Options<'_>) -> Vec<GroupReport> {
    let jobs: Vec<(usize, usize)> = groups
        .iter()
        .enumerate()
        .flat_map(|(group, of)| (0..of.rules.len()).map(move |rule| (group, rule)))
        .filter(|(group, rule)| {
            let rule = &groups[*group].rules[*rule];
            rule.alerting.is_some() && (options.runs)(&rule.name)
        })
        .collect();
    let moments: Vec<Moments> =
        groups.iter().map(|group| Moments::new(group, options.from, options.to)).collect();
    let all = jobs.iter().map(|(group, _)| moments[*group].count as u64).sum();
    let counts = Counts { done: AtomicU64::new(0), all, rules_done: AtomicUsize::new(0), rules: jobs.len() };
    let next = AtomicUsize::new(0);
    let reports: Mutex<Vec<(usize, RuleReport)>> = Mutex::default();
    let work = || {
        while let Some((group, rule)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let job = next_report(&groups[*group], *rule, moments[*group], options, &counts);
            counts.rules_done.fetch_add(1, Ordering::Relaxed);
            let place = groups[..*group].iter().map(|group| group.rules.len()).sum::<usize>() + rule;
            reports.lock().unwrap_or_else(PoisonError::into_inner).push((place, job));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..options.threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    (options.progress)(counts.now());
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(place, _)| *place);
    by_group(groups, reports)
}

/// Puts the reports, which are in order of the rules, to their groups; a group without any is left out.
fn by_group(groups: &[Group], reports: Vec<(usize, RuleReport)>) -> Vec<GroupReport> {
    let mut reports = reports.into_iter().peekable();
    let mut end = 0;
    let mut all = Vec::new();
    for group in groups {
        end += group.rules.len();
        let mut rules = Vec::new();
        while let Some((_, report)) = reports.next_if(|(place, _)| *place < end) {
            rules.push(report);
        }
        if !rules.is_empty() {
            let (name, file) = (group.name.clone(), group.file.clone());
            all.push(GroupReport { name, file, interval: group.interval, rules });
        }
    }
    all
}

struct Counts {
    done: AtomicU64,
    all: u64,
    rules_done: AtomicUsize,
    rules: usize,
}

impl Counts {
    fn now(&self) -> Progress {
        Progress {
            done: self.done.load(Ordering::Relaxed),
            all: self.all,
            rules_done: self.rules_done.load(Ordering::Relaxed),
            rules: self.rules,
        }
    }
}

fn next_report(
    group: &Group,
    rule: usize,
    moments: Moments,
    options: &Options<'_>,
    counts: &Counts,
) -> RuleReport {
    let rule = &group.rules[rule];
    let context = group.context();
    let mut evaluator = Evaluator::new(&rule.expr, moments, &context, options);
    let mut replay = Replay::new(group, rule, &context, moments, options.episodes_max);
    evaluator.run(&mut |steps, rows| {
        let count = steps.len() as u64;
        replay.slice(steps, rows);
        counts.done.fetch_add(count, Ordering::Relaxed);
        (options.progress)(counts.now());
    });
    replay.finish(evaluator.by_instants)
}

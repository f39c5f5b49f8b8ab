//! Backtest: when alerting rules would have been pending, fired and resolved over stored samples.
//!
//! ```text
//! Group ─▶ Moments (the slots of the period) ─▶ evaluate.rs: range queries in slices, or instant queries
//!                                                     └─▶ replay.rs: the state machine of `alerting.rs` over rows
//! recorded.rs: series of recording rules that the alerts read, and their evaluation where history has none
//! ```
//!
//! Nothing is written and nothing is sent. The result is that of [`Group::evaluate`] at every slot, computed
//! faster: at each step, a range query has the value of an instant query at that time. The exceptions are
//! listed in `exact.rs`; those expressions are evaluated one timestamp at a time. Memory is bounded: slices
//! are short enough for their results to be small, and only a limited number of episodes is kept per rule
//! (all of them are counted).
//!
//! Alerts start as if the server had never run before: nothing is active before the period. A sample that was
//! stored after it was due (because of a slow scrape, or a rule further down) is seen at its timestamp.

mod evaluate;
mod exact;
mod moments;
mod options;
mod recorded;
mod replay;
mod report;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::group::Group;
use evaluate::Evaluator;
use ferula_go::sync::MutexExt;
use moments::Moments;
use replay::Replay;

pub use options::{Options, Progress};
pub use recorded::{Reading, RecordError, Recorder, readings};
pub use report::{Change, Episode, Event, Failures, GroupReport, RuleReport};

/// Replays the alerting rules of the selected groups.
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
            reports.locked().push((place, job));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..options.threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    (options.progress)(counts.now());
    let mut reports = reports.into_unlocked();
    reports.sort_by_key(|(place, _)| *place);
    by_group(groups, reports)
}

/// Assigns the reports, which are in the order of the rules, to their groups. Groups without reports are left
/// out.
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

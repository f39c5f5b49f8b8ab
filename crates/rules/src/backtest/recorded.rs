//! Recorded series that alerts read: which ones they are, whether history has them, and how to evaluate them
//! if it does not.

use std::collections::{BTreeMap, BTreeSet};

use ferula_model::labels::METRIC_NAME;
use ferula_model::value::STALE_NAN;
use ferula_model::{LabelSet, Matcher, TimeRange, Timestamp, UnixNanos};
use ferula_promql::{InstantSample, SampleValue};
use ferula_promql_syntax::ast::{DurationValue, TimeShift};
use ferula_promql_syntax::{Expr, ExprKind};
use ferula_storage::{Hints, Queryable, StorageError};

use super::evaluate::{Evaluator, Samples};
use super::moments::Moments;
use super::options::Options;
use crate::RuleError;
use crate::alerting::{ALERTS, ALERTS_FOR_STATE};
use crate::group::Group;
use crate::recording::{Recorded, SeriesCache};
use crate::rule::Rule;

/// A recorded series that alerts read, directly or through other recording rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Name of the series. `ALERTS` and `ALERTS_FOR_STATE` are recorded too, and are always read from
    /// history.
    pub name: String,
    /// Names of the alerts that read it.
    pub alerts: BTreeSet<String>,
    /// Whether history has a series of this name in the period or shortly before it.
    pub stored: bool,
    /// Index of the group and rule that record it; `None` for `ALERTS` and `ALERTS_FOR_STATE`.
    pub rules: Vec<(usize, usize)>,
    /// If history lacks it: the round of evaluation in which its own inputs are available.
    pub level: usize,
    /// How far back its readers look at most, in milliseconds.
    pub reach_ms: i64,
}

/// Every recorded series that the selected alerts read.
///
/// # Errors
/// History cannot be read.
pub fn readings(groups: &[Group], options: &Options<'_>) -> Result<Vec<Reading>, StorageError> {
    let mut found: BTreeMap<String, Reading> = BTreeMap::new();
    for alert in groups.iter().flat_map(|group| &group.rules) {
        if alert.alerting.is_some() && (options.runs)(&alert.name) {
            follow(groups, alert, &mut found);
        }
    }
    let lookback_ms = options.engine.lookback_delta_ms;
    let reach_ms = total_reach(groups, options, &found, lookback_ms);
    let (from, to) = (options.from.timestamp().millis(), options.to.timestamp().millis());
    let range = TimeRange::from_millis(from.saturating_sub(reach_ms), to);
    for reading in found.values_mut() {
        reading.reach_ms = reach_ms;
        reading.stored = is_stored(options.storage, &reading.name, range)?;
    }
    set_levels(groups, &mut found);
    Ok(found.into_values().collect())
}

/// Adds what an alert reads, recursively.
fn follow(groups: &[Group], alert: &Rule, found: &mut BTreeMap<String, Reading>) {
    let mut seen: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut left = vec![alert];
    while let Some(reader) = left.pop() {
        for (name, rule) in reads(groups, reader) {
            let reading = found.entry(name.clone()).or_insert_with(|| Reading {
                name,
                alerts: BTreeSet::new(),
                stored: false,
                rules: Vec::new(),
                level: 0,
                reach_ms: 0,
            });
            reading.alerts.insert(alert.name.clone());
            let Some((place, rule)) = rule else { continue };
            if !reading.rules.contains(&place) {
                reading.rules.push(place);
            }
            if seen.insert(place) {
                left.push(rule);
            }
        }
    }
}

type RuleIndex = (usize, usize);

/// Names that a rule reads and other rules record. A selector without a metric name is not followed.
fn reads<'g>(groups: &'g [Group], reader: &Rule) -> Vec<(String, Option<(RuleIndex, &'g Rule)>)> {
    let mut all = Vec::new();
    for matchers in reader.expr.selectors() {
        let Some(name) = matchers.iter().find(|matcher| &*matcher.name == METRIC_NAME) else { continue };
        for alerts in [ALERTS, ALERTS_FOR_STATE] {
            if name.matches(alerts) {
                all.push((alerts.to_owned(), None));
            }
        }
        for (group, of) in groups.iter().enumerate() {
            for (index, rule) in of.rules.iter().enumerate() {
                if rule.alerting.is_none() && name.matches(&rule.name) && !std::ptr::eq(rule, reader) {
                    all.push((rule.name.clone(), Some(((group, index), rule))));
                }
            }
        }
    }
    all
}

/// How far back anything that leads to an alert looks: the sum over all rules, a generous bound.
fn total_reach(
    groups: &[Group],
    options: &Options<'_>,
    found: &BTreeMap<String, Reading>,
    lookback_ms: i64,
) -> i64 {
    let of_rule = |rule: &Rule| reach(&rule.expr).saturating_add(lookback_ms);
    let rules = groups.iter().flat_map(|group| &group.rules);
    let alerts = rules.filter(|rule| rule.alerting.is_some() && (options.runs)(&rule.name)).map(of_rule);
    let recorded = found.values().flat_map(|reading| &reading.rules);
    let recorded = recorded.map(|(group, rule)| of_rule(&groups[*group].rules[*rule]));
    recorded.fold(alerts.max().unwrap_or(0), i64::saturating_add)
}

/// The sum of all ranges and offsets in an expression, in milliseconds. Computed ones count as a day.
fn reach(expr: &Expr) -> i64 {
    const DAY_MS: i64 = 24 * 3_600_000;
    let millis = |duration: &DurationValue| match duration {
        DurationValue::Millis(ms) => (*ms).max(0),
        DurationValue::Expr(_) => DAY_MS,
    };
    let shift = |at: &TimeShift| at.offset.as_ref().map_or(0, millis);
    let mut sum = 0i64;
    expr.walk(&mut |expr| {
        sum = sum.saturating_add(match &expr.kind {
            ExprKind::VectorSelector(selector) => shift(&selector.at),
            ExprKind::MatrixSelector(matrix) => {
                shift(&matrix.selector.at).saturating_add(millis(&matrix.range))
            }
            ExprKind::Subquery(subquery) => shift(&subquery.at).saturating_add(millis(&subquery.range)),
            _ => 0,
        });
    });
    sum
}

fn is_stored(storage: &dyn Queryable, name: &str, range: TimeRange) -> Result<bool, StorageError> {
    let mut snapshot = storage.snapshot(range)?;
    let hints = Hints { labels_only: true, ..Hints::default() };
    let selection = snapshot.select(&[Matcher::equal(METRIC_NAME, name)], &hints)?;
    snapshot.freeze()?;
    Ok(snapshot.series_count(selection) > 0)
}

/// A series that history lacks is evaluated after its inputs; in a cycle, at an arbitrary point.
fn set_levels(groups: &[Group], found: &mut BTreeMap<String, Reading>) {
    for _ in 0..found.len() {
        let levels: BTreeMap<String, usize> = found
            .values()
            .filter(|reading| !reading.stored)
            .map(|reading| (reading.name.clone(), reading.level))
            .collect();
        for reading in found.values_mut() {
            for (group, rule) in &reading.rules {
                for (name, _) in reads(groups, &groups[*group].rules[*rule]) {
                    if name != reading.name
                        && let Some(level) = levels.get(&name)
                    {
                        reading.level = reading.level.max((level + 1).min(levels.len()));
                    }
                }
            }
        }
    }
}

/// Why the samples of a recording rule were not passed on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecordError<E> {
    /// Blocks are built here from floats only.
    #[error("evaluating {0} is not supported yet: its samples are native histograms")]
    Histogram(LabelSet),
    /// The caller refused a sample.
    #[error(transparent)]
    Refused(E),
}

/// Evaluates one recording rule over history, as its group would have.
pub struct Recorder<'g> {
    group: &'g Group,
    rule: &'g Rule,
    cache: SeriesCache,
}

impl<'g> Recorder<'g> {
    /// Creates a recorder for the rule at this index, which must be a recording rule.
    pub fn new(groups: &'g [Group], (group, rule): (usize, usize)) -> Self {
        Recorder { group: &groups[group], rule: &groups[group].rules[rule], cache: SeriesCache::default() }
    }

    /// Name of the series.
    pub fn name(&self) -> &str {
        &self.rule.name
    }

    /// Evaluates all slots whose samples lie in `range` and passes the samples on in time order, including
    /// staleness markers of series that ended. Ranges must be passed in ascending order.
    ///
    /// # Errors
    /// A sample is a histogram, or `give` refused one; nothing more is passed on then. Failed evaluations
    /// have no samples; the first such error is returned.
    pub fn record<E>(
        &mut self,
        range: TimeRange,
        options: &Options<'_>,
        give: &mut dyn FnMut(&LabelSet, Timestamp, f64) -> Result<(), E>,
    ) -> Result<Option<RuleError>, RecordError<E>> {
        let (group, rule) = (self.group, self.rule);
        let context = group.context();
        let offset = group.effective_query_offset();
        let moment = |at: Timestamp| UnixNanos::from_millis(at.millis()).plus(offset);
        // The end of the millisecond, because slots have nanosecond resolution.
        let end = UnixNanos(moment(range.end).0.saturating_add(999_999));
        let moments = Moments::new(group, moment(range.start), end);
        let (mut failed, mut refused) = (None, Ok(()));
        let cache = &mut self.cache;
        Evaluator::new(&rule.expr, moments, &context, options).run(&mut |steps, rows| {
            if refused.is_err() {
                return;
            }
            let rows = match rows {
                Ok(rows) => rows,
                Err(error) => {
                    failed.get_or_insert(error);
                    return;
                }
            };
            let mut cursors: Vec<_> = rows.iter().map(|row| (row, Samples::of(row))).collect();
            for step in steps {
                let timestamp_ms = moments.query_ms(step);
                let mut vector = Vec::new();
                for (row, samples) in &mut cursors {
                    if samples.next_ms() == Some(timestamp_ms)
                        && let Some((_, value)) = samples.next()
                    {
                        vector.push(InstantSample { labels: row.labels.clone(), timestamp_ms, value });
                    }
                }
                match cache.record(rule.naming(), vector, group.limit) {
                    Ok(results) => {
                        refused = write(&results, Timestamp::from_millis(timestamp_ms), cache, give);
                        if refused.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        failed.get_or_insert(error);
                    }
                }
            }
        });
        refused.map(|()| failed)
    }
}

/// Passes on the samples of one evaluation, and ends the series that only the previous evaluation had.
fn write<E>(
    results: &[Recorded],
    at: Timestamp,
    cache: &mut SeriesCache,
    give: &mut dyn FnMut(&LabelSet, Timestamp, f64) -> Result<(), E>,
) -> Result<(), RecordError<E>> {
    let mut given = Vec::with_capacity(results.len());
    for (series, _, value) in results {
        let labels = cache.labels(*series);
        match value {
            SampleValue::Float(value) => give(labels, at, *value).map_err(RecordError::Refused)?,
            SampleValue::Histogram(_) => return Err(RecordError::Histogram(labels.clone())),
        }
        given.push(*series);
    }
    for gone in cache.gone(&given) {
        give(&gone, at, STALE_NAN).map_err(RecordError::Refused)?;
    }
    cache.stored(&given);
    Ok(())
}

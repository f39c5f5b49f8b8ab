//! `info`: adds labels of info series, such as `target_info`, to the series of its argument.
//!
//! A series finds its info series by `instance` and `job`, one per name of info metric: the newest at the step. Which
//! that is may change, so labels belong to a step, and one series may become several.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ferula_model::labels::METRIC_NAME;
use ferula_model::{LabelSet, LabelSetBuilder, Matcher};

use super::call::Arguments;
use crate::QueryError;
use crate::exec::batch::{Batch, Value};
use crate::exec::collected::{Evaluate, collected};
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Replay, collect};
use crate::exec::scope::Scope;
use crate::exec::select::instant::{Cursor, NewestSample, read_range};
use crate::exec::series::{SeriesTable, labels_bytes};
use crate::plan::lower::effective_name_matchers;
use crate::plan::node::{NodeKind, Selector};

/// Labels by which a series finds its info series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// `info`.
pub(super) fn operator<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let written = match call.call.args.get(1).map(|arg| &arg.kind) {
        Some(NodeKind::Selector(selector)) => selector.matchers.clone(),
        _ => Vec::new(),
    };
    let (names, data): (Vec<_>, Vec<_>) =
        written.into_iter().partition(|matcher| &*matcher.name == METRIC_NAME);
    let selector = call
        .call
        .info
        .as_ref()
        .ok_or_else(|| QueryError::execution("info was planned without its selector"))?;
    Ok(collected(Info {
        inner: call.vector(0)?,
        selector,
        names: effective_name_matchers(names),
        data,
        scope: call.scope.clone(),
    }))
}

struct Info<'q> {
    inner: BoxOperator<'q>,
    selector: &'q Selector,
    /// Conditions on the name of info series.
    names: Vec<Matcher>,
    /// Conditions on other labels; if there are any, only these labels are added.
    data: Vec<Matcher>,
    scope: Scope,
}

/// One info series: when its newest sample was taken, seen from each step.
struct InfoSeries {
    labels: LabelSet,
    /// Milliseconds; `None` at steps without a sample.
    times: Vec<Option<i64>>,
    /// Which group of info series with the same name and identifying labels it belongs to.
    group: usize,
}

/// A series of the first argument.
struct Base {
    /// Groups of info series that it matches, by name of the info metric. `None`: it is an info series itself and stays
    /// as it is.
    groups: Option<Vec<usize>>,
}

impl Evaluate for Info<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let before = query.samples.current();
        let steps = self.scope.steps();
        let rows = collect(&mut *self.inner, steps, query)?;
        let labels: Vec<&LabelSet> = rows.iter().map(|row| self.inner.series().labels(row.series)).collect();
        let is_info = |labels: &LabelSet| {
            let name = labels.metric_name();
            self.names.iter().all(|matcher| matcher.matches(name))
        };
        let wanted: Vec<&LabelSet> = labels.iter().copied().filter(|labels| !is_info(labels)).collect();
        let infos = self.info_series(&wanted, query)?;
        let bases: Vec<Base> = labels
            .iter()
            .map(|labels| Base { groups: (!is_info(labels)).then(|| infos.groups_of(labels)) })
            .collect();
        let result = self.join(&rows, &labels, &bases, &infos, query)?;
        query.samples.settle(before, result.rows.samples())?;
        Ok(result)
    }
}

impl Info<'_> {
    /// The info series that any of the wanted series could match.
    fn info_series(&self, wanted: &[&LabelSet], query: &QueryContext<'_>) -> Result<Infos, QueryError> {
        let values = IDENTIFYING.map(|name| {
            let values = wanted.iter().map(|labels| labels.value(name));
            values.filter(|value| !value.is_empty()).collect::<BTreeSet<&str>>()
        });
        let mut infos = Infos::default();
        if values.iter().all(BTreeSet::is_empty) {
            return Ok(infos);
        }
        let grid = self.scope.grid;
        let range = read_range(&grid, self.selector.lookup, query.lookback_ms);
        let selection = query.selections[self.selector.index];
        for row in 0..query.snapshot.series_count(selection) {
            query.work(16)?;
            let labels = query.snapshot.labels(selection, row);
            let identified = IDENTIFYING
                .iter()
                .zip(&values)
                .all(|(name, values)| values.is_empty() || values.contains(labels.value(name)));
            if !identified {
                continue;
            }
            query.account.charge(grid.steps().saturating_mul(16))?;
            let mut times = vec![None; grid.steps()];
            query.read_rows(selection, row..row + 1, range, |_, samples| {
                let mut cursor = Cursor::new(samples, query.lookback_ms);
                for (step, time) in times.iter_mut().enumerate() {
                    query.work(2)?;
                    match cursor.find(self.selector.lookup.time(grid.time(step))) {
                        None => {}
                        Some(NewestSample::Float { timestamp, .. }) => {
                            *time = Some(timestamp);
                            self.scope.stats.add(step, 1, 1);
                        }
                        Some(NewestSample::Histogram { .. }) => {
                            return Err(QueryError::Execution(format!(
                                "this should be an info metric, with float samples: {labels}"
                            )));
                        }
                    }
                }
                Ok(())
            })?;
            let found = times.iter().flatten().count();
            if found > 0 {
                query.samples.hold(found as u64)?;
                infos.push(labels, times);
            }
        }
        Ok(infos)
    }

    fn join(
        &self,
        rows: &Batch,
        labels: &[&LabelSet],
        bases: &[Base],
        infos: &Infos,
        query: &QueryContext<'_>,
    ) -> Result<Replay, QueryError> {
        let steps = self.scope.steps();
        let mut out =
            Joined { table: SeriesTable::new(), rows: Batch::new(steps), by_labels: HashMap::new() };
        // Labels by base row and the info series it met.
        let mut known: HashMap<(usize, Vec<usize>), Option<LabelSet>> = HashMap::new();
        for step in 0..steps {
            query.work(1 + rows.rows() + infos.series.len())?;
            if rows.iter().all(|row| !row.has(step)) {
                continue;
            }
            let newest = infos.newest(step)?;
            for (index, row) in rows.iter().enumerate() {
                let Some(value) = row.value(step) else { continue };
                let drop_name = self.inner.series().get(row.series).drop_name;
                let Some(groups) = &bases[index].groups else {
                    out.add(labels[index].clone(), drop_name, step, value, query)?;
                    continue;
                };
                query.work(8 + groups.len())?;
                let met: Vec<usize> = groups.iter().filter_map(|&group| newest[group]).collect();
                let key = (index, met);
                if !known.contains_key(&key) {
                    let enriched = self.enrich(labels[index], &key.1, infos)?;
                    let bytes = enriched.as_ref().map_or(0, labels_bytes);
                    query.account.charge(bytes + KNOWN_BYTES + 8 * key.1.len())?;
                    known.insert(key.clone(), enriched);
                }
                if let Some(Some(labels)) = known.get(&key) {
                    out.add(labels.clone(), drop_name, step, value, query)?;
                }
            }
        }
        Ok(Replay::new(out.table, out.rows))
    }

    /// The labels with those of the info series added; `None` when a condition on the added labels is not met.
    fn enrich(&self, base: &LabelSet, met: &[usize], infos: &Infos) -> Result<Option<LabelSet>, QueryError> {
        let mut added = LabelSetBuilder::new();
        for &info in met {
            for (name, value) in infos.series[info].labels.iter() {
                let listed = self.data.iter().any(|matcher| &*matcher.name == name);
                if name == METRIC_NAME || (!self.data.is_empty() && !listed) {
                    continue;
                }
                let before = added.value(name);
                if !before.is_empty() && before != value {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                if base.get(name).is_none() {
                    added.set(name, value);
                }
            }
        }
        if met.is_empty() && self.data.iter().any(|matcher| !matcher.matches_empty()) {
            return Ok(None);
        }
        let mut labels = base.to_builder();
        for (name, value) in added.iter() {
            labels.set(name, value);
        }
        Ok(Some(labels.finish()))
    }
}

/// What an entry of a map takes beside its contents.
const KNOWN_BYTES: usize = 96;

/// Info series and their groups.
#[derive(Default)]
struct Infos {
    series: Vec<InfoSeries>,
    /// Groups by name of the metric and identifying labels.
    groups: BTreeMap<String, HashMap<LabelSet, usize>>,
    group_count: usize,
}

fn identity(labels: &LabelSet) -> LabelSet {
    labels.retain(|name| IDENTIFYING.contains(&name))
}

impl Infos {
    fn push(&mut self, labels: LabelSet, times: Vec<Option<i64>>) {
        let of_name = self.groups.entry(labels.metric_name().to_owned()).or_default();
        let group = *of_name.entry(identity(&labels)).or_insert_with(|| {
            self.group_count += 1;
            self.group_count - 1
        });
        self.series.push(InfoSeries { labels, times, group });
    }

    /// The groups that a series matches, at most one per name.
    fn groups_of(&self, labels: &LabelSet) -> Vec<usize> {
        let identity = identity(labels);
        self.groups.values().filter_map(|of_name| of_name.get(&identity).copied()).collect()
    }

    /// The newest info series of each group at a step.
    fn newest(&self, step: usize) -> Result<Vec<Option<usize>>, QueryError> {
        let mut newest: Vec<Option<usize>> = vec![None; self.group_count];
        for (index, info) in self.series.iter().enumerate() {
            let Some(time) = info.times[step] else { continue };
            let Some(held) = newest[info.group] else {
                newest[info.group] = Some(index);
                continue;
            };
            let held_time = self.series[held].times[step].unwrap_or(i64::MIN);
            if held_time == time {
                return Err(QueryError::Execution(format!(
                    "found duplicate series for info metric: existing {} @ {held_time}, new {} @ {time}",
                    self.series[held].labels, info.labels
                )));
            }
            if held_time < time {
                newest[info.group] = Some(index);
            }
        }
        Ok(newest)
    }
}

/// The result while it is put together.
struct Joined {
    table: SeriesTable,
    rows: Batch,
    by_labels: HashMap<LabelSet, usize>,
}

impl Joined {
    fn add(
        &mut self,
        labels: LabelSet,
        drop_name: bool,
        step: usize,
        value: Value,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        let at = match self.by_labels.get(&labels) {
            Some(&at) => at,
            None => {
                query.account.charge(Batch::bytes_for(1, self.rows.steps()))?;
                let at = self.table.push(labels.clone(), drop_name);
                self.rows.push(at);
                self.by_labels.insert(labels, at);
                at
            }
        };
        if self.rows.row(at).has(step) {
            return Err(QueryError::same_labelset());
        }
        self.rows.row_mut(at).set(step, value);
        Ok(())
    }
}

//! Runs a plan: select, freeze, build, pull, and assemble the answer.

use ferula_model::LabelSet;
use ferula_promql_syntax::ast::ValueType;
use std::cell::RefCell;
use std::sync::Arc;

use ferula_storage::{Hints, Lease, Queryable, Snapshot, StorageError};

use crate::exec::batch::{Batch, RowRef, Value};
use crate::exec::bitmap;
use crate::exec::collected::{Evaluate, collected};
use crate::exec::context::QueryContext;
use crate::exec::merge::{self, DuplicateLabels};
use crate::exec::operator::{BoxOperator, Operator, Replay, collect};
use crate::exec::scope::Scope;
use crate::exec::select::range_vector;
use crate::exec::series::{SeriesTable, without_metadata};
use crate::memory::QueryAccount;
use crate::plan::Plan;
use crate::plan::node::NodeKind;
use crate::stats::SampleBudget;
use crate::{
    Annotation, Annotations, EngineOptions, HeldMemory, InstantSample, QueryControl, QueryError,
    QueryOutcome, QueryStats, QueryValue, RangeSeries, SampleValue,
};

/// Runs a plan over a store.
pub(crate) fn run(
    plan: &Plan,
    storage: &dyn Queryable,
    options: &EngineOptions,
    per_step: bool,
    control: &QueryControl,
) -> QueryOutcome {
    let started = control.nanos();
    // Declared before the snapshot, so that it outlives what it counts.
    let found_series = Arc::new(options.memory.lease());
    let mut outcome = match select(plan, storage, control, &found_series) {
        Ok((snapshot, selections)) => {
            let prepared = control.nanos();
            let mut annotations = Annotations::new();
            for text in snapshot.warnings() {
                annotations.add(Annotation::of_store(text));
            }
            let query = QueryContext {
                features: plan.features,
                lookback_ms: plan.lookback_ms,
                control,
                snapshot: &*snapshot,
                selections,
                account: QueryAccount::new(options.memory.clone()),
                samples: SampleBudget::new(options.max_samples),
                annotations: RefCell::new(annotations),
                spread: options.spread.as_deref(),
                since_check: Default::default(),
                failure: Default::default(),
            };
            let mut outcome = evaluate(plan, per_step, &query);
            outcome.stats.memory_peak_bytes = query.account.peak();
            outcome.held = query.account.keep(outcome.result.as_ref().map_or(0, QueryValue::bytes) as u64);
            outcome.stats.timings.query_preparation_seconds = seconds(started, prepared);
            outcome.stats.timings.inner_eval_seconds = seconds(prepared, control.nanos());
            outcome
        }
        Err(error) => {
            let (annotations, stats) = (Annotations::new(), QueryStats::default());
            QueryOutcome { result: Err(error), annotations, stats, held: HeldMemory::default() }
        }
    };
    outcome.stats.timings.eval_total_seconds = seconds(started, control.nanos());
    outcome
}

fn seconds(from_nanos: u64, to_nanos: u64) -> f64 {
    to_nanos.saturating_sub(from_nanos) as f64 / 1e9
}

type Selected<'s> = (Box<dyn Snapshot + 's>, Vec<ferula_storage::SelectionId>);

/// Resolves every selector and takes the one cut in time that all of them see.
fn select<'s>(
    plan: &Plan,
    storage: &'s dyn Queryable,
    control: &QueryControl,
    found_series: &Arc<Lease>,
) -> Result<Selected<'s>, QueryError> {
    control.check("query execution")?;
    let mut snapshot = storage.snapshot(plan.range)?;
    if !snapshot.is_in_memory() {
        control.worked();
        control.check("query execution")?;
    }
    let mut selections = Vec::with_capacity(plan.selectors.len());
    for request in &plan.selectors {
        control.check("expression evaluation")?;
        let hints = Hints {
            range: Some(request.range),
            stop: control.as_stop(),
            memory: Some(found_series.clone()),
            purpose: Some(request.purpose.clone()),
            ..Hints::default()
        };
        let selection =
            snapshot.select(&request.matchers, &hints).map_err(|error| selection_error(error, control))?;
        selections.push(selection);
    }
    snapshot.freeze().map_err(|error| match error {
        StorageError::Remote(_) => selection_error(error, control),
        other => other.into(),
    })?;
    Ok((snapshot, selections))
}

fn selection_error(error: StorageError, control: &QueryControl) -> QueryError {
    match (control.check("expression evaluation"), error) {
        (Err(stopped), _) => stopped,
        (Ok(()), StorageError::OutOfMemory(refused)) => QueryError::OutOfMemory(refused),
        (Ok(()), error) => QueryError::Execution(format!("expanding series: {error}")),
    }
}

fn evaluate(plan: &Plan, per_step: bool, query: &QueryContext<'_>) -> QueryOutcome {
    let scope = Scope::new(plan.grid, per_step, query).unwrap_or_else(|_| Scope::without_steps(plan.grid));
    let mut sort_seconds = 0.0;
    let result = value_of(plan, &scope, query, &mut sort_seconds);
    let mut stats = QueryStats {
        samples_total: scope.stats.total(),
        samples_read: scope.stats.read(),
        samples_peak: query.samples.peak(),
        ..QueryStats::default()
    };
    stats.timings.result_sort_seconds = sort_seconds;
    if let Some((total, read)) = scope.stats.per_step(&plan.grid) {
        stats.samples_total_per_step = Some(total);
        stats.samples_read_per_step = Some(read);
    }
    QueryOutcome { result, annotations: query.annotations.take(), stats, held: HeldMemory::default() }
}

fn value_of<'q>(
    plan: &'q Plan,
    scope: &Scope,
    query: &QueryContext<'q>,
    sort_seconds: &mut f64,
) -> Result<QueryValue, QueryError> {
    let root = match &plan.root.kind {
        NodeKind::StepInvariant(inner)
            if matches!(plan.root.value_type, ValueType::Matrix | ValueType::String) =>
        {
            inner
        }
        _ => &plan.root,
    };
    let start_ms = plan.grid.start_ms;
    match plan.root.value_type {
        ValueType::String => match &root.kind {
            NodeKind::String(text) => {
                Ok(QueryValue::String { timestamp_ms: start_ms, value: text.value.clone() })
            }
            _ => Err(QueryError::execution("expression is no string")),
        },
        ValueType::Scalar if plan.instant => {
            let value = super::scalar(root, scope, query).evaluate(query)?.at(0);
            query.samples.hold(1)?;
            query.check()?;
            Ok(QueryValue::Scalar { timestamp_ms: start_ms, value })
        }
        ValueType::Matrix => {
            let mut series = match &root.kind {
                NodeKind::Range(range) => range_vector::of_selector(range, scope, query)?,
                NodeKind::Subquery(node) => {
                    range_vector::of_subquery(super::subquery(node, scope, query), scope, query)?
                }
                _ => return Err(QueryError::execution("expression is no range vector")),
            };
            sort(&mut series, query, sort_seconds)?;
            query.check()?;
            Ok(QueryValue::Matrix(series))
        }
        ValueType::Scalar | ValueType::Vector => {
            let operator = super::vector(root, scope, query);
            let mut operator = if query.features.delayed_name_removal {
                collected(DropNames { inner: operator, steps: scope.steps() })
            } else {
                operator
            };
            answer(plan, &mut *operator, query, sort_seconds)
        }
    }
}

/// The delayed removal of names, and the merge of series that are equal afterwards.
struct DropNames<'q> {
    inner: BoxOperator<'q>,
    steps: usize,
}

impl Evaluate for DropNames<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let rows = collect(&mut *self.inner, self.steps, query)?;
        let mut cleaned = SeriesTable::new();
        for entry in self.inner.series().since(0) {
            query.work(8)?;
            let labels = if entry.drop_name { without_metadata(&entry.labels) } else { entry.labels.clone() };
            cleaned.push(labels, false);
        }
        merge::merge(&cleaned, &rows, DuplicateLabels::AtOneStep, query)
    }
}

fn answer(
    plan: &Plan,
    operator: &mut dyn Operator,
    query: &QueryContext<'_>,
    sort_seconds: &mut f64,
) -> Result<QueryValue, QueryError> {
    let steps = plan.grid.steps();
    let mut batch = Batch::new(steps);
    let (mut vector, mut matrix) = (Vec::new(), Vec::new());
    while operator.next(query, &mut batch)? {
        query.work(1)?;
        for row in batch.iter() {
            let labels = || operator.series().labels(row.series).clone();
            query.work(1)?;
            if plan.instant {
                query.account.charge(size_of::<InstantSample>())?;
                vector.extend(row.value(0).map(|value| instant_sample(labels(), plan.grid.start_ms, value)));
            } else if !row.is_empty() {
                let points = bitmap::count(row.present);
                query.work(points)?;
                query.account.charge(points.saturating_mul(16) + size_of::<RangeSeries>())?;
                matrix.push(range_series(labels(), row, plan));
            }
        }
    }
    if !plan.instant {
        sort(&mut matrix, query, sort_seconds)?;
    }
    // Code that cannot return an error stops early and leaves the error for the next check: this is the last one.
    query.check()?;
    Ok(if plan.instant { QueryValue::Vector(vector) } else { QueryValue::Matrix(matrix) })
}

fn instant_sample(labels: LabelSet, timestamp_ms: i64, value: Value) -> InstantSample {
    let value = match value {
        Value::Float(value) => SampleValue::Float(value),
        Value::Histogram(value) => SampleValue::Histogram(value),
    };
    InstantSample { labels, timestamp_ms, value }
}

fn range_series(labels: LabelSet, row: RowRef<'_>, plan: &Plan) -> RangeSeries {
    let mut floats = Vec::with_capacity(bitmap::count(row.present));
    floats.extend(bitmap::ones(row.present).map(|step| (plan.grid.time(step), row.values[step])));
    let histograms = row
        .histograms
        .into_iter()
        .flat_map(|row| row.iter())
        .map(|(step, histogram)| (plan.grid.time(step), histogram.clone()))
        .collect();
    RangeSeries { labels, floats, histograms }
}

fn sort(
    series: &mut Vec<RangeSeries>,
    query: &QueryContext<'_>,
    sort_seconds: &mut f64,
) -> Result<(), QueryError> {
    let started = query.control.nanos();
    range_vector::sort_series(series, query)?;
    *sort_seconds = seconds(started, query.control.nanos());
    Ok(())
}

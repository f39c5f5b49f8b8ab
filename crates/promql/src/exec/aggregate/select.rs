//! `topk`, `bottomk`, `limitk`, `limit_ratio`: some samples of each group stay as they are.
//!
//! All rows are collected; then each step is looked at by itself, with a heap per group.

use ferula_model::LabelSet;
use ferula_model::labels::prometheus_hash;
use ferula_promql_syntax::ast::{AggregateOp, Span};

use super::grouping::Grouping;
use super::heap::{self, Entry};
use crate::exec::batch::{Batch, RowRef};
use crate::exec::collected::{Evaluate, collected};
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Replay, collect};
use crate::exec::scalars::{BoxScalar, Scalars};
use crate::plan::node::AggregateNode;
use crate::{Annotation, QueryError};
use ferula_go::float::format_g;

/// The operator; `spans` are the positions of the aggregation and of its parameter.
pub(super) fn operator<'q>(
    node: &'q AggregateNode,
    inner: BoxOperator<'q>,
    param: BoxScalar<'q>,
    spans: (Span, Span),
    steps: usize,
) -> BoxOperator<'q> {
    collected(Select { node, inner, pending: Some(param), param: Scalars::Constant(f64::NAN), spans, steps })
}

/// What a row takes while rows are selected.
const BYTES_PER_ROW: usize = 160;

struct Select<'q> {
    node: &'q AggregateNode,
    inner: BoxOperator<'q>,
    /// The parameter before and after it is evaluated.
    pending: Option<BoxScalar<'q>>,
    param: Scalars,
    spans: (Span, Span),
    steps: usize,
}

impl Evaluate for Select<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        if let Some(mut param) = self.pending.take() {
            self.param = param.evaluate(query)?;
        }
        let before = query.samples.current();
        let rows = collect(&mut *self.inner, self.steps, query)?;
        let out =
            if self.selects_anything(query)? { self.select(&rows, query)? } else { Batch::new(self.steps) };
        query.samples.settle(before, out.samples())?;
        Replay::of_operand(self.inner.series(), out, query)
    }
}

impl Select<'_> {
    /// Checks the parameter over all steps; `false` when no step can select anything.
    fn selects_anything(&self, query: &QueryContext<'_>) -> Result<bool, QueryError> {
        let extremes = self.param.extremes(self.steps, query)?;
        if self.node.op == AggregateOp::LimitRatio {
            if extremes.max == 0.0 && extremes.min == 0.0 {
                return Ok(false);
            }
            if extremes.any_nan {
                return Err(QueryError::execution("Ratio value is NaN"));
            }
            if extremes.max > 1.0 {
                query.annotate(Annotation::invalid_ratio(extremes.max, 1.0, self.spans.1));
            }
            if extremes.min < -1.0 {
                query.annotate(Annotation::invalid_ratio(extremes.min, -1.0, self.spans.1));
            }
            return Ok(true);
        }
        if extremes.max < 1.0 {
            return Ok(false);
        }
        if extremes.any_nan {
            return Err(QueryError::execution("Parameter value is NaN"));
        }
        // The bounds of what Go converts to a 64-bit integer.
        let overflow = |value: f64, how: &str| {
            Err(QueryError::Execution(format!("Scalar value {} {how} int64", format_g(value))))
        };
        if extremes.min <= -9_223_372_036_854_775_808.0 {
            return overflow(extremes.min, "underflows");
        }
        if extremes.max >= 9_223_372_036_854_774_784.0 {
            return overflow(extremes.max, "overflows");
        }
        Ok(true)
    }

    fn select(&self, rows: &Batch, query: &QueryContext<'_>) -> Result<Batch, QueryError> {
        // Group, offset, view, place and heap entry of every row.
        query.account.charge(rows.rows().saturating_mul(BYTES_PER_ROW))?;
        query.work(rows.rows().saturating_mul(16))?;
        let mut grouping = Grouping::new(self.node);
        let groups: Vec<usize> =
            rows.iter().map(|row| grouping.of(row.series, self.inner.series())).collect();
        let offsets: Vec<f64> = if self.node.op == AggregateOp::LimitRatio {
            rows.iter().map(|row| sampling_offset(self.inner.series().labels(row.series))).collect()
        } else {
            Vec::new()
        };
        let views: Vec<RowRef<'_>> = rows.iter().collect();
        let mut out = Batch::new(self.steps);
        // Where each input row is in the result of a range query.
        let mut place: Vec<Option<usize>> = vec![None; views.len()];
        let mut heaps: Vec<Vec<Entry>> = vec![Vec::new(); grouping.labels.len()];
        for step in 0..self.steps {
            query.work(1 + heaps.len())?;
            heaps.iter_mut().for_each(Vec::clear);
            self.fill_heaps(step, &views, &groups, &offsets, &mut heaps, query)?;
            for heap in &mut heaps {
                match self.node.op {
                    AggregateOp::TopK => heap::sort_reversed(heap, heap::rising, query)?,
                    AggregateOp::BottomK => heap::sort_reversed(heap, heap::falling, query)?,
                    _ => {}
                }
                for entry in heap.iter() {
                    query.work(4)?;
                    let row = views[entry.row];
                    let at = match place[entry.row] {
                        Some(at) => at,
                        None => {
                            query.account.charge(Batch::bytes_for(1, self.steps))?;
                            out.push(row.series);
                            out.rows() - 1
                        }
                    };
                    place[entry.row] = Some(at);
                    if let Some(value) = row.value(step) {
                        out.row_mut(at).set(step, value);
                    }
                }
            }
        }
        Ok(out)
    }

    fn fill_heaps(
        &self,
        step: usize,
        rows: &[RowRef<'_>],
        groups: &[usize],
        offsets: &[f64],
        heaps: &mut [Vec<Entry>],
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        let param = self.param.at(step);
        let k = (param as i64).min(rows.len() as i64);
        let limit = usize::try_from(k).unwrap_or(0);
        let ratio = param.clamp(-1.0, 1.0);
        if self.node.op == AggregateOp::LimitRatio && param == 0.0
            || self.node.op != AggregateOp::LimitRatio && limit == 0
        {
            return Ok(());
        }
        for (row, view) in rows.iter().enumerate() {
            query.work(2)?;
            if !view.has(step) {
                continue;
            }
            let float = view.float(step);
            let entry = Entry { value: float.unwrap_or(0.0), row };
            let heap = &mut heaps[groups[row]];
            match self.node.op {
                AggregateOp::TopK | AggregateOp::BottomK if float.is_none() => {
                    let name = if self.node.op == AggregateOp::TopK { "topk" } else { "bottomk" };
                    query.annotate(Annotation::histogram_ignored_in_aggregation(name, self.spans.0));
                }
                // The first sample goes in as into a heap of either order, so both may share the code.
                AggregateOp::TopK => keep_best(heap, entry, limit, heap::rising, |held, new| held < new),
                AggregateOp::BottomK => {
                    keep_best(heap, entry, limit, heap::falling, |held, new| held > new);
                }
                AggregateOp::LimitK if heap.len() < limit => heap::push(heap, entry, heap::rising),
                AggregateOp::LimitRatio if is_sampled(ratio, offsets[row]) => {
                    heap::push(heap, entry, heap::rising);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Adds an entry while there is room, and afterwards only if it beats the worst one.
fn keep_best(
    heap: &mut Vec<Entry>,
    entry: Entry,
    limit: usize,
    less: heap::Less,
    beats: fn(f64, f64) -> bool,
) {
    if heap.len() < limit {
        heap::push(heap, entry, less);
        return;
    }
    let worst = heap[0].value;
    if beats(worst, entry.value) || (worst.is_nan() && !entry.value.is_nan()) {
        heap::replace_first(heap, entry, less);
    }
}

/// Where in 0..1 a series lies for `limit_ratio`: by the hash of its labels.
fn sampling_offset(labels: &LabelSet) -> f64 {
    prometheus_hash(labels.iter()) as f64 / u64::MAX as f64
}

/// Whether a series is in the sample. A negative ratio selects exactly what its complement leaves out.
fn is_sampled(ratio: f64, offset: f64) -> bool {
    if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_and_its_complement_share_all_series() {
        for index in 0..1000 {
            let offset = sampling_offset(&LabelSet::from_pairs([("instance", index.to_string())]));
            assert!((0.0..1.0).contains(&offset));
            assert_ne!(is_sampled(0.3, offset), is_sampled(-0.7, offset));
        }
    }
}

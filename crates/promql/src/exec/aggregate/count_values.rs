//! `count_values`: one series per group and distinct value. Its labels depend on the samples.

use std::collections::HashMap;

use ferula_go::float::format_f;
use ferula_go::quote::go_quote;
use ferula_model::LabelSet;

use super::grouping::group_labels;
use crate::QueryError;
use crate::exec::batch::{Batch, Value};
use crate::exec::collected::{Evaluate, collected};
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Replay};
use crate::exec::series::{SeriesTable, labels_bytes};
use crate::plan::node::{AggregateNode, NodeKind, Text};

/// The operator.
pub(super) fn operator<'q>(
    node: &'q AggregateNode,
    inner: BoxOperator<'q>,
    steps: usize,
) -> Result<BoxOperator<'q>, QueryError> {
    let label = match node.param.as_ref().map(|param| &param.kind) {
        Some(NodeKind::String(Text { broken: Some(quoted), .. })) => {
            return Err(QueryError::Execution(format!("invalid label name {quoted}")));
        }
        Some(NodeKind::String(label)) => &label.value,
        _ => return Err(QueryError::execution("count_values needs the name of a label")),
    };
    if label.is_empty() {
        return Err(QueryError::Execution(format!("invalid label name {}", go_quote(label))));
    }
    let mut grouping = node.grouping.clone();
    if !node.without {
        grouping.push(label.clone());
        grouping.sort();
    }
    Ok(collected(CountValues { label, grouping, without: node.without, inner, steps }))
}

/// What an entry of a map takes besides its labels.
const ENTRY_BYTES: usize = 32;

struct CountValues<'q> {
    label: &'q str,
    grouping: Vec<String>,
    without: bool,
    inner: BoxOperator<'q>,
    steps: usize,
}

impl Evaluate for CountValues<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let before = query.samples.current();
        let mut table = SeriesTable::new();
        let mut counts = Batch::new(self.steps);
        let mut by_labels: HashMap<LabelSet, usize> = HashMap::new();
        let mut batch = Batch::new(self.steps);
        while self.inner.next(query, &mut batch)? {
            query.work(1)?;
            for row in batch.iter() {
                // Values of one series repeat: the row of each is looked up once.
                let mut seen: HashMap<u64, usize> = HashMap::new();
                for (step, value) in row.samples() {
                    query.work(4 * value.weight())?;
                    let key = match &value {
                        Value::Float(value) => seen.get(&value.to_bits()).copied(),
                        Value::Histogram(_) => None,
                    };
                    let at = match key {
                        Some(at) => at,
                        None => {
                            query.work(32)?;
                            let labels = self.labels_for(row.series, &value);
                            match by_labels.get(&labels) {
                                Some(&at) => at,
                                None => {
                                    let bytes = labels_bytes(&labels) + ENTRY_BYTES;
                                    query.account.charge(bytes + Batch::bytes_for(1, self.steps))?;
                                    let at = table.push(labels.clone(), false);
                                    by_labels.insert(labels, at);
                                    counts.push(at);
                                    at
                                }
                            }
                        }
                    };
                    if let Value::Float(value) = value
                        && key.is_none()
                    {
                        query.account.charge(ENTRY_BYTES)?;
                        seen.insert(value.to_bits(), at);
                    }
                    let mut count = counts.row_mut(at);
                    let so_far = count.values[step];
                    count.set_float(step, so_far + 1.0);
                }
            }
        }
        query.samples.settle(before, counts.samples())?;
        Ok(Replay::new(table, counts))
    }
}

impl CountValues<'_> {
    fn labels_for(&self, series: usize, value: &Value) -> LabelSet {
        let text = match value {
            Value::Float(value) => format_f(*value),
            Value::Histogram(histogram) => histogram.to_string(),
        };
        let mut labels = self.inner.series().labels(series).to_builder();
        labels.set(self.label, &text);
        group_labels(&labels.finish(), &self.grouping, self.without)
    }
}

//! `label_replace` and `label_join`: new labels for the same samples.

use std::collections::HashMap;

use ferula_model::labels::METRIC_NAME;
use ferula_model::regex::LabelRegex;

use super::table::CallArguments;
use super::table::Implementation::{self, Operator as Operators};
use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::merge::{MergeSameLabels, Sameness};
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::series::{SeriesEntry, SeriesTable};

/// The functions of this file by name.
pub(super) fn implementation(name: &str) -> Option<Implementation> {
    Some(match name {
        "label_replace" => Operators(label_replace),
        "label_join" => Operators(label_join),
        _ => return None,
    })
}

fn label_replace<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let (target, replacement, source) = (call.string(1)?, call.string(2)?, call.string(3)?);
    let pattern = call.string(4)?;
    let regex = LabelRegex::new(pattern).map_err(|_| {
        QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
    })?;
    call.label_name(1, "destination label name in label_replace()")?;
    // Values repeat: the outcome for each is kept.
    let mut known: HashMap<String, Option<String>> = HashMap::new();
    let relabel = move |entry: &SeriesEntry| {
        let value = entry.labels.value(source);
        if !known.contains_key(value) {
            known.insert(value.to_owned(), regex.expand(value, replacement));
        }
        match known.get(value) {
            Some(Some(new)) => with_label(entry, target, new),
            _ => entry.clone(),
        }
    };
    operator(call, relabel)
}

fn label_join<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let (target, separator) = (call.string(1)?, call.string(2)?);
    let mut sources = Vec::with_capacity(call.len().saturating_sub(3));
    for index in 3..call.len() {
        sources.push(call.label_name(index, "source label name in label_join()")?);
    }
    call.label_name(1, "destination label name in label_join()")?;
    let relabel = move |entry: &SeriesEntry| {
        let values: Vec<&str> = sources.iter().map(|source| entry.labels.value(source)).collect();
        with_label(entry, target, &values.join(separator))
    };
    operator(call, relabel)
}

fn with_label(entry: &SeriesEntry, name: &str, value: &str) -> SeriesEntry {
    let mut labels = entry.labels.to_builder();
    labels.set(name, value);
    // A name that was just given is not to be dropped.
    SeriesEntry { labels: labels.finish(), drop_name: entry.drop_name && name != METRIC_NAME }
}

fn operator<'q>(
    call: &CallArguments<'_, 'q>,
    relabel: impl FnMut(&SeriesEntry) -> SeriesEntry + 'q,
) -> Result<BoxOperator<'q>, QueryError> {
    let relabel = Relabel { inner: call.vector(0)?, series: SeriesTable::new(), relabel };
    Ok(Box::new(MergeSameLabels::new(Box::new(relabel), Sameness::AtOneStep)))
}

struct Relabel<'q, F> {
    inner: BoxOperator<'q>,
    series: SeriesTable,
    relabel: F,
}

impl<F: FnMut(&SeriesEntry) -> SeriesEntry> Operator for Relabel<'_, F> {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        if !self.inner.next(query, out)? {
            return Ok(false);
        }
        for entry in self.inner.series().since(self.series.len()) {
            let entry = (self.relabel)(entry);
            self.series.push(entry.labels, entry.drop_name);
        }
        Ok(true)
    }
}

//! `label_replace` and `label_join`: new labels for the same samples.

use std::collections::HashMap;

use ferula_model::labels::METRIC_NAME;
use ferula_model::regex::LabelRegex;

use super::call::Arguments;
use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::merge::{DuplicateLabels, MergeSameLabels};
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::series::{SeriesEntry, SeriesTable, labels_bytes};

/// `label_replace`.
pub(super) fn replace<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let (target, replacement, source) = (call.string(1)?, call.string(2)?, call.string(3)?);
    let pattern = call.string(4)?;
    let regex = LabelRegex::new(pattern).map_err(|_| {
        QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
    })?;
    call.label_name(1, "destination label name in label_replace()")?;
    // Values repeat: the outcome for each is kept.
    let mut known: HashMap<String, Option<String>> = HashMap::new();
    let relabel = move |entry: &SeriesEntry, query: &QueryContext<'_>| {
        let value = entry.labels.value(source);
        if !known.contains_key(value) {
            // What the text expands to is known only afterwards; a bound on it was asked for before.
            let bytes = expanded_bytes_max(value, replacement);
            query.account.charge(bytes)?;
            query.work(value.len().saturating_add(bytes))?;
            known.insert(value.to_owned(), regex.expand(value, replacement));
        }
        match known.get(value) {
            Some(Some(new)) => with_label(entry, target, new, query),
            _ => Ok(entry.clone()),
        }
    };
    operator(call, relabel)
}

/// `label_join`.
pub(super) fn join<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let (target, separator) = (call.string(1)?, call.string(2)?);
    let mut sources = Vec::with_capacity(call.len().saturating_sub(3));
    for index in 3..call.len() {
        sources.push(call.label_name(index, "source label name in label_join()")?);
    }
    call.label_name(1, "destination label name in label_join()")?;
    let relabel = move |entry: &SeriesEntry, query: &QueryContext<'_>| {
        let values: Vec<&str> = sources.iter().map(|source| entry.labels.value(source)).collect();
        let separators = separator.len().saturating_mul(values.len());
        let bytes = values.iter().fold(separators, |sum, value| sum.saturating_add(value.len()));
        check_value_length(bytes)?;
        let _text = query.account.reserve(bytes)?;
        with_label(entry, target, &values.join(separator), query)
    };
    operator(call, relabel)
}

fn with_label(
    entry: &SeriesEntry,
    name: &str,
    value: &str,
    query: &QueryContext<'_>,
) -> Result<SeriesEntry, QueryError> {
    check_value_length(value.len())?;
    let bytes = labels_bytes(&entry.labels) + name.len() + value.len();
    query.account.charge(bytes)?;
    query.work(8 + bytes / 8)?;
    let mut labels = entry.labels.to_builder();
    labels.set(name, value);
    // A name that was just given is not to be dropped.
    Ok(SeriesEntry { labels: labels.finish(), drop_name: entry.drop_name && name != METRIC_NAME })
}

/// Refuses a value that is longer than any label of Prometheus can be. Nested calls double a value each, so this also
/// keeps a short query from asking for endless text.
fn check_value_length(bytes: usize) -> Result<(), QueryError> {
    const VALUE_BYTES_MAX: usize = 1 << 24;
    if bytes > VALUE_BYTES_MAX {
        return Err(QueryError::execution("unexpected error: String too long to encode as label."));
    }
    Ok(())
}

/// A bound on what a replacement makes of a value: every reference, which takes two bytes at least, may stand for all of
/// the value.
fn expanded_bytes_max(value: &str, replacement: &str) -> usize {
    let references = replacement.bytes().filter(|byte| *byte == b'$').count();
    replacement.len().saturating_add(references.saturating_mul(value.len()))
}

fn operator<'q>(
    call: &mut Arguments<'_, 'q>,
    relabel: impl FnMut(&SeriesEntry, &QueryContext<'_>) -> Result<SeriesEntry, QueryError> + 'q,
) -> Result<BoxOperator<'q>, QueryError> {
    let relabel = Relabel { inner: call.vector(0)?, series: SeriesTable::new(), relabel };
    Ok(Box::new(MergeSameLabels::new(Box::new(relabel), DuplicateLabels::AtOneStep)))
}

struct Relabel<'q, F> {
    inner: BoxOperator<'q>,
    series: SeriesTable,
    relabel: F,
}

impl<F> Operator for Relabel<'_, F>
where
    F: FnMut(&SeriesEntry, &QueryContext<'_>) -> Result<SeriesEntry, QueryError>,
{
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        if !self.inner.next(query, out)? {
            return Ok(false);
        }
        for entry in self.inner.series().since(self.series.len()) {
            let entry = (self.relabel)(entry, query)?;
            self.series.push(entry.labels, entry.drop_name);
        }
        Ok(true)
    }
}

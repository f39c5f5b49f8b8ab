//! Labels of the series that an operator yields.

use ferula_model::LabelSet;
use ferula_model::labels::{METRIC_NAME, TYPE_LABEL, UNIT_LABEL};

/// Labels by series index. Only grows.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesTable {
    entries: Vec<SeriesEntry>,
}

/// One series of a table.
#[derive(Clone, Debug)]
pub(crate) struct SeriesEntry {
    pub labels: LabelSet,
    /// The metric name is to be dropped at the end of the query (`promql-delayed-name-removal`).
    pub drop_name: bool,
}

impl SeriesTable {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a series and says under which index.
    pub(crate) fn push(&mut self, labels: LabelSet, drop_name: bool) -> usize {
        self.entries.push(SeriesEntry { labels, drop_name });
        self.entries.len() - 1
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, series: usize) -> &SeriesEntry {
        &self.entries[series]
    }

    pub(crate) fn labels(&self, series: usize) -> &LabelSet {
        &self.entries[series].labels
    }

    /// The entries from index `from` on.
    pub(crate) fn since(&self, from: usize) -> &[SeriesEntry] {
        &self.entries[from..]
    }
}

/// Labels that describe a metric, and no longer apply to a computed value.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    matches!(name, METRIC_NAME | TYPE_LABEL | UNIT_LABEL)
}

/// The labels without name, type and unit.
pub(crate) fn without_metadata(labels: &LabelSet) -> LabelSet {
    if labels.iter().any(|(name, _)| is_metadata_label(name)) {
        labels.retain(|name| !is_metadata_label(name))
    } else {
        labels.clone()
    }
}

/// The entry of a series whose value was computed: its name goes now, or at the end of the query.
pub(crate) fn computed(entry: &SeriesEntry, delayed_name_removal: bool) -> SeriesEntry {
    let labels = if delayed_name_removal { entry.labels.clone() } else { without_metadata(&entry.labels) };
    SeriesEntry { labels, drop_name: true }
}

/// Bytes that a set of labels takes if nothing else holds it.
pub(crate) fn labels_bytes(labels: &LabelSet) -> usize {
    const SET_BYTES: usize = 64;
    const LABEL_BYTES: usize = 8;
    let text: usize = labels.iter().map(|(name, value)| name.len() + value.len() + LABEL_BYTES).sum();
    SET_BYTES + text
}

//! Series whose labels have become equal: they are merged if their samples do not overlap, and an error if they do.

use std::collections::HashMap;

use crate::QueryError;
use crate::exec::batch::{Batch, RowRef};
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Operator, Replay, collect};
use crate::exec::series::SeriesTable;
use ferula_model::LabelSet;

/// When equal labels are an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DuplicateLabels {
    /// If two such series have samples at the same step. Otherwise they become one series.
    AtOneStep,
    /// Always, if both have any sample.
    Ever,
}

/// Passes rows through while all labels differ; merges rows with equal labels otherwise.
pub(crate) struct MergeSameLabels<'q> {
    inner: BoxOperator<'q>,
    duplicates: DuplicateLabels,
    state: State,
}

enum State {
    Start,
    Passing,
    Merged(Replay),
}

impl<'q> MergeSameLabels<'q> {
    pub(crate) fn new(inner: BoxOperator<'q>, duplicates: DuplicateLabels) -> Self {
        MergeSameLabels { inner, duplicates, state: State::Start }
    }

    /// Decides what to do. The table of the inner operator is complete after its first batch.
    fn start(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        let more = self.inner.next(query, out)?;
        if !more || !has_same_labels(self.inner.series(), query)? {
            self.state = State::Passing;
            return Ok(more);
        }
        let mut rows = Batch::new(out.steps());
        query.account.charge(out.bytes())?;
        for row in out.iter().filter(|row| !row.is_empty()) {
            rows.push_copy(row.series, row, query)?;
        }
        let rest = collect(&mut *self.inner, out.steps(), query)?;
        query.account.charge(rest.bytes())?;
        for row in rest.iter() {
            rows.push_copy(row.series, row, query)?;
        }
        let mut merged = merge(self.inner.series(), &rows, self.duplicates, query)?;
        let more = merged.next(query, out)?;
        self.state = State::Merged(merged);
        Ok(more)
    }
}

impl Operator for MergeSameLabels<'_> {
    fn series(&self) -> &SeriesTable {
        match &self.state {
            State::Merged(replay) => &replay.series,
            _ => self.inner.series(),
        }
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        match &mut self.state {
            State::Start => self.start(query, out),
            State::Passing => self.inner.next(query, out),
            State::Merged(replay) => replay.next(query, out),
        }
    }
}

fn has_same_labels(table: &SeriesTable, query: &QueryContext<'_>) -> Result<bool, QueryError> {
    let _map = query.account.reserve(table.len().saturating_mul(MAP_ENTRY_BYTES))?;
    let mut seen = std::collections::HashSet::with_capacity(table.len());
    for entry in table.since(0) {
        query.work(1 + entry.labels.len() * 4)?;
        if !seen.insert(&entry.labels) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What an entry of a map from labels to an index takes.
const MAP_ENTRY_BYTES: usize = 32;

/// One row per label set, in order of the first row of each. The table keeps its indices, so that rows that were
/// handed out before stay right; of several entries with equal labels the one whose samples begin first speaks
/// for the merged series.
pub(crate) fn merge(
    table: &SeriesTable,
    rows: &Batch,
    duplicates: DuplicateLabels,
    query: &QueryContext<'_>,
) -> Result<Replay, QueryError> {
    query.account.charge(rows.bytes().saturating_add(rows.rows().saturating_mul(2 * MAP_ENTRY_BYTES)))?;
    let mut by_labels: HashMap<&LabelSet, usize> = HashMap::with_capacity(rows.rows());
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        query.work(4)?;
        let group = *by_labels.entry(table.labels(row.series)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(index);
    }
    let mut merged = Batch::new(rows.steps());
    for group in groups {
        if let [only] = group[..] {
            let row = rows.row(only);
            merged.push_copy(row.series, row, query)?;
            continue;
        }
        if duplicates == DuplicateLabels::Ever {
            return Err(QueryError::same_labelset());
        }
        let members: Vec<RowRef<'_>> = group.iter().map(|&index| rows.row(index)).collect();
        merge_group(&members, &mut merged, query)?;
    }
    Ok(Replay::new(table.clone(), merged))
}

fn merge_group(members: &[RowRef<'_>], out: &mut Batch, query: &QueryContext<'_>) -> Result<(), QueryError> {
    let mut taken = vec![0; bitmap::words_for(out.steps())];
    for row in members {
        query.work(row.present.len())?;
        let presence = row.presence();
        if bitmap::first_common(&taken, &presence).is_some() {
            return Err(QueryError::same_labelset());
        }
        bitmap::union(&mut taken, &presence);
    }
    let first = members.iter().min_by_key(|row| row.first_step().unwrap_or(usize::MAX));
    let mut merged = out.push(first.map_or(0, |row| row.series));
    for row in members {
        query.each_one(row.present, |step| merged.set_float(step, row.values[step]))?;
        for (step, histogram) in row.histograms.into_iter().flat_map(|row| row.iter()) {
            query.work(4)?;
            merged.histograms_mut().insert(step, histogram.clone());
        }
    }
    Ok(())
}

//! Series that lost what told them apart: merged where their samples do not meet, an error where they do.

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
pub(crate) enum Sameness {
    /// When two such series have samples at the same step. Otherwise they become one series.
    AtOneStep,
    /// Always, if both have any sample.
    Ever,
}

/// Passes rows through while all labels differ; merges rows with equal labels otherwise.
pub(crate) struct MergeSameLabels<'q> {
    inner: BoxOperator<'q>,
    sameness: Sameness,
    state: State,
}

enum State {
    Start,
    Passing,
    Merged(Replay),
}

impl<'q> MergeSameLabels<'q> {
    pub(crate) fn new(inner: BoxOperator<'q>, sameness: Sameness) -> Self {
        MergeSameLabels { inner, sameness, state: State::Start }
    }

    /// Decides what to do. The table of the inner operator is complete after its first batch.
    fn start(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        let more = self.inner.next(query, out)?;
        if !more || !has_same_labels(self.inner.series()) {
            self.state = State::Passing;
            return Ok(more);
        }
        let mut rows = out.clone();
        rows.drop_empty_rows();
        let rest = collect(&mut *self.inner, out.steps(), query)?;
        for row in rest.iter() {
            rows.push_copy(row.series, row);
        }
        let mut merged = merge(self.inner.series(), &rows, self.sameness)?;
        let more = merged.next(out);
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
            State::Merged(replay) => Ok(replay.next(out)),
        }
    }
}

fn has_same_labels(table: &SeriesTable) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(table.len());
    table.since(0).iter().any(|entry| !seen.insert(&entry.labels))
}

/// One row per label set, in order of the first row of each. The table keeps its indices, so that rows that were
/// handed out before stay right; of several entries with equal labels the one whose samples begin first speaks
/// for the merged series.
pub(crate) fn merge(table: &SeriesTable, rows: &Batch, sameness: Sameness) -> Result<Replay, QueryError> {
    let mut by_labels: HashMap<&LabelSet, usize> = HashMap::with_capacity(rows.rows());
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
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
            merged.push_copy(row.series, row);
            continue;
        }
        if sameness == Sameness::Ever {
            return Err(QueryError::same_labelset());
        }
        let members: Vec<RowRef<'_>> = group.iter().map(|&index| rows.row(index)).collect();
        merge_group(&members, &mut merged)?;
    }
    Ok(Replay::new(table.clone(), merged))
}

fn merge_group(members: &[RowRef<'_>], out: &mut Batch) -> Result<(), QueryError> {
    let mut taken = vec![0; bitmap::words_for(out.steps())];
    let mut samples = Vec::new();
    for row in members {
        let presence = row.presence();
        if bitmap::first_common(&taken, &presence).is_some() {
            return Err(QueryError::same_labelset());
        }
        bitmap::union(&mut taken, &presence);
        samples.extend(row.samples());
    }
    samples.sort_by_key(|(step, _)| *step);
    let first = members.iter().min_by_key(|row| row.first_step().unwrap_or(usize::MAX));
    let mut merged = out.push(first.map_or(0, |row| row.series));
    for (step, value) in samples {
        merged.set(step, value);
    }
    Ok(())
}

//! Aggregations that see every row once and keep one state per group and step.

use crate::QueryError;
use crate::exec::aggregate::grouping::Grouping;
use crate::exec::batch::{Batch, RowMut, RowRef};
use crate::exec::collected::{Evaluate, collected};
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Replay};
use crate::exec::series::{SeriesTable, labels_bytes};
use crate::plan::node::AggregateNode;

/// How rows are folded into groups.
pub(super) trait Fold {
    /// What is kept of one group, over all steps.
    type State;

    /// Called before the first row.
    fn start(&mut self, _query: &QueryContext<'_>) -> Result<(), QueryError> {
        Ok(())
    }

    /// Called after the last row, before any group is finished.
    fn rows_ended(&mut self, _steps: usize, _query: &QueryContext<'_>) -> Result<(), QueryError> {
        Ok(())
    }

    /// The state of a group without rows.
    fn empty(&self, steps: usize, query: &QueryContext<'_>) -> Result<Self::State, QueryError>;

    /// Bytes of a state.
    fn state_bytes(&self, steps: usize) -> usize;

    /// Adds a row. Rows come in the order of the vector.
    fn add(
        &mut self,
        state: &mut Self::State,
        row: RowRef<'_>,
        metric_name: &str,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError>;

    /// Writes what the group comes to.
    fn finish(
        &mut self,
        state: Self::State,
        out: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError>;
}

/// Runs a [`Fold`].
pub(super) struct Aggregate<'q, F: Fold> {
    inner: BoxOperator<'q>,
    grouping: Grouping<'q>,
    fold: F,
    steps: usize,
}

/// What a group takes besides its state and labels.
const GROUP_BYTES: usize = 128;

/// A group while rows are added to it.
struct Group<S> {
    state: S,
    /// The last step of any of its rows, and whether a row of that step wants its name dropped.
    last_step: usize,
    drop_name: bool,
}

impl<'q, F: Fold + 'q> Aggregate<'q, F> {
    pub(super) fn operator(
        node: &'q AggregateNode,
        inner: BoxOperator<'q>,
        steps: usize,
        fold: F,
    ) -> BoxOperator<'q> {
        collected(Aggregate { inner, grouping: Grouping::new(node), fold, steps })
    }

    fn add_row(
        &mut self,
        row: RowRef<'_>,
        groups: &mut Vec<Group<F::State>>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        let Some(last_step) = row.last_step() else { return Ok(()) };
        let table = self.inner.series();
        let group = self.grouping.of(row.series, table);
        if group == groups.len() {
            query.account.charge(self.fold.state_bytes(self.steps))?;
            let bytes = labels_bytes(&self.grouping.labels[group]) + GROUP_BYTES;
            query.account.charge(bytes)?;
            groups.push(Group { state: self.fold.empty(self.steps, query)?, last_step: 0, drop_name: false });
        }
        let group = &mut groups[group];
        let entry = table.get(row.series);
        if last_step > group.last_step {
            (group.last_step, group.drop_name) = (last_step, entry.drop_name);
        } else if last_step == group.last_step {
            group.drop_name |= entry.drop_name;
        }
        self.fold.add(&mut group.state, row, entry.labels.metric_name(), query)
    }
}

impl<'q, F: Fold + 'q> Evaluate for Aggregate<'q, F> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        self.fold.start(query)?;
        let before = query.samples.current();
        let mut groups: Vec<Group<F::State>> = Vec::new();
        let mut batch = Batch::new(self.steps);
        while self.inner.next(query, &mut batch)? {
            query.work(1)?;
            for row in batch.iter() {
                query.work(4)?;
                self.add_row(row, &mut groups, query)?;
            }
        }
        self.fold.rows_ended(self.steps, query)?;
        let mut out = Batch::new(self.steps);
        let mut table = SeriesTable::new();
        query.account.charge(Batch::bytes_for(groups.len(), self.steps))?;
        for (group, labels) in groups.into_iter().zip(&self.grouping.labels) {
            query.work(8)?;
            let series = table.push(labels.clone(), group.drop_name);
            self.fold.finish(group.state, &mut out.push(series), query)?;
        }
        out.drop_empty_rows();
        query.samples.settle(before, out.samples())?;
        Ok(Replay::new(table, out))
    }
}

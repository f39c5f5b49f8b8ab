//! Operators that need all rows of their operands before they yield any of their own.

use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Operator, Replay};
use crate::exec::series::SeriesTable;
use crate::memory::Reservation;

/// What such an operator does.
pub(crate) trait Evaluate {
    /// All rows. Called once, when the first one is requested.
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError>;
}

/// The operator of an [`Evaluate`].
pub(crate) struct Collected<E> {
    /// Dropped, with everything it holds, as soon as the result is available.
    evaluation: Option<E>,
    result: Replay,
    /// What the result takes.
    held: Option<Reservation>,
}

/// Boxes the operator of an [`Evaluate`].
pub(crate) fn collected<'q, E: Evaluate + 'q>(evaluation: E) -> BoxOperator<'q> {
    let result = Replay::new(SeriesTable::new(), Batch::new(0));
    Box::new(Collected { evaluation: Some(evaluation), result, held: None })
}

impl<E: Evaluate> Operator for Collected<E> {
    fn series(&self) -> &SeriesTable {
        &self.result.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        if self.evaluation.is_some() {
            // Closed after the evaluation is gone, with its operands and all that they held.
            let frame = query.account.frame();
            let evaluation = self.evaluation.take();
            if let Some(mut evaluation) = evaluation {
                self.result = evaluation.evaluate(query)?;
            }
            drop(frame);
            self.held = Some(query.account.reserve(self.result.bytes())?);
        }
        self.result.next(query, out)
    }
}

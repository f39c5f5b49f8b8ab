//! What all operators of one query share.

use std::cell::RefCell;

use ferula_storage::{SelectionId, Snapshot};

use crate::engine::Features;
use crate::memory::QueryAccount;
use crate::stats::SampleBudget;
use crate::{Annotation, Annotations, QueryControl, QueryError};

/// What all operators of one query share. One thread runs a query, hence the cells.
pub(crate) struct QueryContext<'q> {
    pub features: Features,
    pub lookback_ms: i64,
    pub control: &'q QueryControl,
    /// Frozen: all selections see the same samples.
    pub snapshot: &'q dyn Snapshot,
    /// Selections by the index that the plan gave each selector.
    pub selections: Vec<SelectionId>,
    pub account: QueryAccount,
    pub samples: SampleBudget,
    pub annotations: RefCell<Annotations>,
}

impl QueryContext<'_> {
    /// Fails when the query was stopped from outside. Called once per batch and inside long loops.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.control.check("expression evaluation")
    }

    pub(crate) fn annotate(&self, annotation: Annotation) {
        self.annotations.borrow_mut().add(annotation);
    }
}

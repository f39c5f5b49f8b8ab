//! What makes rows of the series that a selector reads.

use ferula_model::{LabelSet, TimeRange};
use ferula_storage::SeriesSamples;

use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::scope::Scope;
use crate::exec::select::counts_only::ReadWindow;

/// Makes rows. It may keep buffers from one row to the next; one thread at a time uses it.
pub(crate) trait Worker: Send {
    /// What is the same for all workers of a selector.
    type Params: Sync;

    /// Makes the row of one series, or none.
    fn row(
        &mut self,
        params: &Self::Params,
        series: &OneSeries<'_>,
        out: &mut Batch,
    ) -> Result<(), QueryError>;

    /// Bytes that it keeps between rows, for as long as the query runs.
    fn kept_bytes(&self) -> usize {
        0
    }
}

/// One series that was read.
pub(crate) struct OneSeries<'a> {
    pub row: usize,
    pub labels: &'a LabelSet,
    pub samples: &'a SeriesSamples,
    pub scope: &'a Scope,
    pub query: &'a QueryContext<'a>,
}

/// What is read for the rows of a selector.
#[derive(Clone, Copy)]
pub(crate) struct Read {
    pub range: TimeRange,
    pub reach: ReadWindow,
}

/// What workers do: with what, and to which samples.
pub(crate) struct Task<'a, W: Worker> {
    pub params: &'a W::Params,
    pub read: &'a Read,
}

impl<W: Worker> Clone for Task<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W: Worker> Copy for Task<'_, W> {}

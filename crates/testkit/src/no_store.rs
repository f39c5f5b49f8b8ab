//! A store that accepts everything and keeps nothing, at no cost.

use ferula_model::{LabelSet, SeriesRef};
use ferula_storage::{
    AppendError, AppendOutcome, Appendable, Appender, CommitError, Durability, SampleBatch,
};

/// Accepts everything and keeps nothing.
pub struct NoStore;

/// How many series were asked for; each gets a reference of its own.
struct NoAppender(u64);

impl Appendable for NoStore {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(NoAppender(0))
    }
}

impl Appender for NoAppender {
    fn resolve(&mut self, _: &LabelSet) -> Result<SeriesRef, AppendError> {
        self.0 += 1;
        Ok(SeriesRef::new(self.0).expect("counted from 1"))
    }

    fn append(&mut self, batch: &mut SampleBatch) -> AppendOutcome {
        let accepted = batch.refs.len();
        batch.clear();
        AppendOutcome { accepted, refused: Vec::new() }
    }

    fn commit(self: Box<Self>, _: Durability) -> Result<(), CommitError> {
        Ok(())
    }
}

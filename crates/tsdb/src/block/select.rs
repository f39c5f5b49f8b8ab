//! The index of a block as a source of postings.

use super::BlockError;
use super::index::IndexReader;
use crate::postings::PostingsSource;

impl PostingsSource for IndexReader {
    type Error = BlockError;

    fn all(&self) -> Result<Vec<u32>, BlockError> {
        self.all_postings()
    }

    fn equal(&self, name: &str, value: &str) -> Result<Vec<u32>, BlockError> {
        self.postings(name, value)
    }

    fn having(&self, name: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<Vec<u32>, BlockError> {
        self.postings_where(name, wanted)
    }
}

//! One part of a data directory, and what is wrong with it.

use crate::tools::verify::Verified;

/// A part of a data directory, as it was read.
#[derive(Clone, Debug)]
pub struct VerifiedPart {
    /// The name of a file or directory.
    pub name: String,
    /// What was read of it, and what is wrong.
    pub verified: Verified,
    /// What is worth a word and is not a problem.
    pub notes: Vec<String>,
}

impl VerifiedPart {
    pub(super) fn new(name: &str) -> Self {
        VerifiedPart { name: name.to_owned(), verified: Verified::default(), notes: Vec::new() }
    }
}

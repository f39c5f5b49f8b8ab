//! What is said about a part of the query, with what would mend it.

/// A message about a part of the text; positions in bytes.
pub(super) struct Diagnostic {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) severity: &'static str,
    pub(super) message: String,
    pub(super) fixes: Vec<Fix>,
}

/// A correction: replaces the text between two positions.
pub(super) struct Fix {
    pub(super) title: String,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) insert: String,
}

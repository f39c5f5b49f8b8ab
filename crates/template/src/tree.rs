//! What a template's name stands for, and the text that errors point into.

use std::sync::Arc;

use crate::ast::List;

/// What a name stands for, and the text it was written in.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub list: Arc<List>,
    pub source: Arc<Source>,
}

/// A text that was parsed, such as a file.
#[derive(Debug)]
pub(crate) struct Source {
    pub name: String,
    pub text: String,
}

//! How configuration files are read, and places in them.

use std::path::PathBuf;

use super::syntax::MatcherSyntax;

/// How a file is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    pub syntax: MatcherSyntax,
    /// Whether `${NAME}` is replaced by an environment variable.
    pub expands_variables: bool,
}

/// A place in one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlace {
    pub file: PathBuf,
    /// Counted from 1.
    pub line: u32,
}

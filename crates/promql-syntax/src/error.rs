//! Errors of the parser and the type check: Prometheus' texts with `line:column`.

use std::fmt;

use crate::ast::Span;

/// One thing that is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: parse error: {message}")]
pub struct ParseError {
    /// Where it is in the query text.
    pub span: Span,
    /// `line:column`, both from 1 and the column in bytes; `unknown position` in an empty query.
    pub position: String,
    /// What is wrong.
    pub message: String,
}

/// Everything that was found wrong; at least one error. A syntax error ends the search,
/// the type check reports all it finds.
///
/// Printed as its first error only, as Prometheus does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors(pub(crate) Vec<ParseError>);

impl ParseErrors {
    /// The errors, in the order found.
    pub fn all(&self) -> &[ParseError] {
        &self.0
    }

    pub(crate) fn one(error: ParseError) -> Self {
        ParseErrors(vec![error])
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.first() {
            Some(first) => first.fmt(f),
            None => f.write_str("error contains no error message"),
        }
    }
}

impl std::error::Error for ParseErrors {}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: impl Into<String>) -> Self {
        ParseError { span, position: span.start_in(query), message: message.into() }
    }
}

impl Span {
    /// The start as `line:column`, both from 1 and the column in bytes, as error messages and annotations show it.
    pub fn start_in(self, query: &str) -> String {
        if query.is_empty() {
            return "unknown position".to_owned();
        }
        let Some(before) = query.as_bytes().get(..self.start) else {
            return "invalid position".to_owned();
        };
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        format!("{line}:{}", self.start - line_start + 1)
    }
}

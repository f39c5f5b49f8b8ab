//! The Go text/template language that annotations and notifications use.
//!
//! ```text
//! text ──lexer──▶ tokens ──parser──▶ tree ──execute──▶ text
//!                                      ▲ values, functions given by the caller
//! ```
//!
//! Here: the language with Go's semantics and error texts, its built-in functions, Go's `fmt` verbs, and the functions
//! that Prometheus adds (`prometheus`). Elsewhere: alerts, queries, notifications; callers pass them in as values and functions.
//!
//! Always true: execution is bounded in depth, steps and output (see [`Limits`]), whatever the template.

mod ast;
mod builtin;
mod error;
mod execute;
mod format;
mod function;
mod lexer;
mod number;
mod parser;
pub mod prometheus;
mod time;
mod value;

pub use error::{CallError, TemplateError};
pub use execute::Limits;
pub use function::{Function, FunctionMap, Parameter};
pub use value::{Map, MapElement, Object, Value};

use std::collections::BTreeMap;
use std::sync::Arc;

/// A parsed template with everything it defines.
#[derive(Clone, Debug)]
pub struct Template {
    name: String,
    text: Arc<str>,
    /// Trees by name; the template's own is among them unless it is empty.
    trees: BTreeMap<String, Arc<ast::List>>,
}

impl Template {
    /// Parses `text`. A function that is not in `functions` and not built in is an error, as in Go.
    ///
    /// # Errors
    /// Go's text, such as `template: NAME:1: unexpected "}" in operand`.
    pub fn parse(name: &str, text: &str, functions: &FunctionMap) -> Result<Self, TemplateError> {
        let trees = parser::parse(name, text, functions)?;
        Ok(Template { name: name.to_owned(), text: text.into(), trees })
    }

    /// Executes the template with `data` as dot.
    ///
    /// # Errors
    /// Go's text, such as `template: NAME:1:3: executing "NAME" at <.X>: can't evaluate field X in type int`, or that a
    /// limit was reached.
    pub fn execute(
        &self,
        data: &Value,
        functions: &FunctionMap,
        limits: &Limits,
    ) -> Result<String, TemplateError> {
        execute::execute(self, data, functions, limits)
    }
}

//! The Go text/template language that annotations and notifications use.
//!
//! ```text
//! text ──lexer──▶ tokens ──parser──▶ tree ──execute──▶ text
//!                                      ▲ values, functions given by the caller
//! ```
//!
//! Here: the language with Go's semantics and error texts, its built-in functions, Go's `fmt` verbs, and the functions
//! that Prometheus adds (`prometheus`); `html/template`, which escapes what an action prints by where it stands.
//! Elsewhere: alerts, queries, notifications; callers pass them in as values and functions.
//!
//! Always true: execution is bounded in depth, steps and output (see [`Limits`]), whatever the template.

mod ast;
mod builtin;
mod error;
mod execute;
mod format;
mod function;
mod html;
pub mod json;
mod lexer;
mod number;
mod parser;
pub mod prometheus;
mod time;
mod tree;
mod value;

pub use error::{CallError, TemplateError};
pub use execute::Limits;
pub use format::print;
pub use function::{Function, FunctionMap};
pub use time::Duration;
pub use value::{Class, Defined, Map, MapElement, Method, Object, Parameter, Value};

use std::collections::BTreeMap;
use std::sync::Arc;

use self::tree::{Source, Tree};

/// A parsed template with everything it defines.
#[derive(Clone, Debug, Default)]
pub struct Template {
    name: String,
    /// Trees by name; the template's own is among them once it was parsed.
    trees: BTreeMap<String, Tree>,
}

/// Types that `html/template` trusts.
pub mod safe {
    use crate::value::Class;

    /// Text that is HTML already.
    pub static HTML: Class = Class { name: "template.HTML", methods: &[], print: None };
    /// An address that is known to be harmless.
    pub static URL: Class = Class { name: "template.URL", methods: &[], print: None };
}

impl Template {
    /// Parses `text`. A function that is not in `functions` and not built in is an error, as in Go.
    ///
    /// # Errors
    /// Go's text, such as `template: NAME:1: unexpected "}" in operand`.
    pub fn parse(name: &str, text: &str, functions: &FunctionMap) -> Result<Self, TemplateError> {
        let mut template = Template { name: name.to_owned(), trees: BTreeMap::new() };
        template.add(name, text, functions)?;
        Ok(template)
    }

    /// Parses a further text into the set, under a name of its own. What it defines replaces what has the same name,
    /// unless it is empty.
    ///
    /// # Errors
    /// See [`Template::parse`]; the set is as it was before.
    pub fn add(&mut self, name: &str, text: &str, functions: &FunctionMap) -> Result<(), TemplateError> {
        let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
        for (name, list) in parser::parse(name, text, functions)? {
            if list.is_empty() && self.trees.contains_key(&name) && name != self.name {
                continue;
            }
            self.trees.insert(name, Tree { list, source: source.clone() });
        }
        Ok(())
    }

    /// The template with escapers at the end of its actions, chosen by what stands around them: the name's own and all
    /// that it calls. As `html/template` does it.
    ///
    /// # Errors
    /// Go's text where the context is not clear, such as `html/template:NAME:1: … branches end in different contexts`.
    pub fn escaped(mut self) -> Result<Self, TemplateError> {
        html::escape(&self.name, &mut self.trees)?;
        Ok(self)
    }

    /// Names of all templates in the set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(String::as_str)
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
        execute::execute(&self.name, &self.trees, data, functions, limits)
    }
}

//! A call that is about to run, and how functions are run.

use ferula_promql_syntax::ast::Span;

use crate::QueryError;
use crate::exec::build::{self, Scope};
use crate::exec::context::QueryContext;
use crate::exec::operator::BoxOperator;
use crate::exec::scalars::Scalars;
use crate::exec::select::window::RangeFunction;
use crate::plan::node::{CallNode, Node, NodeKind};

/// How a function is run.
pub(crate) enum Implementation {
    /// One value per window of a range vector. Called once per query; the value may keep buffers.
    Range(fn() -> Box<dyn RangeFunction>),
    /// Float to float, sample by sample. Histograms are left out, the name is dropped.
    Float(fn(f64) -> f64),
    /// Makes its own operator.
    Operator(for<'a, 'q> fn(&'a CallArguments<'a, 'q>) -> Result<BoxOperator<'q>, QueryError>),
    /// A scalar at every step.
    Scalar(for<'a, 'q> fn(&'a CallArguments<'a, 'q>) -> Result<Scalars, QueryError>),
    /// The planner puts its value in place of the call, so that it never comes here.
    Planned,
}

/// A call that is about to run.
#[derive(Clone, Copy)]
pub(crate) struct CallArguments<'a, 'q> {
    pub call: &'q CallNode,
    /// Place of the whole call.
    pub span: Span,
    pub scope: &'a Scope,
    pub query: &'a QueryContext<'q>,
}

impl<'q> CallArguments<'_, 'q> {
    /// How many arguments were given.
    pub(crate) fn len(&self) -> usize {
        self.call.args.len()
    }

    /// An argument's node, any constant wrapper removed.
    pub(crate) fn node(&self, index: usize) -> &'q Node {
        let node = &self.call.args[index];
        match &node.kind {
            NodeKind::StepInvariant(inner) => inner,
            _ => node,
        }
    }

    /// Place of an argument.
    pub(crate) fn span(&self, index: usize) -> Span {
        self.call.args[index].span
    }

    /// The operator of an instant vector argument.
    pub(crate) fn vector(&self, index: usize) -> Result<BoxOperator<'q>, QueryError> {
        build::vector(&self.call.args[index], self.scope, self.query)
    }

    /// The values of a scalar argument.
    pub(crate) fn scalar(&self, index: usize) -> Result<Scalars, QueryError> {
        build::scalar(&self.call.args[index], self.scope, self.query)
    }

    /// A string argument that is to be the name of a label: any text but the empty one. `what` is for the error.
    pub(crate) fn label_name(&self, index: usize, what: &str) -> Result<&'q str, QueryError> {
        let name = self.string(index)?;
        let broken = matches!(&self.node(index).kind, NodeKind::String(text) if text.broken.is_some());
        if name.is_empty() || broken {
            return Err(QueryError::Execution(format!("invalid {what}: {name}")));
        }
        Ok(name)
    }

    /// A string argument.
    pub(crate) fn string(&self, index: usize) -> Result<&'q str, QueryError> {
        match &self.node(index).kind {
            NodeKind::String(text) => Ok(&text.value),
            _ => Err(QueryError::execution("expected a string argument")),
        }
    }
}

//! A call on its way to an operator, and how functions are run.

use ferula_promql_syntax::ast::Span;

use crate::QueryError;
use crate::exec::context::QueryContext;
use crate::exec::operator::BoxOperator;
use crate::exec::scalars::BoxScalar;
use crate::exec::scope::Scope;
use crate::exec::select::window::{MakeFunction, RangeSource};
use crate::plan::node::{CallNode, Node, NodeKind, Text};

/// How a function is run.
pub(crate) enum Implementation {
    /// One value per window of a range vector. Called for every thread; the value may keep buffers.
    Range(MakeFunction),
    /// Float to float, sample by sample. Histograms are left out, the name is dropped.
    Float(fn(f64) -> f64),
    /// Makes its own operator.
    Operator(for<'a, 'q> fn(&'a mut Arguments<'a, 'q>) -> Result<BoxOperator<'q>, QueryError>),
    /// A scalar at every step.
    Scalar(for<'a, 'q> fn(&'a mut Arguments<'a, 'q>) -> Result<BoxScalar<'q>, QueryError>),
    /// The planner replaces the call by its value, so it never gets here.
    Planned,
}

/// One argument, built and not evaluated.
pub(crate) enum Argument<'q> {
    Vector(BoxOperator<'q>),
    Scalar(BoxScalar<'q>),
    Range(RangeSource<'q>),
    Text(&'q Text),
    /// Moved out, or never evaluated.
    None,
}

/// The arguments of a call, from which its operator takes its operands.
pub(crate) struct Arguments<'a, 'q> {
    pub call: &'q CallNode,
    /// Place of the whole call.
    pub span: Span,
    pub scope: &'a Scope,
    pub query: &'a QueryContext<'q>,
    pub built: Vec<Argument<'q>>,
}

impl<'q> Arguments<'_, 'q> {
    /// How many arguments were given.
    pub(crate) fn len(&self) -> usize {
        self.built.len()
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

    fn take(&mut self, index: usize) -> Argument<'q> {
        self.built.get_mut(index).map_or(Argument::None, |slot| std::mem::replace(slot, Argument::None))
    }

    /// The operator of an instant vector argument.
    pub(crate) fn vector(&mut self, index: usize) -> Result<BoxOperator<'q>, QueryError> {
        match self.take(index) {
            Argument::Vector(operator) => Ok(operator),
            _ => Err(QueryError::execution("expected an instant vector argument")),
        }
    }

    /// A scalar argument.
    pub(crate) fn scalar(&mut self, index: usize) -> Result<BoxScalar<'q>, QueryError> {
        match self.take(index) {
            Argument::Scalar(scalar) => Ok(scalar),
            _ => Err(QueryError::execution("expected a scalar argument")),
        }
    }

    /// All scalar arguments that are left, in order.
    pub(crate) fn scalars(&mut self) -> Vec<BoxScalar<'q>> {
        (0..self.len()).filter_map(|index| self.scalar(index).ok()).collect()
    }

    /// The range vector among the arguments, and which of them it is.
    pub(crate) fn range(&mut self) -> Result<(usize, RangeSource<'q>), QueryError> {
        for (index, slot) in self.built.iter_mut().enumerate() {
            match std::mem::replace(slot, Argument::None) {
                Argument::Range(source) => return Ok((index, source)),
                other => *slot = other,
            }
        }
        Err(QueryError::execution("expected a range vector argument"))
    }

    /// A string argument that is to be the name of a label: any text but the empty one. `what` is for the error.
    pub(crate) fn label_name(&self, index: usize, what: &str) -> Result<&'q str, QueryError> {
        let text = self.text(index)?;
        if text.value.is_empty() || text.broken.is_some() {
            return Err(QueryError::Execution(format!("invalid {what}: {}", text.value)));
        }
        Ok(&text.value)
    }

    /// A string argument.
    pub(crate) fn string(&self, index: usize) -> Result<&'q str, QueryError> {
        Ok(&self.text(index)?.value)
    }

    fn text(&self, index: usize) -> Result<&'q Text, QueryError> {
        match self.built.get(index) {
            Some(Argument::Text(text)) => Ok(text),
            _ => Err(QueryError::execution("expected a string argument")),
        }
    }
}

//! Nodes of a plan.

use std::sync::Arc;

use ferula_model::{Matcher, TimeRange};
use ferula_promql_syntax::ast::{
    AggregateOp, BinaryOp, RangeExtension, Span, UnaryOp, ValueType, VectorMatching,
};
use ferula_promql_syntax::functions::Function;
use ferula_storage::Purpose;

/// One node of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub kind: NodeKind,
    /// Its place in the query, parentheses not counted.
    pub span: Span,
    pub value_type: ValueType,
}

/// Kinds of node.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Number(f64),
    String(Text),
    Selector(Selector),
    Range(RangeSelector),
    Subquery(Box<Subquery>),
    /// Runs on the first step alone; its result holds for all steps.
    StepInvariant(Box<Node>),
    Unary(UnaryOp, Box<Node>),
    Binary(Box<BinaryNode>),
    Aggregate(Box<AggregateNode>),
    Call(CallNode),
}

/// A string of a query.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub value: String,
    /// Set when the string has bytes that are not UTF-8, which `value` cannot hold: the quoted string. It is not a name
    /// of a label.
    pub broken: Option<String>,
}

/// When samples are looked up, seen from a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lookup {
    /// The moment of `@`, instead of the step's.
    pub at_ms: Option<i64>,
    /// How much earlier.
    pub offset_ms: i64,
}

impl Lookup {
    /// The moment at which a step's samples are looked up.
    pub(crate) fn time(&self, step_ms: i64) -> i64 {
        self.at_ms.unwrap_or(step_ms).saturating_sub(self.offset_ms)
    }
}

/// An instant selector.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    pub matchers: Vec<Matcher>,
    pub lookup: Lookup,
    pub extension: Option<RangeExtension>,
    /// Histograms are read without their buckets.
    pub counts_only: bool,
    /// Which of the plan's selectors it is.
    pub index: usize,
}

/// A selector with a window.
#[derive(Clone, Debug)]
pub(crate) struct RangeSelector {
    pub selector: Selector,
    pub range_ms: i64,
}

/// A subquery.
#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    pub inner: Node,
    pub lookup: Lookup,
    pub range_ms: i64,
    pub step_ms: i64,
}

/// A binary operation.
#[derive(Clone, Debug)]
pub(crate) struct BinaryNode {
    pub op: BinaryOp,
    pub left: Node,
    pub right: Node,
    pub return_bool: bool,
    pub matching: Option<VectorMatching>,
}

/// An aggregation.
#[derive(Clone, Debug)]
pub(crate) struct AggregateNode {
    pub op: AggregateOp,
    pub inner: Node,
    pub param: Option<Node>,
    /// Labels of `by` or `without`; sorted once the plan is whole.
    pub grouping: Vec<String>,
    pub without: bool,
}

/// A function call.
#[derive(Clone, Debug)]
pub(crate) struct CallNode {
    pub function: &'static Function,
    pub args: Vec<Node>,
    /// The series that `info` joins with.
    pub info: Option<Selector>,
}

/// What a selector requests from the store.
#[derive(Clone, Debug)]
pub(crate) struct SelectorRequest {
    pub matchers: Vec<Matcher>,
    pub range: TimeRange,
    pub purpose: Arc<Purpose>,
}

impl Node {
    /// Calls `visit` for the node's children, in the order in which they are evaluated.
    pub(crate) fn children_mut(&mut self, visit: &mut dyn FnMut(&mut Node)) {
        match &mut self.kind {
            NodeKind::Number(_) | NodeKind::String(_) | NodeKind::Selector(_) | NodeKind::Range(_) => {}
            NodeKind::Subquery(subquery) => visit(&mut subquery.inner),
            NodeKind::StepInvariant(inner) | NodeKind::Unary(_, inner) => visit(inner),
            NodeKind::Binary(binary) => {
                visit(&mut binary.left);
                visit(&mut binary.right);
            }
            NodeKind::Aggregate(aggregate) => {
                if let Some(param) = &mut aggregate.param {
                    visit(param);
                }
                visit(&mut aggregate.inner);
            }
            NodeKind::Call(call) => call.args.iter_mut().for_each(visit),
        }
    }
}

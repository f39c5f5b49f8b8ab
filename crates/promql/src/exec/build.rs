//! Plan nodes to operators. Scalar expressions are evaluated right here, vectors when they are pulled.

use std::rc::Rc;

use ferula_promql_syntax::ast::{BinaryOp, UnaryOp, ValueType};

use crate::QueryError;
use crate::engine::Grid;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::function::call::{CallArguments, Implementation};
use crate::exec::function::table::implementation;
use crate::exec::operator::{BoxOperator, Nothing, Operator};
use crate::exec::scalars::{ScalarSeries, Scalars};
use crate::exec::select::window::WindowOperator;
use crate::exec::select::{instant, smoothed, step_invariant};
use crate::exec::{aggregate, binary, function};
use crate::plan::node::{BinaryNode, CallNode, Node, NodeKind};
use crate::stats::ScopeStats;

/// A grid of more steps is refused, unless more samples than this are allowed. Prometheus has no such bound, but would
/// not come to the end of such a grid within its default timeout.
const STEPS_MAX: usize = 50_000_000;

/// Where a node runs: on which grid, and who counts its samples.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub grid: Grid,
    pub stats: Rc<ScopeStats>,
}

impl Scope {
    /// The scope of a grid of its own. `by_step`: samples are counted step by step.
    pub(crate) fn new(grid: Grid, by_step: bool, query: &QueryContext<'_>) -> Result<Self, QueryError> {
        let by_step = by_step && grid.steps() <= STEPS_MAX;
        if by_step {
            query.account.reserve(grid.steps().saturating_mul(16))?;
        }
        Ok(Scope { grid, stats: Rc::new(ScopeStats::new(&grid, by_step)) })
    }

    pub(crate) fn steps(&self) -> usize {
        self.grid.steps()
    }

    /// The first step alone, for parts that are the same at every step.
    pub(crate) fn first_step(&self) -> Scope {
        let grid = Grid { end_ms: self.grid.start_ms, ..self.grid };
        Scope { grid, stats: Rc::new(ScopeStats::new(&grid, false)) }
    }
}

fn check_steps(steps: usize, query: &QueryContext<'_>) -> Result<(), QueryError> {
    let allowed = usize::try_from(query.samples.max()).unwrap_or(usize::MAX);
    if steps > STEPS_MAX.max(allowed) { Err(QueryError::TooManySamples) } else { Ok(()) }
}

/// The operator of a node that is an instant vector or a scalar.
pub(crate) fn vector<'q>(
    node: &'q Node,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> Result<BoxOperator<'q>, QueryError> {
    query.check()?;
    if scope.steps() == 0 {
        return Ok(Box::<Nothing>::default());
    }
    // A row has one slot per step whether or not it is used, so a grid that is too long is refused here.
    check_steps(scope.steps(), query)?;
    query.account.reserve(Batch::bytes_for(1, scope.steps()))?;
    if node.value_type == ValueType::Scalar {
        return Ok(Box::new(ScalarSeries::new(scalar(node, scope, query)?)));
    }
    match &node.kind {
        NodeKind::Selector(selector) if selector.extension.is_some() => {
            smoothed::operator(selector, node.span, scope, query)
        }
        NodeKind::Selector(selector) => instant::operator(selector, scope, query),
        NodeKind::StepInvariant(inner) => step_invariant::operator(inner, scope, query),
        NodeKind::Unary(UnaryOp::Plus, inner) => vector(inner, scope, query),
        NodeKind::Unary(UnaryOp::Minus, inner) => {
            Ok(function::math::negate(vector(inner, scope, query)?, query))
        }
        NodeKind::Binary(node_) => binary_vector(node, node_, scope, query),
        NodeKind::Aggregate(aggregate) => aggregate::operator(aggregate, node.span, scope, query),
        NodeKind::Call(call) => call_vector(node, call, scope, query),
        NodeKind::Number(_) | NodeKind::String(_) | NodeKind::Range(_) | NodeKind::Subquery(_) => {
            Err(QueryError::execution("expression is no instant vector"))
        }
    }
}

/// The values of a scalar node.
pub(crate) fn scalar<'q>(
    node: &'q Node,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> Result<Scalars, QueryError> {
    query.check()?;
    let steps = scope.steps();
    check_steps(steps, query)?;
    match &node.kind {
        NodeKind::Number(value) => Ok(Scalars::Constant(*value)),
        NodeKind::StepInvariant(inner) => {
            let once = scope.first_step();
            let value = scalar(inner, &once, query)?;
            step_invariant::absorb(&once, scope, query)?;
            Ok(if steps == 0 { Scalars::Constant(f64::NAN) } else { Scalars::Constant(value.at(0)) })
        }
        NodeKind::Unary(UnaryOp::Plus, inner) => scalar(inner, scope, query),
        NodeKind::Unary(UnaryOp::Minus, inner) => scalar(inner, scope, query)?.map(query, |value| -value),
        NodeKind::Binary(node) => {
            let (left, right) = (scalar(&node.left, scope, query)?, scalar(&node.right, scope, query)?);
            left.zip(&right, query, |a, b| binary::element::scalar(node.op, a, b))
        }
        NodeKind::Call(call) => match implementation(call.function.id) {
            Implementation::Scalar(evaluate) => {
                evaluate(&CallArguments { call, span: node.span, scope, query })
            }
            _ => Err(QueryError::execution("expression is no scalar")),
        },
        _ => Err(QueryError::execution("expression is no scalar")),
    }
}

fn call_vector<'q>(
    node: &'q Node,
    call: &'q CallNode,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> Result<BoxOperator<'q>, QueryError> {
    let arguments = CallArguments { call, span: node.span, scope, query };
    match implementation(call.function.id) {
        Implementation::Range(make) => WindowOperator::build(make(), &arguments),
        Implementation::Float(function) => {
            Ok(function::math::map_floats(arguments.vector(0)?, function, query))
        }
        Implementation::Operator(make) => make(&arguments),
        Implementation::Scalar(_) | Implementation::Planned => {
            Err(QueryError::execution("expression is no instant vector"))
        }
    }
}

fn binary_vector<'q>(
    node: &'q Node,
    binary_node: &'q BinaryNode,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> Result<BoxOperator<'q>, QueryError> {
    let BinaryNode { op, left, right, .. } = binary_node;
    match (left.value_type, right.value_type) {
        (ValueType::Vector, ValueType::Vector) => match op {
            BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => {
                binary::set::operator(binary_node, scope, query)
            }
            _ => binary::matching::operator(binary_node, node.span, scope, query),
        },
        (ValueType::Scalar, ValueType::Vector) => {
            let scalars = scalar(left, scope, query)?;
            let vector = vector(right, scope, query)?;
            Ok(binary::vector_scalar::operator(binary_node, vector, scalars, true, node.span, query))
        }
        _ => {
            let mut vector = vector(left, scope, query)?;
            let scalars = in_order(&mut *vector, scope, query, scalar(right, scope, query))?;
            Ok(binary::vector_scalar::operator(binary_node, vector, scalars, false, node.span, query))
        }
    }
}

/// What comes second in a query. Scalars are evaluated as soon as operators are built, so when that failed, what comes
/// first is run to its end: its own error would be the one that Prometheus comes by.
pub(crate) fn in_order<T>(
    first: &mut dyn Operator,
    scope: &Scope,
    query: &QueryContext<'_>,
    second: Result<T, QueryError>,
) -> Result<T, QueryError> {
    if second.is_err() {
        let mut rows = Batch::new(scope.steps());
        while first.next(query, &mut rows)? {
            query.check()?;
        }
    }
    second
}

//! From a plan to a tree of operators. Nothing is evaluated and nothing fails here: what cannot be built becomes an
//! operator that fails when its first row is requested, so errors come in the order of evaluation, as in Prometheus.

pub(crate) mod run;

use ferula_promql_syntax::ast::{AggregateOp, BinaryOp, Span, UnaryOp, ValueType};
use ferula_promql_syntax::functions::FunctionId;

use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::context::QueryContext;
use crate::exec::function::call::{Argument, Arguments, Implementation};
use crate::exec::function::table::implementation;
use crate::exec::operator::{BoxOperator, Failing, Nothing};
use crate::exec::scalars::{BoxScalar, ScalarSeries, Scalars};
use crate::exec::scope::Scope;
use crate::exec::select::subquery::{SubquerySource, inner_grid};
use crate::exec::select::window::{RangeSource, WindowOperator};
use crate::exec::select::{instant, smoothed, step_invariant};
use crate::exec::{aggregate, binary, function};
use crate::plan::node::{AggregateNode, BinaryNode, CallNode, Node, NodeKind, Subquery};

/// The operator of a node that is an instant vector or a scalar.
pub(crate) fn vector<'q>(node: &'q Node, scope: &Scope, query: &QueryContext<'q>) -> BoxOperator<'q> {
    try_vector(node, scope, query).unwrap_or_else(|error| Box::new(Failing::new(error)))
}

fn try_vector<'q>(
    node: &'q Node,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> Result<BoxOperator<'q>, QueryError> {
    query.check()?;
    if scope.steps() == 0 {
        return Ok(Box::<Nothing>::default());
    }
    scope.check_steps(query)?;
    query.account.charge(Batch::bytes_for(1, scope.steps()))?;
    if node.value_type == ValueType::Scalar {
        return Ok(Box::new(ScalarSeries::new(scalar(node, scope, query))));
    }
    match &node.kind {
        NodeKind::Selector(selector) if selector.extension.is_some() => {
            Ok(smoothed::operator(selector, node.span, scope, query))
        }
        NodeKind::Selector(selector) => Ok(instant::operator(selector, scope, query)),
        NodeKind::StepInvariant(inner) => {
            let once = scope.first_step();
            Ok(step_invariant::vector(vector(inner, &once, query), once, scope))
        }
        NodeKind::Unary(UnaryOp::Plus, inner) => Ok(vector(inner, scope, query)),
        NodeKind::Unary(UnaryOp::Minus, inner) => {
            Ok(function::math::negate(vector(inner, scope, query), query))
        }
        NodeKind::Binary(operation) => binary_vector(node.span, operation, scope, query),
        NodeKind::Aggregate(aggregate) => aggregate_vector(node.span, aggregate, scope, query),
        NodeKind::Call(call) => call_vector(node.span, call, scope, query),
        NodeKind::Number(_) | NodeKind::String(_) | NodeKind::Range(_) | NodeKind::Subquery(_) => {
            Err(QueryError::execution("expression is no instant vector"))
        }
    }
}

/// The operator of a node that is a scalar.
pub(crate) fn scalar<'q>(node: &'q Node, scope: &Scope, query: &QueryContext<'q>) -> BoxScalar<'q> {
    try_scalar(node, scope, query)
        .unwrap_or_else(|error| Box::new(move |_: &QueryContext<'_>| Err::<Scalars, _>(error.clone())))
}

fn try_scalar<'q>(
    node: &'q Node,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> Result<BoxScalar<'q>, QueryError> {
    query.check()?;
    scope.check_steps(query)?;
    match &node.kind {
        NodeKind::Number(value) => Ok(Box::new(Scalars::Constant(*value))),
        NodeKind::StepInvariant(inner) => {
            let once = scope.first_step();
            Ok(step_invariant::scalar(scalar(inner, &once, query), once, scope))
        }
        NodeKind::Unary(UnaryOp::Plus, inner) => Ok(scalar(inner, scope, query)),
        NodeKind::Unary(UnaryOp::Minus, inner) => {
            let mut inner = scalar(inner, scope, query);
            Ok(Box::new(move |query: &QueryContext<'_>| inner.evaluate(query)?.map(query, |value| -value)))
        }
        NodeKind::Binary(operation) => {
            let op = operation.op;
            let mut left = scalar(&operation.left, scope, query);
            let mut right = scalar(&operation.right, scope, query);
            Ok(Box::new(move |query: &QueryContext<'_>| {
                let (left, right) = (left.evaluate(query)?, right.evaluate(query)?);
                left.zip(&right, query, |a, b| binary::element::scalar(op, a, b))
            }))
        }
        NodeKind::Call(call) => match implementation(call.function.id) {
            Implementation::Scalar(make) => make(&mut arguments(node.span, call, scope, query)),
            _ => Err(QueryError::execution("expression is no scalar")),
        },
        _ => Err(QueryError::execution("expression is no scalar")),
    }
}

/// A subquery, ready to hand out its series.
pub(crate) fn subquery<'q>(
    node: &'q Subquery,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> SubquerySource<'q> {
    let grid = inner_grid(node, &scope.grid);
    match Scope::new(grid, true, query) {
        Ok(inner) => SubquerySource::new(vector(&node.inner, &inner, query), inner),
        Err(error) => SubquerySource::new(Box::new(Failing::new(error)), Scope::without_steps(grid)),
    }
}

fn arguments<'a, 'q>(
    span: Span,
    call: &'q CallNode,
    scope: &'a Scope,
    query: &'a QueryContext<'q>,
) -> Arguments<'a, 'q> {
    let built = (0..call.args.len()).map(|index| argument(call, index, scope, query)).collect();
    Arguments { call, span, scope, query, built }
}

fn argument<'q>(call: &'q CallNode, index: usize, scope: &Scope, query: &QueryContext<'q>) -> Argument<'q> {
    let node = &call.args[index];
    match (&node.kind, node.value_type) {
        // Only the matchers of the second argument of `info` count; the plan has no selection for it.
        _ if call.function.id == FunctionId::Info && index > 0 => Argument::None,
        (NodeKind::String(text), _) => Argument::Text(text),
        (NodeKind::Range(range), _) => {
            Argument::Range(RangeSource::selector(range, query.selections[range.selector.index]))
        }
        (NodeKind::Subquery(node), _) => {
            Argument::Range(RangeSource::subquery(node, subquery(node, scope, query)))
        }
        (_, ValueType::Scalar) => Argument::Scalar(scalar(node, scope, query)),
        _ => Argument::Vector(vector(node, scope, query)),
    }
}

fn call_vector<'q>(
    span: Span,
    call: &'q CallNode,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> Result<BoxOperator<'q>, QueryError> {
    let mut arguments = arguments(span, call, scope, query);
    match implementation(call.function.id) {
        Implementation::Range(make) => {
            let (index, source) = arguments.range()?;
            source.check_extension(&*make(), call.function.name)?;
            // A subquery has no place of its own in annotations; Prometheus shows the start of the query.
            let no_place = source.is_subquery() && index == 0;
            let span = if no_place { Span::default() } else { arguments.span(0) };
            Ok(WindowOperator::operator(make, source, arguments.scalars(), span, scope, query))
        }
        Implementation::Float(function) => {
            Ok(function::math::map_floats(arguments.vector(0)?, function, query))
        }
        Implementation::Operator(make) => make(&mut arguments),
        Implementation::Scalar(_) | Implementation::Planned => {
            Err(QueryError::execution("expression is no instant vector"))
        }
    }
}

fn aggregate_vector<'q>(
    span: Span,
    node: &'q AggregateNode,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> Result<BoxOperator<'q>, QueryError> {
    let inner = vector(&node.inner, scope, query);
    let is_text = node.op == AggregateOp::CountValues;
    let param = node.param.as_ref().filter(|_| !is_text).map(|param| scalar(param, scope, query));
    aggregate::operator(node, span, inner, param, scope.steps())
}

fn binary_vector<'q>(
    span: Span,
    node: &'q BinaryNode,
    scope: &Scope,
    query: &QueryContext<'q>,
) -> Result<BoxOperator<'q>, QueryError> {
    let BinaryNode { op, left, right, .. } = node;
    match (left.value_type, right.value_type) {
        (ValueType::Vector, ValueType::Vector) => {
            let (left, right) = (vector(left, scope, query), vector(right, scope, query));
            match op {
                BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => {
                    Ok(binary::set::operator(node, left, right, scope.steps()))
                }
                _ => binary::matching::operator(node, span, left, right, scope.steps()),
            }
        }
        (ValueType::Scalar, ValueType::Vector) => {
            let (scalar, vector) = (scalar(left, scope, query), vector(right, scope, query));
            Ok(binary::vector_scalar::operator(node, vector, scalar, true, span, query))
        }
        _ => {
            let (vector, scalar) = (vector(left, scope, query), scalar(right, scope, query));
            Ok(binary::vector_scalar::operator(node, vector, scalar, false, span, query))
        }
    }
}

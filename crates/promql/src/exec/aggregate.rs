//! Aggregations: rows of a group become one row, or some of them are kept.
//!
//! `fold.rs` runs those that keep one state per (group, step) and see each row once: `sum.rs`, `average.rs`,
//! `extreme.rs` (min, max), `count.rs` (count, group), `deviation.rs` (stddev, stdvar), `quantile.rs`. The others
//! look at a step as a whole: `select.rs` (topk, bottomk, limitk, limit_ratio) and `count_values.rs`.

mod average;
mod count;
mod count_values;
mod deviation;
mod extreme;
mod fold;
mod grouping;
mod heap;
mod quantile;
mod select;
mod sum;

use ferula_promql_syntax::ast::{AggregateOp, Span};

use crate::QueryError;
use crate::exec::operator::BoxOperator;
use crate::exec::scalars::{BoxScalar, Scalars};
use crate::plan::node::AggregateNode;
use fold::Aggregate;
pub(crate) use sum::ResetHints;

/// The operator of an aggregation over `inner`. `param` is there for those that have a scalar parameter.
pub(crate) fn operator<'q>(
    node: &'q AggregateNode,
    span: Span,
    inner: BoxOperator<'q>,
    param: Option<BoxScalar<'q>>,
    steps: usize,
) -> Result<BoxOperator<'q>, QueryError> {
    let param = param.unwrap_or_else(|| Box::new(Scalars::Constant(0.0)));
    let param_span = node.param.as_ref().map_or(span, |param| param.span);
    let inner_span = node.inner.span;
    Ok(match node.op {
        AggregateOp::Sum => Aggregate::operator(node, inner, steps, sum::Sum::new(inner_span)),
        AggregateOp::Avg => Aggregate::operator(node, inner, steps, average::Average::new(inner_span)),
        AggregateOp::Min => Aggregate::operator(node, inner, steps, extreme::Extreme::min(inner_span)),
        AggregateOp::Max => Aggregate::operator(node, inner, steps, extreme::Extreme::max(inner_span)),
        AggregateOp::Count => Aggregate::operator(node, inner, steps, count::Count { constant: None }),
        AggregateOp::Group => Aggregate::operator(node, inner, steps, count::Count { constant: Some(1.0) }),
        AggregateOp::Stddev | AggregateOp::Stdvar => {
            let root = node.op == AggregateOp::Stddev;
            Aggregate::operator(node, inner, steps, deviation::Deviation { root, span: inner_span })
        }
        AggregateOp::Quantile => {
            Aggregate::operator(node, inner, steps, quantile::Quantile::new(param, param_span, inner_span))
        }
        AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => {
            select::operator(node, inner, param, (span, param_span), steps)
        }
        AggregateOp::CountValues => count_values::operator(node, inner, steps)?,
    })
}

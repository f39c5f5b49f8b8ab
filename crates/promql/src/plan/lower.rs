//! AST to nodes: every duration a number of milliseconds, every `@` a moment, parentheses gone.

use ferula_model::labels::METRIC_NAME;
use ferula_model::{MatchOp, Matcher};
use ferula_promql_syntax::ast::{
    AggregateExpr, AtModifier, BinaryExpr, Call, Expr, ExprKind, MatrixSelector, Subquery as SubqueryExpr,
    TimeShift, VectorSelector,
};
use ferula_promql_syntax::functions::FunctionId;
use ferula_promql_syntax::raw_bytes;

use super::durations::{self, QueryTimes};
use super::node::{
    AggregateNode, BinaryNode, CallNode, Lookup, Node, NodeKind, RangeSelector, Selector, Subquery, Text,
};
use crate::QueryError;
use crate::{EngineOptions, Grid};

/// Deeper queries are refused; the parser's own bound is lower.
const DEPTH_MAX: usize = 10_000;

/// The nodes of an expression.
pub(super) fn lower(
    expr: &Expr,
    grid: Grid,
    instant: bool,
    options: &EngineOptions,
) -> Result<Node, QueryError> {
    let range_ms = (i128::from(grid.end_ms) - i128::from(grid.start_ms)) as f64;
    let times = QueryTimes {
        step_seconds: if instant { 0.0 } else { grid.step_ms as f64 / 1000.0 },
        range_seconds: range_ms / 1000.0,
    };
    Lowering { grid, times, options }.node(expr, 0)
}

struct Lowering<'a> {
    grid: Grid,
    times: QueryTimes,
    options: &'a EngineOptions,
}

impl Lowering<'_> {
    fn node(&self, expr: &Expr, depth: usize) -> Result<Node, QueryError> {
        if depth > DEPTH_MAX {
            return Err(QueryError::Parse("query is nested too deeply".to_owned()));
        }
        let kind = match &expr.kind {
            ExprKind::Paren(inner) => return self.node(inner, depth + 1),
            ExprKind::Number(number) => NodeKind::Number(number.value),
            ExprKind::String(text) => NodeKind::String(text_of(text)),
            ExprKind::VectorSelector(selector) => NodeKind::Selector(self.selector(selector)?),
            ExprKind::MatrixSelector(matrix) => NodeKind::Range(self.range(matrix)?),
            ExprKind::Subquery(subquery) => NodeKind::Subquery(Box::new(self.subquery(subquery, depth)?)),
            ExprKind::Unary(op, inner) => NodeKind::Unary(*op, Box::new(self.node(inner, depth + 1)?)),
            ExprKind::Binary(binary) => NodeKind::Binary(Box::new(self.binary(binary, depth)?)),
            ExprKind::Aggregate(aggregate) => {
                NodeKind::Aggregate(Box::new(self.aggregate(aggregate, depth)?))
            }
            ExprKind::Call(call) => NodeKind::Call(self.call(call, depth)?),
        };
        Ok(Node { kind, span: expr.span, value_type: expr.value_type() })
    }

    fn selector(&self, selector: &VectorSelector) -> Result<Selector, QueryError> {
        Ok(Selector {
            matchers: selector.matchers.clone(),
            lookup: self.lookup(&selector.at)?,
            extension: selector.extension,
            counts_only: false,
            index: 0,
        })
    }

    fn lookup(&self, shift: &TimeShift) -> Result<Lookup, QueryError> {
        let offset_ms = match &shift.offset {
            Some(offset) => durations::millis(offset, self.times, true)?,
            None => 0,
        };
        let at_ms = shift.at.map(|at| match at {
            AtModifier::Time(time) => time.millis(),
            AtModifier::Start => self.grid.start_ms,
            AtModifier::End => self.grid.end_ms,
        });
        Ok(Lookup { at_ms, offset_ms })
    }

    fn range(&self, matrix: &MatrixSelector) -> Result<RangeSelector, QueryError> {
        Ok(RangeSelector {
            selector: self.selector(&matrix.selector)?,
            range_ms: durations::millis(&matrix.range, self.times, false)?,
        })
    }

    fn subquery(&self, subquery: &SubqueryExpr, depth: usize) -> Result<Subquery, QueryError> {
        let lookup = self.lookup(&subquery.at)?;
        let step_ms = match &subquery.step {
            Some(step) => durations::millis(step, self.times, false)?,
            None => 0,
        };
        // As in Prometheus, a step below a millisecond counts as missing.
        let step_ms = if step_ms > 0 { step_ms } else { self.options.default_subquery_step_ms.max(1) };
        Ok(Subquery {
            lookup,
            range_ms: durations::millis(&subquery.range, self.times, false)?,
            step_ms,
            inner: self.node(&subquery.expr, depth + 1)?,
        })
    }

    fn binary(&self, binary: &BinaryExpr, depth: usize) -> Result<BinaryNode, QueryError> {
        Ok(BinaryNode {
            op: binary.op,
            left: self.node(&binary.left, depth + 1)?,
            right: self.node(&binary.right, depth + 1)?,
            return_bool: binary.return_bool,
            matching: binary.matching.clone(),
        })
    }

    fn aggregate(&self, aggregate: &AggregateExpr, depth: usize) -> Result<AggregateNode, QueryError> {
        let param = aggregate.param.as_ref().map(|param| self.node(param, depth + 1)).transpose()?;
        Ok(AggregateNode {
            op: aggregate.op,
            inner: self.node(&aggregate.expr, depth + 1)?,
            param,
            grouping: aggregate.grouping.clone(),
            without: aggregate.without,
        })
    }

    fn call(&self, call: &Call, depth: usize) -> Result<CallNode, QueryError> {
        let args: Vec<Node> =
            call.args.iter().map(|arg| self.node(arg, depth + 1)).collect::<Result<_, _>>()?;
        let info = (call.function.id == FunctionId::Info).then(|| info_selector(&args));
        Ok(CallNode { function: call.function, args, info })
    }
}

/// The series that `info` joins with: those of the second argument's matchers, at the time of the first selector
/// in the first argument. Matchers for the identifying labels are applied later, when the first argument is known.
fn info_selector(args: &[Node]) -> Selector {
    let matchers = match args.get(1).map(|arg| &arg.kind) {
        Some(NodeKind::Selector(selector)) => selector.matchers.clone(),
        _ => Vec::new(),
    };
    let (names, mut others): (Vec<_>, Vec<_>) =
        matchers.into_iter().partition(|matcher| &*matcher.name == METRIC_NAME);
    others.extend(effective_name_matchers(names));
    let lookup = args.first().and_then(first_lookup).unwrap_or(Lookup { at_ms: None, offset_ms: 0 });
    Selector { matchers: others, lookup, extension: None, counts_only: false, index: 0 }
}

/// When the first selector of an expression looks its samples up, seen from the step of the whole expression.
fn first_lookup(node: &Node) -> Option<Lookup> {
    match &node.kind {
        NodeKind::Number(_) | NodeKind::String(_) => None,
        NodeKind::Selector(selector) => Some(selector.lookup),
        NodeKind::Range(range) => Some(range.selector.lookup),
        NodeKind::Subquery(subquery) => {
            let inner = first_lookup(&subquery.inner)?;
            if inner.at_ms.is_some() {
                return Some(inner);
            }
            let offset_ms = inner.offset_ms.saturating_add(subquery.lookup.offset_ms);
            Some(Lookup { at_ms: subquery.lookup.at_ms, offset_ms })
        }
        NodeKind::StepInvariant(inner) | NodeKind::Unary(_, inner) => first_lookup(inner),
        NodeKind::Binary(binary) => first_lookup(&binary.left).or_else(|| first_lookup(&binary.right)),
        NodeKind::Aggregate(aggregate) => {
            first_lookup(&aggregate.inner).or_else(|| aggregate.param.as_ref().and_then(first_lookup))
        }
        NodeKind::Call(call) => call.args.iter().find_map(first_lookup),
    }
}

fn text_of(text: &str) -> Text {
    let broken = (!raw_bytes::is_utf8(text)).then(|| raw_bytes::quote(text));
    Text { value: raw_bytes::lossy(text), broken }
}

/// The conditions on the names of info series. Without any it is `target_info`; with negative ones alone, anything
/// that ends in `_info`.
pub(crate) fn effective_name_matchers(mut names: Vec<Matcher>) -> Vec<Matcher> {
    if names.iter().any(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex)) {
        return names;
    }
    if names.is_empty() {
        return vec![Matcher::equal(METRIC_NAME, "target_info")];
    }
    names.insert(0, any_info());
    names
}

/// `__name__=~".+_info"`
fn any_info() -> Matcher {
    Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info").expect("a fixed pattern compiles")
}

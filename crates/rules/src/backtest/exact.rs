//! Finds expressions whose range query can differ from an instant query at the same time.

use ferula_promql_syntax::ast::{
    AggregateOp, AtModifier, DurationExpr, DurationExprKind, DurationValue, TimeShift,
};
use ferula_promql_syntax::functions::FunctionId;
use ferula_promql_syntax::{Expr, ExprKind};

/// Why the expression has to be evaluated one timestamp at a time; `None` if a range query gives the same
/// result.
pub(crate) fn needs_instants(expr: &Expr) -> Option<&'static str> {
    let mut reason = None;
    expr.walk(&mut |expr| {
        reason = reason.or_else(|| reason_of(expr));
    });
    reason
}

fn reason_of(expr: &Expr) -> Option<&'static str> {
    match &expr.kind {
        ExprKind::VectorSelector(selector) => of_shift(&selector.at),
        ExprKind::MatrixSelector(matrix) => of_shift(&matrix.selector.at).or(of_duration(&matrix.range)),
        ExprKind::Subquery(subquery) => of_shift(&subquery.at)
            .or(of_duration(&subquery.range))
            .or(subquery.step.as_ref().and_then(of_duration)),
        ExprKind::Call(call) => match call.function.id {
            FunctionId::Start | FunctionId::End | FunctionId::Step | FunctionId::Range => {
                Some("start(), end(), step() and range() depend on the query's range")
            }
            // Series to join with are looked up over the whole range of the query.
            FunctionId::Info => Some("info() looks at the query's whole range"),
            _ => None,
        },
        ExprKind::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK
                if may_reorder(&aggregate.expr) =>
            {
                Some(
                    "which of equal elements topk, bottomk and limitk choose depends on the order of their operand",
                )
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether the elements may come in a different order over a range: the order in which groups and matches are
/// encountered.
fn may_reorder(expr: &Expr) -> bool {
    let mut reorders = false;
    expr.walk(&mut |expr| reorders |= matches!(expr.kind, ExprKind::Aggregate(_) | ExprKind::Binary(_)));
    reorders
}

fn of_shift(shift: &TimeShift) -> Option<&'static str> {
    match shift.at {
        Some(AtModifier::Start | AtModifier::End) => {
            Some("@ start() and @ end() depend on the query's range")
        }
        _ => shift.offset.as_ref().and_then(of_duration),
    }
}

fn of_duration(duration: &DurationValue) -> Option<&'static str> {
    match duration {
        DurationValue::Expr(expr) if looks_at_query(expr) => {
            Some("step() and range() in a duration depend on the query's range")
        }
        _ => None,
    }
}

fn looks_at_query(expr: &DurationExpr) -> bool {
    match &expr.kind {
        DurationExprKind::Number(_) => false,
        DurationExprKind::Step | DurationExprKind::Range => true,
        DurationExprKind::Unary(_, inner) => looks_at_query(inner),
        DurationExprKind::Binary(_, a, b) | DurationExprKind::MinOf(a, b) | DurationExprKind::MaxOf(a, b) => {
            looks_at_query(a) || looks_at_query(b)
        }
    }
}

#[cfg(test)]
mod tests {
    use ferula_promql_syntax::{ParserOptions, parse};

    use super::*;

    #[test]
    fn what_looks_at_the_range_is_found_wherever_it_stands() {
        let options =
            ParserOptions { experimental_functions: true, duration_expressions: true, ..Default::default() };
        let instants = |text: &str| needs_instants(&parse(text, &options).expect(text)).is_some();
        for text in [
            "up @ end() == 0",
            "rate(x[5m] @ start()) > 1",
            "max_over_time(x[1h:1m] @ end()) > 1",
            "x > end() - start()",
            "rate(x[step() + 5m]) > 1",
            "x offset (range() * 2)",
            "max_over_time(x[1h:min_of(1m, step())]) > 1",
            "topk(1, sum by (a) (x))",
            "limitk(2, x and y)",
            "info(x) > 1",
        ] {
            assert!(instants(text), "{text}");
        }
        for text in ["up == 0", "topk(3, rate(x[5m])) > 1", "x @ 12 > 1", "sort(x)", "rate(x[5m + 1m])"] {
            assert!(!instants(text), "{text}");
        }
    }
}

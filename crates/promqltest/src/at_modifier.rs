//! An instant query must return the same when every selector is pinned to its time with `@` and it is evaluated at
//! another time.

use ferula_model::Timestamp;
use ferula_promql_syntax::ast::{AtModifier, Call, Expr, ExprKind};
use ferula_promql_syntax::functions::Dependence;
use ferula_promql_syntax::{ParserOptions, parse};

/// The query with every selector and subquery pinned to `at_ms`, and the other times to evaluate it at. Empty for a
/// query whose result may depend on the evaluation time.
pub(crate) fn pinned(query: &str, at_ms: i64) -> Result<Vec<(String, i64)>, String> {
    let mut expr = parse(query, &ParserOptions::ALL).map_err(|error| error.to_string())?;
    if !pin(&mut expr, at_ms) {
        return Ok(Vec::new());
    }
    let text = expr.to_string();
    let times =
        if at_ms == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at_ms, 0, at_ms / 5, at_ms, 10 * at_ms] };
    Ok(times.into_iter().map(|time| (text.clone(), time)).collect())
}

/// Pins everything without its own time. Inside a subquery everything follows the subquery. Returns `false` for a
/// function that depends on time.
fn pin(expr: &mut Expr, at_ms: i64) -> bool {
    let pin_shift = |at: &mut Option<AtModifier>| {
        if !matches!(at, Some(AtModifier::Time(_))) {
            *at = Some(AtModifier::Time(Timestamp::from_millis(at_ms)));
        }
    };
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::VectorSelector(selector) => {
            pin_shift(&mut selector.at.at);
            true
        }
        ExprKind::MatrixSelector(matrix) => {
            pin_shift(&mut matrix.selector.at.at);
            true
        }
        ExprKind::Subquery(subquery) => {
            pin_shift(&mut subquery.at.at);
            true
        }
        ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => pin(inner, at_ms),
        ExprKind::Binary(binary) => {
            let left = pin(&mut binary.left, at_ms);
            pin(&mut binary.right, at_ms) && left
        }
        ExprKind::Aggregate(aggregate) => {
            let inner = pin(&mut aggregate.expr, at_ms);
            aggregate.param.as_mut().is_none_or(|param| pin(param, at_ms)) && inner
        }
        ExprKind::Call(Call { function, args }) => {
            let mut steady = function.depends_on == Dependence::Arguments;
            for arg in args {
                steady &= pin(arg, at_ms);
            }
            steady
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_subqueries_are_pinned() {
        let texts = |query: &str| -> Vec<String> {
            let mut texts: Vec<String> =
                pinned(query, 60_000).expect("parses").into_iter().map(|(text, _)| text).collect();
            texts.dedup();
            texts
        };
        assert_eq!(texts("a + b @ 5"), ["a @ 60.000 + b @ 5.000"]);
        assert_eq!(texts("sum_over_time(hour(a)[5m:1m])"), ["sum_over_time(hour(a)[5m:1m] @ 60.000)"]);
        assert_eq!(texts("a @ start()"), ["a @ 60.000"]);
        assert_eq!(texts("a * hour()"), [""; 0]);
        let times: Vec<i64> = pinned("a", 60_000).expect("parses").into_iter().map(|(_, t)| t).collect();
        assert_eq!(times, [-600_000, 0, 12_000, 60_000, 600_000]);
    }
}

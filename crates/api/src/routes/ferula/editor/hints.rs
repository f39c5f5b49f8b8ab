//! Warnings about valid expressions that are probably mistakes, with corrections.

use std::time::Duration;

use ferula_config::closest;
use ferula_go::quote::go_quote;
use ferula_model::duration::format_millis;
use ferula_model::labels::METRIC_NAME;
use ferula_model::{MatchOp, Matcher, MetricType};
use ferula_promql_syntax::ast::{AggregateExpr, AggregateOp, DurationValue, MatrixSelector, VectorSelector};
use ferula_promql_syntax::{Expr, ExprKind, Piece, Span, pieces};

use super::data::{EditorData, VALUES_MAX};
use super::diagnostic::{Diagnostic, Fix};

const HINTS_MAX: usize = 8;
/// Search is stopped after this many hints; the first ones in the text are returned.
const FOUND_MAX: usize = 4 * HINTS_MAX;
/// Maximum number of names to compare with an unknown one.
const NAMES_COMPARED_MAX: usize = 20_000;

/// Functions that require a counter.
const FOR_COUNTERS: [&str; 3] = ["rate", "irate", "increase"];
/// Functions that are also useful on a counter itself.
const HARMLESS: [&str; 12] = [
    "absent",
    "absent_over_time",
    "changes",
    "resets",
    "count_over_time",
    "present_over_time",
    "last_over_time",
    "timestamp",
    "start_timestamp",
    "info",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
];

/// The counterparts for gauges of functions for counters.
fn for_gauges(function: &str) -> Option<&'static str> {
    Some(match function {
        "rate" => "deriv",
        "irate" => "idelta",
        "increase" => "delta",
        _ => return None,
    })
}

/// Hints about an expression, in the order of the text.
pub(super) fn hints(expr: &Expr, text: &str, data: &EditorData<'_>) -> Vec<Diagnostic> {
    let mut walk = Walk { text, data, found: Vec::new() };
    walk.visit(expr, &NodeContext::default());
    walk.found.sort_by_key(|hint| hint.from);
    walk.found.truncate(HINTS_MAX);
    walk.found
}

/// The surroundings of a node.
#[derive(Clone, Copy, Default)]
struct NodeContext<'a> {
    /// Whether an enclosing function takes counters or accepts anything.
    counter_is_fine: bool,
    /// The call of which the node is an argument.
    call: Option<(&'static str, Span)>,
    quantile: bool,
    /// The innermost aggregation between the node and a quantile function.
    aggregate: Option<(&'a AggregateExpr, Span)>,
}

struct Walk<'a, 'd> {
    text: &'a str,
    data: &'a EditorData<'d>,
    found: Vec<Diagnostic>,
}

impl Walk<'_, '_> {
    fn hint(&mut self, span: Span, message: String, fixes: Vec<Fix>) {
        if self.found.len() < FOUND_MAX {
            self.found.push(Diagnostic { from: span.start, to: span.end, severity: "hint", message, fixes });
        }
    }

    fn source(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    fn visit(&mut self, expr: &Expr, around: &NodeContext<'_>) {
        // Each selector may be compared with all names.
        if self.found.len() >= FOUND_MAX || self.data.is_ended() {
            return;
        }
        match &expr.kind {
            ExprKind::VectorSelector(selector) => {
                self.selector(selector, expr.span);
                self.missing_le(selector, around);
                self.counter(selector, expr.span, around);
            }
            ExprKind::MatrixSelector(matrix) => {
                self.selector(&matrix.selector, matrix.selector_span);
                self.missing_le(&matrix.selector, around);
                self.range(matrix, expr.span, around);
            }
            ExprKind::Call(call) => {
                let name = call.function.name;
                let inner = NodeContext {
                    counter_is_fine: around.counter_is_fine
                        || FOR_COUNTERS.contains(&name)
                        || HARMLESS.contains(&name),
                    call: Some((name, expr.span)),
                    quantile: around.quantile || name == "histogram_quantile",
                    aggregate: around.aggregate,
                };
                if FOR_COUNTERS.contains(&name) {
                    self.sum_before_rate(name, expr, call.args.first());
                }
                call.args.iter().for_each(|arg| self.visit(arg, &inner));
            }
            ExprKind::Aggregate(aggregate) => {
                let counts = matches!(aggregate.op, AggregateOp::Count | AggregateOp::Group);
                let inner = NodeContext {
                    counter_is_fine: around.counter_is_fine || counts,
                    call: None,
                    quantile: around.quantile,
                    aggregate: around.quantile.then_some((&**aggregate, expr.span)),
                };
                aggregate.param.iter().for_each(|param| self.visit(param, &inner));
                self.visit(&aggregate.expr, &inner);
            }
            ExprKind::Paren(inner) => self.visit(inner, around),
            _ => {
                let inner = NodeContext { call: None, ..*around };
                expr.children().for_each(|child| self.visit(child, &inner));
            }
        }
    }

    /// A counter whose raw value is used.
    fn counter(&mut self, selector: &VectorSelector, span: Span, around: &NodeContext<'_>) {
        let Some(metric) = metric_of(selector) else { return };
        if around.counter_is_fine || self.kind(metric) != Some(MetricType::Counter) {
            return;
        }
        let fixed = format!("rate({}[5m])", self.source(span));
        let fix = Fix { title: format!("Use {fixed}"), from: span.start, to: span.end, insert: fixed };
        self.hint(
            span,
            format!("{metric} is a counter. Its raw value only grows; use its rate instead."),
            vec![fix],
        );
    }

    fn kind(&self, metric: &str) -> Option<MetricType> {
        let kind = self.data.metadata(metric)?.kind;
        let counts = metric.ends_with("_bucket") || metric.ends_with("_count") || metric.ends_with("_sum");
        match kind {
            // Their components are counters too, but are also used in other ways.
            MetricType::Histogram | MetricType::Summary if counts => None,
            kind => Some(kind),
        }
    }

    /// The range of a function must contain two scrapes, and some functions require a counter.
    fn range(&mut self, matrix: &MatrixSelector, span: Span, around: &NodeContext<'_>) {
        let Some((function, call)) = around.call.filter(|(name, _)| for_gauges(name).is_some()) else {
            return;
        };
        let metric = metric_of(&matrix.selector);
        if let (Some(metric), Some(instead)) = (metric, for_gauges(function))
            && self.kind(metric) == Some(MetricType::Gauge)
        {
            let fix = Fix {
                title: format!("Use {instead}"),
                from: call.start,
                to: call.start + function.len(),
                insert: instead.to_owned(),
            };
            let message =
                format!("{metric} is a gauge: {function} mistakes each decrease for a counter reset.");
            self.hint(call, message, vec![fix]);
        }
        let DurationValue::Millis(range_ms) = matrix.range else { return };
        let job = matrix.selector.matchers.iter().find(|one| one.op == MatchOp::Equal && &*one.name == "job");
        let Some(interval) = self.data.scrape_interval(job.map(|one| &*one.value)) else { return };
        let range = Duration::from_millis(u64::try_from(range_ms).unwrap_or(0));
        if range >= interval * 2 {
            return;
        }
        let wanted_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).saturating_mul(4);
        let (shown, wanted) = (format_millis(range_ms), format_millis(wanted_ms));
        let from =
            matrix.selector_span.end + self.text[matrix.selector_span.end..].find('[').map_or(0, |at| at + 1);
        let to = from + self.text[from..].find(']').unwrap_or(0);
        let fix = Fix { title: format!("Use [{wanted}]"), from, to, insert: wanted };
        let apart = format_millis(i64::try_from(interval.as_millis()).unwrap_or(0));
        let message = format!(
            "{function} needs two samples, but {shown} contains fewer: the scrape interval is {apart}."
        );
        self.hint(span, message, vec![fix]);
    }

    /// `rate(sum(x)[5m:])`: the sum hides which of the counters was reset.
    fn sum_before_rate(&mut self, function: &str, call: &Expr, arg: Option<&Expr>) {
        let Some(ExprKind::Subquery(subquery)) = arg.map(|arg| &arg.kind) else { return };
        let inner = subquery.expr.without_parens();
        let ExprKind::Aggregate(aggregate) = &inner.kind else { return };
        let ExprKind::VectorSelector(_) = aggregate.expr.without_parens().kind else { return };
        if aggregate.op != AggregateOp::Sum {
            return;
        }
        let DurationValue::Millis(range_ms) = subquery.range else { return };
        let grouping = match (aggregate.without, aggregate.grouping.as_slice()) {
            (false, []) => String::new(),
            (without, names) => format!(" {} ({})", if without { "without" } else { "by" }, names.join(", ")),
        };
        let selector = self.source(aggregate.expr.without_parens().span);
        let insert = format!("sum{grouping} ({function}({selector}[{}]))", format_millis(range_ms));
        let fix = Fix { title: format!("Use {insert}"), from: call.span.start, to: call.span.end, insert };
        let message = format!(
            "{function} of a sum misses resets of individual counters: use the sum of their {function} instead."
        );
        self.hint(call.span, message, vec![fix]);
    }

    /// A quantile of buckets whose bounds an aggregation has dropped.
    fn missing_le(&mut self, selector: &VectorSelector, around: &NodeContext<'_>) {
        let Some((aggregate, span)) = around.aggregate else { return };
        let of_buckets = metric_of(selector).is_some_and(|metric| metric.ends_with("_bucket"));
        let named = aggregate.grouping.iter().any(|name| name == "le");
        if !of_buckets || aggregate.without || named {
            return;
        }
        // The grouping may stand before or after the argument.
        let (inner, whole) = (aggregate.expr.span, self.source(span));
        let is_by = |piece: &&Piece| {
            let at = span.start + piece.span.start;
            let word = &whole[piece.span.start..piece.span.end];
            word.eq_ignore_ascii_case("by") && !(inner.start..inner.end).contains(&at)
        };
        let by = pieces(whole).0.iter().find(is_by).map(|piece| span.start + piece.span.end);
        let (at, insert) = match by {
            Some(by) => {
                let open = by + self.text[by..].find('(').map_or(0, |at| at + 1);
                (open, if aggregate.grouping.is_empty() { "le" } else { "le, " })
            }
            None => (span.start + aggregate.op.as_str().len(), " by (le) "),
        };
        let fix = Fix { title: "Keep le".to_owned(), from: at, to: at, insert: insert.to_owned() };
        self.hint(
            span,
            "histogram_quantile needs the label le, which this grouping drops.".to_owned(),
            vec![fix],
        );
    }

    /// A metric or label value that does not exist.
    fn selector(&mut self, selector: &VectorSelector, span: Span) {
        let Some(metric) = metric_of(selector) else { return };
        let Ok(names) = self.data.metric_names() else { return };
        if let Err(at) = names.binary_search_by(|name| name.as_str().cmp(metric)) {
            // Mistakes are seldom at the beginning: what was meant stands near in the order of names.
            let from = at.saturating_sub(NAMES_COMPARED_MAX / 2);
            let near = closest(metric, names[from..].iter().take(NAMES_COMPARED_MAX).map(String::as_str));
            let at = span.start + self.source(span).find(metric).unwrap_or(0);
            let fix = near.map(|near| Fix {
                title: format!("Use {near}"),
                from: at,
                to: at + metric.len(),
                insert: near.to_owned(),
            });
            let place = Span { start: at, end: at + metric.len() };
            self.hint(place, format!("There is no metric {metric}."), fix.into_iter().collect());
            return;
        }
        for matcher in
            selector.matchers.iter().filter(|one| one.op == MatchOp::Equal && &*one.name != METRIC_NAME)
        {
            self.value(metric, matcher, span);
        }
    }

    fn value(&mut self, metric: &str, matcher: &Matcher, span: Span) {
        if matcher.value.is_empty() {
            return;
        }
        let of_metric = Matcher::equal(METRIC_NAME, metric);
        let exact = [of_metric.clone(), matcher.clone()];
        if self.data.values(&matcher.name, &exact, 1).is_ok_and(|found| !found.is_empty()) {
            return;
        }
        let Ok(values) = self.data.values(&matcher.name, &[of_metric], VALUES_MAX) else { return };
        let written = go_quote(&matcher.value);
        let place = self.source(span).find(&written).map(|at| span.start + at);
        let mut fixes = Vec::new();
        if let (Some(at), Some(near)) = (place, closest(&matcher.value, values.iter().map(String::as_str))) {
            let insert = go_quote(near);
            fixes.push(Fix { title: format!("Use {insert}"), from: at, to: at + written.len(), insert });
        }
        let (name, some) =
            (&matcher.name, values.iter().take(3).map(|value| go_quote(value)).collect::<Vec<_>>());
        let others = if some.is_empty() {
            format!("{metric} has no label {name}")
        } else {
            format!("there is {}", some.join(", "))
        };
        let place = place.map_or(span, |at| Span { start: at, end: at + written.len() });
        self.hint(place, format!("No series of {metric} has {name}={written}: {others}."), fixes);
    }
}

/// The metric name of a selector.
fn metric_of(selector: &VectorSelector) -> Option<&str> {
    let named = selector.matchers.iter().find(|one| one.op == MatchOp::Equal && &*one.name == METRIC_NAME);
    selector.name.as_deref().or_else(|| named.map(|matcher| &*matcher.value))
}

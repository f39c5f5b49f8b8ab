//! Differences with a reason: where an older Prometheus is not 3.14, whose answers are wanted, and where Prometheus'
//! own answer changes from one run to the next. Numbers are those of Prometheus' changelog. Reasons of the first kind
//! ([`REASONS_OF_OLDER`], [`QUIRKS_OF_OLDER`]) explain nothing when the program is 3.14 itself.
//!
//! A reason looks at the tree of the query, not at its text, and at what exactly differs. Annotations are compared
//! after every reason that concerns the query has taken out of both lists what it is about. A reason that could cover
//! a fault elsewhere in the query replaces what it blames, and then both programs must agree about the query.

use ferula_promql_syntax::ast::{
    AggregateOp, BinaryExpr, BinaryOp, Call, DurationValue, Expr, ExprKind, Span, UnaryOp,
};
use ferula_promql_syntax::{ParserOptions, ValueType, parse};

use crate::QueryTimes;
use crate::answer::{Answer, Difference, close};
use crate::peer::Version;

/// Functions that 3.5 does not have.
pub const FUNCTIONS_LEFT_OUT: &[&str] = &[
    "end",
    "first_over_time",
    "histogram_quantiles",
    "max_of",
    "min_of",
    "range",
    "start",
    "start_timestamp",
    "step",
    "ts_of_first_over_time",
];

/// Prometheus does not give the same answer twice.
pub const UNSETTLED: &str = "Prometheus walks a map: asked again, it answers otherwise";

const SIGN_MAKES_GAUGE: &str =
    "3.14 takes a histogram that was negated or multiplied by a negative number for a gauge (#17004)";

const TEN_SHOWN: &str =
    "of more than ten annotations Prometheus shows any ten, and all of them are among ours";

/// Two answers that differ.
pub struct Case<'a> {
    query: &'a str,
    /// `None` for a query that does not parse.
    tree: Option<Expr>,
    when: QueryTimes,
    ours: &'a Answer,
    theirs: &'a Answer,
    difference: &'a Difference,
}

/// Whether the two programs agree about another query, annotations left out.
type Agree<'a> = &'a dyn Fn(&str, QueryTimes) -> bool;

/// A reason for anything but annotations.
type Reason = (&'static str, fn(&Case<'_>, &Expr, Agree<'_>) -> bool);

/// A reason for annotations: whether it concerns a query, and what it does to each text of ours and of theirs. `None`
/// takes the text out.
struct Quirk {
    reason: &'static str,
    concerns: fn(&Case<'_>, &Expr) -> bool,
    ours: fn(&Case<'_>, &str) -> Option<String>,
    theirs: fn(&Case<'_>, &str) -> Option<String>,
}

impl<'a> Case<'a> {
    /// A case.
    pub fn new(
        query: &'a str,
        when: QueryTimes,
        ours: &'a Answer,
        theirs: &'a Answer,
        difference: &'a Difference,
    ) -> Self {
        Case { query, tree: parse(query, &ParserOptions::ALL).ok(), when, ours, theirs, difference }
    }

    /// Why the two differ, if all of it is known. `version` is that of the program.
    pub fn reasons(&self, version: Version, agree: Agree<'_>) -> Option<Vec<&'static str>> {
        let older = version < Version::WANTED;
        if let Difference::Annotations(..) = self.difference {
            return self.quirks(older);
        }
        let Some(tree) = &self.tree else {
            let words = || syntax_words(self).or_else(|| stray_character(self, agree));
            return words().filter(|_| older).map(|reason| vec![reason]);
        };
        let of_older = REASONS_OF_OLDER.iter().filter(|_| older);
        let found = of_older.chain(REASONS).find(|(_, explains)| explains(self, tree, agree));
        found.map(|(reason, _)| vec![*reason])
    }

    fn is_range(&self) -> bool {
        matches!(self.when, QueryTimes::Range(_))
    }

    /// The reasons after which both lists of annotations are equal.
    fn quirks(&self, older: bool) -> Option<Vec<&'static str>> {
        let tree = self.tree.as_ref()?;
        let cut = |text: &String| text.ends_with("annotations omitted");
        let mut theirs = self.theirs.annotations.clone();
        let is_cut = theirs.iter().any(cut);
        theirs.retain(|text| !cut(text));
        let mut ours = self.ours.all_annotations.clone();
        let mut used = Vec::new();
        let quirks = QUIRKS_OF_OLDER.iter().filter(|_| older).chain(QUIRKS);
        for quirk in quirks.filter(|quirk| (quirk.concerns)(self, tree)) {
            let change = |texts: &[String], change: fn(&Case<'_>, &str) -> Option<String>| {
                let mut texts: Vec<String> = texts.iter().filter_map(|text| change(self, text)).collect();
                texts.sort();
                texts.dedup();
                texts
            };
            let changed = (change(&ours, quirk.ours), change(&theirs, quirk.theirs));
            if distance(&changed.0, &changed.1) < distance(&ours, &theirs) {
                used.push(quirk.reason);
                (ours, theirs) = changed;
            }
        }
        if is_cut {
            used.push(TEN_SHOWN);
            return theirs.iter().all(|text| ours.contains(text)).then_some(used);
        }
        theirs.sort();
        ours.sort();
        (ours == theirs && !used.is_empty()).then_some(used)
    }

    /// Whether both agree when what is blamed is replaced. `replace` gives the new text of a node that is blamed.
    fn agrees_without(
        &self,
        agree: Agree<'_>,
        replace: impl Fn(&str, &Expr) -> Option<(Span, String)>,
    ) -> bool {
        let mut query = self.query.to_owned();
        for _ in 0..100 {
            let Ok(tree) = parse(&query, &ParserOptions::ALL) else { return false };
            let mut edit = None;
            tree.walk(&mut |node| edit = edit.take().or_else(|| replace(&query, node)));
            let Some((span, text)) = edit else { break };
            query.replace_range(span.start..span.end, &text);
        }
        query != self.query && agree(&query, self.when)
    }
}

/// How many texts are in one list only.
fn distance(a: &[String], b: &[String]) -> usize {
    let alone = |a: &[String], b: &[String]| a.iter().filter(|text| !b.contains(text)).count();
    alone(a, b) + alone(b, a)
}

fn same(_: &Case<'_>, text: &str) -> Option<String> {
    Some(text.to_owned())
}

const QUIRKS_OF_OLDER: &[Quirk] = &[
    Quirk {
        reason: "3.14 warns of sorting in range queries (#18498)",
        concerns: |case, tree| {
            let sorts = |tree: &Expr| any_call(tree, |call, _| call.function.name.starts_with("sort"));
            let in_subquery =
                |node: &Expr| matches!(&node.kind, ExprKind::Subquery(subquery) if sorts(&subquery.expr));
            any(tree, in_subquery) || (case.is_range() && sorts(tree))
        },
        ours: |_, text| {
            keep(text, !text.starts_with("PromQL warning: sort is ineffective for range queries"))
        },
        theirs: same,
    },
    Quirk {
        reason: "3.14 warns of counter resets that contradict each other (#17051, #17094)",
        concerns: |_, tree| reads_histograms(tree) && any(tree, combines),
        ours: |_, text| {
            keep(text, !text.starts_with("PromQL warning: conflicting counter resets during histogram"))
        },
        theirs: same,
    },
    Quirk {
        reason: SIGN_MAKES_GAUGE,
        concerns: |_, tree| reads_histograms(tree) && any_call(tree, |call, _| of_changed_sign(call)),
        ours: |_, text| {
            let quirk = "PromQL warning: this native histogram metric is not a counter: \"\"";
            keep(text, !text.starts_with(quirk))
        },
        theirs: |_, text| {
            let quirk = "PromQL warning: this native histogram metric is not a gauge: \"\"";
            keep(text, !text.starts_with(quirk))
        },
    },
    Quirk {
        reason: "3.14 names the metric of malformed buckets only with delayed name removal (#16794)",
        concerns: |_, tree| any_call(tree, |call, _| looks_inside(call)),
        ours: same,
        theirs: |_, text| Some(without_metric_name(text)),
    },
    Quirk {
        reason: "3.14 says more about buckets that are not monotonic (#15578)",
        concerns: |_, tree| any_call(tree, |call, _| looks_inside(call)),
        ours: |_, text| Some(until(text, "needed to be fixed for monotonicity")),
        theirs: |_, text| Some(until(text, "needed to be fixed for monotonicity")),
    },
    Quirk {
        reason: "3.14 points inside the parentheses around an argument (#16896)",
        concerns: |_, tree| any(tree, |node| matches!(node.kind, ExprKind::Paren(_))),
        ours: |case, text| Some(inside_parentheses(case.query, text)),
        theirs: |case, text| Some(inside_parentheses(case.query, text)),
    },
];

const QUIRKS: &[Quirk] = &[Quirk {
    reason: "Prometheus counts the samples of histogram_quantiles again for every quantile",
    concerns: |_, tree| any_call(tree, |call, _| call.function.name == "histogram_quantiles"),
    ours: |_, text| Some(without_count(text)),
    theirs: |_, text| Some(without_count(text)),
}];

const REASONS_OF_OLDER: &[Reason] = &[
    ("duration expressions need no flag in 3.14 (#19033)", |case, tree, _| {
        let theirs = error_of(case.difference).map_or("", |(_, theirs)| theirs);
        theirs.contains("experimental duration expression is not enabled")
            && any(tree, has_duration_expression)
    }),
    ("3.14 has other words for some syntax errors", |case, _, _| syntax_words(case).is_some()),
    ("3.14 sorts the two series of a match group that is not unique", |case, _, _| {
        error_of(case.difference)
            .is_some_and(|(ours, theirs)| swapped(ours).is_some_and(|ours| ours == theirs))
    }),
    ("3.14 joins series of equal labels that do not meet in time (#17703, #17708)", joins_equal_labels),
    ("3.14 counts a match also when the comparison drops it (#17668)", |case, _, agree| {
        let Some((ours, theirs)) = error_of(case.difference) else { return false };
        let later =
            !theirs.starts_with("error") || theirs.contains("found duplicate series for the match group");
        ours.contains("many-to-one matching must be explicit")
            && later
            && case.agrees_without(agree, comparison_to_sum)
    }),
    ("3.14 sorts the buckets of histogram_fraction (#17424)", |case, _, agree| {
        is_about_values(case.difference)
            && case.agrees_without(agree, |query, node| match &node.kind {
                ExprKind::Call(call) if call.function.name == "histogram_fraction" => {
                    Some((node.span, format!("({})", text(query, call.args.get(2)?))))
                }
                _ => None,
            })
    }),
    ("3.14 does not extrapolate rates of histograms below zero (#16828)", |case, _, agree| {
        is_about_values(case.difference)
            && case.agrees_without(agree, |_, node| match &node.kind {
                ExprKind::Call(call)
                    if matches!(call.function.name, "rate" | "increase") && reads_histograms(node) =>
                {
                    renamed(node, call, "irate")
                }
                _ => None,
            })
    }),
    ("3.14 answers NaN when a sample of mad_over_time is NaN (#19040)", |case, _, agree| {
        is_about_values(case.difference)
            && case.agrees_without(agree, |_, node| match &node.kind {
                ExprKind::Call(call) if call.function.name == "mad_over_time" => {
                    renamed(node, call, "stddev_over_time")
                }
                _ => None,
            })
    }),
    ("3.14 adds histograms with compensation (#16895, #18252)", |case, tree, _| {
        let adds = reads_histograms(tree) && any(tree, adds_up);
        match case.difference {
            Difference::Value(_, _, last_digits) => adds && *last_digits,
            Difference::Series(ours, theirs) => {
                adds && any(tree, |node| is_aggregate(node, AggregateOp::CountValues)) && close(ours, theirs)
            }
            _ => false,
        }
    }),
];

const REASONS: &[Reason] = &[
    (
        "Prometheus' store sorts the matchers of a selector in place, before `absent` reads them",
        |case, _, agree| {
            matches!(case.difference, Difference::Series(..)) && case.agrees_without(agree, absent_to_count)
        },
    ),
    ("Prometheus sorts NaN unstably", |case, _, _| {
        let numbers = |answer: &Answer| -> Vec<String> {
            answer
                .order()
                .iter()
                .filter(|(_, value)| *value != "NaN")
                .map(|(labels, _)| (*labels).to_owned())
                .collect()
        };
        matches!(case.difference, Difference::Order(..)) && numbers(case.ours) == numbers(case.theirs)
    }),
];

fn error_of(difference: &Difference) -> Option<(&str, &str)> {
    match difference {
        Difference::Error(ours, theirs) => Some((ours, theirs)),
        _ => None,
    }
}

fn is_about_values(difference: &Difference) -> bool {
    matches!(
        difference,
        Difference::Value(..) | Difference::Series(..) | Difference::Times(..) | Difference::Order(..)
    )
}

/// Words of 3.5 for tokens and grammar that 3.14 names otherwise, at the same place.
fn syntax_words(case: &Case<'_>) -> Option<&'static str> {
    let (ours, theirs) = error_of(case.difference)?;
    let is_syntax = |error: &str| error.contains("parse error: ");
    if theirs.ends_with("experimental duration expression is not enabled") && is_syntax(ours) {
        return Some("duration expressions need no flag in 3.14 (#19033)");
    }
    // A comma is a token of duration expressions since they have functions.
    let comma = "unexpected character in duration expression: ','";
    let old = ["<Item 574", "expected number or duration", "unexpected colon '", comma];
    let place = |error: &str| error.split(" parse error: ").next().map(str::to_owned);
    let both = [ours, theirs].iter().all(|error| error.contains("parse error: "));
    let known = old.iter().any(|text| theirs.contains(text)) && place(ours) == place(theirs);
    (both && known).then_some("3.14 has other words for some syntax errors")
}

/// A character after a number in brackets, where only a colon may be: 3.5 continues as if it were not there.
fn stray_character(case: &Case<'_>, agree: Agree<'_>) -> Option<&'static str> {
    let (ours, _) = error_of(case.difference)?;
    let (place, _) = ours
        .split_once(": parse error: unexpected character: '")
        .filter(|_| ours.ends_with("expected ':'"))?;
    let column: usize = place.rsplit_once(" 1:")?.1.parse().ok()?;
    let mut without = case.query.to_owned();
    without.get(column.checked_sub(1)?..)?.chars().next()?;
    without.remove(column - 1);
    agree(&without, case.when).then_some("3.14 refuses a character that 3.5 skips within brackets")
}

/// The error about a match group with its two series in the other order.
fn swapped(error: &str) -> Option<String> {
    let (before, rest) = error
        .split_once("on the right hand-side of the operation: [")
        .or_else(|| error.split_once("on the left hand-side of the operation: ["))?;
    let (pair, after) = rest.split_once("];many-to-many")?;
    let (first, second) = pair.split_once("}, {")?;
    let head = &error[before.len()..error.len() - rest.len()];
    Some(format!("{before}{head}{{{second}, {first}}}];many-to-many{after}"))
}

/// At every single moment both must agree, or 3.5 refuses the moment as well because of what lies in a subquery.
fn joins_equal_labels(case: &Case<'_>, tree: &Expr, agree: Agree<'_>) -> bool {
    let Some((ours, theirs)) = error_of(case.difference) else { return false };
    let refused =
        theirs.contains("vector cannot contain metrics with the same labelset") && !ours.starts_with("error");
    if !refused {
        return false;
    }
    if any(tree, |node| matches!(node.kind, ExprKind::Subquery(_))) {
        return any(tree, |node| match &node.kind {
            ExprKind::Subquery(subquery) => any(&subquery.expr, loses_labels),
            _ => case.is_range() && loses_labels(node),
        });
    }
    match case.when {
        QueryTimes::Instant(_) => false,
        QueryTimes::Range(grid) => {
            any(tree, loses_labels)
                && (0..grid.steps()).all(|step| agree(case.query, QueryTimes::Instant(grid.time(step))))
        }
    }
}

/// Nodes whose series 3.14 joins.
fn loses_labels(node: &Expr) -> bool {
    match &node.kind {
        ExprKind::Unary(UnaryOp::Minus, inner) => inner.value_type() == ValueType::Vector,
        ExprKind::Call(call) => call.function.returns == ValueType::Vector,
        ExprKind::Binary(_) => node.value_type() == ValueType::Vector,
        _ => false,
    }
}

/// A comparison between vectors that filters, with `+` in its place.
fn comparison_to_sum(query: &str, node: &Expr) -> Option<(Span, String)> {
    let ExprKind::Binary(binary) = &node.kind else { return None };
    let BinaryExpr { op, left, right, return_bool, .. } = &**binary;
    let vectors = [left, right].iter().all(|side| side.value_type() == ValueType::Vector);
    let compares =
        matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Gt | BinaryOp::Lt | BinaryOp::Ge | BinaryOp::Le);
    if !vectors || !compares || *return_bool {
        return None;
    }
    let start = left.span.end + query[left.span.end..right.span.start].find(op.as_str())?;
    Some((Span { start, end: start + op.as_str().len() }, "+".to_owned()))
}

/// `absent(x)` with the count of `x` in its place, which reads the same series.
fn absent_to_count(query: &str, node: &Expr) -> Option<(Span, String)> {
    let ExprKind::Call(call) = &node.kind else { return None };
    let argument = call.args.first()?;
    let repeats =
        argument.without_parens().selector().is_some_and(|selector| {
            selector.matchers.iter().enumerate().any(|(index, matcher)| {
                selector.matchers[..index].iter().any(|other| other.name == matcher.name)
            })
        });
    match call.function.name {
        "absent" if repeats => Some((node.span, format!("count({})", text(query, argument)))),
        "absent_over_time" if repeats => {
            Some((node.span, format!("sum(count_over_time({}))", text(query, argument))))
        }
        _ => None,
    }
}

fn text<'q>(query: &'q str, node: &Expr) -> &'q str {
    &query[node.span.start..node.span.end]
}

fn renamed(node: &Expr, call: &Call, name: &str) -> Option<(Span, String)> {
    let span = Span { start: node.span.start, end: node.span.start + call.function.name.len() };
    Some((span, name.to_owned()))
}

fn any(tree: &Expr, mut holds: impl FnMut(&Expr) -> bool) -> bool {
    let mut found = false;
    tree.walk(&mut |node| found = found || holds(node));
    found
}

fn any_call(tree: &Expr, mut holds: impl FnMut(&Call, &Expr) -> bool) -> bool {
    any(tree, |node| matches!(&node.kind, ExprKind::Call(call) if holds(call, node)))
}

/// Whether a selector below may find native histograms.
fn reads_histograms(tree: &Expr) -> bool {
    any(tree, |node| {
        node.selector().is_some_and(|selector| {
            let mut names = selector.matchers.iter().filter(|matcher| &*matcher.name == "__name__");
            names.all(|matcher| matcher.value.starts_with("native"))
        })
    })
}

fn is_aggregate(node: &Expr, op: AggregateOp) -> bool {
    matches!(&node.kind, ExprKind::Aggregate(aggregate) if aggregate.op == op)
}

/// Nodes that add histograms of several series or times.
fn adds_up(node: &Expr) -> bool {
    is_aggregate(node, AggregateOp::Sum)
        || is_aggregate(node, AggregateOp::Avg)
        || matches!(&node.kind, ExprKind::Call(call) if matches!(call.function.name, "sum_over_time" | "avg_over_time"))
}

/// [`adds_up`], and operators between two histograms.
fn combines(node: &Expr) -> bool {
    adds_up(node)
        || matches!(&node.kind, ExprKind::Binary(binary) if matches!(binary.op, BinaryOp::Add | BinaryOp::Sub))
}

/// A rate over a subquery in which signs may change.
fn of_changed_sign(call: &Call) -> bool {
    let changes = |node: &Expr| match &node.kind {
        ExprKind::Unary(UnaryOp::Minus, _) => true,
        ExprKind::Binary(binary) => matches!(binary.op, BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div),
        _ => false,
    };
    matches!(call.function.name, "rate" | "increase" | "irate" | "delta" | "idelta")
        && call.args.iter().any(|arg| matches!(&arg.without_parens().kind, ExprKind::Subquery(subquery) if any(&subquery.expr, changes)))
}

fn looks_inside(call: &Call) -> bool {
    matches!(call.function.name, "histogram_quantile" | "histogram_fraction")
}

fn has_duration_expression(node: &Expr) -> bool {
    let is_expression = |value: &DurationValue| matches!(value, DurationValue::Expr(_));
    let of_selector =
        node.selector().is_some_and(|selector| selector.at.offset.as_ref().is_some_and(is_expression));
    of_selector
        || match &node.kind {
            ExprKind::MatrixSelector(matrix) => is_expression(&matrix.range),
            ExprKind::Subquery(subquery) => {
                let parts = [Some(&subquery.range), subquery.step.as_ref(), subquery.at.offset.as_ref()];
                parts.into_iter().flatten().any(is_expression)
            }
            _ => false,
        }
}

fn keep(text: &str, keep: bool) -> Option<String> {
    keep.then(|| text.to_owned())
}

/// The text up to and with `end`, and its place.
fn until(text: &str, end: &str) -> String {
    let Some((before, _)) = text.split_once(end) else { return text.to_owned() };
    let place = text.rsplit_once(" (").map_or("", |(_, place)| place);
    format!("{before}{end} ({place}")
}

/// A text about buckets without the number of samples.
fn without_count(text: &str) -> String {
    let counted =
        text.split_once(", over ").and_then(|(before, rest)| Some((before, rest.split_once(" samples ")?.1)));
    counted.map_or_else(|| text.to_owned(), |(before, after)| format!("{before}, over samples {after}"))
}

/// A text about buckets without the name of the metric.
fn without_metric_name(text: &str) -> String {
    let about_buckets = [
        "bucket label \"le\"",
        "mix of classic and native histograms",
        "needed to be fixed for monotonicity",
    ];
    match text.split_once(" for metric name \"") {
        Some((before, after)) if about_buckets.iter().any(|part| text.contains(part)) => {
            format!("{before}{}", after.split_once('"').map_or("", |(_, place)| place))
        }
        _ => text.to_owned(),
    }
}

/// The text with its place moved behind the parentheses that open there.
fn inside_parentheses(query: &str, text: &str) -> String {
    let moved = || {
        let (before, place) = text.rsplit_once(" (1:")?;
        let column: usize = place.strip_suffix(')')?.parse().ok()?;
        let rest = query.get(column.checked_sub(1)?..)?;
        let parentheses = rest.len() - rest.trim_start_matches(['(', ' ']).len();
        Some(format!("{before} (1:{})", column + parentheses))
    };
    moved().unwrap_or_else(|| text.to_owned())
}

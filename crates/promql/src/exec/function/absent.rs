//! `absent` and `absent_over_time`: one series where there is none.

use ferula_model::labels::METRIC_NAME;
use ferula_model::{LabelSet, LabelSetBuilder, MatchOp, Matcher};

use ferula_promql_syntax::ast::Span;

use super::call::Arguments;
use super::ends_over_time;
use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::context::{PIECE, QueryContext};
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::select::window::WindowOperator;
use crate::exec::series::SeriesTable;
use crate::plan::node::{Node, NodeKind};

/// `absent`.
pub(super) fn absent<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let inner = call.vector(0)?;
    Ok(Absent::operator(inner, call, false))
}

/// `absent_over_time`.
pub(super) fn absent_over_time<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let (_, source) = call.range()?;
    source.check_extension(&*ends_over_time::present(), call.call.function.name)?;
    // An annotation of a subquery shows the start of the query, as in Prometheus.
    let span = if source.is_subquery() { Span::default() } else { call.span(0) };
    let inner =
        WindowOperator::unmerged(ends_over_time::present, source, Vec::new(), span, call.scope, call.query);
    Ok(Absent::operator(Box::new(inner), call, true))
}

struct Absent<'q> {
    inner: BoxOperator<'q>,
    series: SeriesTable,
    finished: bool,
}

impl<'q> Absent<'q> {
    fn operator(inner: BoxOperator<'q>, call: &Arguments<'_, 'q>, drop_name: bool) -> BoxOperator<'q> {
        let mut series = SeriesTable::new();
        series.push(labels_of(call.node(0)), drop_name);
        Box::new(Absent { inner, series, finished: false })
    }
}

impl Operator for Absent<'_> {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        out.clear();
        if self.finished {
            return Ok(false);
        }
        self.finished = true;
        let steps = out.steps();
        let before = query.samples.current();
        let mut present = vec![0; bitmap::words_for(steps)];
        let mut batch = Batch::new(steps);
        while self.inner.next(query, &mut batch)? {
            query.work(1)?;
            for row in batch.iter() {
                query.work(1 + row.present.len())?;
                row.add_presence_to(&mut present);
            }
        }
        let row = out.push(0);
        bitmap::fill(row.present, steps);
        row.present.iter_mut().zip(&present).for_each(|(absent, present)| *absent &= !present);
        for piece in row.values.chunks_mut(PIECE) {
            query.work(piece.len())?;
            piece.fill(1.0);
        }
        out.drop_empty_rows();
        query.samples.settle(before, out.samples())?;
        Ok(!out.is_empty())
    }
}

/// The labels that a selector fixes with `=`; none for any other expression.
fn labels_of(node: &Node) -> LabelSet {
    match &node.kind {
        NodeKind::Selector(selector) => fixed_labels(&selector.matchers),
        NodeKind::Range(range) => fixed_labels(&range.selector.matchers),
        _ => LabelSet::empty(),
    }
}

/// A label that an `=` names is left out again when a later matcher names it too. Matchers that only subtract come
/// last whatever their place in the query, because Prometheus' look-up puts them there before its answer is made.
fn fixed_labels(matchers: &[Matcher]) -> LabelSet {
    let must_be_set = |name: &str| matchers.iter().any(|m| &*m.name == name && !m.matches_empty());
    let subtracts = |matcher: &&Matcher| {
        let negative = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex);
        !must_be_set(&matcher.name) || (negative && matcher.matches_empty())
    };
    let (last, first): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(subtracts);
    let mut labels = LabelSetBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in first.into_iter().chain(last).filter(|matcher| &*matcher.name != METRIC_NAME) {
        if matcher.op == MatchOp::Equal && !seen.contains(&&*matcher.name) {
            labels.set(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            labels.remove(&matcher.name);
        }
    }
    labels.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferula_promql_syntax::parse_metric_selector;

    #[test]
    fn labels_that_a_selector_fixes() {
        for (selector, labels) in [
            (r#"x{a="v"}"#, r#"{a="v"}"#),
            (r#"x{a!="v", a="v"}"#, "{}"),
            (r#"x{a="v", a!="v"}"#, "{}"),
            (r#"x{a="", a="v"}"#, "{}"),
            (r#"x{a!="", a="v"}"#, r#"{a="v"}"#),
            (r#"x{a=~".*", a="v"}"#, r#"{a="v"}"#),
            (r#"x{a!="w", a="v", a=~"v"}"#, "{}"),
            (r#"x{a="v", a="v", b="w"}"#, r#"{b="w"}"#),
        ] {
            let matchers = parse_metric_selector(selector).expect("a selector");
            assert_eq!(fixed_labels(&matchers).to_string(), labels, "{selector}");
        }
    }
}

//! Which times each selector may read. The store pins what these ranges need before anything is evaluated.

use ferula_model::TimeRange;
use ferula_promql_syntax::ast::RangeExtension;

use super::node::{Node, NodeKind, Selector, SelectorRequest};
use crate::Grid;

/// Earliest and latest step at which a part of the query may be evaluated.
#[derive(Clone, Copy)]
struct Steps {
    first_ms: i64,
    last_ms: i64,
}

/// Numbers the selectors and decides what each may read.
pub(super) fn requests(root: &mut Node, grid: Grid, lookback_ms: i64) -> Vec<SelectorRequest> {
    let mut requests = Vec::new();
    let steps = Steps { first_ms: grid.start_ms, last_ms: grid.end_ms };
    visit(root, steps, lookback_ms, &mut requests);
    requests
}

/// The range that covers all of them.
pub(super) fn union(requests: &[SelectorRequest]) -> TimeRange {
    requests
        .iter()
        .map(|request| request.range)
        .reduce(|a, b| TimeRange::new(a.start.min(b.start), a.end.max(b.end)))
        .unwrap_or(TimeRange::from_millis(0, 0))
}

fn visit(node: &mut Node, steps: Steps, lookback_ms: i64, requests: &mut Vec<SelectorRequest>) {
    match &mut node.kind {
        NodeKind::Selector(selector) => request(selector, 0, steps, lookback_ms, requests),
        NodeKind::Range(range) => {
            request(&mut range.selector, range.range_ms, steps, lookback_ms, requests);
        }
        NodeKind::Subquery(subquery) => {
            let steps = Steps {
                first_ms: subquery.lookup.time(steps.first_ms).saturating_sub(subquery.range_ms),
                last_ms: subquery.lookup.time(steps.last_ms),
            };
            visit(&mut subquery.inner, steps, lookback_ms, requests);
        }
        NodeKind::Call(call) => {
            // The selector in the second argument of `info` is never evaluated, only its matchers count.
            let evaluated = if call.info.is_some() { 1 } else { call.args.len() };
            for arg in call.args.iter_mut().take(evaluated) {
                visit(arg, steps, lookback_ms, requests);
            }
            if let Some(info) = &mut call.info {
                request(info, 0, steps, lookback_ms, requests);
            }
        }
        _ => node.children_mut(&mut |child| visit(child, steps, lookback_ms, requests)),
    }
}

fn request(
    selector: &mut Selector,
    range_ms: i64,
    steps: Steps,
    lookback_ms: i64,
    requests: &mut Vec<SelectorRequest>,
) {
    let (before_ms, after_ms) = reach(selector.extension, range_ms, lookback_ms);
    // Whether a counter was reset at the first sample of a window is found with the sample at its open end.
    let open_end_ms = i64::from(!(selector.counts_only && range_ms > 0));
    let first_ms = selector.lookup.time(steps.first_ms).saturating_sub(before_ms).saturating_add(open_end_ms);
    let last_ms = selector.lookup.time(steps.last_ms).saturating_add(after_ms);
    selector.index = requests.len();
    requests.push(SelectorRequest {
        matchers: selector.matchers.clone(),
        range: TimeRange::from_millis(first_ms, last_ms),
    });
}

/// How far a selector looks back (open) and ahead (closed) from its moment. A range of 0 means an instant selector.
pub(crate) fn reach(extension: Option<RangeExtension>, range_ms: i64, lookback_ms: i64) -> (i64, i64) {
    match (range_ms, extension) {
        (0, Some(RangeExtension::Smoothed)) => (lookback_ms, lookback_ms),
        (0, _) => (lookback_ms, 0),
        (range_ms, None) => (range_ms, 0),
        (range_ms, Some(RangeExtension::Anchored)) => (range_ms.saturating_add(lookback_ms), 0),
        (range_ms, Some(RangeExtension::Smoothed)) => (range_ms.saturating_add(lookback_ms), lookback_ms),
    }
}

//! Which times each selector may read. The store pins what these ranges need before anything is evaluated.

use std::sync::Arc;

use ferula_model::TimeRange;
use ferula_promql_syntax::ast::RangeExtension;
use ferula_storage::Purpose;

use super::node::{Node, NodeKind, Selector, SelectorRequest};
use crate::Grid;

/// Earliest and latest step at which a part of the query may be evaluated.
#[derive(Clone, Copy)]
struct Steps {
    first_ms: i64,
    last_ms: i64,
    /// Their distance; 0 for a single one.
    step_ms: i64,
}

/// The surroundings of a part of the query, which sources over the network receive as hints.
#[derive(Clone, Copy, Default)]
struct HintContext<'a> {
    /// The innermost function or aggregation.
    function: &'a str,
    /// Labels of an aggregation that is the parent, and whether they stay.
    grouping: Option<(&'a [String], bool)>,
}

impl<'a> HintContext<'a> {
    fn function(function: &'a str) -> Self {
        HintContext { function, grouping: None }
    }

    /// Below an operation that is neither a function nor an aggregation.
    fn deeper(self) -> Self {
        HintContext { grouping: None, ..self }
    }
}

/// Numbers the selectors and decides what each may read.
pub(super) fn requests(root: &mut Node, grid: Grid, instant: bool, lookback_ms: i64) -> Vec<SelectorRequest> {
    let mut requests = Requests { lookback_ms, all: Vec::new() };
    let step_ms = if instant { 0 } else { grid.step_ms };
    let steps = Steps { first_ms: grid.start_ms, last_ms: grid.end_ms, step_ms };
    requests.visit(root, steps, HintContext::default());
    requests.all
}

/// The range that covers all of them.
pub(super) fn union(requests: &[SelectorRequest]) -> TimeRange {
    requests
        .iter()
        .map(|request| request.range)
        .reduce(|a, b| TimeRange::new(a.start.min(b.start), a.end.max(b.end)))
        .unwrap_or(TimeRange::from_millis(0, 0))
}

struct Requests {
    lookback_ms: i64,
    all: Vec<SelectorRequest>,
}

impl Requests {
    fn visit(&mut self, node: &mut Node, steps: Steps, around: HintContext<'_>) {
        match &mut node.kind {
            NodeKind::Number(_) | NodeKind::String(_) => {}
            NodeKind::Selector(selector) => self.request(selector, 0, steps, around),
            NodeKind::Range(range) => {
                self.request(&mut range.selector, range.range_ms, steps, around.deeper());
            }
            NodeKind::Subquery(subquery) => {
                let steps = Steps {
                    first_ms: subquery.lookup.time(steps.first_ms).saturating_sub(subquery.range_ms),
                    last_ms: subquery.lookup.time(steps.last_ms),
                    step_ms: subquery.step_ms,
                };
                self.visit(&mut subquery.inner, steps, around.deeper());
            }
            NodeKind::StepInvariant(inner) | NodeKind::Unary(_, inner) => {
                self.visit(inner, steps, around.deeper());
            }
            NodeKind::Binary(binary) => {
                self.visit(&mut binary.left, steps, HintContext::default());
                self.visit(&mut binary.right, steps, HintContext::default());
            }
            NodeKind::Aggregate(aggregate) => {
                let around = HintContext {
                    function: aggregate.op.as_str(),
                    grouping: Some((&aggregate.grouping, !aggregate.without)),
                };
                if let Some(param) = &mut aggregate.param {
                    self.visit(param, steps, around);
                }
                self.visit(&mut aggregate.inner, steps, around);
                // Sources receive the written order; the evaluation needs sorted labels.
                aggregate.grouping.sort();
            }
            NodeKind::Call(call) => {
                let around = HintContext::function(call.function.name);
                // The selector in the second argument of `info` is never evaluated, only its matchers count.
                let evaluated = if call.info.is_some() { 1 } else { call.args.len() };
                for arg in call.args.iter_mut().take(evaluated) {
                    self.visit(arg, steps, around);
                }
                if let Some(info) = &mut call.info {
                    self.request(info, 0, steps, around);
                }
            }
        }
    }

    fn request(&mut self, selector: &mut Selector, range_ms: i64, steps: Steps, around: HintContext<'_>) {
        let (before_ms, after_ms) = reach(selector.extension, range_ms, self.lookback_ms);
        // Whether a counter was reset at the first sample of a window is found with the sample at its open end.
        let open_end_ms = i64::from(!(selector.counts_only && range_ms > 0));
        let first_ms =
            selector.lookup.time(steps.first_ms).saturating_sub(before_ms).saturating_add(open_end_ms);
        let last_ms = selector.lookup.time(steps.last_ms).saturating_add(after_ms);
        let (grouping, by) = around.grouping.unwrap_or_default();
        selector.index = self.all.len();
        self.all.push(SelectorRequest {
            matchers: selector.matchers.clone(),
            range: TimeRange::from_millis(first_ms, last_ms),
            purpose: Arc::new(Purpose {
                step_ms: steps.step_ms,
                function: around.function.to_owned(),
                grouping: grouping.to_vec(),
                by,
                range_ms,
            }),
        });
    }
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

//! Below `histogram_count`, `histogram_sum` and `histogram_avg` the buckets of histograms are not needed.
//!
//! Before: `histogram_count(sum(x))` · after: the same, with `x` read as counts and sums only. Such a read finds out
//! about counter resets on its way, because later nobody could; see `exec/select/counts_only.rs`.

use ferula_promql_syntax::ast::BinaryOp;
use ferula_promql_syntax::functions::HistogramParts;

use crate::plan::node::{Node, NodeKind};

/// Marks the selectors below `node` that may be read like this.
pub(in crate::plan) fn rewrite(node: &mut Node) {
    mark(node, false, false);
}

/// `enough`: a function that needs counts and sums only is above. `buckets`: something that needs the buckets is above;
/// inside a subquery they are needed to find counter resets.
fn mark(node: &mut Node, mut enough: bool, mut buckets: bool) {
    match &mut node.kind {
        NodeKind::Selector(selector) => selector.counts_only = enough && !buckets,
        NodeKind::Range(range) => range.selector.counts_only = enough && !buckets,
        NodeKind::Subquery(_) => buckets = true,
        NodeKind::Binary(binary) => {
            buckets |= matches!(binary.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        }
        NodeKind::Call(call) => match call.function.histograms {
            HistogramParts::CountAndSum => enough = true,
            HistogramParts::Buckets => buckets = true,
            HistogramParts::Unchanged => {}
        },
        _ => {}
    }
    node.children_mut(&mut |child| mark(child, enough, buckets));
}

//! A plan as text: one node per line, children indented by two spaces.

use std::fmt::Write;

use super::Plan;
use super::node::{Lookup, Node, NodeKind, Selector};

impl Plan {
    /// The plan of a query as text.
    pub(crate) fn explain(&self) -> String {
        let mut out = String::new();
        let grid = self.grid;
        let _ = writeln!(out, "grid {}..{} step {} ms", grid.start_ms, grid.end_ms, grid.step_ms);
        describe(&self.root, 0, &mut out);
        out
    }
}

fn describe(node: &Node, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let line = match &node.kind {
        NodeKind::Number(value) => format!("number {value}"),
        NodeKind::String(text) => format!("string {:?}", text.value),
        NodeKind::Selector(selector) => format!("select {}", selector_text(selector)),
        NodeKind::Range(range) => {
            format!("select {} window {} ms", selector_text(&range.selector), range.range_ms)
        }
        NodeKind::Subquery(subquery) => format!(
            "subquery window {} ms step {} ms{}",
            subquery.range_ms,
            subquery.step_ms,
            lookup_text(subquery.lookup)
        ),
        NodeKind::StepInvariant(_) => "once".to_owned(),
        NodeKind::Unary(op, _) => format!("unary {op:?}"),
        NodeKind::Binary(binary) => format!("binary {:?}", binary.op),
        NodeKind::Aggregate(aggregate) => {
            let word = if aggregate.without { "without" } else { "by" };
            format!("aggregate {:?} {word} ({})", aggregate.op, aggregate.grouping.join(", "))
        }
        NodeKind::Call(call) => format!("call {}", call.function.name),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{indent}{line}");
    for child in children(node) {
        describe(child, depth + 1, out);
    }
}

fn children(node: &Node) -> Vec<&Node> {
    match &node.kind {
        NodeKind::Number(_) | NodeKind::String(_) | NodeKind::Selector(_) | NodeKind::Range(_) => Vec::new(),
        NodeKind::Subquery(subquery) => vec![&subquery.inner],
        NodeKind::StepInvariant(inner) | NodeKind::Unary(_, inner) => vec![inner],
        NodeKind::Binary(binary) => vec![&binary.left, &binary.right],
        NodeKind::Aggregate(aggregate) => aggregate.param.iter().chain([&aggregate.inner]).collect(),
        NodeKind::Call(call) => call.args.iter().collect(),
    }
}

fn selector_text(selector: &Selector) -> String {
    let matchers: Vec<String> = selector.matchers.iter().map(ToString::to_string).collect();
    let extension = selector.extension.map(|extension| format!(" {extension:?}")).unwrap_or_default();
    let counts_only = if selector.counts_only { " without buckets" } else { "" };
    format!("{{{}}}{}{extension}{counts_only}", matchers.join(", "), lookup_text(selector.lookup))
}

fn lookup_text(lookup: Lookup) -> String {
    let mut text = String::new();
    if let Some(at_ms) = lookup.at_ms {
        text.push_str(&format!(" at {at_ms}"));
    }
    if lookup.offset_ms != 0 {
        text.push_str(&format!(" offset {} ms", lookup.offset_ms));
    }
    text
}

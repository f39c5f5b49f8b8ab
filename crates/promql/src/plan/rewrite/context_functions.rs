//! `start()`, `end()`, `step()` and `range()` are the same at every step: they become numbers, which lets the
//! expressions around them be recognised as step-invariant.
//!
//! Before: `vector(end()) - vector(start())` · after: `vector(120) - vector(60)`.

use ferula_promql_syntax::functions::FunctionId;

use crate::Grid;
use crate::plan::node::{Node, NodeKind};

/// Replaces the calls everywhere below `node`.
pub(in crate::plan) fn rewrite(node: &mut Node, grid: Grid) {
    if let NodeKind::Call(call) = &node.kind
        && let Some(value) = value_of(call.function.id, grid)
    {
        node.kind = NodeKind::Number(value);
        return;
    }
    node.children_mut(&mut |child| rewrite(child, grid));
}

/// The value of a call, in seconds.
fn value_of(function: FunctionId, grid: Grid) -> Option<f64> {
    match function {
        FunctionId::Start => Some(grid.start_ms as f64 / 1000.0),
        FunctionId::End => Some(grid.end_ms as f64 / 1000.0),
        FunctionId::Range => Some((i128::from(grid.end_ms) - i128::from(grid.start_ms)) as f64 / 1000.0),
        FunctionId::Step if grid.start_ms == grid.end_ms => Some(0.0),
        FunctionId::Step => Some(grid.step_ms as f64 / 1000.0),
        _ => None,
    }
}

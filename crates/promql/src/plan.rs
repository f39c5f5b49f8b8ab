//! From a syntax tree to a plan that knows its times.
//!
//! ```text
//! lower.rs      AST to nodes: durations computed, `@` and offsets as numbers, parentheses gone
//! rewrite/      context_functions.rs   start(), end(), step(), range() become numbers
//!               step_invariant.rs      parts that are the same at every step run once
//!               counts_only.rs         histograms without buckets where nobody looks at them
//! ranges.rs     which times each selector may read, for the store
//! explain.rs    a plan as text
//! ```

mod durations;
mod explain;
pub(crate) mod lower;
pub(crate) mod node;
pub(crate) mod ranges;
mod rewrite;

use ferula_model::TimeRange;
use ferula_promql_syntax::ast::Expr;

use crate::{EngineOptions, Grid};
use crate::{Features, QueryError};
use node::{Node, SelectorRequest};

/// A query that is ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub root: Node,
    pub grid: Grid,
    /// An instant query: order is kept, and a range vector may be the result.
    pub instant: bool,
    pub lookback_ms: i64,
    pub features: Features,
    /// All selectors, by the index that their nodes hold.
    pub selectors: Vec<SelectorRequest>,
    /// All times that any selector may read.
    pub range: TimeRange,
}

/// Makes the plan of a query.
pub(crate) fn plan(
    expr: &Expr,
    grid: Grid,
    instant: bool,
    lookback_ms: i64,
    options: &EngineOptions,
) -> Result<Plan, QueryError> {
    let mut root = lower::lower(expr, grid, instant, options)?;
    rewrite::context_functions::rewrite(&mut root, grid);
    rewrite::step_invariant::rewrite(&mut root);
    rewrite::counts_only::rewrite(&mut root);
    let selectors = ranges::requests(&mut root, grid, instant, lookback_ms);
    let range = ranges::union(&selectors);
    Ok(Plan { root, grid, instant, lookback_ms, features: options.features, selectors, range })
}

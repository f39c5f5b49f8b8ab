//! Room for deep queries. Plans and operators nest as the query does, and the parser lets queries nest a few hundred
//! levels, more than fits a usual thread's stack.
//!
//! A query that is deeper than usual runs on a thread of its own, for which the caller waits: still one thread per
//! query, but with a stack that is large enough.

use ferula_promql_syntax::Expr;

use crate::QueryError;

/// Up to this depth the caller's stack does.
const DEPTH_SHALLOW: usize = 40;
/// Enough for the parser's deepest query, without optimisation.
const STACK_BYTES: usize = 64 << 20;

/// Runs `run` where a query of this depth has room.
///
/// # Errors
/// When the system gives no thread, or `run` panicked there.
pub(crate) fn with_room<R: Send>(expr: &Expr, run: impl FnOnce() -> R + Send) -> Result<R, QueryError> {
    if depth_within(expr, DEPTH_SHALLOW) { Ok(run()) } else { on_large_stack(run) }
}

/// The same for a query that is only text yet: whatever nests has an opening parenthesis, a sign or an operator.
pub(crate) fn with_room_for_text<R: Send>(
    query: &str,
    run: impl FnOnce() -> R + Send,
) -> Result<R, QueryError> {
    let nesting =
        query.bytes().filter(|byte| matches!(byte, b'(' | b'[' | b'+' | b'-' | b'*' | b'^')).count();
    if nesting <= DEPTH_SHALLOW { Ok(run()) } else { on_large_stack(run) }
}

fn on_large_stack<R: Send>(run: impl FnOnce() -> R + Send) -> Result<R, QueryError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("deep query".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, run)
            .map_err(|error| QueryError::Execution(format!("no thread for a deep query: {error}")))?;
        thread.join().map_err(|_| QueryError::execution("unexpected error in a deep query"))
    })
}

/// Whether the expression nests at most `levels` deep.
fn depth_within(expr: &Expr, levels: usize) -> bool {
    levels > 0 && expr.children().all(|child| depth_within(child, levels - 1))
}

//! Room for deep queries. Trees nest as the query does, and a chain such as `a or b or c …` is as high as it is long,
//! more than fits a usual thread's stack.
//!
//! Code that walks a tree by recursion and may meet a deep one goes through here: it runs on a thread of its own, for which the
//! caller waits. So it is still one thread per query, but one with a large enough stack.

use std::cell::Cell;
use std::io;

use crate::ast::Expr;

/// Up to this height the caller's stack does.
const DEPTH_SHALLOW: usize = 40;
/// Enough for the highest tree, without optimisation: some 5 KiB a level.
const STACK_BYTES: usize = 64 << 20;

thread_local! {
    /// Whether this thread's stack is known to be large enough for what it walks.
    static ROOMY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `run` where a tree of this height has room.
///
/// # Errors
/// When the system refuses a thread. A panic of `run` continues in the caller.
pub fn with_room<R: Send>(expr: &Expr, run: impl FnOnce() -> R + Send) -> io::Result<R> {
    if ROOMY.get() || height_within(expr, DEPTH_SHALLOW) { Ok(run()) } else { on_large_stack(run) }
}

/// The same for a query that is only text yet.
pub(crate) fn with_room_for_text<R: Send>(query: &str, run: impl FnOnce() -> R + Send) -> io::Result<R> {
    if ROOMY.get() || height_bound(query) <= DEPTH_SHALLOW { Ok(run()) } else { on_large_stack(run) }
}

/// Whether this thread may walk the tree; if so, the question does not arise again while `walk` runs.
pub(crate) fn in_place<R>(expr: &Expr, walk: impl FnOnce() -> R) -> Option<R> {
    if ROOMY.get() {
        return Some(walk());
    }
    height_within(expr, DEPTH_SHALLOW).then(|| {
        ROOMY.set(true);
        let result = walk();
        ROOMY.set(false);
        result
    })
}

fn on_large_stack<R: Send>(run: impl FnOnce() -> R + Send) -> io::Result<R> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("deep query".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                ROOMY.set(true);
                run()
            })?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Whether the tree is at most `levels` high.
fn height_within(expr: &Expr, levels: usize) -> bool {
    levels > 0 && expr.children().all(|child| height_within(child, levels - 1))
}

/// An upper bound on the height of a tree: each level needs a sign or a word of its own.
fn height_bound(query: &str) -> usize {
    let signs = query.bytes().filter(|byte| b"([+-*/%^<>=!".contains(byte)).count();
    let words = query
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| ["and", "or", "unless", "atan2"].iter().any(|op| op.eq_ignore_ascii_case(word)));
    signs + words.count()
}

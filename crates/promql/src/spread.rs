//! Threads that a query may use beside its own. The engine starts none: the caller lends them.

/// Lends threads to queries.
pub trait Spread: Send + Sync + std::fmt::Debug {
    /// How many threads, the query's own included, are to share so much `work`: samples to be looked at and steps to be
    /// filled, some nanoseconds each. 1 if it is not worth a second one, or none is free right now.
    fn width(&self, work: u64) -> usize;

    /// Calls `piece` with every number below `pieces`, once each, from any of at most so many threads, the calling one
    /// among them. Returns when all calls have returned. `piece` does not panic.
    fn run(&self, pieces: usize, piece: &(dyn Fn(usize) + Sync));
}

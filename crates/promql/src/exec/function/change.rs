//! What tells `rate`, `increase` and `delta` apart.

/// One of `rate`, `increase`, `delta`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Decreases are restarts.
    pub counter: bool,
    /// Divided by the seconds of the range.
    pub per_second: bool,
}

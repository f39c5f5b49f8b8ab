//! The moments at which a query, or a part of it, is evaluated.

/// The moments at which a query is evaluated: `start`, `start + step`, … up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// First moment.
    pub start_ms: i64,
    /// The upper bound of all moments; before `start_ms` if there are none.
    pub end_ms: i64,
    /// Distance of two moments, positive.
    pub step_ms: i64,
}

impl Grid {
    /// One moment.
    pub const fn instant(at_ms: i64) -> Self {
        Grid { start_ms: at_ms, end_ms: at_ms, step_ms: 1 }
    }

    /// How many moments there are.
    pub fn steps(&self) -> usize {
        if self.end_ms < self.start_ms || self.step_ms <= 0 {
            return 0;
        }
        let span = i128::from(self.end_ms) - i128::from(self.start_ms);
        usize::try_from(span / i128::from(self.step_ms) + 1).unwrap_or(usize::MAX)
    }

    /// Time of the step with this index, which must be below [`Grid::steps`].
    pub fn time(&self, step: usize) -> i64 {
        self.start_ms + step as i64 * self.step_ms
    }
}

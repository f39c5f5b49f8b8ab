//! Indices into sample times that move forward with the windows.

/// An index that moves forward with the steps. Samples come regularly, mostly, so the way that it went last time is
/// tried first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Index {
    pub at: usize,
    stride: usize,
}

impl Index {
    /// Moves to the first time that is later than `bound`.
    // Two of these stand in the inner loop of every function over windows: a call costs more than the work.
    #[inline(always)]
    pub(crate) fn advance(&mut self, times: &[i64], bound: i64) {
        let before = self.at;
        let guess = self.at + self.stride;
        let reached = guess == 0 || times.get(guess - 1).is_some_and(|&time| time <= bound);
        if reached && times.get(guess).is_none_or(|&time| time > bound) {
            self.at = guess;
            return;
        }
        if reached {
            self.at = guess;
        }
        self.at = first_after(times, self.at, bound);
        self.stride = self.at - before;
    }
}

/// The first index from `from` on whose time is later than `bound`. Ever longer strides, then halves: the first window
/// of a series may begin far behind its first sample.
#[inline]
pub(super) fn first_after(times: &[i64], from: usize, bound: i64) -> usize {
    let (mut at, mut stride) = (from, 1);
    while times.get(at + stride - 1).is_some_and(|&time| time <= bound) {
        at += stride;
        stride *= 2;
    }
    let end = times.len().min(at + stride);
    at + times.get(at..end).unwrap_or(&[]).partition_point(|&time| time <= bound)
}

/// Walks through the windows of a series of floats.
#[derive(Clone, Copy, Debug)]
pub(super) struct FloatWindows<'a> {
    times: &'a [i64],
    moment: i64,
    step_ms: i64,
    before_ms: i64,
    after_ms: i64,
    from: Index,
    to: Index,
    /// Samples of all windows so far, and how many of them were new.
    pub total: u64,
    pub read: u64,
}

/// One window of floats: its first sample and the one after its last.
#[derive(Clone, Copy, Debug)]
pub(super) struct FloatWindow {
    pub from: usize,
    pub to: usize,
}

impl<'a> FloatWindows<'a> {
    /// Windows over `times` that begin so far before, and end so far after, the first moment and those that follow in
    /// steps.
    pub(super) fn new(
        times: &'a [i64],
        (moment, step_ms): (i64, i64),
        (before_ms, after_ms): (i64, i64),
    ) -> Self {
        let (from, to) = (Index::default(), Index::default());
        FloatWindows { times, moment, step_ms, before_ms, after_ms, from, to, total: 0, read: 0 }
    }

    /// The window of the next step.
    #[inline(always)]
    pub(super) fn next(&mut self) -> FloatWindow {
        let moment = self.moment;
        self.moment = moment.saturating_add(self.step_ms);
        let before = self.to.at;
        self.to.advance(self.times, moment.saturating_add(self.after_ms));
        self.from.advance(self.times, moment.saturating_sub(self.before_ms));
        let (from, to) = (self.from.at, self.to.at);
        self.total += (to - from) as u64;
        self.read += (to - before.max(from)) as u64;
        FloatWindow { from, to }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strides_and_halves_find_what_single_steps_find(
            gaps in proptest::collection::vec(0i64..4, 0..200),
            bounds in proptest::collection::vec(-1i64..500, 1..20),
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |time, gap| { *time += gap; Some(*time) }).collect();
            let mut bounds = bounds;
            bounds.sort_unstable();
            let (mut index, mut from) = (Index::default(), 0);
            for bound in bounds {
                let plain = times.iter().filter(|time| **time <= bound).count();
                index.advance(&times, bound);
                from = first_after(&times, from, bound);
                prop_assert_eq!((index.at, from), (plain, plain), "{:?} up to {}", times, bound);
            }
        }
    }
}

//! Commit numbers for the metrics of isolation: the newest one assigned, and the oldest one still held.
//!
//! Readers do not depend on them: what they see is determined by the gate (`isolation`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sync::{Mutex, MutexGuard, rank};

/// Commit numbers of a head.
#[derive(Debug, Default)]
pub struct Watermarks(Mutex<State, rank::Watermarks>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    /// How many hold each number.
    held: BTreeMap<u64, usize>,
}

impl State {
    fn low(&self) -> u64 {
        self.held.first_key_value().map_or(self.last, |(oldest, _)| *oldest)
    }
}

/// Holds a number until dropped.
#[derive(Debug)]
pub struct HeldNumber {
    marks: Arc<Watermarks>,
    number: u64,
}

impl Watermarks {
    /// Assigns a number to a commit that begins.
    pub fn begin_commit(self: &Arc<Self>) -> HeldNumber {
        let mut state = self.0.lock();
        state.last += 1;
        let number = state.last;
        self.hold(state, number)
    }

    /// Holds the oldest number for a reader that begins.
    pub fn begin_read(self: &Arc<Self>) -> HeldNumber {
        let state = self.0.lock();
        let number = state.low();
        self.hold(state, number)
    }

    fn hold(self: &Arc<Self>, mut state: MutexGuard<'_, State, rank::Watermarks>, number: u64) -> HeldNumber {
        *state.held.entry(number).or_default() += 1;
        HeldNumber { marks: self.clone(), number }
    }

    /// The oldest number that is held, or the newest if none is; and the newest one assigned.
    pub fn low_and_high(&self) -> (u64, u64) {
        let state = self.0.lock();
        (state.low(), state.last)
    }
}

impl Drop for HeldNumber {
    fn drop(&mut self) {
        let mut state = self.marks.0.lock();
        if let Some(count) = state.held.get_mut(&self.number) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_mark_is_that_of_the_oldest_commit_or_reader() {
        let marks = Arc::<Watermarks>::default();
        assert_eq!(marks.low_and_high(), (0, 0));
        let (first, second) = (marks.begin_commit(), marks.begin_commit());
        assert_eq!(marks.low_and_high(), (1, 2));
        let reader = marks.begin_read();
        drop(first);
        assert_eq!(marks.low_and_high(), (1, 2), "the reader began beside the first");
        drop(reader);
        assert_eq!(marks.low_and_high(), (2, 2));
        drop(second);
        assert_eq!(marks.low_and_high(), (2, 2));
    }
}

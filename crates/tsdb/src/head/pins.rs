//! Snapshots that still read the past: they pin the moment at which they were taken, and what was removed
//! after it stays until they are gone. Nothing waits; removal is retried later.

use std::collections::BTreeMap;

use super::sync::{Arc, Mutex, rank};

/// The time between two changes that snapshots must not see partially. Later moments are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// Moments, and the number of snapshots that pin each.
#[derive(Debug, Default)]
pub struct Pins(Mutex<State, rank::Pins>);

#[derive(Debug, Default)]
struct State {
    now: Moment,
    held: BTreeMap<Moment, usize>,
}

/// Pins a moment until dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    moment: Moment,
}

impl Pins {
    /// Pins the present.
    pub fn pin(self: &Arc<Self>) -> Pin {
        let mut state = self.0.lock();
        let moment = state.now;
        *state.held.entry(moment).or_default() += 1;
        Pin { pins: self.clone(), moment }
    }

    /// Ends the present moment and returns it. Later pins do not hold it.
    pub fn advance(&self) -> Moment {
        let mut state = self.0.lock();
        let ended = state.now;
        state.now = Moment(ended.0 + 1);
        ended
    }

    /// Whether nothing pins that moment or an earlier one.
    pub fn is_past(&self, moment: Moment) -> bool {
        self.0.lock().held.first_key_value().is_none_or(|(oldest, _)| *oldest > moment)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.pins.0.lock();
        if let Some(count) = state.held.get_mut(&self.moment) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.moment);
            }
        }
    }
}

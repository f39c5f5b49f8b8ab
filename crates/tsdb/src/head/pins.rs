//! Who still looks at the past: snapshots pin the moment they were taken, and what was removed after it stays
//! until they are gone. Nobody waits; removal is tried again later.

use std::collections::BTreeMap;

use super::sync::{Arc, Mutex, rank};

/// Moments and who holds them.
#[derive(Debug, Default)]
pub struct Pins(Mutex<State, rank::Pins>);

#[derive(Debug, Default)]
struct State {
    now: u64,
    held: BTreeMap<u64, usize>,
}

/// Holds a moment until dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    moment: u64,
}

impl Pins {
    /// Holds the present.
    pub fn pin(self: &Arc<Self>) -> Pin {
        let mut state = self.0.lock();
        let moment = state.now;
        *state.held.entry(moment).or_default() += 1;
        Pin { pins: self.clone(), moment }
    }

    /// Ends the present: says its number. Who pins from now on does not hold it.
    pub fn advance(&self) -> u64 {
        let mut state = self.0.lock();
        state.now += 1;
        state.now - 1
    }

    /// Whether nobody holds that moment or one before it.
    pub fn is_past(&self, moment: u64) -> bool {
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

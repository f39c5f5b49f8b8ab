//! Tracks commits in progress, from before they are logged until everything about them is visible.
//!
//! Commits are counted in one of two rounds. To wait until everything logged so far is visible, a caller
//! switches rounds and waits until the previous one is empty. Commits that begin meanwhile neither wait nor
//! are waited for.

use super::sync::{Condvar, Mutex, rank};

/// The commits of a head.
#[derive(Default)]
pub struct Flights {
    state: Mutex<State, rank::Flights>,
    landed: Condvar,
}

#[derive(Default)]
struct State {
    /// Number of commits in progress in each round.
    under_way: [usize; 2],
    round: usize,
}

/// A commit in progress, until it is dropped.
pub struct Flight<'a> {
    flights: &'a Flights,
    round: usize,
}

impl Flights {
    /// Begins a commit; must precede everything that it logs.
    pub fn begin(&self) -> Flight<'_> {
        let mut state = self.state.lock();
        let round = state.round;
        state.under_way[round] += 1;
        Flight { flights: self, round }
    }

    /// Waits for all commits that have begun. Must not be called concurrently: callers hold the maintenance
    /// lock.
    pub fn land(&self) {
        let mut state = self.state.lock();
        let before = state.round;
        state.round = 1 - before;
        while state.under_way[before] > 0 {
            state = self.landed.wait(state);
        }
    }
}

#[cfg(test)]
impl Flights {
    /// Whether anything has waited since the start.
    pub fn is_landing(&self) -> bool {
        self.state.lock().round == 1
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.flights.state.lock();
        state.under_way[self.round] -= 1;
        if state.under_way[self.round] == 0 {
            self.flights.landed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landing_waits_only_for_earlier_commits() {
        let flights = Flights::default();
        let before = flights.begin();
        std::thread::scope(|scope| {
            let landing = scope.spawn(|| flights.land());
            while flights.state.lock().round == 0 {
                std::thread::yield_now();
            }
            let _after = flights.begin();
            assert!(!landing.is_finished());
            drop(before);
            landing.join().expect("landed");
        });
        flights.land();
    }
}

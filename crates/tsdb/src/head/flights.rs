//! Which commits are under way, from before they are logged until everything about them can be seen.
//!
//! Commits count in one of two rounds. A caller that has to know when everything logged so far can be seen begins the
//! other round and waits until the one before is over. Commits that begin meanwhile neither wait nor are waited for.

use super::sync::{Condvar, Mutex, rank};

/// The commits of a head.
#[derive(Default)]
pub struct Flights {
    state: Mutex<State, rank::Flights>,
    landed: Condvar,
}

#[derive(Default)]
struct State {
    /// Commits under way of each round.
    under_way: [usize; 2],
    round: usize,
}

/// A commit under way, until it is dropped.
pub struct Flight<'a> {
    flights: &'a Flights,
    round: usize,
}

impl Flights {
    /// Begins a commit; comes before anything of it is logged.
    pub fn begin(&self) -> Flight<'_> {
        let mut state = self.state.lock();
        let round = state.round;
        state.under_way[round] += 1;
        Flight { flights: self, round }
    }

    /// Waits for all commits that have begun. Not to be called twice at a time: callers hold the maintenance.
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
    /// Whether somebody has begun to wait since the start.
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
    fn landing_waits_for_commits_from_before_only() {
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

//! Clocks that are set: what waits for a moment waits as long as before.
//!
//! Moments of the engine are those of the machine's clock. When somebody sets it, every timer moves along, so that no flush is an hour
//! late or early. Alerts that fired before a jump forward are prolonged as after a start: their senders report them again.

use std::collections::BTreeSet;

use ferula_model::UnixNanos;
use ferula_telemetry::warn;

use super::state::Engine;

impl Engine {
    /// The clock was set by so many nanoseconds; `now` is what it says since.
    pub fn clock_jumped(&mut self, by_nanos: i64, now: UnixNanos) {
        warn!(
            "The clock was set; timers move along",
            component = "dispatcher",
            seconds = by_nanos / 1_000_000_000
        );
        if by_nanos > 0 {
            self.prolong_alerts(now);
        }
        let moved = |moment: UnixNanos| UnixNanos(moment.0.saturating_add(by_nanos));
        self.timers = std::mem::take(&mut self.timers)
            .into_iter()
            .map(|(due, timer)| (moved(due), timer))
            .collect::<BTreeSet<_>>();
        for group in self.groups.values_mut() {
            group.next_flush = moved(group.next_flush);
            group.missed_tick = group.missed_tick.map(moved);
        }
        for delivery in self.deliveries.values_mut() {
            delivery.deadline = moved(delivery.deadline);
            delivery.attempt_started = moved(delivery.attempt_started);
            delivery.held_until = delivery.held_until.map(moved);
        }
        self.alive_at = self.alive_at.map(moved);
        self.settings.start_at = moved(self.settings.start_at);
        self.listens_since = moved(self.listens_since);
    }
}

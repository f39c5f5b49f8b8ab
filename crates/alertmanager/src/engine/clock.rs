//! Changes of the clock: timers keep the time that remains.
//!
//! The engine uses the machine's clock. If it is set, every timer moves along, so that no flush is an hour late or early. The ends of
//! alerts that fired before a jump forward are extended as after a start: their senders report them again.

use std::collections::BTreeSet;

use ferula_model::UnixNanos;
use ferula_telemetry::warn;

use super::state::Engine;

impl Engine {
    /// The clock was set by this many nanoseconds; `now` is the new time.
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

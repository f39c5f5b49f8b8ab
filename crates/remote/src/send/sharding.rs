//! How many requests should be in flight at the same time; the rule is that of Prometheus.

use std::sync::Mutex;
use std::time::Duration;

use ferula_go::sync::MutexExt;

/// How often the number is updated.
pub const UPDATE_INTERVAL: Duration = Duration::from_secs(10);
/// The weight of the newest interval in a moving average.
const WEIGHT: f64 = 0.2;
/// Relative changes below this are ignored.
const TOLERANCE: f64 = 0.3;
/// When the delay in seconds exceeds this, the number is not reduced.
const BEHIND_SECONDS_MAX: f64 = 10.0;
/// The share of the backlog that should be sent per second.
const CATCH_UP_SHARE: f64 = 0.05;

/// A rate per second, smoothed over intervals.
#[derive(Clone, Copy, Debug, Default)]
struct MovingRate {
    new: f64,
    rate: Option<f64>,
}

impl MovingRate {
    fn tick(&mut self) {
        let now = self.new / UPDATE_INTERVAL.as_secs_f64();
        self.rate = Some(self.rate.map_or(now, |rate| rate + WEIGHT * (now - rate)));
        self.new = 0.0;
    }

    fn per_second(&self) -> f64 {
        self.rate.unwrap_or(0.0)
    }
}

/// Rates of incoming and outgoing items.
#[derive(Debug, Default)]
pub struct Rates(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    read: MovingRate,
    dropped: MovingRate,
    sent: MovingRate,
    /// Seconds spent sending per second.
    sending: MovingRate,
}

/// The limits on the number of lanes, and the current number.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    pub now: usize,
    pub min: usize,
    pub max: usize,
}

impl Rates {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.locked()
    }

    /// Records items that were read from the log, including those that are not sent.
    pub fn read(&self, items: u64, dropped: u64) {
        let mut state = self.lock();
        state.read.new += items as f64;
        state.dropped.new += dropped as f64;
    }

    /// Records a finished request.
    pub fn sent(&self, items: u64, took: Duration) {
        let mut state = self.lock();
        state.sent.new += items as f64;
        state.sending.new += took.as_secs_f64();
    }

    /// Ends an interval. Returns the number that would keep up, for the metric, and the number to change to.
    /// `behind` is the time between the newest sample of the store and that of the destination, in seconds.
    pub fn desired(&self, lanes: Lanes, behind: f64) -> Option<(f64, usize)> {
        let mut state = self.lock();
        let State { read, dropped, sent, sending } = &mut *state;
        [read, dropped, sent, sending].into_iter().for_each(MovingRate::tick);
        let out = state.sent.per_second();
        if out <= 0.0 {
            return None;
        }
        let kept_share = out / (state.dropped.per_second() + out);
        let read = state.read.per_second() * kept_share;
        let seconds_per_item = state.sending.per_second() / out;
        let desired = seconds_per_item * (read + CATCH_UP_SHARE * behind * read);
        Some((desired, bounded(desired, lanes, behind)))
    }
}

fn bounded(desired: f64, lanes: Lanes, behind: f64) -> usize {
    let (now, whole) = (lanes.now as f64, desired.ceil());
    if (now * (1.0 - TOLERANCE)..=now * (1.0 + TOLERANCE)).contains(&whole) {
        return lanes.now;
    }
    if whole < now && behind > BEHIND_SECONDS_MAX {
        return lanes.now;
    }
    (whole as usize).clamp(lanes.min, lanes.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_follows_load_within_its_bounds() {
        let lanes = Lanes { now: 4, min: 1, max: 50 };
        for (read, seconds_per_thousand, behind, want) in [
            // 10,000 items per second at a millisecond per thousand use one hundredth of a lane.
            (10_000, 0.001, 0.0, 1),
            (10_000, 0.001, 60.0, 4),
            (10_000, 0.4, 0.0, 4),
            (10_000, 1.0, 0.0, 10),
            (10_000, 1.0, 100.0, 50),
            (10_000, 60.0, 0.0, 50),
        ] {
            let rates = Rates::default();
            rates.read(read * 10, 0);
            for _ in 0..read / 100 {
                rates.sent(1000, Duration::from_secs_f64(seconds_per_thousand));
            }
            let (_, number) = rates.desired(lanes, behind).expect("something was sent");
            assert_eq!(number, want, "{read} {seconds_per_thousand} {behind}");
        }
        assert!(Rates::default().desired(lanes, 0.0).is_none(), "nothing is known yet");
    }
}

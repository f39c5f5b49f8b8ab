//! Ticks at fixed moments, moved by an offset so that many intervals do not fire at once.

use std::time::Duration;

use crate::clock::SharedClock;

/// Fires at every moment that is `offset` after a multiple of the period since the epoch.
///
/// The moments depend on period and offset alone, so they are the same after a restart. Moments that pass while nobody waits
/// are skipped.
pub struct Interval {
    clock: SharedClock,
    period_nanos: i64,
    offset_nanos: i64,
    last_nanos: Option<i64>,
    is_due: bool,
}

impl Interval {
    /// An interval with this period. `seed` (a hash of whatever is repeated) chooses the offset.
    ///
    /// # Panics
    /// If the period is zero.
    pub fn new(clock: SharedClock, period: Duration, seed: u64) -> Self {
        let period_nanos = i64::try_from(period.as_nanos()).unwrap_or(i64::MAX);
        assert!(period_nanos > 0, "an interval has a length");
        let offset = seed % period_nanos.unsigned_abs();
        Interval {
            clock,
            period_nanos,
            offset_nanos: i64::try_from(offset).expect("below the period"),
            last_nanos: None,
            is_due: false,
        }
    }

    /// The same interval with one more tick, at once.
    pub fn due_now(mut self) -> Self {
        self.is_due = true;
        self
    }

    /// Waits for the next moment and returns it, in nanoseconds since the epoch. When the clock is set back by more than a
    /// period, the times start over.
    pub async fn tick(&mut self) -> i64 {
        if std::mem::take(&mut self.is_due) {
            return self.clock.unix_nanos();
        }
        let mut moment = self.next_after(self.clock.unix_nanos());
        loop {
            let now = self.clock.unix_nanos();
            let wait = moment.saturating_sub(now);
            if wait <= 0 {
                break;
            }
            if wait > self.period_nanos.saturating_mul(2) {
                // The clock was set back. The last moment lies ahead now, and nobody should wait for it.
                self.last_nanos = None;
                moment = self.next_after(now);
                continue;
            }
            self.clock.sleep(Duration::from_nanos(wait.unsigned_abs())).await;
        }
        self.last_nanos = Some(moment);
        moment
    }

    /// The first moment at or after `now` that was not returned before.
    fn next_after(&self, now: i64) -> i64 {
        let since = now.saturating_sub(self.offset_nanos);
        let behind = since.rem_euclid(self.period_nanos);
        let wait = if behind == 0 { 0 } else { self.period_nanos - behind };
        let moment = now.saturating_add(wait);
        match self.last_nanos {
            Some(last) if moment <= last => last.saturating_add(self.period_nanos),
            _ => moment,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ferula_model::Timestamp;

    use super::*;
    use crate::SimClock;

    #[tokio::test]
    async fn ticks_are_aligned_each_comes_once_and_missed_ones_are_skipped() {
        let clock = SimClock::at(Timestamp::from_millis(100_000));
        let mut interval = Interval::new(Arc::new(clock.clone()), Duration::from_secs(15), 17_000_000_000);
        let turner = clock.clone();
        let turn = tokio::spawn(async move {
            loop {
                turner.advance_to_next();
                tokio::task::yield_now().await;
            }
        });
        // Period 15 s, offset 17 mod 15 = 2 s.
        assert_eq!(interval.tick().await, 107_000_000_000);
        assert_eq!(interval.tick().await, 122_000_000_000);
        clock.advance(Duration::from_secs(40));
        assert_eq!(interval.tick().await, 167_000_000_000);
        turn.abort();
    }

    /// A clock that is set, and does not wait.
    struct SetClock(std::sync::atomic::AtomicI64);

    impl crate::Clock for SetClock {
        fn unix_nanos(&self) -> i64 {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, duration: Duration) -> crate::clock::Sleep {
            let nanos = i64::try_from(duration.as_nanos()).expect("tests sleep for short times");
            self.0.fetch_add(nanos, std::sync::atomic::Ordering::Relaxed);
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_starts_moments_anew() {
        const SECOND: i64 = 1_000_000_000;
        let clock = Arc::new(SetClock((7_200 * SECOND).into()));
        let mut interval = Interval::new(clock.clone(), Duration::from_secs(15), 0);
        assert_eq!(interval.tick().await, 7_200 * SECOND);
        clock.0.store(3_601 * SECOND, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(interval.tick().await, 3_615 * SECOND);
        // After a small step back no moment comes twice.
        clock.0.store(3_614 * SECOND, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(interval.tick().await, 3_630 * SECOND);
    }

    #[tokio::test]
    async fn an_interval_that_is_due_ticks_at_once_and_then_at_its_moments() {
        let clock = SimClock::at(Timestamp::from_millis(100_000));
        let shared = Arc::new(clock.clone());
        let mut interval = Interval::new(shared, Duration::from_secs(15), 2_000_000_000).due_now();
        assert_eq!(interval.tick().await, 100_000_000_000);
        let turn = tokio::spawn(async move {
            loop {
                clock.advance_to_next();
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(interval.tick().await, 107_000_000_000);
        assert_eq!(interval.tick().await, 122_000_000_000);
        turn.abort();
    }
}

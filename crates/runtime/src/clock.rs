//! The time of day, elapsed time and sleeping, as a value that is passed in.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ferula_go::sync::MutexExt;
use ferula_model::Timestamp;

/// A sleep in progress.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A clock shared between tasks.
pub type SharedClock = Arc<dyn Clock>;

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since the Unix epoch. May jump when the machine's clock is set.
    fn unix_nanos(&self) -> i64;

    /// Time since some fixed moment. Never jumps.
    fn elapsed(&self) -> Duration;

    /// Ends after `duration` of [`Clock::elapsed`].
    fn sleep(&self, duration: Duration) -> Sleep;

    /// The time of day in milliseconds.
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.unix_nanos().div_euclid(1_000_000))
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// The machine's clock; elapsed time counts from here.
    pub fn new() -> Self {
        RealClock { start: Instant::now() }
    }

    /// The same, ready to be passed on.
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn unix_nanos(&self) -> i64 {
        let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        };
        i64::try_from(nanos).unwrap_or(if nanos > 0 { i64::MAX } else { i64::MIN })
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until a test advances it. A clone is another handle to the same clock.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<Mutex<SimState>>);

#[derive(Debug)]
struct SimState {
    start_unix_nanos: i64,
    elapsed: Duration,
    next_id: u64,
    /// By the moment to wake at; the number keeps sleepers of the same moment apart.
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

impl SimClock {
    /// A clock that shows this time of day.
    pub fn at(now: Timestamp) -> Self {
        SimClock(Arc::new(Mutex::new(SimState {
            start_unix_nanos: now.millis().saturating_mul(1_000_000),
            elapsed: Duration::ZERO,
            next_id: 0,
            sleepers: BTreeMap::new(),
        })))
    }

    /// Advances time and wakes every sleeper whose moment has come, the earliest first.
    pub fn advance(&self, by: Duration) {
        let mut due = Vec::new();
        {
            let mut state = self.lock();
            state.elapsed += by;
            let now = state.elapsed;
            // Not by splitting the map, which counts all that remain: there can be a hundred thousand.
            while let Some(first) = state.sleepers.first_entry()
                && first.key().0 <= now
            {
                due.push(first.remove());
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    /// Advances time to the next sleeper's moment and wakes it; `false` if nobody sleeps.
    pub fn advance_to_next(&self) -> bool {
        let wait = {
            let state = self.lock();
            state.sleepers.keys().next().map(|(until, _)| until.saturating_sub(state.elapsed))
        };
        wait.map(|wait| self.advance(wait)).is_some()
    }

    /// How many sleeps are waiting.
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SimState> {
        self.0.locked()
    }
}

impl Clock for SimClock {
    fn unix_nanos(&self) -> i64 {
        let state = self.lock();
        state.start_unix_nanos.saturating_add(i64::try_from(state.elapsed.as_nanos()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let mut state = self.lock();
        state.next_id += 1;
        let key = (state.elapsed.saturating_add(duration), state.next_id);
        Box::pin(SimSleep { clock: self.clone(), key })
    }
}

struct SimSleep {
    clock: SimClock,
    key: (Duration, u64),
}

impl Future for SimSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.lock();
        if state.elapsed >= self.key.0 {
            return Poll::Ready(());
        }
        state.sleepers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for SimSleep {
    fn drop(&mut self) {
        self.clock.lock().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_their_moment_comes_and_not_before() {
        let clock = SimClock::at(Timestamp::from_millis(1_000));
        let sleeper = tokio::spawn(clock.sleep(Duration::from_secs(2)));
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_millis(1_999));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        assert!(clock.advance_to_next());
        sleeper.await.expect("the sleeper does not panic");
        assert_eq!(clock.now(), Timestamp::from_millis(3_000));
        assert!(!clock.advance_to_next());
    }

    #[test]
    fn the_real_clock_goes_forward() {
        let clock = RealClock::new();
        let (unix, elapsed) = (clock.unix_nanos(), clock.elapsed());
        assert!(unix > 1_700_000_000_000_000_000 && clock.elapsed() >= elapsed);
    }
}

//! Runs the engine in a process: provides the time, makes its attempts, and writes its changes to disk.
//!
//! Every change happens in [`Alertmanager::change`]: the engine is locked and changed, its records are
//! appended to the journal, and only then does the caller continue. One task waits for what is due; each
//! attempt has its own task, so a slow receiver delays no other. Rewriting the files delays neither.

mod attempts;
mod files;
mod state;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ferula_model::UnixNanos;
use ferula_runtime::Shutdown;
use tokio::task::JoinSet;

pub use self::files::OpenError;
pub use self::state::Alertmanager;

/// The system clock may be adjusted, so the engine checks it at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// A clock that differs by more from the time that has passed was set.
const JUMP_MIN: Duration = Duration::from_secs(2);

/// Intervals of periodic work.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// Files are rewritten, and expired data is dropped.
    pub maintenance: Duration,
    /// Resolved alerts are dropped.
    pub alert_gc: Duration,
}

impl Alertmanager {
    /// Runs until shutdown, then writes the files. Attempts in progress at that time are cancelled; the next
    /// start makes them again.
    pub async fn run(self: Arc<Self>, intervals: Intervals, shutdown: Shutdown) {
        let (mut attempts, mut rewrites) = (JoinSet::new(), JoinSet::new());
        let (mut maintenance, mut alert_gc) =
            (self.clock.sleep(intervals.maintenance), self.clock.sleep(intervals.alert_gc));
        let mut clocks = (self.clock.elapsed(), self.now());
        loop {
            self.notice_jump(&mut clocks);
            if self.is_rewrite_due.load(Ordering::Relaxed) && self.may_rewrite() {
                let own = self.clone();
                rewrites.spawn_blocking(move || own.rewrite());
            }
            let due = self.read(|engine, now| {
                let due = engine.next_due()?;
                Some(Duration::from_nanos(u64::try_from(due.since(now)).unwrap_or(0)))
            });
            let pause = due.unwrap_or(SLEEP_MAX).min(SLEEP_MAX);
            tokio::select! {
                () = shutdown.requested() => break,
                () = self.changed.notified() => {}
                // What is due already does not wait for the resolution of timers.
                () = std::future::ready(()), if pause.is_zero() => {}
                () = self.clock.sleep(pause), if !pause.is_zero() => {}
                () = &mut maintenance => {
                    let own = self.clone();
                    // The disk may be slow, and nothing waits for it.
                    rewrites.spawn_blocking(move || own.maintain());
                    maintenance = self.clock.sleep(intervals.maintenance);
                }
                () = &mut alert_gc => {
                    self.change(|engine, now| engine.collect_alerts(now));
                    alert_gc = self.clock.sleep(intervals.alert_gc);
                }
            }
            while attempts.try_join_next().is_some() || rewrites.try_join_next().is_some() {}
            if self.read(|engine, now| engine.next_due().is_some_and(|due| due <= now)) {
                let own = self.clone();
                // The journal may wait for the disk.
                let polled = tokio::task::spawn_blocking(move || own.change(|engine, now| engine.poll(now)));
                for attempt in polled.await.unwrap_or_default() {
                    attempts.spawn(self.clone().make(attempt));
                }
            }
        }
        attempts.shutdown().await;
        while rewrites.join_next().await.is_some() {}
        self.maintain();
    }

    /// Compares the machine's clock with the time that has passed, and tells the engine when somebody set it.
    fn notice_jump(&self, (elapsed, now): &mut (Duration, UnixNanos)) {
        let (elapsed_now, now_now) = (self.clock.elapsed(), self.now());
        let expected = now.plus(elapsed_now.saturating_sub(*elapsed));
        let jump = now_now.since(expected);
        (*elapsed, *now) = (elapsed_now, now_now);
        if jump.unsigned_abs() > JUMP_MIN.as_nanos() as u64 {
            self.change(|engine, now| engine.clock_jumped(jump, now));
        }
    }
}

#[cfg(test)]
mod tests;

//! Reads the blocks of the store in the background, slowly, to find damage before somebody needs them.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use ferula_runtime::{SharedClock, Shutdown, TaskGroup};
use ferula_telemetry::error;
use ferula_tsdb::{Db, ScrubbedBlock, Ulid};
use tokio::runtime::Handle;

use crate::storage::log_damage;

/// A start, and what follows it, is not slowed down.
const FIRST: Duration = Duration::from_secs(600);
/// A block is read again after this.
const REPEAT: Duration = Duration::from_secs(7 * 86_400);
/// How often to look for blocks that are due.
const LOOK: Duration = Duration::from_secs(600);
/// So much is read at once; then it pauses.
const BURST_BYTES: u64 = 256 << 10;

/// Starts to read blocks at this rate, until the group ends.
pub fn start(tasks: &mut TaskGroup, db: &Arc<Db>, clock: &SharedClock, bytes_per_second: u64) {
    if bytes_per_second == 0 {
        return;
    }
    let (db, clock, shutdown) = (db.clone(), clock.clone(), tasks.shutdown().clone());
    tasks.spawn("scrub", async move {
        scrub(db, clock, shutdown, bytes_per_second).await;
        Ok(())
    });
}

async fn scrub(db: Arc<Db>, clock: SharedClock, shutdown: Shutdown, bytes_per_second: u64) {
    let mut read_at: HashMap<Ulid, Duration> = HashMap::new();
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = clock.sleep(pause) => {}
            () = shutdown.requested() => return,
        }
        pause = LOOK;
        let blocks: Vec<Ulid> = db.blocks().iter().map(|block| block.meta().ulid).collect();
        read_at.retain(|ulid, _| blocks.contains(ulid));
        let Some(ulid) = due(&blocks, &read_at, clock.elapsed()) else { continue };
        pause = Duration::ZERO;
        let pace = Pace::new(clock.clone(), shutdown.clone(), bytes_per_second);
        let store = db.clone();
        match tokio::task::spawn_blocking(move || read(&store, ulid, pace)).await {
            Ok(scrubbed) => {
                if let Some(damage) = scrubbed.and_then(|scrubbed| scrubbed.damage) {
                    log_damage(&damage);
                }
            }
            Err(err) => error!(
                "Reading a block in the background panicked",
                component = "tsdb",
                block = ulid,
                err = err
            ),
        }
        read_at.insert(ulid, clock.elapsed());
    }
}

/// The block that was never read, or else not for the longest time, if that is long enough.
fn due(blocks: &[Ulid], read_at: &HashMap<Ulid, Duration>, now: Duration) -> Option<Ulid> {
    let age = |ulid: &Ulid| read_at.get(ulid).map_or(Duration::MAX, |at| now.saturating_sub(*at));
    // Of several that are as old, the first: the oldest block.
    let oldest = blocks.iter().rev().max_by_key(|ulid| age(ulid))?;
    (age(oldest) >= REPEAT).then_some(*oldest)
}

fn read(db: &Db, ulid: Ulid, mut pace: Pace) -> Option<ScrubbedBlock> {
    db.scrub(ulid, &mut |bytes| pace.read(bytes))
}

/// Waits after every burst until it was read slowly enough.
struct Pace {
    clock: SharedClock,
    shutdown: Shutdown,
    bytes_per_second: u64,
    begun: Duration,
    bytes: u64,
}

impl Pace {
    fn new(clock: SharedClock, shutdown: Shutdown, bytes_per_second: u64) -> Self {
        let begun = clock.elapsed();
        Pace { clock, shutdown, bytes_per_second, begun, bytes: 0 }
    }

    /// Notes that so much was read. Blocks; not to be called on a thread that drives tasks.
    fn read(&mut self, bytes: u64) -> ControlFlow<()> {
        self.bytes += bytes;
        if self.bytes < BURST_BYTES {
            return ControlFlow::Continue(());
        }
        let took = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second as f64);
        let left = (self.begun + took).saturating_sub(self.clock.elapsed());
        let flow = Handle::current().block_on(async {
            tokio::select! {
                () = self.clock.sleep(left) => ControlFlow::Continue(()),
                () = self.shutdown.requested() => ControlFlow::Break(()),
            }
        });
        (self.begun, self.bytes) = (self.clock.elapsed(), 0);
        flow
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::Timestamp;
    use ferula_runtime::{Clock, SimClock};

    use super::*;

    #[test]
    fn blocks_are_read_in_turn_and_again_after_a_week() {
        let [a, b] = [1, 2].map(|n| Ulid::new(n, 0));
        let mut read_at = HashMap::new();
        assert_eq!(due(&[], &read_at, FIRST), None);
        assert_eq!(due(&[a, b], &read_at, FIRST), Some(a));
        read_at.insert(a, FIRST);
        assert_eq!(due(&[a, b], &read_at, 2 * FIRST), Some(b));
        read_at.insert(b, 2 * FIRST);
        assert_eq!(due(&[a, b], &read_at, REPEAT), None);
        assert_eq!(due(&[a, b], &read_at, REPEAT + FIRST), Some(a));
        assert_eq!(due(&[b], &read_at, REPEAT + FIRST), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_waits_after_every_burst_and_ends_at_shutdown() {
        let clock = SimClock::at(Timestamp::from_millis(0));
        let shutdown = Shutdown::new();
        let mut pace = Pace::new(Arc::new(clock.clone()), shutdown.clone(), BURST_BYTES / 2);
        let reading = tokio::task::spawn_blocking(move || {
            assert!(pace.read(BURST_BYTES - 1).is_continue(), "no burst yet");
            (pace.read(1), pace)
        });
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!reading.is_finished());
        clock.advance(Duration::from_secs(2));
        let (flow, mut pace) = reading.await.expect("no panic");
        assert!(flow.is_continue());
        assert_eq!(clock.elapsed(), Duration::from_secs(2));
        shutdown.request();
        let ended = tokio::task::spawn_blocking(move || pace.read(BURST_BYTES)).await;
        assert!(ended.expect("no panic").is_break());
    }
}

//! The store's chores, at their times: the store itself starts no task and reads no clock.

use std::sync::Arc;
use std::time::Duration;

use ferula_runtime::{SharedClock, Shutdown, TaskGroup};
use ferula_telemetry::{error, info, warn};
use ferula_tsdb::{Db, Doubt, Maintained};

/// How often the log is asked whether a sync is due.
const SYNC_TICK: Duration = Duration::from_millis(250);

/// How often blocks are looked for, merged and removed, as far as it is their time.
const MAINTAIN_TICK: Duration = Duration::from_secs(60);

/// How often the head is asked whether it is full. Prometheus asks with every commit.
const FULL_TICK: Duration = Duration::from_secs(1);

/// Starts the chores; they end with the group.
pub fn start(tasks: &mut TaskGroup, db: &Arc<Db>, clock: &SharedClock) {
    let (store, time, shutdown) = (db.clone(), clock.clone(), tasks.shutdown().clone());
    tasks.spawn("log sync", async move {
        sync_log(store, time, shutdown).await;
        Ok(())
    });
    let (store, time, shutdown) = (db.clone(), clock.clone(), tasks.shutdown().clone());
    tasks.spawn("maintenance", async move {
        maintain(store, time, shutdown).await;
        Ok(())
    });
}

async fn maintain(db: Arc<Db>, clock: SharedClock, shutdown: Shutdown) {
    let mut doubted = Vec::new();
    loop {
        let (store, now, begin) = (db.clone(), clock.now().millis(), clock.elapsed());
        let failed = match tokio::task::spawn_blocking(move || store.maintain(now)).await {
            Ok(done) => {
                report(&done, clock.elapsed().saturating_sub(begin));
                report_doubts(&done, &doubted);
                doubted.clone_from(&done.doubts);
                !done.errors.is_empty()
            }
            Err(err) => {
                error!("Maintenance of the storage panicked", component = "tsdb", err = err);
                true
            }
        };
        // What failed is not tried again every second.
        let due = || clock.elapsed() >= begin + MAINTAIN_TICK || (!failed && db.head_is_full());
        loop {
            tokio::select! {
                () = clock.sleep(FULL_TICK) => {}
                () = shutdown.requested() => return,
            }
            if due() {
                break;
            }
        }
    }
}

/// Tells what was done, in the words of Prometheus where it has them.
fn report(done: &Maintained, took: Duration) {
    let took = format!("{took:?}");
    for meta in &done.written {
        info!(
            "write block",
            component = "tsdb",
            mint = meta.min_time,
            maxt = meta.max_time,
            ulid = meta.ulid,
            duration = took
        );
    }
    for (ulid, reason) in &done.removed {
        let reason =
            reason.map_or_else(|| "replaced".to_owned(), |reason| format!("{reason:?}").to_lowercase());
        info!("Deleting obsolete block", component = "tsdb", block = ulid, reason = reason);
    }
    if let Some(to) = done.truncated_to {
        info!(
            "Head GC completed",
            component = "tsdb",
            caller = "truncateMemory",
            truncated_to = to,
            removed_series = done.removed_series,
            duration = took
        );
    }
    if let Some((segment, _)) = &done.checkpoint {
        info!("WAL checkpoint complete", component = "tsdb", last = segment, duration = took);
    }
    for err in &done.errors {
        error!("Maintenance of the storage failed in part", component = "tsdb", err = err);
    }
}

/// Tells what looks wrong from outside; what was told the last time is not told again.
fn report_doubts(done: &Maintained, told: &[Doubt]) {
    for ulid in &done.vanished {
        warn!(
            "A block is gone from the data directory: its samples are no longer shown",
            component = "tsdb",
            block = ulid
        );
    }
    if let Some(jump) = done.clock_jump_ms {
        warn!(
            "The clock has jumped, or the machine slept",
            component = "tsdb",
            by = format!("{}s", jump / 1000)
        );
    }
    for doubt in done.doubts.iter().filter(|doubt| !told.contains(doubt)) {
        warn!("The data directory does not fit the clock", component = "tsdb", reason = doubt);
    }
}

async fn sync_log(db: Arc<Db>, clock: SharedClock, shutdown: Shutdown) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = clock.sleep(SYNC_TICK) => {}
            () = shutdown.requested() => return,
        }
        let (db, now) = (db.clone(), clock.now().millis());
        match tokio::task::spawn_blocking(move || db.sync_if_due(now)).await {
            Ok(Ok(_)) => failing = false,
            // Said once, not four times a second.
            Ok(Err(err)) if !failing => {
                failing = true;
                error!("The write-ahead log could not be synced", component = "tsdb", err = err);
            }
            Ok(Err(_)) => {}
            Err(err) => error!("The sync of the write-ahead log panicked", component = "tsdb", err = err),
        }
    }
}

//! The store's periodic tasks. The store itself starts no task and reads no clock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferula_query::QueryService;
use ferula_runtime::{SharedClock, Shutdown, TaskGroup};
use ferula_telemetry::{debug, error, info, warn};
use ferula_tsdb::{AgentDb, Db, Doubt, Maintained};
use tokio::sync::Notify;

use crate::allocator::FreeMemory;
use crate::remote::RemoteStorage;
use crate::storage::{LocalStore, log_damage};

/// The log is synced this long after the first write that a power loss would lose.
const SYNC_DELAY: Duration = Duration::from_secs(1);

/// The longest interval between two rounds of compaction and retention.
const MAINTAIN_TICK: Duration = Duration::from_secs(60);

/// How often the record of reads is saved.
const SAVE_READS_INTERVAL: Duration = Duration::from_secs(300);

/// The intervals of some periodic tasks.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// How often to look for blocks of other programs.
    pub reload: Duration,
    /// How often to take a savepoint; zero disables it.
    pub savepoint: Duration,
    /// At this growth of the log one is taken as well; see [`SAVEPOINT_LOG_BYTES`].
    pub savepoint_log_bytes: u64,
}

/// About 3 million samples, which a start reads in a tenth of a second. If savepoints are larger, they are taken when the log has
/// grown by their size, so that they never write more than the log does.
pub const SAVEPOINT_LOG_BYTES: u64 = 16 << 20;

/// Starts to sync the log, until the group ends. `unsynced` is notified by the log; what is returned is notified after each
/// sync.
pub fn start_sync(
    tasks: &mut TaskGroup,
    store: &LocalStore,
    unsynced: &Arc<Notify>,
    clock: &SharedClock,
) -> Arc<Notify> {
    let (store, time, shutdown) = (store.clone(), clock.clone(), tasks.shutdown().clone());
    let (unsynced, synced) = (unsynced.clone(), Arc::new(Notify::new()));
    let written = synced.clone();
    tasks.spawn("log sync", async move {
        sync_log(store, unsynced, synced, time, shutdown).await;
        Ok(())
    });
    written
}

/// Starts the maintenance of a database, until the group ends. `written` is notified when something new was stored.
pub fn start(
    tasks: &mut TaskGroup,
    db: &Arc<Db>,
    written: Arc<Notify>,
    clock: &SharedClock,
    intervals: Intervals,
) {
    let (store, time, shutdown) = (db.clone(), clock.clone(), tasks.shutdown().clone());
    tasks.spawn("maintenance", async move {
        maintain(store, written, time, shutdown, intervals).await;
        Ok(())
    });
}

/// Continues the record of what queries read, which the last run saved.
pub fn load_reads(queries: &QueryService, data_dir: &Path) {
    if let Err(err) = queries.reads().load(data_dir) {
        warn!("The record of metrics that were read cannot be used; a new one begins", err = err);
    }
}

/// Starts to save the record of what queries read, now and then and at the end of the group.
pub fn start_saving_reads(
    tasks: &mut TaskGroup,
    queries: &Arc<QueryService>,
    data_dir: &Path,
    clock: &SharedClock,
) {
    let (queries, data_dir) = (queries.clone(), data_dir.to_path_buf());
    let (clock, shutdown) = (clock.clone(), tasks.shutdown().clone());
    tasks.spawn("saving reads", async move {
        loop {
            let is_last = tokio::select! {
                () = clock.sleep(SAVE_READS_INTERVAL) => false,
                () = shutdown.requested() => true,
            };
            let (record, dir) = (queries.clone(), data_dir.clone());
            let saved = tokio::task::spawn_blocking(move || record.reads().save(&dir)).await;
            match saved {
                Ok(Ok(())) => {}
                Ok(Err(err)) => warn!("Saving which metrics were read failed", err = err),
                Err(err) => error!("Saving which metrics were read panicked", err = err),
            }
            if is_last {
                return Ok(());
            }
        }
    });
}

/// Starts to truncate the log of an agent now and then, until the group ends.
pub fn start_truncation(
    tasks: &mut TaskGroup,
    db: &Arc<AgentDb>,
    remote: &Arc<RemoteStorage>,
    clock: &SharedClock,
    frequency: Duration,
) {
    let (db, remote) = (db.clone(), remote.clone());
    let (clock, shutdown) = (clock.clone(), tasks.shutdown().clone());
    tasks.spawn("log truncation", async move {
        loop {
            tokio::select! {
                () = clock.sleep(frequency) => {}
                () = shutdown.requested() => return Ok(()),
            }
            let (store, now, sent) = (db.clone(), clock.now(), remote.lowest_sent());
            match tokio::task::spawn_blocking(move || store.truncate(now, sent)).await {
                Ok(Ok(done)) => info!(
                    "Log truncated",
                    component = "agent",
                    before = done.min_time,
                    removed_series = done.removed_series,
                    checkpoint = done.checkpoint.map_or_else(|| "none".to_owned(), |last| last.to_string())
                ),
                Ok(Err(err)) => warn!("failed to truncate WAL", component = "agent", err = err),
                Err(err) => error!("The truncation of the log panicked", component = "agent", err = err),
            }
        }
    });
}

/// Runs at every tick, and when the head is full, which only new samples (`written`) can cause.
async fn maintain(
    db: Arc<Db>,
    written: Arc<Notify>,
    clock: SharedClock,
    shutdown: Shutdown,
    intervals: Intervals,
) {
    let tick = MAINTAIN_TICK.min(intervals.reload);
    let mut doubted = Vec::new();
    let mut savepoints = Savepoints::after_start(&db, clock.elapsed());
    let mut free_memory = FreeMemory::default();
    loop {
        let (store, now, begin) = (db.clone(), clock.now(), clock.elapsed());
        let failed = match tokio::task::spawn_blocking(move || store.maintain(now)).await {
            Ok(done) => {
                report(&done, clock.elapsed().saturating_sub(begin));
                report_doubts(&done, &doubted);
                doubted.clone_from(&done.doubts);
                // A checkpoint removes the log segments that the savepoint builds on.
                if done.checkpoint.is_some() {
                    savepoints.last = None;
                }
                !done.errors.is_empty()
            }
            Err(err) => {
                error!("Maintenance of the storage panicked", component = "tsdb", err = err);
                true
            }
        };
        savepoints.take_if_due(&db, &clock, &intervals).await;
        if let Ok(released) = tokio::task::spawn_blocking(move || free_memory.release_if_grown()).await {
            free_memory = released;
        }
        let next = begin + tick;
        loop {
            tokio::select! {
                () = clock.sleep(next.saturating_sub(clock.elapsed())) => break,
                () = written.notified() => {
                    // A failure is not retried every second.
                    if !failed && db.head_is_full() {
                        break;
                    }
                    savepoints.take_if_due(&db, &clock, &intervals).await;
                }
                () = shutdown.requested() => return,
            }
        }
    }
}

/// When savepoints are taken: at an interval, and when the log has grown much since the last one.
#[derive(Clone, Copy, Debug, Default)]
struct Savepoints {
    /// `None` if one should be taken soon.
    last: Option<LastSavepoint>,
}

#[derive(Clone, Copy, Debug)]
struct LastSavepoint {
    at: Duration,
    /// How much had been written to the log.
    log_bytes: u64,
    /// The size of the savepoint.
    bytes: u64,
}

impl Savepoints {
    /// If this start had no savepoint, or had to read the log behind it, one should be taken soon for the next start.
    fn after_start(db: &Db, now: Duration) -> Self {
        let recovered = db.recovered();
        let is_fresh = recovered.savepoint_series > 0 && recovered.records == 0;
        let last = LastSavepoint { at: now, log_bytes: db.log_bytes(), bytes: 0 };
        Savepoints { last: is_fresh.then_some(last) }
    }

    fn is_due(&self, now: Duration, log_bytes: u64, intervals: &Intervals) -> bool {
        let Some(last) = self.last else { return true };
        let growth = log_bytes.saturating_sub(last.log_bytes);
        now.saturating_sub(last.at) >= intervals.savepoint
            || growth >= intervals.savepoint_log_bytes.max(last.bytes)
    }

    /// Takes a savepoint if it is time for one. If that fails, the next start is slower, but nothing is lost.
    async fn take_if_due(&mut self, db: &Arc<Db>, clock: &SharedClock, intervals: &Intervals) {
        let (now, log_bytes) = (clock.elapsed(), db.log_bytes());
        if intervals.savepoint.is_zero() || !self.is_due(now, log_bytes, intervals) {
            return;
        }
        let before = self.last.map_or(0, |last| last.bytes);
        let bytes = save(db).await.unwrap_or(before);
        self.last = Some(LastSavepoint { at: now, log_bytes, bytes });
    }
}

/// Takes a savepoint, and returns its size if something had changed.
async fn save(db: &Arc<Db>) -> Option<u64> {
    let store = db.clone();
    match tokio::task::spawn_blocking(move || store.savepoint()).await {
        // The first one of an empty store is not interesting, and would push the welcome off the screen.
        Ok(Ok(Some(saved))) if saved.series == 0 => {
            debug!("Savepoint of an empty head written", component = "tsdb")
        }
        Ok(Ok(Some(saved))) => {
            let (segment, offset) = saved.place;
            info!(
                "Savepoint written",
                component = "tsdb",
                series = saved.series,
                bytes = saved.bytes,
                segment = segment,
                offset = offset
            );
            return Some(saved.bytes);
        }
        Ok(Ok(None)) => {}
        Ok(Err(err)) => warn!("Writing the savepoint failed", component = "tsdb", err = err),
        Err(err) => error!("Taking a savepoint panicked", component = "tsdb", err = err),
    }
    None
}

/// Logs what was done, in Prometheus' words where it has them.
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
            reason.map_or_else(|| "replaced".to_owned(), |reason| format!("{reason:?}").to_ascii_lowercase());
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
    done.damages.iter().for_each(log_damage);
    for err in &done.errors {
        error!("Part of the storage maintenance failed", component = "tsdb", err = err);
    }
}

/// Logs suspicious observations; those already reported last time are not repeated.
fn report_doubts(done: &Maintained, told: &[Doubt]) {
    for ulid in &done.vanished {
        warn!(
            "A block has vanished from the data directory: its samples are no longer shown",
            component = "tsdb",
            block = ulid
        );
    }
    if let Some(jump) = done.clock_jump_ms {
        warn!(
            "The clock has jumped, or the machine was suspended",
            component = "tsdb",
            by = format!("{}s", jump / 1000)
        );
    }
    for doubt in done.doubts.iter().filter(|doubt| !told.contains(doubt)) {
        warn!("The data directory does not fit the clock", component = "tsdb", reason = doubt);
    }
}

/// Sleeps while nothing is written, so an idle server wakes only for its scrapes.
async fn sync_log(
    store: LocalStore,
    unsynced: Arc<Notify>,
    synced: Arc<Notify>,
    clock: SharedClock,
    shutdown: Shutdown,
) {
    let mut failing = false;
    loop {
        let due = async {
            // After a failure, unsynced data is left and no further notification will come for it.
            if !failing {
                unsynced.notified().await;
            }
            clock.sleep(SYNC_DELAY).await;
        };
        tokio::select! {
            () = due => {}
            () = shutdown.requested() => return,
        }
        let store = store.clone();
        match tokio::task::spawn_blocking(move || store.sync()).await {
            Ok(Ok(_)) => {
                failing = false;
                synced.notify_one();
            }
            // Logged once, not every second.
            Ok(Err(err)) => {
                if !failing {
                    error!("Syncing the write-ahead log failed", component = "tsdb", err = err);
                }
                failing = true;
            }
            Err(err) => error!("The sync of the write-ahead log panicked", component = "tsdb", err = err),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ferula_model::{LabelSet, Timestamp};
    use ferula_runtime::SimClock;
    use ferula_storage::{Appendable, Durability, SampleBatch};
    use ferula_telemetry::Registry;
    use ferula_tsdb::disk::FaultDisk;
    use ferula_tsdb::disk::Survives;
    use ferula_tsdb::{Options, UnsyncedHook};

    use super::*;

    /// A database on a simulated disk.
    fn open(disk: &FaultDisk, unsynced: &Arc<Notify>) -> Arc<Db> {
        let unsynced = unsynced.clone();
        let on_unsynced = UnsyncedHook::new(move || unsynced.notify_one());
        let options = Options { on_unsynced, savepoints: true, ..Options::default() };
        let disk = Arc::new(disk.clone());
        Arc::new(Db::open(Path::new("/db"), options, disk, &Registry::new(), &mut |_| {}).expect("opened"))
    }

    fn commit(db: &Db, at: i64) {
        let mut appender = db.appender();
        let mut batch = SampleBatch::default();
        let series = appender.resolve(&LabelSet::from_pairs([("__name__", "m")])).expect("a series");
        batch.push_float(series, Timestamp::from_millis(at), 1.0);
        appender.append(&mut batch);
        appender.commit(Durability::Written).expect("committed");
    }

    /// The newest sample that survives a power loss.
    fn safe(disk: &FaultDisk) -> Option<i64> {
        open(&disk.restart(Survives::Synced), &Arc::default())
            .head()
            .time_range()
            .map(|range| range.end.millis())
    }

    const HOURLY: Intervals = Intervals {
        reload: Duration::from_secs(3600),
        savepoint: Duration::from_secs(3600),
        savepoint_log_bytes: 256 << 10,
    };

    #[tokio::test]
    async fn a_savepoint_follows_the_growth_of_the_log_and_a_start_reads_only_what_is_behind_it() {
        let (disk, clock) = (FaultDisk::default(), SimClock::at(Timestamp::from_millis(0)));
        let (db, shutdown) = (open(&disk, &Arc::default()), Shutdown::new());
        let (written, time) = (Arc::new(Notify::new()), Arc::new(clock.clone()));
        let task = tokio::spawn(maintain(db.clone(), written.clone(), time, shutdown.clone(), HOURLY));
        // The first savepoint is that of an empty head. After it, maintenance sleeps until its next round.
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        let start = || open(&disk.restart(Survives::Written), &Arc::default()).recovered().clone();
        let mut at = 0;
        while db.log_bytes() < HOURLY.savepoint_log_bytes {
            assert_eq!(start().savepoint_series, 0, "after {} bytes", db.log_bytes());
            let mut appender = db.appender();
            let series = appender.resolve(&LabelSet::from_pairs([("__name__", "m")])).expect("a series");
            let mut batch = SampleBatch::default();
            for _ in 0..5000 {
                at += 1;
                // Values that do not compress.
                let value = f64::from_bits((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                batch.push_float(series, Timestamp::from_millis(at), value);
            }
            appender.append(&mut batch);
            appender.commit(Durability::Written).expect("committed");
            written.notify_one();
        }
        let recovered = loop {
            let recovered = start();
            if recovered.savepoint_series > 0 {
                break recovered;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(recovered.records, 0, "nothing is behind the savepoint");
        shutdown.request();
        task.await.expect("it ends");
    }

    #[test]
    fn savepoints_are_due_by_time_and_by_growth() {
        let (hour, kib) = (HOURLY.savepoint, 1 << 10);
        let at = |bytes| Savepoints { last: Some(LastSavepoint { at: hour, log_bytes: 5 * kib, bytes }) };
        assert!(Savepoints::default().is_due(hour, 0, &HOURLY), "none was taken");
        for (bytes, now, log_bytes, due) in [
            (0, hour, 5 * kib, false),
            (0, 2 * hour, 5 * kib, true),
            (0, hour, 260 * kib, false),
            (0, hour, 261 * kib, true),
            (1000 * kib, hour, 1004 * kib, false),
            (1000 * kib, hour, 1005 * kib, true),
        ] {
            assert_eq!(at(bytes).is_due(now, log_bytes, &HOURLY), due, "{bytes} {now:?} {log_bytes}");
        }
    }

    #[tokio::test]
    async fn a_write_is_safe_after_a_second_and_an_idle_log_needs_no_timer() {
        let (disk, unsynced, clock) =
            (FaultDisk::default(), Arc::default(), SimClock::at(Timestamp::from_millis(0)));
        let (db, shutdown) = (open(&disk, &unsynced), Shutdown::new());
        let time: SharedClock = Arc::new(clock.clone());
        let synced = Arc::new(Notify::new());
        let task = tokio::spawn(sync_log(
            LocalStore::Server(db.clone()),
            unsynced,
            synced.clone(),
            time,
            shutdown.clone(),
        ));
        // The first commit in a segment of the log is synced at once, by itself.
        commit(&db, 0);
        assert_eq!(safe(&disk), Some(0));
        for at in [1, 2, 3] {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(clock.sleepers(), 0, "no timer runs while nothing is written");
            commit(&db, at);
            while clock.sleepers() == 0 {
                tokio::task::yield_now().await;
            }
            assert_ne!(safe(&disk), Some(at));
            clock.advance(SYNC_DELAY);
            synced.notified().await;
            assert_eq!(safe(&disk), Some(at));
        }
        shutdown.request();
        task.await.expect("it ends");
    }
}

//! Runs the engine in a process: provides the time, makes its attempts, and writes its changes to disk.
//!
//! Every change happens in [`Alertmanager::change`]: the engine is locked and changed, its records are
//! appended to the journal, and only then does the caller continue. One task waits for what is due; each
//! attempt has its own task, so a slow receiver delays no other. Rewriting the files delays neither.
//!
//! Locks are taken in this order: rewriting, journal, engine, pending.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::UnixNanos;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{Counter, Gauge, Registry, Summary, error, info, warn};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::engine::{Attempt, Attempted, Engine, EngineSettings, Metrics, PairMessage, Record, Setup};
use crate::frame;
use crate::journal::{Journal, Snapshot, Stored, write_state};
use crate::receiver::{self, FailureReason, NotifyError};
use crate::wire::WireError;

/// The system clock may be adjusted, so the engine checks it at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// A clock that differs by more from the time that has passed was set.
const JUMP_MIN: Duration = Duration::from_secs(2);
/// Between rewrites that are not regular maintenance, such as those after a disk error.
const REWRITE_PAUSE: Duration = Duration::from_secs(10);

/// A smaller history is not rewritten, whatever part of it is too old.
const HISTORY_REWRITE_BYTES_MIN: u64 = 256 << 10;

/// Intervals of periodic work.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// Files are rewritten, and expired data is dropped.
    pub maintenance: Duration,
    /// Resolved alerts are dropped.
    pub alert_gc: Duration,
}

/// Why an Alertmanager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("unable to create data directory: {0}")]
    Directory(std::io::Error),
    #[error("error creating notification log: {0}")]
    NotificationLog(WireError),
    #[error("error creating silence: {0}")]
    Silences(WireError),
}

/// A running Alertmanager.
pub struct Alertmanager {
    dir: PathBuf,
    engine: Mutex<Engine>,
    /// Changes that were made and are not written yet.
    pending: Mutex<Pending>,
    journal: Mutex<Journal>,
    /// Held while the files are rewritten.
    rewriting: Mutex<()>,
    /// Whether the files should be rewritten soon.
    is_rewrite_due: AtomicBool,
    clock: SharedClock,
    changed: Notify,
    /// When a rewrite that is not regular maintenance was last begun.
    last_rewrite: Mutex<Option<Duration>>,
    journal_open: Gauge,
    maintenance: [MaintenanceMetrics; 2],
    /// For the other member of a pair, and a sign that something is there.
    pub(crate) pair_outbox: Mutex<Vec<PairMessage>>,
    pub(crate) pair_changed: Notify,
}

/// Changes in the order in which they were made.
#[derive(Default)]
struct Pending {
    records: Vec<Record>,
    history: Vec<Vec<u8>>,
    /// The number of the latest change.
    last: u64,
}

/// Metrics of the files, under Alertmanager's names.
struct MaintenanceMetrics {
    total: Counter,
    errors: Counter,
    gc: Summary,
    snapshot: Summary,
    snapshot_bytes: Gauge,
}

impl MaintenanceMetrics {
    /// `prefix` is `alertmanager_silences` or `alertmanager_nflog`.
    fn new(registry: &Registry, prefix: &str) -> Self {
        let name = |rest: &str| format!("{prefix}_{rest}");
        MaintenanceMetrics {
            total: registry.counter(&name("maintenance_total"), "How often the file was rewritten."),
            errors: registry.counter(
                &name("maintenance_errors_total"),
                "How often rewriting the file failed. Alert when this rises.",
            ),
            gc: registry.summary(
                &name("gc_duration_seconds"),
                "Duration of dropping expired entries, in seconds.",
                &[],
            ),
            snapshot: registry.summary(
                &name("snapshot_duration_seconds"),
                "Duration of writing the file, in seconds.",
                &[],
            ),
            snapshot_bytes: registry.gauge(&name("snapshot_size_bytes"), "Size of the file, in bytes."),
        }
    }
}

impl Alertmanager {
    /// Opens the storage path and loads what an earlier run left there, whether of ferula or of Alertmanager.
    ///
    /// # Errors
    /// The directory cannot be used, or a file in it is damaged.
    pub fn open(
        dir: &Path,
        settings: EngineSettings,
        setup: Setup,
        metrics: Metrics,
        registry: &Registry,
        clock: SharedClock,
    ) -> Result<Self, OpenError> {
        let now = UnixNanos(clock.unix_nanos());
        let (mut journal, mut stored) = Journal::open(dir).map_err(OpenError::Directory)?;
        let mut engine = Engine::new(settings, setup, metrics);
        load_files(&mut engine, &stored, now)?;
        for damage in &stored.damages {
            error!("The journal is damaged; what stood there is lost", component = "journal", err = damage);
        }
        let is_history_whole = load_history(&mut engine, &stored.history);
        let history_bytes = std::mem::take(&mut stored.history).len() as u64;
        registry
            .gauge(
                "ferula_alertmanager_journal_damages",
                "Damaged places in the journal that were found at the start. Alert on more than 0.",
            )
            .set(stored.damages.len() as f64);
        let records = stored.records.len();
        for record in stored.records {
            engine.apply(record, now);
        }
        engine.restored(now);
        info!("Storage opened", component = "journal", path = dir.display(), records = records);
        let journal_open = registry.gauge(
            "ferula_alertmanager_journal_open",
            "1 while every change reaches the disk before it is acknowledged, 0 after a disk error. Alert on 0.",
        );
        // A start continues the journal, and rewrites it later. Otherwise its time would grow with the state.
        let continues = stored.has_journal && stored.damages.is_empty() && is_history_whole;
        let is_continued = continues
            && journal
                .continue_file(history_bytes)
                .and_then(|()| journal.append(&engine.take_records()))
                .is_ok();
        let alertmanager = Alertmanager {
            dir: dir.to_owned(),
            engine: Mutex::new(engine),
            pending: Mutex::default(),
            journal: Mutex::new(journal),
            rewriting: Mutex::default(),
            is_rewrite_due: AtomicBool::new(is_continued),
            clock,
            changed: Notify::new(),
            last_rewrite: Mutex::default(),
            journal_open,
            maintenance: ["alertmanager_silences", "alertmanager_nflog"]
                .map(|prefix| MaintenanceMetrics::new(registry, prefix)),
            pair_outbox: Mutex::default(),
            pair_changed: Notify::new(),
        };
        match is_continued {
            true => alertmanager.journal_open.set(1.0),
            false => alertmanager.rewrite(),
        }
        Ok(alertmanager)
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.locked()
    }

    /// The current time.
    pub fn now(&self) -> UnixNanos {
        UnixNanos(self.clock.unix_nanos())
    }

    /// Calls `read` with the engine.
    pub fn read<T>(&self, read: impl FnOnce(&Engine, UnixNanos) -> T) -> T {
        read(&self.engine(), self.now())
    }

    /// The clock that it runs by.
    pub(crate) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.locked()
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.locked()
    }

    /// Changes the engine. When this returns, the change is on disk, or the disk has failed.
    pub fn change<T>(&self, change: impl FnOnce(&mut Engine, UnixNanos) -> T) -> T {
        let (changed, number) = {
            let mut engine = self.engine();
            let changed = change(&mut engine, self.now());
            (changed, self.note_changes(&mut engine))
        };
        if let Some(number) = number {
            self.commit(number);
        }
        self.changed.notify_one();
        changed
    }

    /// Takes what a change left in the engine to be written and told; returns its number.
    fn note_changes(&self, engine: &mut Engine) -> Option<u64> {
        let messages = engine.take_pair_messages();
        if !messages.is_empty() {
            self.pair_outbox.locked().extend(messages);
            self.pair_changed.notify_one();
        }
        let (records, history) = (engine.take_records(), engine.take_history());
        if records.is_empty() && history.is_empty() {
            return None;
        }
        let mut pending = self.pending();
        pending.records.extend(records);
        pending.history.extend(history);
        pending.last += 1;
        Some(pending.last)
    }

    /// Writes every change up to this one. If that fails, the state is rewritten from time to time until it succeeds.
    fn commit(&self, number: u64) {
        {
            let mut journal = self.journal();
            // Somebody else may have written it along with his own.
            if journal.written >= number || self.write_pending(&mut journal) {
                return;
            }
        }
        if self.may_rewrite() {
            self.rewrite();
        }
    }

    /// Whether the last rewrite was long enough ago; if so, the next one begins.
    fn may_rewrite(&self) -> bool {
        let elapsed = self.clock.elapsed();
        let mut last = self.last_rewrite.locked();
        let may = last.is_none_or(|last| elapsed.saturating_sub(last) >= REWRITE_PAUSE);
        if may {
            *last = Some(elapsed);
        }
        may
    }

    /// Appends all changes that were made; returns whether they are on disk.
    fn write_pending(&self, journal: &mut Journal) -> bool {
        let (records, history) = {
            let mut pending = self.pending();
            journal.written = pending.last;
            (std::mem::take(&mut pending.records), std::mem::take(&mut pending.history))
        };
        if !history.is_empty() {
            self.append_history(journal, &history);
        }
        let was_open = journal.is_open();
        let written = journal.append(&records);
        if let Err(err) = &written
            && was_open
        {
            error!(
                "Writing the journal failed; a crash now would lose changes",
                component = "journal",
                err = err
            );
            self.journal_open.set(0.0);
        }
        if journal.is_long() {
            self.is_rewrite_due.store(true, Ordering::Relaxed);
        }
        written.is_ok()
    }

    fn append_history(&self, journal: &mut Journal, entries: &[Vec<u8>]) {
        if journal.history_bytes().is_none() {
            return;
        }
        match journal.append_history(entries) {
            Ok(bytes) => {
                let bytes_max = self.engine().history().bytes_max() as u64;
                if bytes > bytes_max.saturating_mul(2) {
                    self.rewrite_history(journal);
                }
            }
            Err(err) => {
                error!("The history of notifications cannot be written", component = "journal", err = err);
            }
        }
    }

    fn rewrite_history(&self, journal: &mut Journal) {
        let entries: Vec<Vec<u8>> = {
            let engine = self.engine();
            // What waits to be appended is among the entries.
            self.pending().history.clear();
            engine.history().encoded().map(<[u8]>::to_vec).collect()
        };
        if let Err(err) = journal.rewrite_history(entries.iter().map(Vec::as_slice)) {
            error!("The history of notifications cannot be written", component = "journal", err = err);
        }
    }

    /// Rewrites all files. Changes are made and appended to the old journal meanwhile.
    fn rewrite(&self) {
        let _only_one = self.rewriting.locked();
        self.is_rewrite_due.store(false, Ordering::Relaxed);
        let started = self.clock.elapsed();
        let snapshot = {
            let mut journal = self.journal();
            let mut engine = self.engine();
            self.note_changes(&mut engine);
            let snapshot = Snapshot {
                silences: engine.silences().to_file(),
                nflog: engine.log().to_file(),
                records: engine.state_records(self.now()),
            };
            // Changes up to here are in the snapshot, and go only to the old journal; later ones go to both.
            let records = std::mem::take(&mut self.pending().records);
            drop(engine);
            if journal.is_open() && journal.append(&records).is_err() {
                self.journal_open.set(0.0);
            }
            journal.begin_rewrite();
            snapshot
        };
        let rewritten = write_state(&self.dir, &snapshot);
        let mut journal = self.journal();
        let was_open = self.journal_open.get() > 0.0;
        let written = journal.end_rewrite(rewritten);
        self.journal_open.set(f64::from(u8::from(journal.is_open())));
        let took = self.clock.elapsed().saturating_sub(started);
        for (metrics, file) in self.maintenance.iter().zip([&snapshot.silences, &snapshot.nflog]) {
            metrics.total.inc();
            metrics.snapshot.observe_duration(took);
            match written {
                Ok(()) => metrics.snapshot_bytes.set(file.len() as f64),
                Err(_) => metrics.errors.inc(),
            }
        }
        match written {
            Ok(()) => {
                if !was_open {
                    info!("The journal is written", component = "journal", records = snapshot.records.len());
                }
                if journal.history_bytes().is_none() {
                    self.rewrite_history(&mut journal);
                }
            }
            Err(err) if journal.is_open() => {
                error!("Rewriting the storage files failed", component = "journal", err = err);
            }
            Err(err) => {
                error!(
                    "Writing the storage files failed; a crash now would lose changes",
                    component = "journal",
                    err = err
                );
            }
        }
    }

    /// Whether every change reaches the disk before it is acknowledged.
    pub fn is_journal_open(&self) -> bool {
        self.journal_open.get() > 0.0
    }

    /// Drops expired data and rewrites all files.
    pub fn maintain(&self) {
        {
            let mut engine = self.engine();
            let now = self.now();
            let mut started = self.clock.elapsed();
            for (at, metrics) in self.maintenance.iter().enumerate() {
                match at {
                    0 => engine.silences_mut().collect_garbage(now),
                    _ => engine.log_mut().collect_garbage(now),
                };
                let ended = self.clock.elapsed();
                metrics.gc.observe_duration(ended.saturating_sub(started));
                started = ended;
            }
        }
        self.rewrite();
        let mut journal = self.journal();
        let (kept, written) = (self.engine().history().bytes() as u64, journal.history_bytes());
        if written.is_some_and(|written| written > HISTORY_REWRITE_BYTES_MIN.max(kept.saturating_mul(2))) {
            self.rewrite_history(&mut journal);
        }
    }

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
                () = self.clock.sleep(pause) => {}
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

    /// Makes an attempt and reports its result to the engine.
    async fn make(self: Arc<Self>, attempt: Attempt) {
        let (id, started) = (attempt.id, self.clock.elapsed());
        let left = u64::try_from(attempt.deadline.since(self.now())).unwrap_or(0);
        // A panic in a notifier counts as a failure.
        let sending = tokio::spawn(async move { send(&attempt, Duration::from_nanos(left)).await });
        let abort = AbortOnDrop(sending.abort_handle());
        let attempted = sending.await.unwrap_or_else(|panic| {
            Attempted::plain(Err(NotifyError {
                retry: false,
                reason: FailureReason::Other,
                text: panic.to_string(),
            }))
        });
        drop(abort);
        let took = self.clock.elapsed().saturating_sub(started);
        let attempted = Attempted { took, ..attempted };
        // The journal may wait for the disk.
        let _ = tokio::task::spawn_blocking(move || {
            self.change(|engine, now| engine.finished(id, attempted, now));
        })
        .await;
    }
}

/// Loads `silences` and `nflog`. With a journal they are copies of what it holds, unless another program wrote them.
fn load_files(engine: &mut Engine, stored: &Stored, now: UnixNanos) -> Result<(), OpenError> {
    let skip = |file: &str, error: &WireError| {
        error!(
            "A file is damaged; the journal is used instead",
            component = "journal",
            file = file,
            err = error
        );
    };
    if let Some(file) = &stored.nflog {
        match engine.log_mut().load_file(file, now) {
            Err(error) if stored.has_journal => skip("nflog", &error),
            loaded => loaded.map_err(OpenError::NotificationLog)?,
        }
    }
    if let Some(file) = &stored.silences {
        match engine.silences_mut().load_file(file, now) {
            Err(error) if stored.has_journal => skip("silences", &error),
            loaded => {
                for refused in loaded.map_err(OpenError::Silences)? {
                    error!("A silence cannot be used", component = "silences", err = refused);
                }
            }
        }
    }
    Ok(())
}

/// Loads the history; returns whether all of it could be read.
fn load_history(engine: &mut Engine, file: &[u8]) -> bool {
    let (entries, damages) = frame::read(file);
    let unreadable = entries.into_iter().filter(|entry| !engine.history_mut().read(entry)).count();
    let damages = unreadable + damages.len();
    if damages > 0 {
        warn!("The history of notifications is damaged", component = "journal", damages = damages);
    }
    damages == 0
}

/// Cancels the attempt together with the task that waits for it.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send(attempt: &Attempt, left: Duration) -> Attempted {
    let content = &attempt.content;
    let record = receiver::Record::answers();
    let notification = content.notification(&record);
    let sent = tokio::time::timeout(left, attempt.integration.notify(&notification)).await;
    let (result, faults) = match sent {
        Ok(notified) => (notified.result, notified.faults),
        Err(_) => (
            Err(NotifyError {
                retry: true,
                reason: FailureReason::ContextDeadlineExceeded,
                text: "context deadline exceeded".into(),
            }),
            Vec::new(),
        ),
    };
    let answer = record.take().pop().and_then(|exchange| exchange.answer);
    Attempted { answer, faults, ..Attempted::plain(result) }
}

#[cfg(test)]
mod tests;

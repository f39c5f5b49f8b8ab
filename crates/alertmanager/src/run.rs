//! Runs the engine in a process: provides the time, makes its attempts, and writes its changes to disk.
//!
//! Every change happens in [`Alertmanager::change`]: the engine is locked and changed, its records are
//! appended to the journal, and only then does the caller continue. One task waits for what is due; each
//! attempt has its own task, so a slow receiver delays no other.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferula_model::UnixNanos;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{Counter, Gauge, Registry, Summary, error, info, warn};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::engine::{Attempt, Engine, EngineSettings, Metrics, Record, Setup};
use crate::journal::Journal;
use crate::receiver::{self, FailureReason, Notification, NotifyError, Sent};
use crate::wire::WireError;

/// The system clock may be adjusted, so the engine checks it at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How often writing is retried after a disk error.
const REWRITE_PAUSE: Duration = Duration::from_secs(10);

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
    engine: Mutex<Engine>,
    journal: Mutex<Journal>,
    clock: SharedClock,
    changed: Notify,
    /// When a rewrite was last tried after a disk error.
    last_rewrite: Mutex<Duration>,
    journal_open: Gauge,
    maintenance: [MaintenanceMetrics; 2],
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
        let (journal, stored) = Journal::open(dir).map_err(OpenError::Directory)?;
        let mut engine = Engine::new(settings, setup, metrics);
        if let Some(file) = &stored.nflog {
            engine.log_mut().load_file(file, now).map_err(OpenError::NotificationLog)?;
        }
        if let Some(file) = &stored.silences {
            for refused in engine.silences_mut().load_file(file, now).map_err(OpenError::Silences)? {
                error!("A stored silence is invalid and was skipped", component = "silences", err = refused);
            }
        }
        if let Some(damage) = &stored.damage {
            warn!(
                "The journal is damaged; changes written after this point are lost",
                component = "journal",
                err = damage
            );
        }
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
        let alertmanager = Alertmanager {
            engine: Mutex::new(engine),
            journal: Mutex::new(journal),
            clock,
            changed: Notify::new(),
            last_rewrite: Mutex::default(),
            journal_open,
            maintenance: ["alertmanager_silences", "alertmanager_nflog"]
                .map(|prefix| MaintenanceMetrics::new(registry, prefix)),
        };
        alertmanager.write_files();
        Ok(alertmanager)
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current time.
    pub fn now(&self) -> UnixNanos {
        UnixNanos(self.clock.unix_nanos())
    }

    /// Calls `read` with the engine.
    pub fn read<T>(&self, read: impl FnOnce(&Engine, UnixNanos) -> T) -> T {
        read(&self.engine(), self.now())
    }

    /// Changes the engine. When this returns, the change is on disk, or the disk has failed.
    pub fn change<T>(&self, change: impl FnOnce(&mut Engine, UnixNanos) -> T) -> T {
        let changed = {
            let mut engine = self.engine();
            let changed = change(&mut engine, self.now());
            let records = engine.take_records();
            if !records.is_empty() {
                self.append(&engine, &records);
            }
            changed
        };
        self.changed.notify_one();
        changed
    }

    /// Appends to the journal. After a failure, rewrites the state periodically until that succeeds.
    fn append(&self, engine: &Engine, records: &[Record]) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if journal.is_open() {
            match journal.append(records) {
                Ok(()) => return,
                Err(err) => {
                    error!(
                        "Writing the journal failed; a crash now would lose changes",
                        component = "journal",
                        err = err
                    );
                    self.journal_open.set(0.0);
                }
            }
        }
        let elapsed = self.clock.elapsed();
        let mut last = self.last_rewrite.lock().unwrap_or_else(PoisonError::into_inner);
        if elapsed.saturating_sub(*last) >= REWRITE_PAUSE {
            *last = elapsed;
            self.rewrite(engine, &mut journal);
        }
    }

    fn rewrite(&self, engine: &Engine, journal: &mut Journal) {
        let started = self.clock.elapsed();
        let records = engine.state_records(self.now());
        let was_open = self.journal_open.get() > 0.0;
        let files = [engine.silences().to_file(), engine.log().to_file()];
        let written = journal.rewrite(&files[0], &files[1], &records);
        let took = self.clock.elapsed().saturating_sub(started);
        for (metrics, file) in self.maintenance.iter().zip(&files) {
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
                    info!("The journal is written again", component = "journal", records = records.len());
                }
                self.journal_open.set(1.0);
            }
            Err(err) => {
                error!(
                    "Writing the storage files failed; a crash now would lose changes",
                    component = "journal",
                    err = err
                );
                self.journal_open.set(0.0);
            }
        }
    }

    fn write_files(&self) {
        let engine = self.engine();
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        self.rewrite(&engine, &mut journal);
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
        self.write_files();
    }

    /// Runs until shutdown, then writes the files. Attempts in progress at that time are cancelled; the next
    /// start makes them again.
    pub async fn run(self: Arc<Self>, intervals: Intervals, shutdown: Shutdown) {
        let mut attempts = JoinSet::new();
        let (mut maintenance, mut alert_gc) =
            (self.clock.sleep(intervals.maintenance), self.clock.sleep(intervals.alert_gc));
        loop {
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
                    // The disk may be slow.
                    let _ = tokio::task::spawn_blocking(move || own.maintain()).await;
                    maintenance = self.clock.sleep(intervals.maintenance);
                }
                () = &mut alert_gc => {
                    self.change(|engine, now| engine.collect_alerts(now));
                    alert_gc = self.clock.sleep(intervals.alert_gc);
                }
            }
            while attempts.try_join_next().is_some() {}
            if self.read(|engine, now| engine.next_due().is_some_and(|due| due <= now)) {
                for attempt in self.change(|engine, now| engine.poll(now)) {
                    attempts.spawn(self.clone().make(attempt));
                }
            }
        }
        attempts.shutdown().await;
        self.maintain();
    }

    /// Makes an attempt and reports its result to the engine.
    async fn make(self: Arc<Self>, attempt: Attempt) {
        let (id, started) = (attempt.id, self.clock.elapsed());
        let left = u64::try_from(attempt.deadline.since(self.now())).unwrap_or(0);
        // A panic in a notifier counts as a failure.
        let sending = tokio::spawn(async move { send(&attempt, Duration::from_nanos(left)).await });
        let abort = AbortOnDrop(sending.abort_handle());
        let result = sending.await.unwrap_or_else(|panic| {
            Err(NotifyError { retry: false, reason: FailureReason::Other, text: panic.to_string() })
        });
        drop(abort);
        let took = self.clock.elapsed().saturating_sub(started);
        self.change(|engine, now| engine.finished(id, result, took, now));
    }
}

/// Cancels the attempt together with the task that waits for it.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send(attempt: &Attempt, left: Duration) -> Result<Sent, NotifyError> {
    let content = &attempt.content;
    let record = receiver::Record::off();
    let notification = Notification {
        receiver: &content.receiver,
        group_key: &content.group_key,
        group_labels: &content.group_labels,
        alerts: &content.alerts,
        now: content.now,
        repeat_interval: content.repeat_interval,
        reason: content.reason,
        kept: &content.kept,
        record: &record,
    };
    tokio::time::timeout(left, attempt.integration.notifier.notify(&notification)).await.unwrap_or_else(
        |_| {
            Err(NotifyError {
                retry: true,
                reason: FailureReason::ContextDeadlineExceeded,
                text: "context deadline exceeded".into(),
            })
        },
    )
}

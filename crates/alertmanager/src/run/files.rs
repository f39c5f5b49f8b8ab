//! How changes reach the disk: they are appended to the journal, and everything is rewritten from time to time.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::UnixNanos;
use ferula_runtime::SharedClock;
use ferula_telemetry::{Registry, error, info, warn};
use tokio::sync::Notify;

use super::state::{Alertmanager, MaintenanceMetrics};
use crate::engine::{Engine, EngineSettings, Metrics, Setup};
use crate::frame;
use crate::journal::{Journal, Snapshot, Stored, write_state};
use crate::wire::WireError;

/// Between rewrites that are not regular maintenance, such as those after a disk error.
const REWRITE_PAUSE: Duration = Duration::from_secs(10);

/// A smaller history is not rewritten, whatever part of it is too old.
const HISTORY_REWRITE_BYTES_MIN: u64 = 256 << 10;

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
            turn: Mutex::default(),
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
    pub(super) fn may_rewrite(&self) -> bool {
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
    pub(super) fn rewrite(&self) {
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

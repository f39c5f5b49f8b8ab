//! The state of a running Alertmanager, and its locks.
//!
//! Locks are taken in this order: rewriting, journal, turn, engine, pending.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::UnixNanos;
use ferula_runtime::SharedClock;
use ferula_telemetry::{Counter, Gauge, Registry, Summary};
use tokio::sync::Notify;

use crate::engine::{Engine, PairMessage, Record};
use crate::journal::Journal;

/// A running Alertmanager.
pub struct Alertmanager {
    pub(super) dir: PathBuf,
    pub(super) engine: Mutex<Engine>,
    /// Held by the caller who waits for the engine next.
    pub(super) turn: Mutex<()>,
    /// Changes that were made and are not written yet.
    pub(super) pending: Mutex<Pending>,
    pub(super) journal: Mutex<Journal>,
    /// Held while the files are rewritten.
    pub(super) rewriting: Mutex<()>,
    /// Whether the files should be rewritten soon.
    pub(super) is_rewrite_due: AtomicBool,
    pub(super) clock: SharedClock,
    pub(super) changed: Notify,
    /// When a rewrite that is not regular maintenance was last begun.
    pub(super) last_rewrite: Mutex<Option<Duration>>,
    pub(super) journal_open: Gauge,
    pub(super) maintenance: [MaintenanceMetrics; 2],
    /// For the other member of a pair, and a sign that something is there.
    pub(crate) pair_outbox: Mutex<Vec<PairMessage>>,
    pub(crate) pair_changed: Notify,
}

/// Changes in the order in which they were made.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) records: Vec<Record>,
    pub(super) history: Vec<Vec<u8>>,
    /// The number of the latest change.
    pub(super) last: u64,
}

/// Metrics of the files, under Alertmanager's names.
pub(super) struct MaintenanceMetrics {
    pub total: Counter,
    pub errors: Counter,
    pub gc: Summary,
    pub snapshot: Summary,
    pub snapshot_bytes: Gauge,
}

impl MaintenanceMetrics {
    /// `prefix` is `alertmanager_silences` or `alertmanager_nflog`.
    pub fn new(registry: &Registry, prefix: &str) -> Self {
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
    /// Locks the engine. Those who wait get it in turn: somebody who takes it again and again, like a flush of many groups, keeps
    /// nobody waiting for all of them.
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        let turn = self.turn.locked();
        let engine = self.engine.locked();
        drop(turn);
        engine
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

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.locked()
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.locked()
    }

    /// Takes what a change left in the engine to be written and told; returns its number.
    pub(super) fn note_changes(&self, engine: &mut Engine) -> Option<u64> {
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
}

//! Writes silences and the notification log of a storage path in Alertmanager's formats.

use std::path::Path;
use std::time::Duration;

use ferula_config::alertmanager::MatcherSyntax;
use ferula_model::UnixNanos;

use crate::engine::Record;
use crate::journal::Journal;
use crate::notification_log::NotificationLog;
use crate::silence::{SilenceLimits, Silences};
use crate::wire::WireError;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    pub silences: usize,
    pub notifications: usize,
}

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the file {file} is damaged, and there is no journal: {error}")]
    Damaged { file: &'static str, error: WireError },
}

/// Reads the files of a storage path, the journal last, and writes `silences` and `nflog` to a directory, which is created if
/// necessary. A server may be running on the storage path.
///
/// # Errors
/// A file cannot be read or written.
pub fn export(from: &Path, to: &Path, retention: Duration, now: UnixNanos) -> Result<Exported, ExportError> {
    let limits =
        SilenceLimits { retention, silences_max: 0, silence_bytes_max: 0, syntax: MatcherSyntax::Fallback };
    let (mut silences, mut log) = (Silences::new(limits), NotificationLog::new(retention));
    if !from.is_dir() {
        return Err(std::io::Error::from(std::io::ErrorKind::NotFound).into());
    }
    let (_, stored) = Journal::open(from)?;
    let damaged = |file, error| ExportError::Damaged { file, error };
    if let Some(file) = &stored.silences {
        let loaded = silences.load_file(file, now);
        if let Err(error) = loaded
            && !stored.has_journal
        {
            return Err(damaged("silences", error));
        }
    }
    if let Some(file) = &stored.nflog {
        let loaded = log.load_file(file, now);
        if let Err(error) = loaded
            && !stored.has_journal
        {
            return Err(damaged("nflog", error));
        }
    }
    for record in stored.records {
        match record {
            Record::Silence(silence) => drop(silences.merge(*silence, now)),
            Record::Notified(entry) => drop(log.merge(*entry, now)),
            _ => {}
        }
    }
    std::fs::create_dir_all(to)?;
    std::fs::write(to.join("silences"), silences.to_file())?;
    std::fs::write(to.join("nflog"), log.to_file())?;
    Ok(Exported { silences: silences.len(), notifications: log.entries().count() })
}

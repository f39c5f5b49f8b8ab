//! The journal: every change of alerts, groups, silences and the notification log is on disk before it is
//! acknowledged.
//!
//! ```text
//! storage path/  silences, nflog       in Alertmanager's format; written at every maintenance and at shutdown
//!                ferula.journal        alerts and groups at that time, and every change since
//! ```
//!
//! While the files are rewritten ([`write_state`]), changes are appended to the old journal, and kept for the new one,
//! which replaces it only when it is complete. A start appends to the journal that it finds.
//!
//! The format of a record is that of `crate::frame`. Alertmanager ignores this file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::engine::{FileMark, Record};
use crate::frame;
use crate::in_parallel::in_parallel;
use crate::wire::WireError;

const JOURNAL: &str = "ferula.journal";
const HISTORY: &str = "ferula.history";
const SILENCES: &str = "silences";
const NFLOG: &str = "nflog";

/// The journal is rewritten when what was appended exceeds this size and this part of what was written before, so that
/// reading it takes little longer than reading the state.
const APPENDED_BYTES_MIN: u64 = 8 << 20;
const APPENDED_PART: u64 = 4;

/// The contents of a directory.
#[derive(Debug, Default)]
pub struct Stored {
    /// The file `silences`, if there is one that the journal does not contain.
    pub silences: Option<Vec<u8>>,
    /// The file `nflog`, likewise.
    pub nflog: Option<Vec<u8>>,
    /// Whether there is a journal; then the two files above are only copies.
    pub has_journal: bool,
    pub records: Vec<Record>,
    /// The content of the history: frames.
    pub history: Vec<u8>,
    /// Damage in the journal, a line for each place.
    pub damages: Vec<String>,
}

/// The state to write.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub silences: Vec<u8>,
    pub nflog: Vec<u8>,
    pub records: Vec<Record>,
}

/// The files of a storage path.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    /// `None` before the first complete write, and after a failure.
    file: Option<File>,
    /// Bytes of the file: those of the state, and those appended since.
    state_bytes: u64,
    appended_bytes: u64,
    /// What was appended since a rewrite began.
    since_rewrite: Option<Vec<u8>>,
    /// The history and its size in bytes; `None` before the first complete write, and after a failure.
    history: Option<(File, u64)>,
    /// The change up to which everything was written, or is known to be lost in a crash.
    pub written: u64,
}

/// A new journal that is complete but for what was appended meanwhile.
#[derive(Debug)]
pub struct Rewritten {
    file: File,
    bytes: u64,
}

impl Journal {
    /// Opens a directory, which is created if missing, and reads what an earlier run left there. Nothing is
    /// written before [`Journal::continue_file`] or a rewrite.
    ///
    /// # Errors
    /// The directory or a file cannot be read.
    pub fn open(dir: &Path) -> io::Result<(Self, Stored)> {
        std::fs::create_dir_all(dir)?;
        let mut journal = Journal {
            dir: dir.to_owned(),
            file: None,
            state_bytes: 0,
            appended_bytes: 0,
            since_rewrite: None,
            history: None,
            written: 0,
        };
        let mut stored = Stored {
            silences: read_if_there(&dir.join(SILENCES))?,
            nflog: read_if_there(&dir.join(NFLOG))?,
            history: read_if_there(&dir.join(HISTORY))?.unwrap_or_default(),
            ..Stored::default()
        };
        if let Some(bytes) = read_if_there(&dir.join(JOURNAL))? {
            stored.has_journal = true;
            journal.read(&bytes, &mut stored);
        }
        Ok((journal, stored))
    }

    fn read(&mut self, bytes: &[u8], stored: &mut Stored) {
        let (frames, damages) = frame::read(bytes);
        stored.damages = damages
            .iter()
            .map(|damage| format!("{} bytes at byte {} of {}", damage.bytes, damage.at, bytes.len()))
            .collect();
        let mut marks = None;
        for (content, decoded) in frames.iter().zip(decode_all(&frames)) {
            let record = match decoded {
                Ok(record) => record,
                Err(error) => {
                    stored.damages.push(format!("a record cannot be read: {error}"));
                    continue;
                }
            };
            if let Some(Record::Snapshot { silences, nflog }) = &record {
                marks = Some((*silences, *nflog));
                let end = content.as_ptr() as usize - bytes.as_ptr() as usize + content.len();
                self.state_bytes = end as u64;
            }
            stored.records.extend(record);
        }
        self.appended_bytes = bytes.len() as u64 - self.state_bytes;
        // An undamaged journal has what is in the files that were written with it.
        if let Some((silences, nflog)) = marks.filter(|_| stored.damages.is_empty()) {
            stored.silences.take_if(|file| FileMark::of(file) == silences);
            stored.nflog.take_if(|file| FileMark::of(file) == nflog);
        }
    }

    /// Appends from now on to the file that was read, which must be undamaged.
    ///
    /// # Errors
    /// The files cannot be written to.
    pub fn continue_file(&mut self, history_bytes: u64) -> io::Result<()> {
        let append = |name: &str| File::options().append(true).create(true).open(self.dir.join(name));
        let (file, history) = (append(JOURNAL)?, append(HISTORY)?);
        self.file = Some(file);
        self.history = Some((history, history_bytes));
        Ok(())
    }

    /// Appends records. Silences are synced to disk before this returns; other records have at least reached
    /// the operating system.
    ///
    /// # Errors
    /// An I/O error, or an earlier one. Nothing more is appended then until the journal has been rewritten.
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for record in records {
            frame::push_with(&mut bytes, |bytes| record.append_to(bytes));
        }
        if let Some(since) = &mut self.since_rewrite {
            since.extend_from_slice(&bytes);
        }
        let Some(file) = &mut self.file else { return Err(io::Error::other("the journal is not open")) };
        let written = file.write_all(&bytes).and_then(|()| {
            match records.iter().any(|record| matches!(record, Record::Silence(_))) {
                true => file.sync_data(),
                false => Ok(()),
            }
        });
        match written {
            Ok(()) => self.appended_bytes += bytes.len() as u64,
            Err(_) => self.file = None,
        }
        written
    }

    /// Appends entries to the history; returns its size in bytes.
    ///
    /// # Errors
    /// Writing failed; nothing more is appended until the next [`Journal::rewrite_history`].
    pub fn append_history(&mut self, entries: &[Vec<u8>]) -> io::Result<u64> {
        let Some((file, length)) = &mut self.history else { return Err(io::Error::other("it is not open")) };
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| frame::push(&mut bytes, entry));
        match file.write_all(&bytes) {
            Ok(()) => {
                *length += bytes.len() as u64;
                Ok(*length)
            }
            Err(error) => {
                self.history = None;
                Err(error)
            }
        }
    }

    /// Whether the history is open, and its size in bytes.
    pub fn history_bytes(&self) -> Option<u64> {
        self.history.as_ref().map(|(_, length)| *length)
    }

    /// Whether changes currently reach the disk.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Whether so much was appended that a start would take noticeably longer.
    pub fn is_long(&self) -> bool {
        self.since_rewrite.is_none()
            && self.appended_bytes > APPENDED_BYTES_MIN.max(self.state_bytes / APPENDED_PART)
    }

    /// Begins a rewrite: everything appended from now on is also meant for the new file.
    pub fn begin_rewrite(&mut self) {
        self.since_rewrite = Some(Vec::new());
    }

    /// Replaces the journal by the new one.
    ///
    /// # Errors
    /// An I/O error. The old files remain, and are appended to if that did not fail.
    pub fn end_rewrite(&mut self, rewritten: io::Result<Rewritten>) -> io::Result<()> {
        let since = self.since_rewrite.take().unwrap_or_default();
        let Rewritten { mut file, bytes } = rewritten?;
        file.write_all(&since)?;
        file.sync_all()?;
        std::fs::rename(self.dir.join(temporary(JOURNAL)), self.dir.join(JOURNAL))?;
        self.file = Some(file);
        (self.state_bytes, self.appended_bytes) = (bytes, since.len() as u64);
        File::open(&self.dir)?.sync_all()
    }

    /// Rewrites the history.
    ///
    /// # Errors
    /// Writing failed; the previous file stays.
    pub fn rewrite_history<'e>(&mut self, entries: impl Iterator<Item = &'e [u8]>) -> io::Result<()> {
        self.history = None;
        let mut length = 0;
        let file = write(&self.dir, HISTORY, |out| {
            let mut bytes = Vec::new();
            for entry in entries {
                bytes.clear();
                frame::push(&mut bytes, entry);
                length += bytes.len() as u64;
                out.write_all(&bytes)?;
            }
            Ok(())
        })?;
        std::fs::rename(self.dir.join(temporary(HISTORY)), self.dir.join(HISTORY))?;
        self.history = Some((file, length));
        Ok(())
    }
}

/// Decodes records, in the same order. Large journals are decoded by all cores, because nothing else happens in a start.
fn decode_all(frames: &[&[u8]]) -> Vec<Result<Option<Record>, WireError>> {
    let decode = |frames: &[&[u8]]| frames.iter().map(|frame| Record::decode(frame)).collect::<Vec<_>>();
    in_parallel(frames, frames.len(), decode).into_iter().flatten().collect()
}

/// Writes the state: `silences` and `nflog`, which replace the old files, and a new journal, which replaces the old one in
/// [`Journal::end_rewrite`]. Changes can be appended to the old one meanwhile.
///
/// # Errors
/// An I/O error. The old journal remains.
pub fn write_state(dir: &Path, snapshot: &Snapshot) -> io::Result<Rewritten> {
    for (name, content) in [(SILENCES, &snapshot.silences), (NFLOG, &snapshot.nflog)] {
        write(dir, name, |out| out.write_all(content))?;
        std::fs::rename(dir.join(temporary(name)), dir.join(name))?;
    }
    // Both renames must be on disk before the records that they replace are removed: not every file
    // system keeps renames in order across a power loss.
    File::open(dir)?.sync_all()?;
    let marks =
        Record::Snapshot { silences: FileMark::of(&snapshot.silences), nflog: FileMark::of(&snapshot.nflog) };
    let mut length = 0;
    let file = write(dir, JOURNAL, |out| {
        let mut bytes = Vec::new();
        for record in snapshot.records.iter().chain([&marks]) {
            bytes.clear();
            frame::push_with(&mut bytes, |bytes| record.append_to(bytes));
            length += bytes.len() as u64;
            out.write_all(&bytes)?;
        }
        Ok(())
    })?;
    Ok(Rewritten { file, bytes: length })
}

fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}

/// Writes a temporary file and syncs it.
fn write(
    dir: &Path,
    name: &str,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<File> {
    let mut out = BufWriter::with_capacity(256 << 10, File::create(dir.join(temporary(name)))?);
    content(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file)
}

fn read_if_there(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;

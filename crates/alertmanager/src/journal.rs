//! The journal: every change of alerts, groups, silences and the notification log is on disk before it is
//! acknowledged.
//!
//! ```text
//! storage path/  silences, nflog       in Alertmanager's format; written at every maintenance and at shutdown
//!                ferula.journal        alerts and groups at that time, and every change since
//! ```
//!
//! A record consists of its length and CRC-32, four bytes each in little-endian order, and its content.
//! Reading stops at the first damaged or truncated record: what follows is not trusted. Alertmanager ignores
//! this file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::engine::Record;
use crate::frame;

const JOURNAL: &str = "ferula.journal";
const HISTORY: &str = "ferula.history";
const SILENCES: &str = "silences";
const NFLOG: &str = "nflog";

/// The contents of a directory.
#[derive(Debug, Default)]
pub struct Stored {
    /// The file `silences`, if there is one.
    pub silences: Option<Vec<u8>>,
    /// The file `nflog`, if there is one.
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
    /// The history and its size in bytes; `None` like `file`.
    history: Option<(File, u64)>,
    /// The change up to which everything was written, or is known to be lost in a crash.
    pub written: u64,
}

impl Journal {
    /// Opens a directory, which is created if missing, and reads what an earlier run left there. Nothing is
    /// written before [`Journal::rewrite`].
    ///
    /// # Errors
    /// The directory or a file cannot be read.
    pub fn open(dir: &Path) -> io::Result<(Self, Stored)> {
        std::fs::create_dir_all(dir)?;
        let mut stored = Stored {
            silences: read_if_there(&dir.join(SILENCES))?,
            nflog: read_if_there(&dir.join(NFLOG))?,
            history: read_if_there(&dir.join(HISTORY))?.unwrap_or_default(),
            ..Stored::default()
        };
        if let Some(bytes) = read_if_there(&dir.join(JOURNAL))? {
            stored.has_journal = true;
            let (frames, damages) = frame::read(&bytes);
            stored.damages = damages
                .iter()
                .map(|damage| format!("{} bytes at byte {} of {}", damage.bytes, damage.at, bytes.len()))
                .collect();
            for content in frames {
                match Record::decode(content) {
                    Ok(record) => stored.records.extend(record),
                    Err(error) => stored.damages.push(format!("a record cannot be read: {error}")),
                }
            }
        }
        Ok((Journal { dir: dir.to_owned(), file: None, history: None, written: 0 }, stored))
    }

    /// Appends records. Silences are synced to disk before this returns; other records have at least reached
    /// the operating system.
    ///
    /// # Errors
    /// An I/O error. Nothing more is appended then until the next [`Journal::rewrite`].
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::Error::other("the journal is not open")) };
        let mut bytes = Vec::new();
        records.iter().for_each(|record| frame::push(&mut bytes, &record.encode()));
        let written = file.write_all(&bytes).and_then(|()| {
            match records.iter().any(|record| matches!(record, Record::Silence(_))) {
                true => file.sync_data(),
                false => Ok(()),
            }
        });
        if written.is_err() {
            self.file = None;
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

    /// Rewrites all files. Each replaces its predecessor only when it is complete.
    ///
    /// # Errors
    /// An I/O error. The old files remain, and nothing more is appended.
    pub fn rewrite(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        self.file = None;
        self.replace(SILENCES, &snapshot.silences)?;
        self.replace(NFLOG, &snapshot.nflog)?;
        // Both renames must be on disk before the records that they replace are removed: not every file
        // system keeps renames in order across a power loss.
        File::open(&self.dir)?.sync_all()?;
        let mut bytes = Vec::new();
        snapshot.records.iter().for_each(|record| frame::push(&mut bytes, &record.encode()));
        self.file = Some(self.replace(JOURNAL, &bytes)?);
        File::open(&self.dir)?.sync_all()
    }

    /// Rewrites the history.
    ///
    /// # Errors
    /// Writing failed; the previous file stays.
    pub fn rewrite_history(&mut self, entries: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        self.history = None;
        let mut bytes = Vec::new();
        entries.for_each(|entry| frame::push(&mut bytes, &entry));
        let file = self.replace(HISTORY, &bytes)?;
        self.history = Some((file, bytes.len() as u64));
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<File> {
        let (temporary, whole) = (self.dir.join(format!("{name}.tmp")), self.dir.join(name));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(temporary, whole)?;
        Ok(file)
    }
}

fn read_if_there(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forgotten(fingerprint: u64) -> Record {
        Record::Forgotten { fingerprint }
    }

    fn stored(dir: &Path) -> Stored {
        Journal::open(dir).expect("readable").1
    }

    #[test]
    fn what_was_written_is_read_but_for_damage() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut journal, empty) = Journal::open(dir.path()).expect("a new directory");
        assert!(empty.silences.is_none() && empty.records.is_empty() && !empty.has_journal);
        assert!(journal.append(&[forgotten(1)]).is_err(), "nothing may be lost silently");
        let snapshot = Snapshot { silences: b"s".into(), nflog: b"n".into(), records: vec![forgotten(1)] };
        journal.rewrite(&snapshot).expect("written");
        journal.append(&[forgotten(2), forgotten(300)]).expect("appended");
        journal.rewrite_history([b"old".to_vec()].into_iter()).expect("written");
        journal.append_history(&[b"new".to_vec()]).expect("appended");
        let read = stored(dir.path());
        assert_eq!((read.silences.as_deref(), read.nflog.as_deref()), (Some(&b"s"[..]), Some(&b"n"[..])));
        assert_eq!(read.records, [forgotten(1), forgotten(2), forgotten(300)]);
        assert!(read.damages.is_empty() && read.has_journal);
        assert_eq!(frame::read(&read.history).0, [&b"old"[..], b"new"]);

        let file = dir.path().join(JOURNAL);
        let whole = std::fs::read(&file).expect("there");
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).expect("written");
            let read = stored(dir.path());
            let border: usize =
                read.records.iter().map(|record| record.encode().len() + frame::HEADER_BYTES).sum();
            assert_eq!(read.damages.is_empty(), border == cut, "{cut}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&file, &flipped).expect("written");
            let read = stored(dir.path());
            assert_eq!(
                (read.damages.len(), read.records.len()),
                (1, 2),
                "one flipped bit costs one record: {at}"
            );
        }
    }
}

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

const JOURNAL: &str = "ferula.journal";
const SILENCES: &str = "silences";
const NFLOG: &str = "nflog";
/// Length and checksum.
const HEADER_BYTES: usize = 8;

/// The contents of a directory.
#[derive(Debug, Default)]
pub struct Stored {
    /// The file `silences`, if there is one.
    pub silences: Option<Vec<u8>>,
    /// The file `nflog`, if there is one.
    pub nflog: Option<Vec<u8>>,
    pub records: Vec<Record>,
    /// The part of the journal that could not be used.
    pub damage: Option<String>,
}

/// The files of a storage path.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    /// `None` before the first complete write, and after a failure.
    file: Option<File>,
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
            ..Stored::default()
        };
        if let Some(bytes) = read_if_there(&dir.join(JOURNAL))? {
            (stored.records, stored.damage) = read_records(&bytes);
        }
        Ok((Journal { dir: dir.to_owned(), file: None }, stored))
    }

    /// Appends records. Silences are synced to disk before this returns; other records have at least reached
    /// the operating system.
    ///
    /// # Errors
    /// An I/O error. Nothing more is appended then until the next [`Journal::rewrite`].
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::Error::other("the journal is not open")) };
        let mut bytes = Vec::new();
        records.iter().for_each(|record| push_record(&mut bytes, record));
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

    /// Whether changes currently reach the disk.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Rewrites all files. Each replaces its predecessor only when it is complete.
    ///
    /// # Errors
    /// An I/O error. The old files remain, and nothing more is appended.
    pub fn rewrite(&mut self, silences: &[u8], nflog: &[u8], records: &[Record]) -> io::Result<()> {
        self.file = None;
        self.replace(SILENCES, silences)?;
        self.replace(NFLOG, nflog)?;
        // Both renames must be on disk before the records that they replace are removed: not every file
        // system keeps renames in order across a power loss.
        File::open(&self.dir)?.sync_all()?;
        let mut bytes = Vec::new();
        records.iter().for_each(|record| push_record(&mut bytes, record));
        self.file = Some(self.replace(JOURNAL, &bytes)?);
        File::open(&self.dir)?.sync_all()
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

fn push_record(out: &mut Vec<u8>, record: &Record) {
    let bytes = record.encode();
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// The records up to the first damage, and its description.
fn read_records(bytes: &[u8]) -> (Vec<Record>, Option<String>) {
    let (mut records, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match read_record(&bytes[at..]) {
            Ok((record, length)) => {
                records.extend(record);
                at += length;
            }
            Err(why) => return (records, Some(format!("at byte {at} of {}: {why}", bytes.len()))),
        }
    }
    (records, None)
}

/// A record, unless only a later version knows its kind, and its size in bytes.
fn read_record(bytes: &[u8]) -> Result<(Option<Record>, usize), &'static str> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or("the record is truncated")?;
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = usize::try_from(number(0)).map_err(|_| "the record is truncated")?;
    let content = rest.get(..length).ok_or("the record is truncated")?;
    if crc32fast::hash(content) != number(4) {
        return Err("the checksum does not match");
    }
    let record = Record::decode(content).map_err(|_| "the record cannot be read")?;
    Ok((record, HEADER_BYTES + length))
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
    fn what_was_written_is_read_up_to_the_first_damage() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut journal, empty) = Journal::open(dir.path()).expect("a new directory");
        assert!(empty.silences.is_none() && empty.records.is_empty());
        assert!(journal.append(&[forgotten(1)]).is_err(), "nothing may be lost silently");
        journal.rewrite(b"s", b"n", &[forgotten(1)]).expect("written");
        journal.append(&[forgotten(2), forgotten(300)]).expect("appended");
        let read = stored(dir.path());
        assert_eq!((read.silences.as_deref(), read.nflog.as_deref()), (Some(&b"s"[..]), Some(&b"n"[..])));
        assert_eq!(read.records, [forgotten(1), forgotten(2), forgotten(300)]);
        assert_eq!(read.damage, None);

        let file = dir.path().join(JOURNAL);
        let whole = std::fs::read(&file).expect("there");
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).expect("written");
            let read = stored(dir.path());
            let is_border =
                read.records.iter().map(|record| record.encode().len() + HEADER_BYTES).sum::<usize>();
            assert_eq!(read.damage.is_none(), is_border == cut, "{cut}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&file, &flipped).expect("written");
            let read = stored(dir.path());
            assert!(read.damage.is_some() && read.records.len() < 3, "{at}");
        }
    }
}

//! The file `queries.active`: the queries running now, so that the next start can report them after a crash.
//!
//! The layout is Prometheus': `[`, then one 1,000-byte slot per place, each a JSON object padded with
//! zero bytes and ending in a comma. A slot is written with one call. No sync is needed: the file has
//! to survive a crash of the process, not of the machine.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use ferula_go::sync::MutexExt;
use ferula_telemetry::{error, info};

const SLOT_BYTES: usize = 1000;
const FILE_NAME: &str = "queries.active";

/// The open file and its free slots.
pub struct ActiveFile {
    file: File,
    free: Mutex<Vec<usize>>,
}

/// A query in the file; dropping it removes the query.
pub(crate) struct ActiveSlot<'a> {
    file: &'a ActiveFile,
    slot: usize,
}

impl ActiveFile {
    /// Opens the file in the data directory, logs the queries that the last run left in it, and empties it.
    pub fn open(data_dir: &Path, slots: usize) -> io::Result<Self> {
        std::fs::create_dir_all(data_dir)?;
        let path = data_dir.join(FILE_NAME);
        let file_bytes = 1 + slots * SLOT_BYTES;
        if let Some(queries) = read_unfinished(&path, file_bytes) {
            info!("These queries didn't finish in prometheus' last run:", queries = queries);
        }
        let file = File::create(&path)?;
        file.write_all_at(b"[", 0)?;
        file.set_len(file_bytes as u64)?;
        Ok(ActiveFile { file, free: Mutex::new((0..slots).rev().collect()) })
    }

    /// Records a query. Returns `None` when every slot is taken, which the caller's own limit prevents.
    pub(crate) fn insert(&self, query: &str, unix_seconds: i64) -> Option<ActiveSlot<'_>> {
        let slot = self.free.locked().pop()?;
        self.write(slot, &slot_bytes(query, unix_seconds));
        Some(ActiveSlot { file: self, slot })
    }

    fn write(&self, slot: usize, bytes: &[u8; SLOT_BYTES]) {
        if let Err(err) = self.file.write_all_at(bytes, (1 + slot * SLOT_BYTES) as u64) {
            error!("Error writing the active query file", err = err);
        }
    }
}

impl Drop for ActiveSlot<'_> {
    fn drop(&mut self) {
        self.file.write(self.slot, &[0; SLOT_BYTES]);
        self.file.free.locked().push(self.slot);
    }
}

/// The slot for a query. A query that is too long is truncated.
fn slot_bytes(query: &str, unix_seconds: i64) -> [u8; SLOT_BYTES] {
    let mut kept = query;
    let text = loop {
        let text = serde_json::json!({ "query": kept, "timestamp_sec": unix_seconds }).to_string();
        match (text.len() + 1).checked_sub(SLOT_BYTES).filter(|surplus| *surplus > 0) {
            None => break text,
            Some(surplus) => {
                // One byte of the query takes at most six bytes of JSON, so this always leaves enough room.
                let shorter = kept.len().saturating_sub(surplus.div_ceil(6));
                kept = &kept[..kept.floor_char_boundary(shorter)];
            }
        }
    };
    let mut slot = [0; SLOT_BYTES];
    slot[..text.len()].copy_from_slice(text.as_bytes());
    slot[SLOT_BYTES - 1] = b',';
    slot
}

/// The queries that the last run left, if any. Reads no more than a file with this many slots can hold.
fn read_unfinished(path: &Path, file_bytes: usize) -> Option<String> {
    // Opening a pipe would wait for its writer.
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(file_bytes as u64).read_to_end(&mut bytes).ok()?;
    bytes.retain(|byte| *byte != 0);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if text.len() <= 1 {
        return None;
    }
    text.pop();
    text.push(']');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_exactly_the_running_queries() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = ActiveFile::open(dir.path(), 2).expect("opens");
        let read = || read_unfinished(&dir.path().join(FILE_NAME), 2001);
        assert_eq!(read(), None);
        let first = file.insert("up", 7).expect("a slot is free");
        let second = file.insert(&"é\"".repeat(2000), 8).expect("a slot is free");
        assert!(file.insert("third", 9).is_none());
        let list: serde_json::Value = serde_json::from_str(&read().expect("two queries")).expect("JSON");
        assert_eq!((&list[0]["query"], &list[0]["timestamp_sec"]), (&"up".into(), &7.into()));
        assert!(
            list[1]["query"].as_str().is_some_and(|cut| cut.starts_with("é\"é") && cut.len() < SLOT_BYTES)
        );
        drop(first);
        assert!(file.insert("third", 9).is_some());
        drop(second);
        assert_eq!(read(), None);
    }

    #[test]
    fn at_most_the_size_of_all_slots_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, "[".repeat(5000)).expect("written");
        assert_eq!(read_unfinished(&path, 1001).map(|text| text.len()), Some(1001));
    }
}

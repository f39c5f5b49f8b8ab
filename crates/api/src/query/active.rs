//! The file `queries.active`: which queries run now, so that after a crash the next start can name them.
//!
//! The layout is that of Prometheus: `[`, then a slot of 1,000 bytes per place, each a JSON object that is padded with
//! zero bytes and ends with a comma. A slot is written with one call; it needs no sync, because what matters is that
//! it survives the process, not the machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ferula_telemetry::{error, info};

const SLOT_BYTES: usize = 1000;
const FILE_NAME: &str = "queries.active";

/// The file and its free slots.
pub struct ActiveQueries {
    file: File,
    free: Mutex<Vec<usize>>,
}

/// A query in the file; dropping it takes the query out.
pub struct ActiveQuery<'a> {
    queries: &'a ActiveQueries,
    slot: usize,
}

impl ActiveQueries {
    /// Opens the file in the data folder, logs what the last run left in it, and empties it.
    pub fn open(data_dir: &Path, slots: usize) -> io::Result<Self> {
        std::fs::create_dir_all(data_dir)?;
        let path = data_dir.join(FILE_NAME);
        if let Ok(left) = std::fs::read(&path)
            && let Some(queries) = unfinished(&left)
        {
            info!("These queries didn't finish in prometheus' last run:", queries = queries);
        }
        let file = File::create(&path)?;
        file.write_all_at(b"[", 0)?;
        file.set_len((1 + slots * SLOT_BYTES) as u64)?;
        Ok(ActiveQueries { file, free: Mutex::new((0..slots).rev().collect()) })
    }

    /// Writes a query down. `None` when every slot is taken, which the caller's own limit prevents.
    pub fn insert(&self, query: &str, unix_seconds: i64) -> Option<ActiveQuery<'_>> {
        let slot = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        self.write(slot, &entry(query, unix_seconds));
        Some(ActiveQuery { queries: self, slot })
    }

    fn write(&self, slot: usize, bytes: &[u8; SLOT_BYTES]) {
        if let Err(err) = self.file.write_all_at(bytes, (1 + slot * SLOT_BYTES) as u64) {
            error!("Error writing the file of active queries", err = err);
        }
    }
}

impl Drop for ActiveQuery<'_> {
    fn drop(&mut self) {
        self.queries.write(self.slot, &[0; SLOT_BYTES]);
        self.queries.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
    }
}

/// One slot. A query that is too long is cut.
fn entry(query: &str, unix_seconds: i64) -> [u8; SLOT_BYTES] {
    let mut kept = query;
    let text = loop {
        let text = serde_json::json!({ "query": kept, "timestamp_sec": unix_seconds }).to_string();
        match (text.len() + 1).checked_sub(SLOT_BYTES).filter(|surplus| *surplus > 0) {
            None => break text,
            Some(surplus) => {
                // One byte of the query is at most six of JSON, so this never cuts too much.
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

/// The list that the last run left, if any query is in it.
fn unfinished(bytes: &[u8]) -> Option<String> {
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    let mut text = String::from_utf8_lossy(&text).into_owned();
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
    fn what_runs_is_in_the_file_and_what_ended_is_not() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let queries = ActiveQueries::open(dir.path(), 2).expect("opens");
        let read = || unfinished(&std::fs::read(dir.path().join(FILE_NAME)).expect("reads"));
        assert_eq!(read(), None);
        let first = queries.insert("up", 7).expect("a slot is free");
        let second = queries.insert(&"é\"".repeat(2000), 8).expect("a slot is free");
        assert!(queries.insert("third", 9).is_none());
        let list: serde_json::Value = serde_json::from_str(&read().expect("two queries")).expect("JSON");
        assert_eq!((&list[0]["query"], &list[0]["timestamp_sec"]), (&"up".into(), &7.into()));
        assert!(
            list[1]["query"].as_str().is_some_and(|cut| cut.starts_with("é\"é") && cut.len() < SLOT_BYTES)
        );
        drop(first);
        assert!(queries.insert("third", 9).is_some());
        drop(second);
        assert_eq!(read(), None);
    }
}

//! `wal/series_state.json`, which Prometheus 3.11 and later maintain with `fast-startup`: the last assigned
//! series ref, so that scraping can begin while the log is still being read.
//!
//! This program does not need the file, but it must be correct when Prometheus uses the directory again:
//! otherwise new series would get refs that the log has for others. An existing file is kept correct: series
//! that it does not count have their records in the segment that it names or a later one. It always states
//! that the last shutdown was not clean, so that Prometheus checks those.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use crate::disk::{Disk, read_file, write_whole};
use crate::head::Head;
use crate::options::WAL_DIR;

const FILE: &str = "series_state.json";
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Corrects the file, if it exists. Call this when a log was opened, and before segments are removed.
pub(crate) fn update(disk: &dyn Disk, data_dir: &Path, head: &Head) -> io::Result<()> {
    let path = data_dir.join(WAL_DIR).join(FILE);
    if disk.stat(&path)?.is_none() {
        return Ok(());
    }
    // An unreadable file is rewritten: a missing file would be no better.
    let old = read_file(disk, &path, FILE_BYTES_MAX).ok();
    let mut state: Map<String, Value> =
        old.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    // In this order: a series that is created in between is in this segment or a later one.
    let segment = head.log_segment();
    let next_ref = head.next_ref();
    state.insert("last_series_id".to_owned(), next_ref.get().saturating_sub(1).into());
    state.insert("last_wal_segment".to_owned(), segment.into());
    state.insert("clean_shutdown".to_owned(), false.into());
    // A power loss may remove the new file together with the segments that it names.
    write_whole(disk, &path, Value::Object(state).to_string().as_bytes())
}

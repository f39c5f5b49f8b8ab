//! `chunk_snapshot.<segment>.<offset>`: the head as Prometheus writes it at shutdown with the feature
//! `memory-snapshot-on-shutdown`.
//!
//! The samples, series and deletions of a snapshot are also in the log and in `chunks_head`, which Prometheus
//! truncates as it does without the feature. Only exemplars stay longer in it than in the log, so only these
//! are read; see docs/decisions/chunk-snapshots.md. The directory is not changed.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use ferula_model::{Exemplar, LabelSet};

use crate::bytes::{BadInput, Input};
use crate::disk::Disk;
use crate::wal::SegmentReader;
use crate::wal::format::list_segments;
use crate::wal::record::{RecordKind, Records, labels};

/// Prefix of a snapshot's directory name.
pub(crate) const PREFIX: &str = "chunk_snapshot.";
const SERIES: u8 = 1;
const EXEMPLARS: u8 = 3;

/// The content of a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Series and their exemplars, in the stored order.
    pub exemplars: Vec<(LabelSet, Exemplar)>,
    /// The largest series ref.
    pub newest_ref: u64,
    /// Places that could not be read: the directory, and what is wrong.
    pub damages: Vec<(PathBuf, String)>,
}

/// Reads the newest snapshot in `dir`. `None` if there is none, or if it is newer than the end of the log,
/// and so belongs to a different one. `last_segment` is the last segment of the log.
pub(crate) fn load(disk: &dyn Disk, dir: &Path, last_segment: u32) -> io::Result<Option<Snapshot>> {
    let Some((segment, directory)) = newest(disk, dir)? else { return Ok(None) };
    if last_segment < segment {
        return Ok(None);
    }
    let mut snapshot = Snapshot::default();
    let mut series = HashMap::new();
    let mut records = Records::default();
    for segment in list_segments(disk, &directory)? {
        let mut reader = SegmentReader::open(disk, &directory, segment.number)?;
        while let Some(read) = reader.next()? {
            let done = match read {
                Ok(record) => snapshot.record(record, &mut series, &mut records),
                Err(damage) => Err(damage.to_string()),
            };
            if let Err(why) = done {
                snapshot.damages.push((directory.clone(), why));
            }
        }
    }
    Ok(Some(snapshot))
}

/// Segment and directory of the snapshot that reaches furthest.
fn newest(disk: &dyn Disk, dir: &Path) -> io::Result<Option<(u32, PathBuf)>> {
    let of_name = |name: &str| {
        let (segment, offset) = name.strip_prefix(PREFIX)?.split_once('.')?;
        Some((segment.parse::<u32>().ok()?, offset.parse::<u64>().ok()?))
    };
    let entries = disk.list(dir)?;
    let directories = entries.iter().filter(|entry| entry.stat.is_dir);
    let newest = directories.filter_map(|entry| Some((of_name(&entry.name)?, &entry.name))).max();
    Ok(newest.map(|((segment, _), name)| (segment, dir.join(name))))
}

impl Snapshot {
    fn record(
        &mut self,
        record: &[u8],
        series: &mut HashMap<u64, LabelSet>,
        records: &mut Records,
    ) -> Result<(), String> {
        let Some((kind, body)) = record.split_first() else { return Ok(()) };
        match *kind {
            SERIES => {
                let (log_ref, labels) = series_of(body).map_err(|BadInput| "a series ends early")?;
                self.newest_ref = self.newest_ref.max(log_ref);
                series.insert(log_ref, labels);
            }
            EXEMPLARS => {
                // The body has the format of a record of the log.
                let logged = [&[RecordKind::Exemplars as u8], body].concat();
                records.decode(&logged).map_err(|error| error.to_string())?;
                let known = records
                    .exemplars
                    .drain(..)
                    .filter_map(|logged| Some((series.get(&logged.series.get())?.clone(), logged.exemplar)));
                self.exemplars.extend(known);
            }
            // Deletions, and record types that later versions may add.
            _ => {}
        }
        Ok(())
    }
}

/// Ref and labels; the chunk after them is not needed.
fn series_of(body: &[u8]) -> Result<(u64, LabelSet), BadInput> {
    let mut input = Input(body);
    Ok((input.u64_be()?, labels(&mut input)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::put_uvarint;
    use crate::disk::FaultDisk;
    use crate::wal::format::{Compression, put_fragments};
    use crate::wal::record::{LoggedExemplar, put_exemplars};
    use ferula_model::Timestamp;

    const DIR: &str = "/data";

    fn written(name: &str, records: &[Vec<u8>]) -> FaultDisk {
        let disk = FaultDisk::default();
        let directory = Path::new(DIR).join(name);
        disk.create_dir_all(&directory).expect("room");
        let mut framed = Vec::new();
        for record in records {
            let used = framed.len();
            put_fragments(&mut framed, used, record, Compression::None);
        }
        disk.create(&directory.join("00000000")).and_then(|mut f| f.write_all(&framed)).expect("room");
        disk
    }

    fn series(log_ref: u64, name: &str) -> Vec<u8> {
        let mut record = vec![SERIES];
        record.extend(log_ref.to_be_bytes());
        put_uvarint(&mut record, 1);
        for text in ["__name__", name] {
            put_uvarint(&mut record, text.len() as u64);
            record.extend(text.as_bytes());
        }
        // The chunk, which is ignored.
        record.extend([0; 9]);
        record
    }

    fn exemplars(log_ref: u64, at: i64) -> Vec<u8> {
        let exemplar = Exemplar {
            labels: LabelSet::from_pairs([("trace_id", "x")]),
            value: 1.0,
            timestamp: Timestamp::from_millis(at),
            has_timestamp: false,
        };
        let mut record = Vec::new();
        put_exemplars(&mut record, &[LoggedExemplar { series: crate::ids::LogRef::new(log_ref), exemplar }]);
        record[0] = EXEMPLARS;
        record
    }

    #[test]
    fn exemplars_have_the_labels_of_their_series() {
        let records = [series(7, "m"), vec![2, 9, 9], exemplars(7, 5), exemplars(8, 6), vec![SERIES, 1]];
        let disk = written("chunk_snapshot.000003.0000000100", &records);
        disk.create_dir_all(&Path::new(DIR).join("chunk_snapshot.000002.0000009999")).expect("room");
        disk.create_dir_all(&Path::new(DIR).join("chunk_snapshot.odd")).expect("room");
        let snapshot = load(&disk, Path::new(DIR), 3).expect("readable").expect("there is one");
        assert_eq!(snapshot.newest_ref, 7);
        assert_eq!(snapshot.exemplars.len(), 1, "the other is of no known series");
        assert_eq!(snapshot.exemplars[0].0.to_string(), "{__name__=\"m\"}");
        assert_eq!(snapshot.damages.len(), 1, "{:?}", snapshot.damages);
    }

    proptest::proptest! {
        #[test]
        fn hostile_bytes_never_panic(kind in 0u8..5, body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            let record = [&[kind][..], &body].concat();
            let mut series = HashMap::from([(0, LabelSet::from_pairs([("a", "b")]))]);
            let _ = Snapshot::default().record(&record, &mut series, &mut Records::default());
        }
    }

    #[test]
    fn a_snapshot_ahead_of_the_log_is_ignored() {
        let disk = written("chunk_snapshot.000003.0000000100", &[series(7, "m")]);
        assert!(load(&disk, Path::new(DIR), 2).expect("readable").is_none());
    }
}

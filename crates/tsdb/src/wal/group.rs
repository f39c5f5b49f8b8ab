//! Group commit: commits that arrive during a write share the next one.
//!
//! 1. A commit adds its records to the queue, and joins the open group.
//! 2. If nothing is being written, it leads: it closes the group, writes it with one call, and notifies the
//!    others.
//! 3. Otherwise it waits for the leader, or leads the next group itself.
//!
//! So no extra thread is needed, and under load commits are combined automatically. Always true: the record
//! of a series precedes every record that refers to the series, because it enters the queue when the series
//! is created, and each write begins with these records. A failed write keeps them for the next one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use ferula_storage::DiskError;

use super::Compression;
use super::record::{LoggedSample, begin_series, put_samples, put_series};
use super::writer::{Writer, WriterStats};
use crate::ids::LogRef;
use crate::sync::{Condvar, Mutex, MutexGuard, rank};

/// Size at which a record of series is closed.
const SERIES_RECORD_BYTES: usize = 256 << 10;
/// Samples of several commits are combined in one record up to this number.
const SAMPLES_PER_RECORD: usize = 8192;

/// The content of one commit, logged in this order. The samples are borrowed: only a commit that waits for another one
/// copies them.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    items: Vec<Item<'a>>,
}

#[derive(Debug)]
enum Item<'a> {
    Samples(Cow<'a, [LoggedSample]>),
    Record(Vec<u8>),
}

impl Item<'_> {
    fn into_owned(self) -> Item<'static> {
        match self {
            Item::Samples(samples) => Item::Samples(Cow::Owned(samples.into_owned())),
            Item::Record(record) => Item::Record(record),
        }
    }
}

impl<'a> Entry<'a> {
    /// Adds float samples.
    pub fn samples(&mut self, samples: &'a [LoggedSample]) {
        if !samples.is_empty() {
            self.items.push(Item::Samples(Cow::Borrowed(samples)));
        }
    }

    /// The same content, without borrowed samples.
    pub fn into_owned(self) -> Entry<'static> {
        Entry { items: self.items.into_iter().map(Item::into_owned).collect() }
    }

    /// Adds a record of any kind.
    pub fn record(&mut self, record: Vec<u8>) {
        self.items.push(Item::Record(record));
    }

    /// Whether there is nothing to log.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Called when a log starts to contain unsynced data. It must not block.
#[derive(Clone)]
pub struct UnsyncedHook(Arc<dyn Fn() + Send + Sync>);

impl UnsyncedHook {
    /// Calls `hook`.
    pub fn new(hook: impl Fn() + Send + Sync + 'static) -> Self {
        UnsyncedHook(Arc::new(hook))
    }
}

impl Default for UnsyncedHook {
    /// Does nothing.
    fn default() -> Self {
        UnsyncedHook::new(|| {})
    }
}

impl fmt::Debug for UnsyncedHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnsyncedHook")
    }
}

/// A log to which many threads commit.
pub struct GroupLog {
    queue: Mutex<Queue, rank::LogQueue>,
    wake: Condvar,
    writer: Mutex<Writer, rank::LogWriter>,
    start_timestamps: bool,
    on_unsynced: UnsyncedHook,
}

/// A record of new series that has not been written yet.
#[derive(Default)]
struct SeriesRecord {
    bytes: Vec<u8>,
    /// Position of each series in it.
    starts: Vec<(LogRef, usize)>,
}

impl SeriesRecord {
    fn begin() -> Self {
        let mut record = SeriesRecord::default();
        begin_series(&mut record.bytes);
        record
    }

    /// The record without these series.
    fn without(&self, refs: &HashSet<LogRef>) -> Self {
        let mut kept = SeriesRecord::begin();
        for (place, (log_ref, start)) in self.starts.iter().enumerate() {
            if !refs.contains(log_ref) {
                let end = self.starts.get(place + 1).map_or(self.bytes.len(), |(_, next)| *next);
                kept.starts.push((*log_ref, kept.bytes.len()));
                kept.bytes.extend_from_slice(&self.bytes[*start..end]);
            }
        }
        kept
    }
}

#[derive(Default)]
struct Queue {
    series: Vec<SeriesRecord>,
    items: Vec<Item<'static>>,
    open: Arc<Group>,
    leading: bool,
    failure: Option<DiskError>,
    failed_writes: u64,
}

type QueueGuard<'a> = MutexGuard<'a, Queue, rank::LogQueue>;

#[derive(Default)]
struct Group(OnceLock<Result<(), DiskError>>);

impl GroupLog {
    /// Creates a group log that writes to `writer`.
    pub fn new(writer: Writer, start_timestamps: bool, on_unsynced: UnsyncedHook) -> Self {
        GroupLog {
            queue: Mutex::default(),
            wake: Condvar::new(),
            writer: Mutex::new(writer),
            start_timestamps,
            on_unsynced,
        }
    }

    /// Queues the record of a new series. It is written before any commit that is made from now on.
    pub fn new_series<'a>(&self, series: LogRef, labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
        let mut queue = self.queue.lock();
        if queue.series.last().is_none_or(|record| record.bytes.len() > SERIES_RECORD_BYTES) {
            queue.series.push(SeriesRecord::begin());
        }
        if let Some(record) = queue.series.last_mut() {
            record.starts.push((series, record.bytes.len()));
            put_series(&mut record.bytes, series, labels);
        }
    }

    /// Discards the unwritten records of removed series.
    pub fn forget_series(&self, refs: &HashSet<LogRef>) {
        let mut queue = self.queue.lock();
        let named = |record: &SeriesRecord| record.starts.iter().any(|(log_ref, _)| refs.contains(log_ref));
        for record in queue.series.iter_mut().filter(|record| named(record)) {
            *record = record.without(refs);
        }
        queue.series.retain(|record| !record.starts.is_empty());
    }

    /// Logs a commit. If this returns `Ok`, the entry is in the log; after an error it is not.
    pub fn commit(&self, entry: Entry<'_>) -> Result<(), DiskError> {
        let mut queue = self.queue.lock();
        if !queue.leading {
            let group = queue.open.clone();
            drop(self.lead(queue, entry.items));
            return group.0.get().expect("a leader's group is written").clone();
        }
        drop(queue);
        let mut waiting = entry.into_owned();
        queue = self.queue.lock();
        queue.items.append(&mut waiting.items);
        let group = queue.open.clone();
        loop {
            if let Some(done) = group.0.get() {
                return done.clone();
            }
            queue = if queue.leading { self.wake.wait(queue) } else { self.lead(queue, Vec::new()) };
        }
    }

    /// Writes the open group, and the items of a commit that did not wait behind it.
    fn lead<'a>(&'a self, mut queue: QueueGuard<'a>, own: Vec<Item<'_>>) -> QueueGuard<'a> {
        queue.leading = true;
        let group = std::mem::take(&mut queue.open);
        let mut series = std::mem::take(&mut queue.series);
        let waiting = std::mem::take(&mut queue.items);
        drop(queue);

        let records = self.encode(waiting.into_iter().chain(own));
        let mut writer = self.writer.lock();
        let was_synced = !writer.has_unsynced();
        let written =
            writer.log(series.iter().map(|record| &record.bytes).chain(&records).map(Vec::as_slice));
        let begins = was_synced && writer.has_unsynced();
        drop(writer);
        if begins {
            (self.on_unsynced.0)();
        }

        let mut queue = self.queue.lock();
        let result = written.map_err(DiskError::from);
        queue.failure = result.as_ref().err().cloned();
        if result.is_err() {
            queue.failed_writes += 1;
            series.append(&mut queue.series);
            queue.series = series;
        }
        // Only the leader sets it, and each group has one leader.
        let _ = group.0.set(result);
        queue.leading = false;
        self.wake.notify_all();
        queue
    }

    /// Combines samples of adjacent commits, so that they compress well, and encodes all records.
    fn encode<'a>(&self, items: impl Iterator<Item = Item<'a>>) -> Vec<Vec<u8>> {
        let mut records = Vec::with_capacity(items.size_hint().0);
        let mut joined: Cow<'a, [LoggedSample]> = Cow::default();
        let flush = |joined: &mut Cow<'a, [LoggedSample]>, records: &mut Vec<Vec<u8>>| {
            if !joined.is_empty() {
                let mut record = Vec::new();
                put_samples(&mut record, joined, self.start_timestamps);
                records.push(record);
                *joined = Cow::default();
            }
        };
        for item in items {
            match item {
                Item::Samples(samples) => {
                    if joined.len() + samples.len() > SAMPLES_PER_RECORD {
                        flush(&mut joined, &mut records);
                    }
                    if joined.is_empty() {
                        joined = samples;
                    } else {
                        joined.to_mut().extend_from_slice(&samples);
                    }
                }
                Item::Record(record) => {
                    flush(&mut joined, &mut records);
                    records.push(record);
                }
            }
        }
        flush(&mut joined, &mut records);
        records
    }

    /// Makes written data survive a power loss. Returns whether there was anything to sync.
    pub fn sync(&self) -> io::Result<bool> {
        let mut writer = self.writer.lock();
        let had = writer.has_unsynced();
        writer.sync()?;
        Ok(had)
    }

    /// Writes the records of series that no commit has written yet, and syncs.
    pub fn flush(&self) -> Result<(), DiskError> {
        self.commit(Entry::default())?;
        Ok(self.sync().map(|_| ())?)
    }

    /// Begins a new segment and returns its number.
    pub fn next_segment(&self) -> io::Result<u32> {
        let mut writer = self.writer.lock();
        writer.next_segment()?;
        Ok(writer.segment())
    }

    /// Segment and offset of the next record.
    pub fn position(&self) -> (u32, u64) {
        self.writer.lock().position()
    }

    /// The current segment.
    pub fn segment(&self) -> u32 {
        self.writer.lock().segment()
    }

    /// The error of the last write, if it failed.
    pub fn failure(&self) -> Option<DiskError> {
        self.queue.lock().failure.clone()
    }

    /// Number of failed writes.
    pub fn failed_writes(&self) -> u64 {
        self.queue.lock().failed_writes
    }

    /// How records are compressed.
    pub fn compression(&self) -> Compression {
        self.writer.lock().compression()
    }

    /// Statistics of what has been written.
    pub fn stats(&self) -> WriterStats {
        self.writer.lock().stats()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::record::{RecordKind, Records};
    use super::super::{SegmentReader, WriterOptions};
    use super::*;
    use crate::disk::{FaultDisk, Faults};

    fn sample(series: u64, at: i64) -> LoggedSample {
        LoggedSample { series: LogRef::new(series), at, start: 0, value: 1.0 }
    }

    fn open(disk: &FaultDisk) -> GroupLog {
        let writer = Writer::open(Arc::new(disk.clone()), "/wal".into(), WriterOptions::default());
        GroupLog::new(writer.expect("opened"), false, UnsyncedHook::default())
    }

    fn read(disk: &FaultDisk) -> (Vec<u64>, Vec<(u64, i64)>, usize) {
        let mut reader = SegmentReader::open(disk, Path::new("/wal"), 0).expect("opened");
        let (mut series, mut samples, mut sample_records) = (Vec::new(), Vec::new(), 0);
        let mut records = Records::default();
        while let Some(read) = reader.next().expect("readable") {
            let kind = records.decode(read.expect("whole")).expect("well formed");
            sample_records += usize::from(kind == Some(RecordKind::Samples));
            series.extend(records.series.iter().map(|s| s.series.get()));
            samples.extend(records.samples.iter().map(|s| (s.series.get(), s.at)));
            let known = samples.iter().all(|(named, _)| series.contains(named));
            assert!(known, "series are logged before their samples");
        }
        (series, samples, sample_records)
    }

    #[test]
    fn commits_of_many_threads_all_arrive_undivided() {
        let disk = FaultDisk::default();
        let log = open(&disk);
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let log = &log;
                scope.spawn(move || {
                    for at in 0..50 {
                        let series = 1 + thread * 100 + at as u64;
                        log.new_series(LogRef::new(series), [("a", "b")].into_iter());
                        let three = [sample(series, at); 3];
                        let mut entry = Entry::default();
                        entry.samples(&three);
                        log.commit(entry).expect("written");
                    }
                });
            }
        });
        let (series, samples, _) = read(&disk);
        assert_eq!((series.len(), samples.len()), (400, 1200));
        assert!(samples.chunks(3).all(|three| three.iter().all(|s| *s == three[0])));
    }

    #[test]
    fn series_of_a_failed_write_are_written_with_the_next_one() {
        let disk = FaultDisk::default();
        let log = open(&disk);
        disk.set_faults(Faults { capacity_bytes: Some(10), ..Faults::default() });
        log.new_series(LogRef::new(1), [("a", "b")].into_iter());
        let entry = |at| {
            let samples = [sample(1, at)];
            let mut entry = Entry::default();
            entry.samples(&samples);
            entry.into_owned()
        };
        assert!(log.commit(entry(1)).is_err());
        assert!(log.failure().is_some());
        disk.set_faults(Faults::default());
        log.commit(entry(2)).expect("room again");
        assert!(log.failure().is_none());
        assert_eq!(read(&disk), (vec![1], vec![(1, 2)], 1));
    }

    #[test]
    fn discarded_series_are_not_written() {
        let disk = FaultDisk::default();
        let log = open(&disk);
        for series in 1..6 {
            log.new_series(LogRef::new(series), [("n", &*series.to_string())].into_iter());
        }
        log.forget_series(&[2, 3, 5, 9].map(LogRef::new).into());
        let samples = [sample(1, 1), sample(4, 1)];
        let mut entry = Entry::default();
        entry.samples(&samples);
        log.commit(entry).expect("written");
        assert_eq!(read(&disk), (vec![1, 4], vec![(1, 1), (4, 1)], 1));
        log.new_series(LogRef::new(6), [("n", "6")].into_iter());
        log.forget_series(&[LogRef::new(6)].into());
        log.commit(Entry::default()).expect("nothing to write");
        assert_eq!(read(&disk).0, [1, 4]);
    }

    #[test]
    fn samples_between_other_records_keep_their_position() {
        let disk = FaultDisk::default();
        let log = open(&disk);
        log.new_series(LogRef::new(1), [("a", "b")].into_iter());
        let samples = [1, 2, 3].map(|at| sample(1, at));
        let mut entry = Entry::default();
        entry.samples(&samples[..1]);
        entry.samples(&samples[1..2]);
        entry.record(vec![200]);
        entry.samples(&samples[2..]);
        log.commit(entry).expect("written");
        assert_eq!(read(&disk), (vec![1], vec![(1, 1), (1, 2), (1, 3)], 2));
    }
}

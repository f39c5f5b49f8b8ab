//! Reading the log while it is being written: the database's [`LogFeed`].
//!
//! A cursor reads only complete records, because it stops at the writer's position. When it is opened, it
//! skips what precedes its position but reads the series there. A missing segment was removed because it
//! exceeded the limit of what is kept for readers; the cursor then continues with the oldest existing one and
//! reports this.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferula_model::Timestamp;
use ferula_storage::{
    DiskError, Hold, LogCursor, LogFeed, LogHistogram, LogPosition, LogRecords, LogRef, LogSample,
    StoredCounts,
};

use crate::db::Db;
use crate::disk::Disk;
use crate::options::WAL_DIR;
use crate::wal::SegmentReader;
use crate::wal::format::{checkpoint_path, list_checkpoints, list_segments};
use crate::wal::group::GroupLog;
use crate::wal::record::Records;

impl LogFeed for Db {
    fn end(&self) -> LogPosition {
        end_of(self.head.log())
    }

    fn newest(&self) -> Option<Timestamp> {
        self.head.time_range().map(|range| range.end)
    }

    fn stored(&self) -> StoredCounts {
        let metrics = &self.head.metrics;
        let [samples, histograms] = metrics.samples_appended.each_ref().map(|counter| counter.get() as u64);
        StoredCounts { samples, histograms, exemplars: metrics.exemplars_appended.get() as u64 }
    }

    fn open(&self, from: LogPosition) -> Result<Box<dyn LogCursor>, DiskError> {
        let dir = self.dir.join(WAL_DIR);
        Ok(Box::new(Cursor::open(self.disk.clone(), dir, self.head.log().clone(), from)?))
    }

    fn hold(&self, held: Option<Hold>) {
        self.held.set(held);
    }

    fn living_series(&self) -> Box<dyn Fn(LogRef) -> bool + Send> {
        let living: HashSet<LogRef> = self.head.living_refs(i64::MIN);
        Box::new(move |series| living.contains(&series))
    }
}

/// The position after the newest record of a log.
pub(crate) fn end_of(log: &GroupLog) -> LogPosition {
    let (segment, offset) = log.position();
    LogPosition { segment, offset }
}

/// A call ends after this many series of earlier segments: a checkpoint may have millions.
const EARLIER_SERIES: usize = 4096;

/// A segment before the position, of which only the series are read.
struct Earlier {
    dir: PathBuf,
    number: u32,
    /// Where to stop in it; its end when `None`.
    until: Option<u64>,
}

/// A reader of the log in one directory.
pub(crate) struct Cursor {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: Arc<GroupLog>,
    earlier: VecDeque<Earlier>,
    /// The current one is the first, once reading of it has begun.
    earlier_reader: Option<SegmentReader>,
    reader: Option<SegmentReader>,
    /// Position of the next record.
    at: LogPosition,
    /// The writer's last known position.
    limit: LogPosition,
    records: Records,
}

/// The checkpoint and the segments that stand before a position.
fn earlier_segments(disk: &dyn Disk, dir: &Path, from: LogPosition) -> Result<VecDeque<Earlier>, DiskError> {
    let mut earlier = VecDeque::new();
    let mut first = 0;
    if let Some(number) = list_checkpoints(disk, dir)?.last() {
        let checkpoint = checkpoint_path(dir, *number);
        for segment in list_segments(disk, &checkpoint)? {
            earlier.push_back(Earlier { dir: checkpoint.clone(), number: segment.number, until: None });
        }
        first = number + 1;
    }
    for segment in list_segments(disk, dir)? {
        if segment.number >= first && segment.number <= from.segment {
            let until = (segment.number == from.segment).then_some(from.offset);
            earlier.push_back(Earlier { dir: dir.to_path_buf(), number: segment.number, until });
        }
    }
    Ok(earlier)
}

impl Cursor {
    /// Reads what `log` writes to `dir`, from a position on.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        log: Arc<GroupLog>,
        from: LogPosition,
    ) -> Result<Self, DiskError> {
        let earlier = earlier_segments(&*disk, &dir, from)?;
        let limit = LogPosition::default();
        let (earlier_reader, reader, records) = (None, None, Records::default());
        Ok(Cursor { disk, dir, log, earlier, earlier_reader, reader, at: from, limit, records })
    }

    /// Reads series and metadata of the earlier segments, a part in each call; returns `false` when there are
    /// no more.
    fn read_earlier(&mut self, out: &mut LogRecords) -> Result<bool, DiskError> {
        let Some(earlier) = self.earlier.front() else { return Ok(false) };
        let reader = match &mut self.earlier_reader {
            Some(reader) => reader,
            None => match SegmentReader::open(&*self.disk, &earlier.dir, earlier.number) {
                Ok(reader) => self.earlier_reader.insert(reader),
                // Meanwhile it was replaced by a checkpoint, which has every series that is still referred to.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.earlier = earlier_segments(&*self.disk, &self.dir, self.at)?;
                    return Ok(true);
                }
                Err(error) => return Err(error.into()),
            },
        };
        let until = earlier.until.unwrap_or(u64::MAX);
        while reader.good_end() < until {
            let Some(read) = reader.next()? else { break };
            match read.map(|record| self.records.decode(record)) {
                Ok(Ok(_)) => take_series(&mut self.records, out),
                Ok(Err(_)) | Err(_) => out.damaged += 1,
            }
            if out.series.len() + out.metadata.len() >= EARLIER_SERIES {
                return Ok(true);
            }
        }
        self.earlier_reader = None;
        self.earlier.pop_front();
        Ok(true)
    }

    /// Whether the position is before the writer's.
    fn has_more(&mut self) -> bool {
        if self.at < self.limit {
            return true;
        }
        self.limit = end_of(&self.log);
        if let Some(reader) = &mut self.reader {
            // The buffered data may have ended prematurely when it was read.
            reader.refresh();
        }
        self.at < self.limit
    }

    /// Positions the reader at `at`, or at the beginning of the next existing segment. Returns the number of
    /// missing segments.
    fn open_segment(&mut self) -> Result<u32, DiskError> {
        let segments = list_segments(&*self.disk, &self.dir)?;
        let Some(next) = segments.iter().find(|segment| segment.number >= self.at.segment) else {
            return Ok(0);
        };
        let lost = next.number - self.at.segment;
        if lost > 0 {
            self.at = LogPosition { segment: next.number, offset: 0 };
        }
        let mut reader = SegmentReader::open(&*self.disk, &self.dir, self.at.segment)?;
        reader.seek(self.at.offset.min(next.bytes));
        self.reader = Some(reader);
        Ok(lost)
    }

    /// Reads one record of the open segment; returns `false` at its end.
    fn read_record(&mut self, out: &mut LogRecords) -> Result<bool, DiskError> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let whole = match reader.next()? {
            None => return Ok(false),
            Some(Err(_)) => {
                out.damaged += 1;
                return Ok(true);
            }
            Some(Ok(record)) => self.records.decode(record),
        };
        out.start = self.at;
        self.at.offset = reader.good_end();
        out.end = self.at;
        match whole {
            Ok(_) => take_all(&mut self.records, out),
            Err(_) => out.damaged += 1,
        }
        Ok(true)
    }
}

impl LogCursor for Cursor {
    fn next(&mut self, out: &mut LogRecords) -> Result<bool, DiskError> {
        out.clear();
        (out.start, out.end) = (self.at, self.at);
        if self.read_earlier(out)? {
            return Ok(true);
        }
        if !self.has_more() {
            return Ok(false);
        }
        if self.reader.is_none() {
            out.segments_lost += self.open_segment()?;
            (out.start, out.end) = (self.at, self.at);
            if self.reader.is_none() || !self.has_more() {
                return Ok(out.segments_lost > 0);
            }
        }
        if !self.read_record(out)? {
            // The rest of the segment is empty: the writer moved on, or a power loss truncated it.
            let next = LogPosition { segment: self.at.segment + 1, offset: 0 };
            (self.reader, self.at) = (None, next.min(self.limit));
            (out.start, out.end) = (self.at, self.at);
        }
        Ok(true)
    }

    fn first_segment(&self) -> Result<u32, DiskError> {
        Ok(first_segment(&*self.disk, &self.dir)?)
    }
}

fn first_segment(disk: &dyn Disk, dir: &Path) -> std::io::Result<u32> {
    Ok(list_segments(disk, dir)?.first().map_or(0, |segment| segment.number))
}

fn take_series(records: &mut Records, out: &mut LogRecords) {
    out.series.extend(records.series.drain(..).map(|logged| (logged.series, logged.labels)));
    out.metadata.extend(records.metadata.drain(..).map(|logged| (logged.series, logged.metadata)));
}

fn take_all(records: &mut Records, out: &mut LogRecords) {
    take_series(records, out);
    out.samples.extend(records.samples.drain(..).map(|logged| LogSample {
        series: logged.series,
        at: Timestamp::from_millis(logged.at),
        start: Timestamp::from_millis(logged.start),
        value: logged.value,
    }));
    out.histograms.extend(records.histograms.drain(..).map(|logged| LogHistogram {
        series: logged.series,
        at: Timestamp::from_millis(logged.at),
        start: Timestamp::from_millis(logged.start),
        value: logged.value,
    }));
    out.exemplars.extend(records.exemplars.drain(..).map(|logged| (logged.series, logged.exemplar)));
}

#[cfg(test)]
mod tests;

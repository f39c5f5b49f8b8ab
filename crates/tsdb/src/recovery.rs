//! The files that a start reads, and their order: chunks of `chunks_head`, a savepoint or the checkpoint, the
//! log, the out-of-order log.
//!
//! Here: the files, and the handling of damage. Elsewhere: the effect of a record on the head
//! (`head::replay`).
//!
//! Damage never prevents the start. Everything readable is read, before and after the damaged place; losses
//! are counted and reported; the damaged segment is repaired, so that Prometheus could read it too.

mod from_savepoint;

use std::io;
use std::path::{Path, PathBuf};

use crate::chunk_snapshot;
use crate::disk::Disk;
use crate::head::Replay;
use crate::ids::LogRef;
use crate::savepoint::Start;
use crate::wal::ahead::{ReplayHelper, SegmentItem, read_ahead};
use crate::wal::format::{Segment, checkpoint_path, list_checkpoints, list_segments, list_strangers};
use crate::wal::reader::{Damage, Repair, SegmentReader, repair};
use crate::wal::record::{RecordKind, Records};
pub(crate) use from_savepoint::SavepointFiles;

/// Progress of a start, for log lines.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Blocks and head chunks are open; the logs follow, which may take a while.
    Replaying,
    /// A savepoint replaced the part of the log before it.
    Savepoint {
        series: u64,
        /// The segment at which reading of the log begins.
        segment: u32,
    },
    /// There is a savepoint, but it cannot be used, for this reason. The whole log is read.
    SavepointIgnored(String),
    /// A checkpoint is being read.
    Checkpoint { number: u32 },
    /// Segment `segment` of `last` was read.
    Segment {
        segment: u32,
        /// The last segment.
        last: u32,
    },
    /// A segment of the out-of-order log was read.
    OutOfOrderSegment {
        segment: u32,
        /// The last segment.
        last: u32,
    },
    /// There was a lock file: the last process did not close the database cleanly.
    LockReplaced(PathBuf),
    /// Damage was found; the start continues.
    Damaged(String),
}

/// Findings of a start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Damaged places in the logs.
    pub corruptions: u64,
    /// Records that refer to a series that is not (or no longer) in the log.
    pub unknown_series: u64,
    /// Histograms with unknown schemas, which were skipped.
    pub unknown_schemas: u64,
    /// Samples added to the head.
    pub samples: u64,
    /// Records of the logs that were read.
    pub records: u64,
    /// Series restored from a savepoint.
    pub savepoint_series: u64,
}

/// Receives the records of a log.
pub(crate) trait LogSink {
    /// The following records are from this segment, or from a checkpoint with this number.
    fn begin_segment(&mut self, number: u32) {
        let _ = number;
    }

    /// Processes a record of the log.
    fn record(&mut self, kind: RecordKind, records: &Records);

    /// Processes a record of the out-of-order log.
    fn out_of_order_record(&mut self, kind: RecordKind, records: &Records) {
        let _ = (kind, records);
    }
}

impl LogSink for Replay<'_> {
    fn record(&mut self, kind: RecordKind, records: &Records) {
        Replay::record(self, kind, records);
    }

    fn out_of_order_record(&mut self, kind: RecordKind, records: &Records) {
        Replay::out_of_order_record(self, kind, records);
    }
}

/// A start in progress.
pub(crate) struct Recovery<S> {
    replay: S,
    helper: ReplayHelper,
    recovered: Recovered,
}

impl Recovery<Replay<'_>> {
    /// Reads what only a `chunk_snapshot` directory in `data_dir` has. Precedes the log, which has newer
    /// exemplars. Returns whether some of it could not be read.
    pub(crate) fn chunk_snapshot(
        &mut self,
        disk: &dyn Disk,
        data_dir: &Path,
        wal: &Path,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<bool> {
        if !self.replay.keeps_exemplars() {
            return Ok(false);
        }
        let last = list_segments(disk, wal)?.last().map_or(0, |segment| segment.number);
        let Some(snapshot) = chunk_snapshot::load(disk, data_dir, last)? else { return Ok(false) };
        let damaged = !snapshot.damages.is_empty();
        snapshot.damages.into_iter().for_each(|damage| report(Progress::Damaged(damage)));
        self.replay.note_ref(LogRef::new(snapshot.newest_ref));
        self.replay.exemplars(snapshot.exemplars);
        Ok(damaged)
    }

    /// Reads the out-of-order log in `dir`.
    pub(crate) fn out_of_order_log(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        let corruptions_before = self.recovered.corruptions;
        self.strangers(disk, dir, report)?;
        let segments = list_segments(disk, dir)?;
        let last = segments.last().map_or(0, |segment| segment.number);
        self.holes(dir, &segments, None, report);
        for segment in &segments {
            self.segment(disk, dir, segment.number, 0, true, report)?;
            report(Progress::OutOfOrderSegment { segment: segment.number, last });
        }
        let whole = !segments.is_empty() && self.recovered.corruptions == corruptions_before;
        self.replay.out_of_order_log_ends(whole);
        Ok(())
    }

    /// Sets the head's times and returns the findings.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn finish(self) -> io::Result<Recovered> {
        let replayed = self.replay.finish()?;
        Ok(Recovered {
            unknown_series: replayed.unknown_series,
            samples: replayed.samples,
            savepoint_series: replayed.saved_series,
            ..self.recovered
        })
    }
}

impl<S: LogSink> Recovery<S> {
    /// Creates a start at which no log has been read yet.
    pub(crate) fn new(replay: S, helper: ReplayHelper) -> Self {
        Recovery { replay, helper, recovered: Recovered::default() }
    }

    /// Returns the receiver of the records, and the findings.
    pub(crate) fn into_sink(self) -> (S, Recovered) {
        (self.replay, self.recovered)
    }

    /// Reads the checkpoint and the segments of the log in `dir`, or what follows `start`.
    pub(crate) fn log(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        start: Option<Start>,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        report(Progress::Replaying);
        self.strangers(disk, dir, report)?;
        let segments = list_segments(disk, dir)?;
        let first = match start {
            Some(start) => start.segment,
            None => self.checkpoint(disk, dir, &segments, report)?,
        };
        let last = segments.last().map_or(0, |segment| segment.number);
        for segment in segments.iter().filter(|segment| segment.number >= first) {
            let offset =
                start.filter(|start| start.segment == segment.number).map_or(0, |start| start.offset);
            self.replay.begin_segment(segment.number);
            self.segment(disk, dir, segment.number, offset, false, report)?;
            report(Progress::Segment { segment: segment.number, last });
        }
        Ok(())
    }

    /// Reads the newest checkpoint, if there is one, and returns the segment at which reading of the log
    /// continues.
    ///
    /// A checkpoint replaces all segments up to its number. That is doubtful, and those segments are read as
    /// well, if one of the following is missing: the segment after it, its own last segment although earlier
    /// ones exist, or any record in it although there were segments before it.
    fn checkpoint(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        segments: &[Segment],
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<u32> {
        let Some(number) = list_checkpoints(disk, dir)?.last().copied() else {
            self.holes(dir, segments, None, report);
            return Ok(0);
        };
        report(Progress::Checkpoint { number });
        let checkpoint = checkpoint_path(dir, number);
        let records_before = self.recovered.records;
        self.replay.begin_segment(number);
        for segment in list_segments(disk, &checkpoint)? {
            self.segment(disk, &checkpoint, segment.number, 0, false, report)?;
        }
        let is_empty = self.recovered.records == records_before;
        let has = |wanted: u32| segments.iter().any(|segment| segment.number == wanted);
        let earlier = segments.iter().any(|segment| segment.number <= number);
        let follows = segments.iter().any(|segment| segment.number > number);
        let doubt = match (earlier, follows) {
            (true, false) => Some("there is no segment after it"),
            (true, true) if is_empty => Some("it is empty"),
            (true, true) if !has(number) => Some("earlier segments exist, but its last one does not"),
            _ => None,
        };
        let Some(doubt) = doubt else {
            self.holes(dir, segments, Some(number), report);
            return Ok(number + 1);
        };
        self.recovered.corruptions += 1;
        report(Progress::Damaged(format!(
            "{}: the checkpoint is doubtful because {doubt}; the segments that it replaces are read too",
            checkpoint.display()
        )));
        self.holes(dir, segments, None, report);
        Ok(0)
    }

    /// Reports missing segments between others, or after the checkpoint.
    fn holes(
        &mut self,
        dir: &Path,
        segments: &[Segment],
        checkpoint: Option<u32>,
        report: &mut dyn FnMut(Progress),
    ) {
        let numbers = segments
            .iter()
            .map(|segment| segment.number)
            .filter(|number| checkpoint.is_none_or(|c| *number > c));
        let mut before = checkpoint;
        for number in numbers {
            if let Some(expected) = before.map(|before| before + 1).filter(|expected| *expected < number) {
                self.recovered.corruptions += 1;
                let last = number - 1;
                report(Progress::Damaged(format!(
                    "{}: segments {expected} to {last} are missing",
                    dir.display()
                )));
            }
            before = Some(number);
        }
    }

    /// Reports names that look like those of segments but are not.
    fn strangers(&mut self, disk: &dyn Disk, dir: &Path, report: &mut dyn FnMut(Progress)) -> io::Result<()> {
        for name in list_strangers(disk, dir)? {
            self.recovered.corruptions += 1;
            let path = dir.join(name);
            report(Progress::Damaged(format!("{}: not a segment of the log; ignored", path.display())));
        }
        Ok(())
    }

    /// Reads a segment from `offset` on.
    fn segment(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        segment: u32,
        offset: u64,
        out_of_order: bool,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        let mut reader = SegmentReader::open(disk, dir, segment)?;
        reader.seek(offset);
        let mut damages: Vec<Damage> = Vec::new();
        let helper = self.helper.clone();
        read_ahead(reader, &helper, &mut |found| match found {
            SegmentItem::Record(kind, records) => {
                self.recovered.records += 1;
                self.recovered.unknown_schemas += records.unknown_schemas as u64;
                if out_of_order {
                    self.replay.out_of_order_record(kind, records);
                } else {
                    self.replay.record(kind, records);
                }
            }
            SegmentItem::Damage(damage) => damages.push(damage),
        })?;
        if damages.is_empty() {
            return Ok(());
        }
        self.recovered.corruptions += damages.len() as u64;
        for damage in &damages {
            report(Progress::Damaged(format!("{}: {damage}", dir.display())));
        }
        match repair(disk, dir, segment)? {
            Repair::Truncated { bytes } => {
                report(Progress::Damaged(format!(
                    "segment {segment}: removed {bytes} bytes of a torn write at its end"
                )));
            }
            Repair::Rewritten { kept } => report(Progress::Damaged(format!(
                "segment {segment}: kept its readable records, the damaged file is {}",
                kept.display()
            ))),
        }
        Ok(())
    }
}

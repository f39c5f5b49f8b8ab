//! The files that a start reads, and their order: chunks of `chunks_head`, a savepoint or the checkpoint, the
//! log, the out-of-order log.
//!
//! Here: the files, and the handling of damage. Elsewhere: the effect of a record on the head
//! (`head::replay`).
//!
//! Damage never prevents the start. Everything readable is read, before and after the damaged place; losses
//! are counted and reported; the damaged segment is repaired, so that Prometheus could read it too.

mod from_savepoint;
mod rebuild;

use std::io;
use std::path::{Path, PathBuf};

use crate::chunk_snapshot;
use crate::damage::{Damage, DamageKind, KEPT_SUFFIX};
use crate::disk::Disk;
use crate::head::Replay;
use crate::head_chunks::{ChunkPlace, set_all_aside};
use crate::ids::LogRef;
use crate::savepoint::Start;
use crate::savepoint::segments::LostSegment;
use crate::wal::ahead::{ReplayHelper, SegmentItem, read_ahead};
use crate::wal::format::{
    Segment, checkpoint_path, list_checkpoints, list_if_there, list_segments, segment_path,
};
use crate::wal::reader::{Damage as SegmentDamage, Repair, SegmentReader, repair};
use crate::wal::record::{LoggedMarker, RecordKind, Records};
pub(crate) use from_savepoint::SavepointFiles;
pub(crate) use rebuild::rebuild_checkpoint;

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
    /// Something was damaged; the start continues.
    Damaged(Damage),
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
    /// A savepoint that was refused, set aside.
    refused: Option<PathBuf>,
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
        let snapshot = match chunk_snapshot::load(disk, data_dir, last) {
            Ok(None) => return Ok(false),
            Ok(Some(snapshot)) => snapshot,
            Err(error) => {
                let damage =
                    Damage::new(DamageKind::Unreadable, data_dir, format!("chunk snapshot: {error}"));
                report(Progress::Damaged(damage.cost("exemplars that only the snapshot has")));
                return Ok(true);
            }
        };
        let damaged = !snapshot.damages.is_empty();
        for (path, what) in snapshot.damages {
            let damage = Damage::new(DamageKind::Unreadable, path, what);
            report(Progress::Damaged(damage.cost("exemplars that only the snapshot has")));
        }
        self.replay.note_ref(LogRef::new(snapshot.newest_ref));
        self.replay.exemplars(snapshot.exemplars);
        Ok(damaged)
    }

    /// Says that out-of-order chunks before this place are in blocks.
    pub(crate) fn are_in_blocks(&mut self, before: ChunkPlace) {
        self.replay.are_in_blocks(before);
    }

    /// Reads checkpoint and segments of the log, or what follows `start`.
    pub(crate) fn log(
        &mut self,
        log: &LogFiles<'_>,
        start: Option<&Start>,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        self.read_log(log.disk, log.dir, start, log.lost, report)?;
        if start.is_none() && self.replay.uncovered() > 0 {
            // The log has samples that stand before all chunks of their series, and after all blocks: what chunks held them is
            // gone. Read without chunks, the log has everything.
            let damage = Damage::new(
                DamageKind::Missing,
                log.chunks_dir,
                "files are missing before those that are there",
            );
            report(Progress::Damaged(damage.cost("time: the log is read again without them")));
            self.recovered.corruptions += 1;
            (self.recovered.records, self.recovered.unknown_schemas) = (0, 0);
            self.replay.discard_written_chunks();
            // Chunks that are written now would not follow those that are there. What the out-of-order log says is in chunks,
            // it still has itself.
            for damage in set_all_aside(log.disk, log.chunks_dir)? {
                report(Progress::Damaged(damage));
            }
            self.replay.discard_all_chunks();
            self.replay.start_over(Vec::new());
            self.read_log(log.disk, log.dir, None, log.lost, report)?;
        }
        let unknown = self.replay.unknown_series();
        if unknown > 0 {
            let what = format!(
                "{unknown} samples or deletions name series that are in no segment and no checkpoint"
            );
            report(Progress::Damaged(Damage::new(DamageKind::Missing, log.dir, what).cost("those samples")));
        }
        Ok(())
    }

    /// Reads the out-of-order log.
    pub(crate) fn out_of_order_log(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        lost: &[LostSegment],
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        let corruptions_before = self.recovered.corruptions;
        let segments = list_segments(disk, dir)?;
        let last = segments.last().map_or(0, |segment| segment.number);
        self.holes(dir, &segments, None, lost, report);
        for segment in &segments {
            self.segment(disk, dir, segment.number, 0, true, report)?;
            report(Progress::OutOfOrderSegment { segment: segment.number, last });
        }
        // A log that was repaired reads well at later starts, and has lost what it had all the same.
        let repaired = list_if_there(disk, dir)?.iter().any(|entry| entry.name.contains(KEPT_SUFFIX));
        let whole = !segments.is_empty() && !repaired && self.recovered.corruptions == corruptions_before;
        self.replay.out_of_order_log_ends(whole);
        Ok(())
    }

    /// Sets the head's times, and returns what was found, and which chunks the out-of-order log must name.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn finish(self) -> io::Result<(Recovered, Vec<LoggedMarker>)> {
        let replayed = self.replay.finish()?;
        let recovered = Recovered {
            unknown_series: replayed.unknown_series,
            samples: replayed.samples,
            savepoint_series: replayed.saved_series,
            ..self.recovered
        };
        Ok((recovered, replayed.to_mark))
    }
}

impl<S: LogSink> Recovery<S> {
    /// Creates a start at which no log has been read yet.
    pub(crate) fn new(replay: S, helper: ReplayHelper) -> Self {
        Recovery { replay, helper, recovered: Recovered::default(), refused: None }
    }

    /// Returns the receiver of the records, and the findings.
    pub(crate) fn into_sink(self) -> (S, Recovered) {
        (self.replay, self.recovered)
    }

    /// Reads checkpoint and segments of a log, or what follows `start`, once.
    pub(crate) fn read_log(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        start: Option<&Start>,
        lost: &[LostSegment],
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<()> {
        report(Progress::Replaying);
        let segments = list_segments(disk, dir)?;
        let first = match start {
            Some(start) => {
                // What is before it, the savepoint has. Of its own segment it has what was there then: what was lost up to that
                // place is in `start.lost`.
                let is_behind = |lost: &&LostSegment| {
                    lost.segment > start.segment
                        || lost.segment == start.segment && lost.bytes >= Some(start.offset)
                };
                let lost: Vec<LostSegment> = lost.iter().filter(is_behind).copied().collect();
                self.holes(dir, &segments, Some(start.segment), &lost, report);
                start.segment
            }
            None => self.checkpoint(disk, dir, &segments, lost, report)?,
        };
        let last = segments.last().map_or(0, |segment| segment.number);
        for segment in segments.iter().filter(|segment| segment.number >= first) {
            self.replay.begin_segment(segment.number);
            let offset =
                start.filter(|start| start.segment == segment.number).map_or(0, |start| start.offset);
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
        lost: &[LostSegment],
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<u32> {
        let Some(number) = list_checkpoints(disk, dir)?.last().copied() else {
            let first = segments.first().map_or(0, |segment| segment.number);
            let told = lost.first().is_some_and(|lost| lost.segment < first);
            if let Some(before) = first.checked_sub(1).filter(|_| !told) {
                self.recovered.corruptions += 1;
                let what = "there is no checkpoint, and the log does not begin at its beginning";
                let damage = Damage::new(DamageKind::Missing, checkpoint_path(dir, before), what);
                let cost = "series that were only there, with their samples behind it";
                report(Progress::Damaged(damage.cost(cost)));
            }
            self.holes(dir, segments, None, lost, report);
            return Ok(0);
        };
        report(Progress::Checkpoint { number });
        let checkpoint = checkpoint_path(dir, number);
        let records_before = self.recovered.records;
        self.replay.begin_segment(number);
        let parts = list_segments(disk, &checkpoint)?;
        self.holes(&checkpoint, &parts, None, &[], report);
        for part in parts {
            self.segment(disk, &checkpoint, part.number, 0, false, report)?;
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
            self.holes(dir, segments, Some(number), lost, report);
            return Ok(number + 1);
        };
        self.recovered.corruptions += 1;
        let damage = Damage::new(DamageKind::Contradictory, checkpoint, format!("in doubt, because {doubt}"));
        report(Progress::Damaged(damage.cost("time: the segments that it stands for are read too")));
        self.holes(dir, segments, None, lost, report);
        Ok(0)
    }

    /// Reports segments that are missing between others or behind the checkpoint, and those that were written and are gone or
    /// emptied.
    fn holes(
        &mut self,
        dir: &Path,
        segments: &[Segment],
        checkpoint: Option<u32>,
        lost: &[LostSegment],
        report: &mut dyn FnMut(Progress),
    ) {
        const COST: &str = "the samples that were only there";
        let missing = |first: u32, last: u32| {
            let what = format!("segments {first} to {last} are missing");
            Damage::new(DamageKind::Missing, dir, what).cost(COST)
        };
        let mut damages = Vec::new();
        let behind: Vec<u32> = segments
            .iter()
            .map(|segment| segment.number)
            .filter(|number| checkpoint.is_none_or(|c| *number > c))
            .collect();
        let mut before = checkpoint;
        for number in &behind {
            if let Some(expected) = before.map(|before| before + 1).filter(|expected| expected < number) {
                damages.push(missing(expected, number - 1));
            }
            before = Some(*number);
        }
        // Those in between were reported.
        let between = |number: u32| {
            let begin = checkpoint.map(|c| c + 1).or(behind.first().copied());
            begin.is_some_and(|begin| begin <= number) && behind.last().is_some_and(|last| number < *last)
        };
        for lost in lost {
            match lost.bytes {
                None if between(lost.segment) => {}
                None => damages.push(missing(lost.segment, lost.segment)),
                Some(bytes) => {
                    let path = segment_path(dir, lost.segment);
                    let damage = Damage::new(DamageKind::Torn, path, format!("only {bytes} bytes are left"));
                    damages.push(damage.cost(COST));
                }
            }
        }
        self.recovered.corruptions += damages.len() as u64;
        damages.into_iter().for_each(|damage| report(Progress::Damaged(damage)));
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
        let mut damages: Vec<SegmentDamage> = Vec::new();
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
        let path = segment_path(dir, segment);
        // Where the segment cannot be changed it stays as it is: what can be read was read.
        let repaired = repair(disk, dir, segment);
        let kept = match &repaired {
            Ok(Repair::Truncated { kept, .. } | Repair::Rewritten { kept }) => Some(kept.clone()),
            Err(_) => None,
        };
        for damage in damages {
            let cost = match damage.kind {
                DamageKind::Torn => "what was being written there when the process or the machine stopped",
                _ => "the records that began there",
            };
            let of_segment = Damage::new(damage.kind, &path, damage.reason).at(damage.offset..damage.end);
            report(Progress::Damaged(of_segment.cost(cost).kept(kept.clone())));
        }
        if let Err(error) = repaired {
            let what = format!("the segment cannot be repaired: {error}");
            let damage = Damage::new(DamageKind::Unreadable, path, what);
            report(Progress::Damaged(damage.cost("Prometheus would stop reading there")));
        }
        Ok(())
    }
}

/// What belongs to the log.
pub(crate) struct LogFiles<'a> {
    pub disk: &'a dyn Disk,
    pub dir: &'a Path,
    pub chunks_dir: &'a Path,
    /// Segments that were written and are gone or emptied.
    pub lost: &'a [LostSegment],
}

#[cfg(test)]
mod tests;

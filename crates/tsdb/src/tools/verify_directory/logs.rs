//! The log with its checkpoint, and the out-of-order log.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::part::VerifiedPart;
use crate::damage::DamageKind;
use crate::disk::Disk;
use crate::ids::LogRef;
use crate::options::{WAL_DIR, WBL_DIR};
use crate::savepoint::SAVEPOINT_DIR;
use crate::savepoint::in_blocks::{self, IN_BLOCKS_FILE};
use crate::savepoint::segments::{LOG_LIST, OUT_OF_ORDER_LIST, Segments, missing_list};
use crate::wal::SegmentReader;
use crate::wal::format::{Segment, checkpoint_path, list_checkpoints, list_segments, list_strangers};
use crate::wal::record::Records;

/// Reads the logs one after the other; the second names series of the first.
pub(super) struct Logs<'a> {
    disk: &'a Arc<dyn Disk>,
    dir: &'a Path,
    /// Series that have a record.
    series: HashSet<LogRef>,
    /// Samples and deletions whose series had no record before them.
    unknown: u64,
    continued_by_another: bool,
}

impl<'a> Logs<'a> {
    pub fn new(disk: &'a Arc<dyn Disk>, dir: &'a Path) -> Self {
        Logs { disk, dir, series: HashSet::new(), unknown: 0, continued_by_another: false }
    }

    /// Reads the checkpoint and the log.
    pub fn log(&mut self) -> VerifiedPart {
        let mut part = VerifiedPart::new(WAL_DIR);
        let wal = self.dir.join(WAL_DIR);
        if let Err(error) = self.try_log(&wal, &mut part) {
            part.verified.problem(|| format!("{}: {error}", wal.display()));
        }
        part
    }

    fn try_log(&mut self, wal: &Path, part: &mut VerifiedPart) -> io::Result<()> {
        strangers(&**self.disk, wal, part)?;
        let segments = list_segments(&**self.disk, wal)?;
        let checkpoint = list_checkpoints(&**self.disk, wal)?.last().copied();
        let known = self.known_segments(LOG_LIST, part);
        let other = self.known_segments(OUT_OF_ORDER_LIST, &mut VerifiedPart::new(WBL_DIR));
        let has_records = checkpoint.is_some() || segments.iter().any(|segment| segment.bytes > 0);
        if let Some(list) = missing_list(&known, &other, has_records) {
            part.verified.problem(|| format!("{SAVEPOINT_DIR}/{list} is gone"));
        }
        self.continued_by_another = known.is_known() && known.continued_by_another(&segments);
        for lost in known.lost(&segments, checkpoint) {
            let what = if lost.bytes.is_some() { "was emptied" } else { "is gone" };
            part.verified.problem(|| format!("segment {:08} {what}", lost.segment));
        }
        let mut behind = segments.clone();
        if let Some(number) = checkpoint {
            let directory = checkpoint_path(wal, number);
            let parts = list_segments(&**self.disk, &directory)?;
            strangers(&**self.disk, &directory, part)?;
            holes(&parts, None, part);
            for segment in &parts {
                self.segment(&directory, *segment, false, part)?;
            }
            behind.retain(|segment| segment.number > number);
            if behind.is_empty() && !segments.is_empty() {
                part.verified.problem(|| format!("there is no segment behind checkpoint {number:08}"));
                behind.clone_from(&segments);
            }
        } else if let Some(first) = segments.first().filter(|first| first.number > 0) {
            part.verified
                .problem(|| format!("there is no checkpoint, and the log begins with {:08}", first.number));
        }
        holes(&behind, checkpoint, part);
        self.segments(wal, &behind, part)?;
        if self.unknown > 0 {
            let unknown = self.unknown;
            part.verified.problem(|| format!("{unknown} samples or deletions name series that nothing has"));
        }
        Ok(())
    }

    /// Reads the out-of-order log. Comes after the log.
    pub fn out_of_order_log(&mut self) -> VerifiedPart {
        let mut part = VerifiedPart::new(WBL_DIR);
        let wbl = self.dir.join(WBL_DIR);
        if let Err(error) = self.try_out_of_order_log(&wbl, &mut part) {
            part.verified.problem(|| format!("{}: {error}", wbl.display()));
        }
        part
    }

    fn try_out_of_order_log(&mut self, wbl: &Path, part: &mut VerifiedPart) -> io::Result<()> {
        strangers(&**self.disk, wbl, part)?;
        let segments = list_segments(&**self.disk, wbl)?;
        let known = self.known_segments(OUT_OF_ORDER_LIST, part);
        if !self.continued_by_another {
            for lost in known.lost(&segments, None) {
                part.verified.problem(|| format!("segment {:08} is gone or was emptied", lost.segment));
            }
        }
        if let Err(error) = in_blocks::noted(&**self.disk, self.dir) {
            part.verified.problem(|| format!("{SAVEPOINT_DIR}/{IN_BLOCKS_FILE}: {error}"));
        }
        holes(&segments, None, part);
        self.unknown = 0;
        self.segments(wbl, &segments, part)?;
        if self.unknown > 0 {
            let unknown = self.unknown;
            part.verified.problem(|| format!("{unknown} samples name series that the log does not have"));
        }
        Ok(())
    }

    fn known_segments(&self, list: &'static str, part: &mut VerifiedPart) -> Segments {
        let mut known = Segments::new(self.disk.clone(), self.dir.join(SAVEPOINT_DIR), list);
        if let Err(error) = known.load() {
            part.verified.problem(|| format!("{SAVEPOINT_DIR}/{list}: {error}"));
        }
        known
    }

    /// Reads segments. The last that has something in it may end with what was not written whole.
    fn segments(&mut self, dir: &Path, segments: &[Segment], part: &mut VerifiedPart) -> io::Result<()> {
        let last = segments.iter().rfind(|segment| segment.bytes > 0).map(|segment| segment.number);
        for segment in segments {
            self.segment(dir, *segment, Some(segment.number) == last, part)?;
        }
        Ok(())
    }

    fn segment(
        &mut self,
        dir: &Path,
        segment: Segment,
        is_last: bool,
        part: &mut VerifiedPart,
    ) -> io::Result<()> {
        let mut reader = SegmentReader::open(&**self.disk, dir, segment.number)?;
        let mut records = Records::default();
        let place = |what: String| -> String {
            format!("{}: {what}", dir.join(format!("{:08}", segment.number)).display())
        };
        while let Some(read) = reader.next()? {
            match read {
                Ok(record) => match records.decode(record) {
                    Ok(_) => self.record(&records, part),
                    Err(error) => part.verified.problem(|| place(error.to_string())),
                },
                Err(damage) if is_last && damage.kind == DamageKind::Torn => {
                    part.notes.push(place(format!(
                        "the end was not written whole (bytes {} to {})",
                        damage.offset, damage.end
                    )));
                }
                Err(damage) => part.verified.problem(|| {
                    place(format!("bytes {} to {}: {}", damage.offset, damage.end, damage.reason))
                }),
            }
        }
        Ok(())
    }

    fn record(&mut self, records: &Records, part: &mut VerifiedPart) {
        for series in &records.series {
            if self.series.insert(series.series) {
                part.verified.stats.num_series += 1;
            }
        }
        let named = records.samples.iter().map(|sample| sample.series);
        let named = named.chain(records.histograms.iter().map(|sample| sample.series));
        for series in named {
            part.verified.stats.num_samples += 1;
            self.unknown += u64::from(!self.series.contains(&series));
        }
    }
}

fn strangers(disk: &dyn Disk, dir: &Path, part: &mut VerifiedPart) -> io::Result<()> {
    for name in list_strangers(disk, dir)? {
        let path: PathBuf = dir.join(name);
        part.verified.problem(|| format!("{} has a number, and is no segment of the log", path.display()));
    }
    Ok(())
}

fn holes(segments: &[Segment], behind: Option<u32>, part: &mut VerifiedPart) {
    let mut before = behind;
    for segment in segments {
        if let Some(expected) = before.map(|before| before + 1).filter(|expected| *expected < segment.number)
        {
            part.verified
                .problem(|| format!("segments {expected:08} to {:08} are missing", segment.number - 1));
        }
        before = Some(segment.number);
    }
}

//! Checkpoints: a directory with what is still needed of old segments, which replaces them.
//!
//! 1. Read the last checkpoint and the segments up to `last`, and copy to `checkpoint.<last>.tmp` the living
//!    series, the samples that are not in blocks yet, and the newest metadata.
//! 2. Rename the directory. From now on, a start reads it in place of those segments.
//! 3. Remove the segments and older checkpoints. If this is interrupted, the next checkpoint removes them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::format::{TEMPORARY_SUFFIX, checkpoint_path, list_checkpoints, list_segments, segment_path};
use super::reader::SegmentReader;
use super::record::{
    RecordKind, Records, begin_series, put_exemplars, put_histograms, put_metadata, put_samples, put_series,
    put_tombstones,
};
use super::writer::{Writer, WriterOptions};
use crate::disk::Disk;
use crate::ids::LogRef;
use crate::series_metadata::SeriesMetadata;

/// Statistics of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointStats {
    pub dropped_series: u64,
    /// Samples of all types that were dropped.
    pub dropped_samples: u64,
    /// Deleted ranges that were dropped.
    pub dropped_tombstones: u64,
    /// Exemplars that were dropped.
    pub dropped_exemplars: u64,
    /// Records that were damaged.
    pub damaged: u64,
}

/// The part of the log that is still needed.
pub struct Keep<'a> {
    /// Whether the record of a series is needed: the series is alive, or a later segment refers to it.
    pub series: &'a dyn Fn(LogRef) -> bool,
    /// Samples before this time are in blocks.
    pub min_time: i64,
    /// Deleted ranges that end before this time are no longer needed.
    pub deleted_from: i64,
}

/// Size at which copied records are written.
const BATCH_BYTES: usize = 1 << 20;

/// Creates a checkpoint of all segments up to `last`.
pub fn checkpoint(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    last: u32,
    options: WriterOptions,
    keep: &Keep<'_>,
) -> io::Result<CheckpointStats> {
    write_checkpoint(disk, dir, last, options, |writer| {
        let mut copy = CheckpointCopy {
            writer,
            keep,
            batch: Vec::new(),
            batch_bytes: 0,
            metadata: SeriesMetadata::default(),
            stats: CheckpointStats::default(),
        };
        let mut first = 0;
        if let Some(previous) = list_checkpoints(&**disk, dir)?.into_iter().rfind(|number| *number < last) {
            let directory = checkpoint_path(dir, previous);
            for segment in list_segments(&**disk, &directory)? {
                copy.segment(&**disk, &directory, segment.number)?;
            }
            first = previous + 1;
        }
        for segment in list_segments(&**disk, dir)? {
            if (first..=last).contains(&segment.number) {
                copy.segment(&**disk, dir, segment.number)?;
            }
        }
        copy.finish()
    })
}

/// Makes a checkpoint in place of all segments up to `last` that holds what `fill` writes.
pub fn write_checkpoint<T>(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    last: u32,
    options: WriterOptions,
    fill: impl FnOnce(&mut Writer) -> io::Result<T>,
) -> io::Result<T> {
    let target = checkpoint_path(dir, last);
    let mut temporary = target.clone().into_os_string();
    temporary.push(TEMPORARY_SUFFIX);
    let temporary = Path::new(&temporary);
    if disk.stat(temporary)?.is_some() {
        disk.remove_dir_all(temporary)?;
    }
    let mut writer = Writer::open(disk.clone(), temporary.to_path_buf(), options)?;
    let filled = fill(&mut writer)?;
    writer.sync()?;
    disk.sync_dir(temporary)?;
    if disk.stat(&target)?.is_some() {
        disk.remove_dir_all(&target)?;
    }
    disk.rename(temporary, &target)?;
    disk.sync_dir(dir)?;
    Ok(filled)
}

/// Removes segments up to `last`.
pub fn remove_segments(disk: &dyn Disk, dir: &Path, last: u32) -> io::Result<()> {
    for segment in list_segments(disk, dir)?.iter().filter(|segment| segment.number <= last) {
        disk.remove_file(&segment_path(dir, segment.number))?;
    }
    Ok(())
}

/// Removes checkpoints before the one of `last`.
pub fn remove_checkpoints(disk: &dyn Disk, dir: &Path, last: u32) -> io::Result<()> {
    for number in list_checkpoints(disk, dir)?.into_iter().filter(|number| *number < last) {
        disk.remove_dir_all(&checkpoint_path(dir, number))?;
    }
    Ok(())
}

/// Copies what is to be kept.
struct CheckpointCopy<'a> {
    writer: &'a mut Writer,
    keep: &'a Keep<'a>,
    batch: Vec<Vec<u8>>,
    batch_bytes: usize,
    /// Only the newest metadata of a series is kept.
    metadata: SeriesMetadata<LogRef>,
    stats: CheckpointStats,
}

impl CheckpointCopy<'_> {
    fn segment(&mut self, disk: &dyn Disk, dir: &Path, segment: u32) -> io::Result<()> {
        let mut reader = SegmentReader::open(disk, dir, segment)?;
        let mut records = Records::default();
        while let Some(read) = reader.next()? {
            match read.map(|record| records.decode(record)) {
                Ok(Ok(Some(kind))) => self.record(kind, &mut records)?,
                Ok(Ok(None)) => {}
                Ok(Err(_)) | Err(_) => self.stats.damaged += 1,
            }
        }
        Ok(())
    }

    fn record(&mut self, kind: RecordKind, records: &mut Records) -> io::Result<()> {
        let (keep, min) = (self.keep, self.keep.min_time);
        let mut record = Vec::new();
        match kind {
            RecordKind::Series => {
                let before = records.series.len();
                records.series.retain(|series| (keep.series)(series.series));
                self.stats.dropped_series += (before - records.series.len()) as u64;
                if !records.series.is_empty() {
                    begin_series(&mut record);
                    for series in &records.series {
                        put_series(&mut record, series.series, series.labels.iter());
                    }
                }
            }
            RecordKind::Samples | RecordKind::SamplesV2 => {
                let before = records.samples.len();
                records.samples.retain(|sample| sample.at >= min);
                self.stats.dropped_samples += (before - records.samples.len()) as u64;
                if !records.samples.is_empty() {
                    put_samples(&mut record, &records.samples, kind == RecordKind::SamplesV2);
                }
            }
            RecordKind::Tombstones => {
                let before = records.tombstones.len();
                // Without the record of its series a deletion hides nothing, nor do samples of that series come back.
                records.tombstones.retain(|tombstone| {
                    tombstone.max >= keep.deleted_from && (keep.series)(tombstone.series)
                });
                self.stats.dropped_tombstones += (before - records.tombstones.len()) as u64;
                if !records.tombstones.is_empty() {
                    put_tombstones(&mut record, &records.tombstones);
                }
            }
            RecordKind::Exemplars => {
                let before = records.exemplars.len();
                records.exemplars.retain(|logged| logged.exemplar.timestamp.millis() >= min);
                self.stats.dropped_exemplars += (before - records.exemplars.len()) as u64;
                if !records.exemplars.is_empty() {
                    put_exemplars(&mut record, &records.exemplars);
                }
            }
            RecordKind::Metadata => {
                for logged in records.metadata.iter().filter(|logged| (keep.series)(logged.series)) {
                    self.metadata.set(logged.series, &logged.metadata);
                }
            }
            RecordKind::MmapMarkers => {}
            RecordKind::Histograms
            | RecordKind::FloatHistograms
            | RecordKind::CustomHistograms
            | RecordKind::CustomFloatHistograms
            | RecordKind::HistogramsV2
            | RecordKind::FloatHistogramsV2 => return self.histograms(kind, records),
        }
        self.push(record)
    }

    fn histograms(&mut self, kind: RecordKind, records: &mut Records) -> io::Result<()> {
        let before = records.histograms.len();
        records.histograms.retain(|sample| sample.at >= self.keep.min_time);
        self.stats.dropped_samples += (before - records.histograms.len()) as u64;
        let with_starts = matches!(kind, RecordKind::HistogramsV2 | RecordKind::FloatHistogramsV2);
        let mut written = Vec::new();
        put_histograms(&records.histograms, with_starts, |write| {
            let mut record = Vec::new();
            write(&mut record);
            written.push(record);
        });
        written.into_iter().try_for_each(|record| self.push(record))
    }

    fn push(&mut self, record: Vec<u8>) -> io::Result<()> {
        if record.is_empty() {
            return Ok(());
        }
        self.batch_bytes += record.len();
        self.batch.push(record);
        if self.batch_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.log(self.batch.iter().map(Vec::as_slice))?;
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }

    fn finish(mut self) -> io::Result<CheckpointStats> {
        let metadata = std::mem::take(&mut self.metadata);
        for some in metadata.sorted().chunks(1024) {
            let mut record = Vec::new();
            put_metadata(&mut record, some.iter().copied());
            self.push(record)?;
        }
        self.flush()?;
        Ok(self.stats)
    }
}

//! Writes records to pages and pages to segments; see `format`.
//!
//! Always true: after `log` returned `Ok`, the records are in the file (not yet synced). After it failed,
//! the next call first cuts the file back to its last whole record, so a full disk leaves no torn record
//! in the middle of the log. After a sync failed, nothing that was written since the one before is believed to be on the
//! disk: the system may have dropped those pages, and would not say so again. Before anything else is logged, their records
//! are written to a new segment and synced there.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ferula_telemetry::Summary;

use super::format::{
    Compression, HEADER_BYTES, PAGE_BYTES, REPAIR_SUFFIX, SEGMENT_BYTES, TEMPORARY_SUFFIX, list_checkpoints,
    list_segments, put_fragments, segment_path,
};
use super::reader::SegmentReader;
use crate::Stopwatch;
use crate::disk::{Disk, WriteFile, create_dir_durable};

/// How the log is written.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Compression of records.
    pub compression: Compression,
    /// Maximum size of a segment; a multiple of the page size.
    pub segment_bytes: u64,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions { compression: Compression::default(), segment_bytes: SEGMENT_BYTES }
    }
}

/// Statistics over a writer's life, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriterStats {
    /// Number of write calls.
    pub page_flushes: u64,
    /// Number of full pages.
    pub completed_pages: u64,
    /// Number of segments begun after the first.
    pub segment_cuts: u64,
    /// Number of fragments.
    pub record_parts: u64,
    /// Total size of these fragments with their headers.
    pub record_part_bytes: u64,
    /// Number of bytes that compression saved.
    pub bytes_saved: u64,
    /// Times that records were written again after a failed sync.
    pub rewrites: u64,
}

/// Measures how long syncs take.
#[derive(Clone, Debug)]
pub struct SyncTimer {
    /// Measures.
    pub stopwatch: Stopwatch,
    /// Receives the measured duration.
    pub durations: Summary,
}

/// The end of a log.
pub struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: WriterOptions,
    segment: u32,
    file: Option<Box<dyn WriteFile>>,
    /// Size of the segment's file up to its last complete record.
    good_bytes: u64,
    /// Whether a write has failed: the file may be longer than `good_bytes`.
    torn: bool,
    unsynced: bool,
    /// Up to here the segment's file was synced.
    synced_bytes: u64,
    /// A sync failed: what stands in this segment from this offset on has to be written again.
    distrusted: Option<(u32, u64)>,
    encoder: zstd::bulk::Compressor<'static>,
    snappy: snap::raw::Encoder,
    /// Encoded records of one `log` call, with the end of each.
    stored: Vec<u8>,
    ends: Vec<(usize, Compression)>,
    framed: Vec<u8>,
    stats: WriterStats,
    sync_timer: Option<SyncTimer>,
    on_begin: Option<OnBegin>,
}

/// What happens to the first bytes of a segment.
#[derive(Clone, Copy, Debug)]
pub enum Beginning<'a> {
    /// They are about to be written.
    Coming(&'a [u8]),
    /// They survive a power loss.
    Synced,
}

/// Gets the number of a segment, and what happens to its first bytes.
type OnBegin = Box<dyn FnMut(u32, Beginning<'_>) + Send>;

/// Level 1: 2.7 bytes per sample at 10 ns; higher levels gain little on such records.
const ZSTD_LEVEL: i32 = 1;

impl Writer {
    /// Begins a new segment after the existing ones.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf, options: WriterOptions) -> io::Result<Self> {
        Writer::open_from(disk, dir, options, 0)
    }

    /// [`open`](Self::open), with `segment_min` as the least number of the new segment: one that was lost must not come back
    /// with other records in it.
    pub fn open_from(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        options: WriterOptions,
        segment_min: u32,
    ) -> io::Result<Self> {
        assert!(
            options.segment_bytes >= PAGE_BYTES as u64
                && options.segment_bytes.is_multiple_of(PAGE_BYTES as u64),
            "a segment consists of whole pages"
        );
        create_dir_durable(&*disk, &dir)?;
        // Also after any checkpoint: the next start would skip a segment with a lower number.
        let segment = list_segments(&*disk, &dir)?.last().map(|last| last.number);
        let checkpoint = list_checkpoints(&*disk, &dir)?.last().copied();
        let next = segment.max(checkpoint).map_or(0, |last| last + 1).max(segment_min);
        let mut writer = Writer {
            disk,
            dir,
            options,
            segment: next,
            file: None,
            good_bytes: 0,
            torn: false,
            unsynced: false,
            synced_bytes: 0,
            distrusted: None,
            encoder: zstd::bulk::Compressor::new(ZSTD_LEVEL)?,
            snappy: snap::raw::Encoder::new(),
            stored: Vec::new(),
            ends: Vec::new(),
            framed: Vec::new(),
            stats: WriterStats::default(),
            sync_timer: None,
            on_begin: None,
        };
        writer.create_segment()?;
        Ok(writer)
    }

    /// Measures every sync from now on.
    pub fn time_syncs(&mut self, timer: SyncTimer) {
        self.sync_timer = Some(timer);
    }

    /// Calls `told` before the first bytes of every segment from now on are written, again when that fails, and when they were
    /// synced.
    pub fn on_begin(&mut self, told: impl FnMut(u32, Beginning<'_>) + Send + 'static) {
        self.on_begin = Some(Box::new(told));
    }

    /// Segment and offset of the next record, which follows the last complete one.
    pub fn position(&self) -> (u32, u64) {
        (self.segment, self.good_bytes)
    }

    /// Number of the current segment.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// How records are compressed.
    pub fn compression(&self) -> Compression {
        self.options.compression
    }

    /// Statistics of what has been written.
    pub fn stats(&self) -> WriterStats {
        self.stats
    }

    /// Directory of the log.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    /// Writes the records. Afterwards either all of them are in the log, or the call has failed and none are
    /// in it, unless they exceed the size of a segment.
    pub fn log<'a>(&mut self, records: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        self.stored.clear();
        self.ends.clear();
        for record in records {
            self.store(record)?;
        }
        self.recover()?;
        if self.framed_bytes_max(self.stored.len(), self.ends.len()) > self.segment_left() {
            self.next_segment()?;
        }
        let (stored, ends) = (std::mem::take(&mut self.stored), std::mem::take(&mut self.ends));
        let done = self.write_records(&stored, &ends);
        (self.stored, self.ends) = (stored, ends);
        done
    }

    /// Begins a new segment, so that earlier ones can be put into a checkpoint.
    pub fn next_segment(&mut self) -> io::Result<()> {
        self.recover()?;
        if self.file.is_some() {
            let padding = (PAGE_BYTES - self.page_used()) % PAGE_BYTES;
            self.framed.clear();
            self.framed.resize(padding, 0);
            self.flush()?;
            self.sync_file()?;
            self.file = None;
        }
        self.segment += 1;
        if let Err(error) = self.create_segment() {
            self.segment -= 1;
            self.file = None;
            return Err(error);
        }
        self.stats.segment_cuts += 1;
        Ok(())
    }

    /// Makes what was written survive a power loss. Nothing is done when nothing is new.
    ///
    /// # Errors
    /// The disk refused. What was written since the last sync is written again at the next call of any kind.
    pub fn sync(&mut self) -> io::Result<()> {
        self.write_again()?;
        self.sync_file()
    }

    fn sync_file(&mut self) -> io::Result<()> {
        let (true, Some(file)) = (self.unsynced, &mut self.file) else { return Ok(()) };
        let synced = match &self.sync_timer {
            Some(timer) => {
                let (synced, took) = timer.stopwatch.time(|| file.sync_data());
                timer.durations.observe_duration(took);
                synced
            }
            None => file.sync_data(),
        };
        if let Err(error) = synced {
            self.distrusted.get_or_insert((self.segment, self.synced_bytes));
            return Err(error);
        }
        if let (0, Some(told)) = (self.synced_bytes, &mut self.on_begin) {
            told(self.segment, Beginning::Synced);
        }
        self.synced_bytes = self.good_bytes;
        self.unsynced = false;
        Ok(())
    }

    /// After a failed sync: writes the records that it was about to a new segment, and syncs that. A copy that fails is removed;
    /// the records can still be read where they are.
    fn write_again(&mut self) -> io::Result<()> {
        let Some((segment, from)) = self.distrusted else { return Ok(()) };
        let before = (self.segment, self.good_bytes);
        self.file = None;
        self.torn = false;
        let copied = self.copy_records(segment, from, before);
        if copied.is_err() {
            self.file = None;
            // What is left of it is passed over by a start, which has these records already. A segment that has its name stays:
            // one that was begun and is missing would count as lost.
            let _ = self.disk.remove_file(&self.unfinished_copy());
            let copy = segment_path(&self.dir, self.segment);
            let _ = self.disk.append(&copy).and_then(|mut file| file.set_len(0));
            (self.segment, self.good_bytes) = before;
            return copied;
        }
        self.distrusted = None;
        self.stats.rewrites += 1;
        // What has a copy must not be found half there after a power loss. If this fails, the next start cuts it off.
        if let Ok(mut file) = self.disk.append(&segment_path(&self.dir, segment)) {
            let _ = file.set_len(from).and_then(|()| file.sync_data());
        }
        for number in segment + 1..=before.0 {
            if let Ok(mut file) = self.disk.append(&segment_path(&self.dir, number)) {
                let _ = file.set_len(0).and_then(|()| file.sync_data());
            }
        }
        Ok(())
    }

    /// Copies the records from `from` in `segment` up to `end` to a new segment, which becomes the current one. It gets its name
    /// when it has all of them: in half a copy Prometheus would find records of series without the samples behind them, and
    /// forget those that it has read before.
    fn copy_records(&mut self, segment: u32, from: u64, end: (u32, u64)) -> io::Result<()> {
        self.segment = end.0 + 1;
        let unfinished = self.unfinished_copy();
        self.file = Some(self.disk.create(&unfinished)?);
        (self.good_bytes, self.synced_bytes) = (0, 0);
        let told = self.on_begin.take();
        let copied = self.copy_to_current_file(segment, from, end);
        self.on_begin = told;
        let first = copied?;
        self.disk.rename(&unfinished, &segment_path(&self.dir, self.segment))?;
        self.disk.sync_dir(&self.dir)?;
        if let Some(told) = self.on_begin.as_mut().filter(|_| !first.is_empty()) {
            told(self.segment, Beginning::Coming(&first));
            told(self.segment, Beginning::Synced);
        }
        Ok(())
    }

    fn unfinished_copy(&self) -> PathBuf {
        self.dir.join(format!("{:08}{REPAIR_SUFFIX}{TEMPORARY_SUFFIX}", self.segment))
    }

    /// Returns the first bytes that were written.
    fn copy_to_current_file(&mut self, segment: u32, from: u64, end: (u32, u64)) -> io::Result<Vec<u8>> {
        let mut first = Vec::new();
        for number in segment..=end.0 {
            let mut reader = SegmentReader::open(&*self.disk, &self.dir, number)?;
            if number == segment {
                reader.seek(from);
            }
            while number < end.0 || reader.good_end() < end.1 {
                let Some(read) = reader.next()? else { break };
                let record = read.map_err(io::Error::other)?.to_vec();
                self.framed.clear();
                self.frame(&record, Compression::None);
                if first.is_empty() {
                    first.clone_from(&self.framed);
                }
                self.flush()?;
            }
            if number == end.0 && reader.good_end() < end.1 {
                return Err(io::Error::other("records that were written are not in the log any more"));
            }
        }
        self.framed.clear();
        self.unsynced = true;
        self.sync_file()?;
        Ok(first)
    }

    /// Whether something was written since the last sync.
    pub fn has_unsynced(&self) -> bool {
        self.unsynced
    }

    fn store(&mut self, record: &[u8]) -> io::Result<()> {
        let start = self.stored.len();
        let room = match self.options.compression {
            Compression::None => 0,
            Compression::Snappy => snap::raw::max_compress_len(record.len()),
            Compression::Zstd => zstd::zstd_safe::compress_bound(record.len()),
        };
        self.stored.resize(start + room, 0);
        let used = match self.options.compression {
            Compression::None => 0,
            Compression::Snappy => {
                self.snappy.compress(record, &mut self.stored[start..]).map_err(io::Error::other)?
            }
            Compression::Zstd => self.encoder.compress_to_buffer(record, &mut self.stored[start..])?,
        };
        let mut compression = self.options.compression;
        if compression == Compression::None || used >= record.len() {
            self.stored.truncate(start);
            self.stored.extend_from_slice(record);
            compression = Compression::None;
        } else {
            self.stored.truncate(start + used);
            self.stats.bytes_saved += (record.len() - used) as u64;
        }
        self.ends.push((self.stored.len(), compression));
        Ok(())
    }

    /// Upper bound on the size of the records including headers and gaps at page ends.
    fn framed_bytes_max(&self, bytes: usize, records: usize) -> u64 {
        let fragments = bytes / (PAGE_BYTES - HEADER_BYTES) + 2 * records + 1;
        (bytes + fragments * 2 * HEADER_BYTES) as u64
    }

    fn segment_left(&self) -> u64 {
        if self.file.is_none() { 0 } else { self.options.segment_bytes.saturating_sub(self.good_bytes) }
    }

    fn page_used(&self) -> usize {
        (self.good_bytes % PAGE_BYTES as u64) as usize
    }

    fn write_records(&mut self, stored: &[u8], ends: &[(usize, Compression)]) -> io::Result<()> {
        self.framed.clear();
        let mut start = 0;
        for (end, compression) in ends {
            let record = &stored[start..*end];
            start = *end;
            let used = self.good_bytes + self.framed.len() as u64;
            let empty = used == 0;
            if used + self.framed_bytes_max(record.len(), 1) > self.options.segment_bytes && !empty {
                self.flush()?;
                self.next_segment()?;
                self.framed.clear();
            }
            self.frame(record, *compression);
        }
        self.flush()?;
        if self.synced_bytes == 0 && self.on_begin.is_some() {
            // The listener knows from the first commit on that the segment must be there. A failure is made good by
            // the next call, like that of any sync.
            let _ = self.sync_file();
        }
        Ok(())
    }

    fn frame(&mut self, record: &[u8], compression: Compression) {
        let before = self.framed.len();
        let used = (self.page_used() + before) % PAGE_BYTES;
        self.stats.record_parts += put_fragments(&mut self.framed, used, record, compression);
        self.stats.record_part_bytes += (self.framed.len() - before) as u64;
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.framed.is_empty() {
            return Ok(());
        }
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("the log has no open segment"))?;
        if let (0, Some(told)) = (self.good_bytes, &mut self.on_begin) {
            told(self.segment, Beginning::Coming(&self.framed));
        }
        self.torn = true;
        file.write_all(&self.framed)?;
        self.torn = false;
        let pages = |bytes: u64| bytes / PAGE_BYTES as u64;
        self.stats.page_flushes += 1;
        self.stats.completed_pages +=
            pages(self.good_bytes + self.framed.len() as u64) - pages(self.good_bytes);
        self.good_bytes += self.framed.len() as u64;
        self.unsynced = true;
        self.framed.clear();
        Ok(())
    }

    /// After a failed write: truncates the file to its last complete record, or begins the segment that could
    /// not be begun.
    fn recover(&mut self) -> io::Result<()> {
        self.write_again()?;
        if self.torn {
            if let Some(file) = &mut self.file {
                file.set_len(self.good_bytes)?;
            }
            self.torn = false;
        }
        if self.file.is_none() {
            self.segment += 1;
            if let Err(error) = self.create_segment() {
                self.segment -= 1;
                return Err(error);
            }
            self.stats.segment_cuts += 1;
        }
        Ok(())
    }

    fn create_segment(&mut self) -> io::Result<()> {
        let file = self.disk.create(&segment_path(&self.dir, self.segment))?;
        self.disk.sync_dir(&self.dir)?;
        self.file = Some(file);
        (self.good_bytes, self.synced_bytes) = (0, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

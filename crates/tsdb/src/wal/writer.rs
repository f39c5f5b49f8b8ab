//! Writes records to pages and pages to segments; see `format`.
//!
//! Always true: when `log` has returned `Ok`, the records are in the file (but not yet synced). After an
//! error, the next call first truncates the file to its last complete record, so a full disk leaves no torn
//! record in the middle of the log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ferula_telemetry::Summary;

use super::format::{
    Compression, HEADER_BYTES, PAGE_BYTES, SEGMENT_BYTES, list_checkpoints, list_segments, put_fragments,
    segment_path,
};
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

/// Receives the number and first bytes of a segment.
type OnBegin = Box<dyn FnMut(u32, &[u8]) + Send>;

/// Level 1: 2.7 bytes per sample at 10 ns; higher levels gain little on such records.
const ZSTD_LEVEL: i32 = 1;

impl Writer {
    /// Begins a new segment after the existing ones.
    pub fn open(disk: Arc<dyn Disk>, dir: PathBuf, options: WriterOptions) -> io::Result<Self> {
        assert!(
            options.segment_bytes >= PAGE_BYTES as u64
                && options.segment_bytes.is_multiple_of(PAGE_BYTES as u64),
            "a segment consists of whole pages"
        );
        create_dir_durable(&*disk, &dir)?;
        // Also after any checkpoint: the next start would skip a segment with a lower number.
        let segment = list_segments(&*disk, &dir)?.last().map(|last| last.number);
        let checkpoint = list_checkpoints(&*disk, &dir)?.last().copied();
        let next = segment.max(checkpoint).map_or(0, |last| last + 1);
        let mut writer = Writer {
            disk,
            dir,
            options,
            segment: next,
            file: None,
            good_bytes: 0,
            torn: false,
            unsynced: false,
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

    /// Calls `told` with the first bytes of every new segment before they are written, and again if that
    /// fails.
    pub fn on_begin(&mut self, told: impl FnMut(u32, &[u8]) + Send + 'static) {
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
            self.sync()?;
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

    /// Makes written data survive a power loss. Does nothing if nothing is new.
    pub fn sync(&mut self) -> io::Result<()> {
        if let (true, Some(file)) = (self.unsynced, &mut self.file) {
            match &self.sync_timer {
                Some(timer) => {
                    let (synced, took) = timer.stopwatch.time(|| file.sync_data());
                    timer.durations.observe_duration(took);
                    synced?;
                }
                None => file.sync_data()?,
            }
            self.unsynced = false;
        }
        Ok(())
    }

    /// Whether anything was written since the last sync.
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
        self.flush()
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
            told(self.segment, &self.framed);
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
        self.good_bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Taking a savepoint while commits go on.
//!
//! 1. Note place P of the log, and wait for the commits that began before: all that stands before P is in the head then.
//! 2. Copy exemplars, then series, some hundred at a time under their locks. What is newer than P may come along.
//! 3. Write records of series that wait in the queue of the log, and sync the log: nothing in the copy is missing there.
//!    Sync the chunks that the copy names.
//! 4. Sync the file and give it its name, in place of the savepoint before.
//!
//! Truncation and deletion wait meanwhile, so no slot gets another series, and no checkpoint is made in between.

use std::io;
use std::path::Path;

use super::format::{
    ExtraRef, Kind, Origin, SavedSeries, SeriesEncoder, end_body, put_departed, put_exemplar, put_extra_ref,
    put_frame, put_header,
};
use super::{SAVEPOINT_DIR, load, state_path};
use crate::db::{Db, WAL_DIR};
use crate::disk::{Disk, WriteFile, create_dir_durable, unfinished};
use crate::head::{Head, SlotId};
use crate::maintain::Pending;
use crate::wal::format::{list_checkpoints, segment_path};

/// What a savepoint took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// How many series there are in it.
    pub series: u64,
    /// How long it is.
    pub bytes: u64,
    /// Place in the log, from which a start reads on: segment and offset.
    pub place: (u32, u64),
}

/// What decides whether a savepoint still says everything: the place in the log, and the newest checkpoint.
pub(crate) type Moment = ((u32, u64), Option<u32>);

/// Frames are closed at this size.
const FRAME_BYTES: usize = 1 << 20;
/// Series that are copied while the index is locked: less than a tenth of a millisecond.
const SERIES_AT_ONCE: usize = 128;

impl Db {
    /// Writes a savepoint in place of the one before: after a kill the log is read from here on only. `None` when there
    /// is nothing new since the last one, when savepoints are not wanted, or when maintenance is under way.
    ///
    /// # Errors
    /// When the disk refuses. The savepoint before stays; nothing else is touched.
    pub fn savepoint(&self) -> io::Result<Option<Saved>> {
        match self.pending.try_lock() {
            Some(mut pending) => self.take_savepoint(&mut pending),
            None => Ok(None),
        }
    }

    /// [`savepoint`](Self::savepoint) for who has the database's maintenance to himself.
    pub(crate) fn take_savepoint(&self, pending: &mut Pending) -> io::Result<Option<Saved>> {
        if !self.options.savepoints {
            return Ok(None);
        }
        let checkpoint = list_checkpoints(&*self.disk, &self.dir.join(WAL_DIR))?.last().copied();
        let moment = (self.head.log.position(), checkpoint);
        if pending.saved == Some(moment) {
            return Ok(None);
        }
        let dir = self.dir.join(SAVEPOINT_DIR);
        let unfinished = unfinished(&state_path(&dir));
        let (written, took) = self.options.stopwatch.time(|| self.write_savepoint(&dir, &unfinished, moment));
        match &written {
            Ok(saved) => {
                pending.saved = Some(moment);
                self.maintenance.savepoint.taken(saved.bytes, took);
            }
            Err(_) => {
                self.maintenance.savepoint.failed.inc();
                // A full disk gets its room back; the next one empties the file anyway.
                let _ = self.disk.remove_file(&unfinished);
            }
        }
        written.map(Some)
    }

    fn write_savepoint(
        &self,
        dir: &Path,
        unfinished: &Path,
        (place, checkpoint): Moment,
    ) -> io::Result<Saved> {
        let head = &*self.head;
        let next_ref = head.next_ref.load(std::sync::atomic::Ordering::SeqCst);
        head.flights.land();
        let exemplars = head.exemplars.lock().in_order();
        let (segment, offset) = place;
        let segment_path = segment_path(&self.dir.join(WAL_DIR), segment);
        let (before_bytes, before_crc) = load::before(&*self.disk, &segment_path, offset)?;
        let rules = head.rules.now();
        let origin = Origin {
            chunk_range: rules.range,
            samples_per_chunk: rules.samples,
            start_timestamps: rules.start_timestamps,
            histogram_starts: rules.histogram_starts,
            segment,
            offset,
            before_bytes,
            before_crc,
            checkpoint,
            next_ref,
        };
        create_dir_durable(&*self.disk, dir)?;
        let mut out = FrameWriter::create(&*self.disk, unfinished)?;
        out.frame(Kind::Begin, &origin.encode())?;
        out.frame(Kind::ExtraRefs, &extra_refs(head))?;
        out.frame(Kind::Departed, &departed(head))?;
        let series = out.series(head)?;
        out.exemplars(&exemplars)?;
        head.log.flush().map_err(|error| io::Error::other(error.to_string()))?;
        head.chunks.sync()?;
        let bytes = out.finish()?;
        self.disk.rename(unfinished, &state_path(dir))?;
        self.disk.sync_dir(dir)?;
        Ok(Saved { series, bytes, place })
    }
}

fn extra_refs(head: &Head) -> Vec<u8> {
    let mut body = Vec::new();
    for (log_ref, extra) in &*head.extra_refs.lock() {
        put_extra_ref(&mut body, &ExtraRef { log_ref: *log_ref, first: extra.first, newest: extra.newest });
    }
    body
}

fn departed(head: &Head) -> Vec<u8> {
    let mut body = Vec::new();
    head.departed.lock().iter().for_each(|(hash, end)| put_departed(&mut body, hash, end));
    body
}

/// A file that gets frame after frame.
struct FrameWriter {
    file: Box<dyn WriteFile>,
    frames: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl FrameWriter {
    fn create(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let mut out = FrameWriter { file: disk.create(path)?, frames: 0, bytes: 0, buffer: Vec::new() };
        put_header(&mut out.buffer);
        out.write()?;
        Ok(out)
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn frame(&mut self, kind: Kind, body: &[u8]) -> io::Result<()> {
        put_frame(&mut self.buffer, kind, body);
        self.frames += 1;
        self.write()
    }

    /// Copies all series; says how many there are.
    fn series(&mut self, head: &Head) -> io::Result<u64> {
        let (end, mut count) = (head.slots.end(), 0);
        let mut encoder = SeriesEncoder::default();
        for first in (0..end).step_by(SERIES_AT_ONCE) {
            count += copy_series(head, first..end.min(first + SERIES_AT_ONCE as SlotId), &mut encoder);
            if encoder.body.len() >= FRAME_BYTES {
                self.frame(Kind::Series, &std::mem::take(&mut encoder).body)?;
            }
        }
        self.frame(Kind::Series, &encoder.body)?;
        Ok(count)
    }

    fn exemplars(
        &mut self,
        exemplars: &[(ferula_model::LabelSet, ferula_model::Exemplar)],
    ) -> io::Result<()> {
        let mut body = Vec::new();
        for (series, exemplar) in exemplars {
            put_exemplar(&mut body, series, exemplar);
            if body.len() >= FRAME_BYTES {
                self.frame(Kind::Exemplars, &body)?;
                body.clear();
            }
        }
        self.frame(Kind::Exemplars, &body)
    }

    /// Ends and syncs the file; says how long it is.
    fn finish(mut self) -> io::Result<u64> {
        let body = end_body(self.frames, self.bytes);
        put_frame(&mut self.buffer, Kind::End, &body);
        self.write()?;
        self.file.sync_data()?;
        Ok(self.bytes)
    }
}

/// Copies the living series in `slots`; says how many there were.
fn copy_series(head: &Head, slots: std::ops::Range<SlotId>, encoder: &mut SeriesEncoder) -> u64 {
    let (mut count, mut data) = (0, Vec::new());
    let index = head.index();
    let (deleted, metadata) = (head.all_deleted(), head.metadata.lock());
    for slot in slots {
        let series = head.slots.lock(slot);
        if !series.alive {
            continue;
        }
        let open = series.save_open(&mut data);
        let full = series.full_chunks().map(|(_, chunk)| (chunk.place.number(), chunk.max())).collect();
        let log_ref = series.log_ref;
        drop(series);
        let saved = SavedSeries {
            log_ref,
            full,
            open: open.map(|open| (open, &data[..])),
            metadata: metadata.shared(slot),
            deleted: deleted.get(&slot).cloned().unwrap_or_default(),
        };
        encoder.put(index.labels(slot), &saved);
        count += 1;
    }
    count
}

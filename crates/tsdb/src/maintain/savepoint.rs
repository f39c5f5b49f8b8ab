//! Takes a savepoint while commits continue.
//!
//! 1. Record the position P of the log, and wait for earlier commits: then everything before P is in the
//!    head.
//! 2. Copy exemplars, then series, some hundred at a time under their locks. Changes after P may be included.
//! 3. Write the records of series that wait in the queue of the log, and sync the log: it then contains
//!    everything in the copy. Sync the chunks to which the copy refers.
//! 4. Sync the file and rename it to replace the previous savepoint.
//!
//! Truncation and deletion wait meanwhile, so no slot of a series with samples is reused, and no checkpoint
//! is made in between. A series whose samples were all refused may leave its slot and return in another; it
//! is then copied twice, the first time without samples.

use std::io;
use std::path::Path;

use super::pending::Pending;
use crate::db::Db;
use crate::disk::{Disk, WriteFile, create_dir_durable, unfinished};
use crate::head::Head;
use crate::options::WAL_DIR;
use crate::savepoint::format::{
    FrameKind, Origin, SeriesEncoder, end_body, put_departed, put_exemplar, put_extra_ref, put_frame,
    put_header,
};
use crate::savepoint::{SAVEPOINT_DIR, Saved, SavedAt, before, state_path};
use crate::wal::format::{list_checkpoints, segment_path};

/// Size at which frames are closed.
const FRAME_BYTES: usize = 1 << 20;

impl Db {
    /// Writes a savepoint that replaces the previous one: after a kill, the log is read only from here on.
    /// `None` if nothing has changed since the last one, if savepoints are disabled, or if maintenance is
    /// running.
    ///
    /// # Errors
    /// The disk failed. The previous savepoint stays, and nothing else is affected.
    pub fn savepoint(&self) -> io::Result<Option<Saved>> {
        match self.pending.try_lock() {
            Some(mut pending) => self.take_savepoint(&mut pending),
            None => Ok(None),
        }
    }

    /// [`savepoint`](Self::savepoint) for a caller that holds the maintenance lock.
    pub(crate) fn take_savepoint(&self, pending: &mut Pending) -> io::Result<Option<Saved>> {
        if !self.options.savepoints {
            return Ok(None);
        }
        let checkpoint = list_checkpoints(&*self.disk, &self.dir.join(WAL_DIR))?.last().copied();
        // After a failed sync the log may have to move to another segment, which ends the place that is noted here.
        self.head.sync()?;
        let at = SavedAt { place: self.head.log_position(), checkpoint };
        if pending.saved == Some(at) {
            return Ok(None);
        }
        let dir = self.dir.join(SAVEPOINT_DIR);
        let unfinished = unfinished(&state_path(&dir));
        let (written, took) = self.options.stopwatch.time(|| self.write_savepoint(&dir, &unfinished, at));
        match &written {
            Ok(saved) => {
                pending.saved = Some(at);
                self.maintenance.savepoint.taken(saved.bytes, took);
            }
            Err(_) => {
                self.maintenance.savepoint.failed.inc();
                // Frees the space on a full disk; the next savepoint truncates the file anyway.
                let _ = self.disk.remove_file(&unfinished);
            }
        }
        written.map(Some)
    }

    fn write_savepoint(
        &self,
        dir: &Path,
        unfinished: &Path,
        SavedAt { place, checkpoint }: SavedAt,
    ) -> io::Result<Saved> {
        let head = &*self.head;
        let next_ref = head.next_ref();
        let rewrites = head.log().stats().rewrites;
        head.land();
        let exemplars = head.exemplars_in_order();
        let (segment, offset) = place;
        let segment_path = segment_path(&self.dir.join(WAL_DIR), segment);
        let (before_bytes, before_crc) = before(&*self.disk, &segment_path, offset)?;
        let rules = head.chunk_rules();
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
        out.frame(FrameKind::Begin, &origin.encode())?;
        out.frame(FrameKind::ExtraRefs, &extra_refs(head))?;
        out.frame(FrameKind::Departed, &departed(head))?;
        let series = out.series(head)?;
        out.exemplars(&exemplars)?;
        head.flush_log()?;
        if head.log().stats().rewrites != rewrites {
            return Err(io::Error::other("a sync of the log failed meanwhile, and its records moved"));
        }
        head.sync_chunks()?;
        let bytes = out.finish()?;
        self.disk.rename(unfinished, &state_path(dir))?;
        self.disk.sync_dir(dir)?;
        Ok(Saved { series, bytes, place })
    }
}

fn extra_refs(head: &Head) -> Vec<u8> {
    let mut body = Vec::new();
    head.extra_refs().iter().for_each(|(log_ref, extra)| put_extra_ref(&mut body, *log_ref, extra));
    body
}

fn departed(head: &Head) -> Vec<u8> {
    let mut body = Vec::new();
    head.departed_ends().into_iter().for_each(|(hash, end)| put_departed(&mut body, hash, end));
    body
}

/// A file that is written frame by frame.
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

    fn frame(&mut self, kind: FrameKind, body: &[u8]) -> io::Result<()> {
        put_frame(&mut self.buffer, kind, body);
        self.frames += 1;
        self.write()
    }

    /// Copies all series; returns their number.
    fn series(&mut self, head: &Head) -> io::Result<u64> {
        let mut copied = (SeriesEncoder::default(), 0);
        head.copy_series(
            &mut copied,
            |(encoder, count), labels, series| {
                encoder.put(labels, &series);
                *count += 1;
            },
            |(encoder, _)| {
                if encoder.body.len() < FRAME_BYTES {
                    return Ok(());
                }
                self.frame(FrameKind::Series, &std::mem::take(encoder).body)
            },
        )?;
        let (encoder, count) = copied;
        self.frame(FrameKind::Series, &encoder.body)?;
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
                self.frame(FrameKind::Exemplars, &body)?;
                body.clear();
            }
        }
        self.frame(FrameKind::Exemplars, &body)
    }

    /// Ends and syncs the file; returns its length.
    fn finish(mut self) -> io::Result<u64> {
        let body = end_body(self.frames, self.bytes);
        put_frame(&mut self.buffer, FrameKind::End, &body);
        self.write()?;
        self.file.sync_data()?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ferula_model::{LabelSet, Timestamp};
    use ferula_storage::{Appendable, Durability, SampleBatch};

    use super::*;
    use crate::Options;
    use crate::head::{Reopened, SeriesCopy};
    use crate::ids::LogRef;

    fn labels(n: usize) -> LabelSet {
        LabelSet::from_pairs([("n", n.to_string())])
    }

    /// A series of a savepoint, with its own copy of labels and open chunk.
    struct CopiedSeries {
        labels: LabelSet,
        log_ref: LogRef,
        open: Option<(Reopened, Vec<u8>)>,
    }

    #[test]
    fn a_series_that_is_removed_and_created_again_meanwhile_is_restored_once() {
        let db = Db::in_memory(Options::default()).expect("opened");
        let now = 36_000_000;
        let commit = |db: &Db, n: usize, at: i64| {
            let mut appender = db.appender();
            let mut batch = SampleBatch::default();
            batch.push_float(
                appender.resolve(&labels(n)).expect("resolved"),
                Timestamp::from_millis(at),
                1.0,
            );
            appender.append(&mut batch);
            appender.commit(Durability::Written).expect("written");
        };
        // Series 200 has the first slot, loses it to series 201 after the first batch of the copy, and gets
        // the last one.
        let mut first = Some(db.appender());
        first.as_mut().map(|appender| appender.resolve(&labels(200)).expect("resolved"));
        (0..200).for_each(|n| commit(&db, n, now));
        let mut last = Some(db.appender());
        last.as_mut().map(|appender| appender.resolve(&labels(300)).expect("resolved"));
        let mut copied: Vec<CopiedSeries> = Vec::new();
        db.head
            .copy_series(
                &mut copied,
                |copied, labels, series| {
                    copied.push(CopiedSeries {
                        labels: LabelSet::from_sorted(labels),
                        log_ref: series.log_ref,
                        open: series.open.map(|(open, data)| (open, data.to_vec())),
                    });
                },
                |_| {
                    if let Some(appender) = first.take() {
                        drop(appender);
                        commit(&db, 201, now);
                        drop(last.take());
                        commit(&db, 200, now);
                    }
                    Ok::<(), ()>(())
                },
            )
            .expect("copied");
        assert_eq!(copied.iter().filter(|series| series.labels == labels(200)).count(), 2);
        let mut again = Db::in_memory(Options::default()).expect("opened");
        let mut replay = Arc::get_mut(&mut again.head).expect("nobody else has it").replay(Vec::new());
        for series in &copied {
            let pairs: Vec<(&str, &str)> = series.labels.iter().collect();
            let open = series.open.as_ref().map(|(open, data)| (open.clone(), &data[..]));
            let copy = SeriesCopy { log_ref: series.log_ref, open, ..SeriesCopy::default() };
            replay.saved_series(&pairs, copy).expect("taken");
        }
        replay.finish().expect("finished");
        // The copy has series 200 to 0 with their samples; 201 got a slot that had already been copied.
        assert_eq!(again.head.series_count(), 201);
        assert_eq!(again.head.chunks_of(&labels(200)), [(Timestamp::from_millis(now), 1)]);
    }
}

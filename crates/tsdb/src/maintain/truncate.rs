//! Removes what is in a new block, once no snapshot reads it in the head: chunks and series in memory, files
//! of `chunks_head`, segments of the log.

use std::io;

use ferula_model::Timestamp;

use super::Maintained;
use super::pending::{Pending, Truncation};
use crate::db::Db;
use crate::options::WAL_DIR;
use crate::series_state;
use crate::wal::checkpoint::{Keep, checkpoint, remove_checkpoints, remove_segments};
use crate::wal::format::{Segment, list_segments};

impl Db {
    /// Truncates the head and the corresponding files.
    pub(super) fn truncate_head(
        &self,
        truncation: &Truncation,
        pending: &mut Pending,
        done: &mut Maintained,
    ) {
        let to = truncation.to;
        let (truncated, took) = self.options.stopwatch.time(|| self.head.truncate(to));
        self.maintenance.head_gc_duration.observe_duration(took);
        self.maintenance.head_truncations.inc();
        done.removed_series += truncated.series;
        done.truncated_to = Some(Timestamp::from_millis(to));
        pending.chunk_files_read.take_if(|moment| self.head.is_past(*moment));
        let chunk_files = match pending.chunk_files_read {
            None => self.head.remove_unused_chunk_files(),
            // The next truncation removes them.
            Some(_) => Ok(()),
        };
        match chunk_files {
            Ok(()) => {
                if let Err(error) = self.truncate_log(to, done) {
                    done.errors.push(format!("truncating the log: {error}"));
                }
            }
            Err(error) => {
                self.maintenance.head_truncations_failed.inc();
                done.errors.push(format!("truncating the head's chunk files: {error}"));
            }
        }
    }

    /// The newest segment that may be removed although readers of the log need everything from `held` on:
    /// either no reader needs it, or the log would otherwise exceed its limit.
    fn last_not_held(&self, segments: &[Segment], held: u32) -> u32 {
        let (mut last, mut bytes) = (held.saturating_sub(1), 0u64);
        for segment in segments.iter().rev() {
            bytes += segment.bytes;
            if bytes > self.options.log_held_bytes_max {
                last = last.max(segment.number);
                break;
            }
        }
        last
    }

    /// Writes two thirds of the log to a checkpoint and removes them.
    fn truncate_log(&self, min: i64, done: &mut Maintained) -> io::Result<()> {
        let start = self.options.stopwatch.elapsed();
        let wal = self.dir.join(WAL_DIR);
        self.head.cut_log()?;
        let segments = list_segments(&*self.disk, &wal)?;
        let [first, .., last] = segments.as_slice() else { return Ok(()) };
        // The current segment is never removed.
        let Some(last) = last.number.checked_sub(1) else { return Ok(()) };
        let last = first.number + last.saturating_sub(first.number) * 2 / 3;
        let (last, keeps_ended) = match self.held.get() {
            Some((held, is_behind)) => (last.min(self.last_not_held(&segments, held)), is_behind),
            None => (last, false),
        };
        if last <= first.number {
            return Ok(());
        }
        let living = self.head.living_refs(min);
        let keep = Keep {
            series: &|series| keeps_ended || living.contains(&series),
            min_time: min,
            deleted_from: self.head.deleted_from(min),
        };
        self.maintenance.checkpoint_creations.inc();
        let stats = checkpoint(&self.disk, &wal, last, self.options.wal(), &keep)
            .inspect_err(|_| self.maintenance.checkpoint_creations_failed.inc())?;
        done.checkpoint = Some((last, stats));
        series_state::update(&*self.disk, &self.dir, &self.head)?;
        self.maintenance.log.truncations.inc();
        remove_segments(&*self.disk, &wal, last)
            .inspect_err(|_| self.maintenance.log.truncations_failed.inc())?;
        self.maintenance.checkpoint_deletions.inc();
        remove_checkpoints(&*self.disk, &wal, last)
            .inspect_err(|_| self.maintenance.checkpoint_deletions_failed.inc())?;
        let took = self.options.stopwatch.elapsed().saturating_sub(start);
        self.maintenance.log_truncate_duration.observe_duration(took);
        Ok(())
    }
}

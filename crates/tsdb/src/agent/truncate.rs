//! Forgetting series that get no samples any more, and the log before them.
//!
//! As in Prometheus: series are let go that have no sample since `sent - wal_time_min`, or since `now - wal_time_max` if sending
//! does not advance; two thirds of the segments are replaced by a checkpoint. Unlike there, a segment that a reader has not
//! read stays as long as it has a sample that is not older than `wal_time_max`.

use std::io;
use std::sync::atomic::Ordering;

use ferula_model::Timestamp;

use super::{AgentDb, Retired, SegmentMark};
use crate::options::WAL_DIR;
use crate::wal::checkpoint::{Keep, checkpoint, remove_checkpoints, remove_segments, write_checkpoint};
use crate::wal::format::list_segments;
use crate::wal::record::{LoggedSample, begin_series, put_samples, put_series};

/// What a truncation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TruncationReport {
    /// Series without a sample since this time are let go.
    pub min_time: Timestamp,
    /// How many were.
    pub removed_series: usize,
    /// The last segment that the checkpoint replaces, if one was written.
    pub checkpoint: Option<u32>,
}

impl AgentDb {
    /// Truncates the log. `sent` is the time of the newest sample that all destinations have.
    ///
    /// # Errors
    /// When the disk refuses. The next truncation tries again.
    pub fn truncate(&self, now: Timestamp, sent: Option<Timestamp>) -> io::Result<TruncationReport> {
        let mut marks = self.marks.lock();
        let start = self.options.stopwatch.elapsed();
        let too_old = now.millis().saturating_sub(self.options.wal_time_max_ms);
        let sent = sent.map_or(0, Timestamp::millis).saturating_sub(self.options.wal_time_min_ms).max(0);
        let min = sent.max(too_old);
        let mut done = TruncationReport {
            min_time: Timestamp::from_millis(min),
            removed_series: self.remove_series(min),
            checkpoint: None,
        };
        let wal = self.dir.join(WAL_DIR);
        let segments = list_segments(&*self.disk, &wal)?;
        let next = self.log.next_segment()?;
        let newest_ms = self.newest_ms.load(Ordering::Relaxed);
        marks.push_back(SegmentMark { segment: next.saturating_sub(1), newest_ms });
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Ok(done) };
        // The segment that is being written never goes.
        let Some(last) = last.number.checked_sub(1) else { return Ok(done) };
        let mut last = first.number + last.saturating_sub(first.number) * 2 / 3;
        if let Some((held, _)) = self.held.get()
            && held <= last
        {
            // Segments without a sample are not worth a reader's alarm.
            let is_old = |mark: &&SegmentMark| (i64::MIN + 1..too_old).contains(&mark.newest_ms);
            let old = marks.iter().filter(is_old).map(|mark| mark.segment).max();
            last = last.min(held.saturating_sub(1).max(old.unwrap_or(0)));
        }
        if last <= first.number {
            return Ok(done);
        }
        self.metrics.checkpoint_creations.inc();
        self.write_checkpoint(last, min).inspect_err(|_| self.metrics.checkpoint_creations_failed.inc())?;
        done.checkpoint = Some(last);
        self.metrics.log.truncations.inc();
        remove_segments(&*self.disk, &wal, last)
            .inspect_err(|_| self.metrics.log.truncations_failed.inc())?;
        marks.retain(|mark| mark.segment > last);
        let mut retired = self.retired.lock();
        retired.retain(|_, retired| retired.segment > last);
        self.metrics.retired_series.set(retired.len() as f64);
        drop(retired);
        self.metrics.checkpoint_deletions.inc();
        remove_checkpoints(&*self.disk, &wal, last)
            .inspect_err(|_| self.metrics.checkpoint_deletions_failed.inc())?;
        let took = self.options.stopwatch.elapsed().saturating_sub(start);
        self.metrics.truncate_duration.observe_duration(took);
        Ok(done)
    }

    /// Removes series without a sample since `min`. Their records stay in the log until no segment names them.
    fn remove_series(&self, min: i64) -> usize {
        let mut all = self.series.write();
        let removed = all.remove_before(min, self.options.checkpoint_from_memory);
        self.metrics.active_series.set(all.count() as f64);
        let mut retired = self.retired.lock();
        for (log_ref, labels) in &removed {
            retired.insert(*log_ref, Retired { segment: u32::MAX, labels: labels.clone() });
        }
        self.metrics.retired_series.set(retired.len() as f64);
        drop(retired);
        drop(all);
        // Nobody has used them since; commits that did were written before.
        let segment = self.log.segment();
        let (mut retired, mut exemplars) = (self.retired.lock(), self.exemplars.lock());
        for (log_ref, _) in &removed {
            if let Some(retired) = retired.get_mut(log_ref) {
                retired.segment = segment;
            }
            exemplars.remove(log_ref);
        }
        removed.len()
    }

    /// Writes what is still needed of the segments up to `last`.
    fn write_checkpoint(&self, last: u32, min: i64) -> io::Result<()> {
        let wal = self.dir.join(WAL_DIR);
        if self.options.checkpoint_from_memory {
            return write_checkpoint(&self.disk, &wal, last, self.options.wal(), |writer| {
                self.records_from_memory(last, |records| writer.log(records.iter().map(Vec::as_slice)))
            });
        }
        let living = self.series.read().refs();
        let retired = self.retired.lock().clone();
        let keep = Keep {
            series: &|log_ref| {
                living.contains(&log_ref)
                    || retired.get(&log_ref).is_some_and(|retired| retired.segment > last)
            },
            min_time: min,
            deleted_from: i64::MAX,
        };
        let stats = checkpoint(&self.disk, &wal, last, self.options.wal(), &keep)?;
        self.metrics.corruptions.add(stats.damaged);
        Ok(())
    }

    /// Hands out records of all series, each with a sample of its newest time, and of those that the log still names behind
    /// segment `last`. The values of these samples mean nothing.
    fn records_from_memory(
        &self,
        last: u32,
        mut write: impl FnMut(&[Vec<u8>]) -> io::Result<()>,
    ) -> io::Result<()> {
        let slots = self.series.read().by_ref();
        for batch in slots.chunks(self.options.checkpoint_batch.max(1)) {
            let (mut series, mut samples) = (Vec::new(), Vec::new());
            begin_series(&mut series);
            // Series are removed only while the log is truncated, so the slots still hold them.
            let all = self.series.read();
            for slot in batch {
                let one = all.in_slot(*slot);
                put_series(&mut series, one.log_ref, all.labels(*slot).iter());
                let at = one.newest_ms.load(Ordering::Relaxed);
                if at != i64::MIN {
                    samples.push(LoggedSample { series: one.log_ref, at, start: 0, value: 0.0 });
                }
            }
            drop(all);
            let mut records = vec![series];
            if !samples.is_empty() {
                let mut record = Vec::new();
                put_samples(&mut record, &samples, false);
                records.push(record);
            }
            write(&records)?;
        }
        let retired = self.retired.lock().clone();
        let mut retired: Vec<_> = retired.iter().filter(|(_, retired)| retired.segment > last).collect();
        retired.sort_unstable_by_key(|(log_ref, _)| **log_ref);
        for batch in retired.chunks(self.options.checkpoint_batch.max(1)) {
            let mut series = Vec::new();
            begin_series(&mut series);
            for (log_ref, retired) in batch {
                if let Some(labels) = &retired.labels {
                    put_series(&mut series, **log_ref, labels.iter());
                }
            }
            write(&[series])?;
        }
        Ok(())
    }
}

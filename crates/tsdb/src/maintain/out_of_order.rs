//! Creates blocks from out-of-order samples, and removes these samples.
//!
//! 1. The samples in memory are moved to chunks, and blocks are written from the chunks.
//! 2. Once no snapshot reads those chunks, the out-of-order log is replaced by one with what has arrived since, and its earlier
//!    segments are removed. So the log has no sample that the head does not know: a deletion of such a sample would not be
//!    logged, and the next start would bring it back.
//! 3. The head forgets the chunks.

use std::io;

use super::Maintained;
use super::pending::{OutOfOrderTruncation, Pending};
use crate::block::{BlockError, HINT_OUT_OF_ORDER};
use crate::db::Db;
use crate::head::block_source::{HeadSource, Samples};
use crate::head::range_end;
use crate::ids::TimeSpan;
use crate::options::WBL_DIR;
use crate::savepoint::in_blocks;
use crate::wal::format::{list_segments, segment_path};

impl Db {
    /// Creates blocks from the out-of-order samples, one for each chunk range.
    pub(super) fn cut_out_of_order(
        &self,
        now_ms: i64,
        pending: &mut Pending,
        done: &mut Maintained,
    ) -> Result<(), BlockError> {
        let chunks = self.head.move_out_of_order_samples();
        let end = self.head.chunks_end();
        let Some(moved) = chunks.iter().map(|moved| moved.span).fold(TimeSpan::EMPTY, TimeSpan::cover).some()
        else {
            return Ok(());
        };
        let range = self.options.min_block_duration_ms;
        let mut start = range_end(moved.start(), range).saturating_sub(range);
        while start <= moved.last() {
            let end = start.saturating_add(range);
            let span = TimeSpan::new(start, end);
            let source = HeadSource::new(&self.head, Samples::OutOfOrder, span);
            let written = self.write_head_block(now_ms, source, span, &[HINT_OUT_OF_ORDER])?;
            self.publish(written, i64::MIN, done)?;
            start = end;
        }
        pending.out_of_order = Some(OutOfOrderTruncation { moment: self.head.end_moment(), chunks, end });
        Ok(())
    }

    /// Forgets what is in blocks: first on disk, then in memory. The head knows these samples for as long as a start might
    /// find them, so that their deletion is logged.
    ///
    /// # Errors
    /// The disk refused; this can be repeated.
    pub(super) fn forget_out_of_order(&self, truncation: &OutOfOrderTruncation) -> io::Result<()> {
        in_blocks::note(&*self.disk, &self.dir, truncation.end)?;
        let wbl = self.dir.join(WBL_DIR);
        if let Some(first) = self.head.cut_out_of_order_log()? {
            // What the earlier segments have is in memory after this.
            self.head.land();
            self.head.log_out_of_order_again(&truncation.chunks)?;
            let last = first.saturating_sub(1);
            self.out_of_order_segments.lock().removing(last);
            for segment in list_segments(&*self.disk, &wbl)?.iter().filter(|segment| segment.number <= last) {
                self.disk.remove_file(&segment_path(&wbl, segment.number))?;
            }
            // Else a power loss brings them back after the log has forgotten what was deleted of them.
            self.disk.sync_dir(&wbl)?;
        }
        let ((), took) =
            self.options.stopwatch.time(|| self.head.forget_out_of_order_chunks(&truncation.chunks));
        self.maintenance.head_gc_duration.observe_duration(took);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use ferula_model::{LabelSet, TimeRange, Timestamp};
    use ferula_storage::{Appendable, Durability, Hints, Queryable, SampleBatch, SeriesSamples};
    use ferula_telemetry::Registry;

    use super::*;
    use crate::Options;
    use crate::disk::{FaultDisk, Survives};

    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 10 * HOUR;

    fn open(disk: &FaultDisk) -> Db {
        let options =
            Options { out_of_order_window_ms: 5 * HOUR, out_of_order_samples_max: 4, ..Options::default() };
        Db::open(Path::new("/data"), options, Arc::new(disk.clone()), &Registry::new(), &mut |_| {})
            .expect("opened")
    }

    fn commit(db: &Db, at: i64) {
        let mut appender = db.appender();
        let mut batch = SampleBatch::default();
        batch.push_float(
            appender.resolve(&LabelSet::from_pairs([("n", "1")])).expect("resolved"),
            Timestamp::from_millis(at),
            1.0,
        );
        appender.append(&mut batch);
        appender.commit(Durability::Written).expect("written");
    }

    #[test]
    fn chunks_of_a_failed_cut_are_found_at_the_next_start() {
        let disk = FaultDisk::default();
        let db = open(&disk);
        // One in-order sample, then older ones; a failed cut puts these into a chunk without a marker in the
        // log.
        commit(&db, NOW);
        let minutes = |range: std::ops::Range<i64>| range.map(|minute| NOW - HOUR + minute * 60_000);
        minutes(0..3).for_each(|at| commit(&db, at));
        db.head.move_out_of_order_samples();
        // More than fit into memory: another chunk, with a marker, and one sample after it.
        minutes(3..8).for_each(|at| commit(&db, at));
        db.head.flush_chunks().expect("written");
        let wanted: Vec<i64> = minutes(0..8).chain([NOW]).collect();
        assert_eq!(times(&db), wanted);
        assert_eq!(times(&open(&disk.restart(Survives::Written))), wanted);
    }

    fn times(db: &Db) -> Vec<i64> {
        let mut snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
        let all = snapshot.select(&[], &Hints::default()).expect("selected");
        snapshot.freeze().expect("frozen");
        let mut times = Vec::new();
        let mut take = |_: usize, samples: &SeriesSamples| {
            times.extend_from_slice(&samples.floats.timestamps);
            std::ops::ControlFlow::Continue(())
        };
        snapshot.read(all, 0..1, TimeRange::ALL, &mut take).expect("readable");
        times
    }

    #[test]
    fn a_commit_that_was_logged_before_the_log_is_begun_anew_and_applied_after_it_survives_a_kill() {
        let disk = FaultDisk::default();
        let db = open(&disk);
        [NOW, NOW - HOUR].into_iter().for_each(|at| commit(&db, at));
        let (mut pending, mut done) = (Pending::default(), Maintained::default());
        db.cut_out_of_order(NOW, &mut pending, &mut done).expect("cut");
        let truncation = pending.out_of_order.take().expect("there is something to forget");
        let log = db.head.out_of_order_log().expect("there is one");
        let logged = log.position();
        let room = db.head.freeze_room();
        std::thread::scope(|scope| {
            scope.spawn(|| commit(&db, NOW - HOUR / 2));
            while log.position() == logged {
                std::thread::yield_now();
            }
            // The commit has been logged, and cannot be applied yet.
            let forgetting = scope.spawn(|| db.forget_out_of_order(&truncation).expect("forgotten"));
            while !forgetting.is_finished() && !db.head.is_landing() {
                std::thread::yield_now();
            }
            drop(room);
        });
        assert_eq!(done.errors, Vec::<String>::new());
        let wanted = [NOW - HOUR, NOW - HOUR / 2, NOW];
        assert_eq!(times(&db), wanted);
        assert_eq!(times(&open(&disk.restart(Survives::Written))), wanted);
    }

    #[test]
    fn samples_of_blocks_that_were_logged_with_later_ones_stay_deleted() {
        let disk = FaultDisk::default();
        let db = open(&disk);
        commit(&db, NOW);
        let minutes = |range: std::ops::Range<i64>| range.map(|minute| NOW - HOUR + minute * 60_000);
        minutes(0..3).for_each(|at| commit(&db, at));
        let (mut pending, mut done) = (Pending::default(), Maintained::default());
        db.cut_out_of_order(NOW, &mut pending, &mut done).expect("cut");
        // While snapshots read the chunks: some fill a chunk, whose marker comes before the log is replaced, and one is in
        // memory.
        minutes(3..8).for_each(|at| commit(&db, at));
        let truncation = pending.out_of_order.take().expect("there is something to forget");
        db.forget_out_of_order(&truncation).expect("forgotten");
        let later = minutes(3..8).chain([NOW]).collect::<Vec<i64>>();
        let range = TimeRange::from_millis(NOW - HOUR, NOW - HOUR + 2 * 60_000);
        db.delete(range, &[Vec::new()]).expect("deleted");
        assert_eq!(times(&db), later);
        assert_eq!(times(&open(&disk.restart(Survives::Written))), later);
        // And what is in no block is not only in segments that are gone.
        db.head.sync().expect("synced");
        assert_eq!(times(&open(&disk.restart(Survives::Synced))), later);
    }
}

//! What the owner of a head does with it: the floor that rises when a block is cut, moments that snapshots hold, logs
//! and chunk files that are ended and shortened, options that change while it runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ferula_chunk::FloatEncoding;
use ferula_model::{Exemplar, LabelSet, Matcher, TimeRange};
use ferula_storage::DiskError;

use super::{ExemplarCounts, Head, HeldNumber, Moment, Pin};
use crate::ids::TimeSpan;
use crate::wal::group::GroupLog;

impl Head {
    /// Takes no in-order sample before `floor` from now on. When this returns, every commit that could have added one
    /// has been applied.
    pub(crate) fn raise_floor(&self, floor: i64) {
        self.times.raise_floor(floor);
        // Commits under way may have older bounds; beyond this point they have been applied.
        drop(self.gate.freeze());
    }

    /// Holds the present for a snapshot.
    pub(crate) fn pin(&self) -> Pin {
        self.pins.pin()
    }

    /// Holds the present for a snapshot that has not taken its cut.
    pub(crate) fn pin_selecting(&self) -> Pin {
        self.selecting.pin()
    }

    /// Holds the oldest number of a commit for a reader; see [`isolation_marks`](Self::isolation_marks).
    pub(crate) fn begin_read(&self) -> HeldNumber {
        self.watermarks.begin_read()
    }

    /// For metrics: the oldest number of a commit that is held, and the newest that was given out.
    pub(crate) fn isolation_marks(&self) -> (u64, u64) {
        self.watermarks.low_and_high()
    }

    /// Ends the present. Snapshots taken from now on do not hold the moment that is returned.
    pub(crate) fn end_moment(&self) -> Moment {
        self.pins.advance()
    }

    /// Whether no snapshot holds that moment or an earlier one.
    pub(crate) fn is_past(&self, moment: Moment) -> bool {
        self.pins.is_past(moment)
    }

    /// From the first to the last in-order sample.
    pub(crate) fn in_order_span(&self) -> TimeSpan {
        self.times.in_order()
    }

    /// From the first to the last out-of-order sample.
    pub(crate) fn out_of_order_span(&self) -> TimeSpan {
        self.times.out_of_order()
    }

    /// Begins another segment of the log; returns its number.
    pub(crate) fn cut_log(&self) -> io::Result<u32> {
        self.log.next_segment()
    }

    /// Begins another segment of the out-of-order log, if there is such a log; returns its number.
    pub(crate) fn cut_out_of_order_log(&self) -> io::Result<Option<u32>> {
        self.out_of_order_log().map(|log| log.next_segment()).transpose()
    }

    /// The segment of the log that is being written. A series made from now on is in it or in a later one.
    pub(crate) fn log_segment(&self) -> u32 {
        self.log.segment()
    }

    /// Where the next record of the log goes: segment, and offset in it.
    pub(crate) fn log_position(&self) -> (u32, u64) {
        self.log.position()
    }

    /// The log itself, for those who read it.
    pub(crate) fn log(&self) -> &Arc<GroupLog> {
        &self.log
    }

    /// Why the last write to the log failed, if it did.
    pub(crate) fn log_failure(&self) -> Option<DiskError> {
        self.log.failure()
    }

    /// Makes what was committed survive a power loss. Returns whether there was something to do.
    pub(crate) fn sync(&self) -> io::Result<bool> {
        let mut synced = self.log.sync()?;
        if let Some(log) = self.out_of_order_log() {
            synced |= log.sync()?;
        }
        Ok(synced)
    }

    /// Writes buffered chunks and the records of series that no commit took along; syncs the logs.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.flush_log()?;
        if let Some(log) = self.out_of_order_log() {
            log.sync()?;
        }
        self.flush_chunks()
    }

    /// Writes the records of series that no commit took along, and syncs the log.
    pub(crate) fn flush_log(&self) -> io::Result<()> {
        Ok(self.log.flush()?)
    }

    /// Writes buffered chunks.
    pub(crate) fn flush_chunks(&self) -> io::Result<()> {
        self.chunks.flush()
    }

    /// Writes buffered chunks and makes all of them survive a power loss.
    pub(crate) fn sync_chunks(&self) -> io::Result<()> {
        self.chunks.sync()
    }

    /// Removes the files of `chunks_head` in which no series has a chunk.
    pub(crate) fn remove_unused_chunk_files(&self) -> io::Result<()> {
        self.chunks.cut()?;
        self.chunks.remove_before(self.oldest_chunk_file()).map(|_| ())
    }

    /// Bytes of `chunks_head`, buffered ones included.
    pub(crate) fn chunk_file_bytes(&self) -> u64 {
        self.chunks.bytes()
    }

    /// How many chunks were moved to `chunks_head` since the start.
    pub(crate) fn chunks_moved(&self) -> u64 {
        self.chunks.taken()
    }

    /// Takes no more commits. Returns whether it did until now.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::SeqCst)
    }

    /// Whether commits are taken.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    /// Changes how far back out-of-order samples and exemplars may be, in milliseconds; 0 for not at all. `open_log`
    /// opens the out-of-order log the first time that such samples are allowed.
    pub(crate) fn set_out_of_order_window(
        &self,
        window_ms: i64,
        open_log: impl FnOnce() -> io::Result<GroupLog>,
    ) -> io::Result<()> {
        if window_ms > 0 && self.out_of_order_log().is_none() {
            let log = Arc::new(open_log()?);
            *self.out_of_order_log.write() = Some(log);
        }
        self.out_of_order_window.store(window_ms.max(0), Ordering::SeqCst);
        self.exemplars.lock().set_window(window_ms);
        Ok(())
    }

    /// The encoding of new chunks of floats.
    pub(crate) fn float_encoding(&self) -> FloatEncoding {
        self.rules.floats()
    }

    /// Changes the encoding of new chunks of floats.
    pub(crate) fn set_float_encoding(&self, encoding: FloatEncoding) {
        self.rules.set_floats(encoding);
    }

    /// Changes how many exemplars are kept.
    pub(crate) fn set_exemplars_max(&self, max: usize) {
        self.exemplars.lock().resize(max);
    }

    /// Exemplars in `range` of series that satisfy all matchers of any set, ordered by series.
    pub(crate) fn select_exemplars(
        &self,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
    ) -> Vec<(LabelSet, Vec<Exemplar>)> {
        self.exemplars.lock().select(range, matcher_sets)
    }

    /// How many exemplars there are, for metrics.
    pub(crate) fn exemplar_counts(&self) -> ExemplarCounts {
        self.exemplars.lock().counts()
    }

    /// First and last in-order sample as the metrics show them: `MAX` and `MIN` when there is none.
    pub(crate) fn raw_times(&self) -> (i64, i64) {
        self.times.raw()
    }
}

#[cfg(test)]
impl Head {
    /// Keeps commits from being applied.
    pub(crate) fn freeze_room(&self) -> super::isolation::Visit<'_> {
        self.gate.freeze()
    }

    /// Whether somebody has begun to wait for commits since the start.
    pub(crate) fn is_landing(&self) -> bool {
        self.flights.is_landing()
    }
}

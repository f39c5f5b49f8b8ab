//! What the owner of a head does with it: raises the floor when a block is cut, pins moments for snapshots,
//! ends and truncates logs and chunk files, and changes options at run time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ferula_chunk::FloatEncoding;
use ferula_model::{Exemplar, LabelSet, Matcher, TimeRange};
use ferula_storage::DiskError;

use super::{ExemplarCounts, Head, HeldNumber, Moment, Pin};
use crate::head_chunks::ChunkPlace;
use crate::ids::TimeSpan;
use crate::wal::group::GroupLog;

impl Head {
    /// Accepts no in-order sample before `floor` any more. When this returns, every commit that could have
    /// added one has been applied.
    pub(crate) fn raise_floor(&self, floor: i64) {
        self.times.raise_floor(floor);
        // Commits in progress may have older bounds; after this point they have been applied.
        drop(self.gate.freeze());
    }

    /// Pins the present for a snapshot.
    pub(crate) fn pin(&self) -> Pin {
        self.pins.pin()
    }

    /// Pins the present for a snapshot that has not determined its cut.
    pub(crate) fn pin_selecting(&self) -> Pin {
        self.selecting.pin()
    }

    /// Holds the oldest commit number for a reader; see [`isolation_marks`](Self::isolation_marks).
    pub(crate) fn begin_read(&self) -> HeldNumber {
        self.watermarks.begin_read()
    }

    /// For metrics: the oldest commit number that is held, and the newest one assigned.
    pub(crate) fn isolation_marks(&self) -> (u64, u64) {
        self.watermarks.low_and_high()
    }

    /// Ends the present moment and returns it. Snapshots taken from now on do not pin it.
    pub(crate) fn end_moment(&self) -> Moment {
        self.pins.advance()
    }

    /// Whether no snapshot pins that moment or an earlier one.
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

    /// Begins a new segment of the log and returns its number.
    pub(crate) fn cut_log(&self) -> io::Result<u32> {
        self.log.next_segment()
    }

    /// Begins a new segment of the out-of-order log, if there is one, and returns its number.
    pub(crate) fn cut_out_of_order_log(&self) -> io::Result<Option<u32>> {
        self.out_of_order_log().map(|log| log.next_segment()).transpose()
    }

    /// The segment of the log that is being written. Series created from now on are in it or a later one.
    pub(crate) fn log_segment(&self) -> u32 {
        self.log.segment()
    }

    /// Segment and offset of the next record of the log.
    pub(crate) fn log_position(&self) -> (u32, u64) {
        self.log.position()
    }

    /// The log itself, for its readers.
    pub(crate) fn log(&self) -> &Arc<GroupLog> {
        &self.log
    }

    /// The error of the last write to the log, if it failed.
    pub(crate) fn log_failure(&self) -> Option<DiskError> {
        self.log.failure()
    }

    /// Makes commits survive a power loss. Returns whether there was anything to sync.
    pub(crate) fn sync(&self) -> io::Result<bool> {
        let mut synced = self.log.sync()?;
        if let Some(log) = self.out_of_order_log() {
            synced |= log.sync()?;
        }
        Ok(synced)
    }

    /// Writes buffered chunks and the records of series that no commit has written; syncs the logs.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.flush_log()?;
        if let Some(log) = self.out_of_order_log() {
            log.sync()?;
        }
        self.flush_chunks()
    }

    /// Writes the records of series that no commit has written, and syncs the log.
    pub(crate) fn flush_log(&self) -> io::Result<()> {
        Ok(self.log.flush()?)
    }

    /// The place in `chunks_head` of the next chunk.
    pub(crate) fn chunks_end(&self) -> ChunkPlace {
        self.chunks.end()
    }

    /// Writes buffered chunks.
    pub(crate) fn flush_chunks(&self) -> io::Result<()> {
        self.chunks.flush()
    }

    /// Writes buffered chunks and makes all chunks survive a power loss.
    pub(crate) fn sync_chunks(&self) -> io::Result<()> {
        self.chunks.sync()
    }

    /// Removes the files of `chunks_head` that contain no chunk of any series.
    pub(crate) fn remove_unused_chunk_files(&self) -> io::Result<()> {
        self.chunks.cut()?;
        self.chunks.remove_before(self.oldest_chunk_file()).map(|_| ())
    }

    /// Size of `chunks_head` in bytes, including buffered chunks.
    pub(crate) fn chunk_file_bytes(&self) -> u64 {
        self.chunks.bytes()
    }

    /// Number of chunks moved to `chunks_head` since the start.
    pub(crate) fn chunks_moved(&self) -> u64 {
        self.chunks.taken()
    }

    /// Accepts no more commits. Returns whether it did so far.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::SeqCst)
    }

    /// Whether commits are accepted.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    /// Sets how old out-of-order samples and exemplars may be, in milliseconds; 0 disables them. `open_log`
    /// opens the out-of-order log when such samples are first enabled.
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

    /// Sets the encoding of new chunks of floats.
    pub(crate) fn set_float_encoding(&self, encoding: FloatEncoding) {
        self.rules.set_floats(encoding);
    }

    /// Sets the maximum number of exemplars.
    pub(crate) fn set_exemplars_max(&self, max: usize) {
        self.exemplars.lock().resize(max);
    }

    /// Exemplars in `range` of series that match all matchers of any set, ordered by series.
    pub(crate) fn select_exemplars(
        &self,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
    ) -> Vec<(LabelSet, Vec<Exemplar>)> {
        self.exemplars.lock().select(range, matcher_sets)
    }

    /// Numbers of exemplars, for metrics.
    pub(crate) fn exemplar_counts(&self) -> ExemplarCounts {
        self.exemplars.lock().counts()
    }

    /// The newest sample of all, in order or not.
    pub(crate) fn newest_of_all(&self) -> Option<i64> {
        self.in_order_span().cover(self.out_of_order_span()).some().map(TimeSpan::last)
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

    /// Whether anything has waited for commits to finish since the start.
    pub(crate) fn is_landing(&self) -> bool {
        self.flights.is_landing()
    }
}

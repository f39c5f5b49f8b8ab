//! Turns the log into requests: each item gets the labels of its series, and joins the batch of its series'
//! lane.
//!
//! A series always goes to the same lane, and a lane sends one request at a time, so samples of a series
//! arrive in order. After a restart, what a lane has acknowledged is skipped, and what was in flight becomes
//! a request of its own: it may have arrived already, and a receiver that refuses it as a whole must not
//! refuse anything new with it.

use std::sync::Arc;
use std::time::Duration;

use ferula_model::HistogramValue;
use ferula_storage::{DiskError, LogCursor, LogFeed, LogPosition, LogRecords, LogRef};

use super::batch::{Batch, OpenBatch};
use super::encode::Item;
use super::metrics::{CUSTOM_BUCKETS, DROPPED_SERIES, DestinationMetrics, TOO_OLD, UNKNOWN_SERIES};
use super::position::{ItemPosition, LanePosition};
use super::series::{LabelRules, SeriesState, SeriesTable};
use crate::write::headers::Message;

/// What is sent, and in what form.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// The message format.
    pub message: Message,
    /// External labels and relabelling.
    pub rules: LabelRules,
    /// `send_exemplars`
    pub exemplars: bool,
    /// `send_native_histograms`
    pub histograms: bool,
    /// `queue_config.max_samples_per_send`
    pub items_per_batch: u64,
    /// `queue_config.batch_send_deadline`
    pub batch_deadline: Duration,
    /// `queue_config.sample_age_limit`; zero means no limit.
    pub age_max: Duration,
}

/// The result of one step.
#[derive(Debug, Default)]
pub struct Step {
    /// Requests to send, in order.
    pub ready: Vec<Batch>,
    /// Whether the end of the log was reached.
    pub at_end: bool,
    /// Items that were read, whether sent or not.
    pub items: u64,
    /// Items that are not sent.
    pub items_dropped: u64,
}

/// Reads the log for one destination. Its methods block on disk I/O.
pub struct Reader {
    feed: Arc<dyn LogFeed>,
    cursor: Box<dyn LogCursor>,
    records: LogRecords,
    options: ReaderOptions,
    metrics: DestinationMetrics,
    series: SeriesTable,
    lanes: Vec<OpenBatch>,
    /// The position after the last record that was read.
    place: ItemPosition,
    /// The lanes' positions before the restart, until all of them are passed.
    resume: Vec<LanePosition>,
    /// The oldest segment when ended series were last dropped.
    forgotten_at: u32,
    /// Whether the end of the log has been reached once.
    has_caught_up: bool,
}

/// The items of one record, in the order of their positions.
fn item_count(records: &LogRecords) -> usize {
    records.samples.len() + records.histograms.len() + records.exemplars.len()
}

/// An item by its index in the record, with the ref of its series.
fn item_at(records: &LogRecords, index: usize) -> (LogRef, Item<'_>) {
    if let Some(sample) = records.samples.get(index) {
        return (sample.series, Item::Float(sample.at, sample.start, sample.value));
    }
    let index = index - records.samples.len();
    if let Some(histogram) = records.histograms.get(index) {
        return (histogram.series, Item::Histogram(histogram.at, histogram.start, &histogram.value));
    }
    let (series, exemplar) = &records.exemplars[index - records.histograms.len()];
    (*series, Item::Exemplar(exemplar))
}

impl Reader {
    /// Continues at these positions, one per lane.
    ///
    /// # Errors
    /// The disk failed.
    pub fn open(
        feed: Arc<dyn LogFeed>,
        positions: &[LanePosition],
        options: ReaderOptions,
        metrics: DestinationMetrics,
    ) -> Result<Self, DiskError> {
        let place = positions.iter().map(|lane| lane.acknowledged).min().unwrap_or_default();
        Ok(Reader {
            cursor: feed.open(place.record)?,
            feed,
            records: LogRecords::default(),
            series: SeriesTable::new(options.rules.clone()),
            lanes: positions.iter().map(|_| OpenBatch::new(options.message)).collect(),
            options,
            metrics,
            place,
            resume: positions.to_vec(),
            forgotten_at: 0,
            has_caught_up: false,
        })
    }

    /// Reads until a request is ready or the end is reached. `now` is monotonic time, `now_ms` wall-clock
    /// time.
    ///
    /// # Errors
    /// The disk failed; the call may be repeated.
    pub fn step(&mut self, now: Duration, now_ms: i64) -> Result<Step, DiskError> {
        const RECORDS_MAX: usize = 64;
        let mut step = Step::default();
        for _ in 0..RECORDS_MAX {
            if !step.ready.is_empty() {
                break;
            }
            if !self.cursor.next(&mut self.records)? {
                step.at_end = true;
                self.has_caught_up = true;
                break;
            }
            self.take_record(&mut step, now, now_ms);
        }
        let due = now.checked_sub(self.options.batch_deadline);
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            // What was in flight before a restart stays together.
            let in_flight = self.resume.get(index).map(|before| before.in_flight);
            if in_flight.is_some_and(|end| lane.from().is_some_and(|from| from < end)) {
                continue;
            }
            if lane.since().is_some_and(|since| due.is_some_and(|due| since <= due)) {
                step.ready.extend(lane.finish(index));
            }
        }
        self.metrics.reading_segment.set(f64::from(self.place.record.segment));
        if step.at_end {
            self.forget_ended(&mut step)?;
        }
        Ok(step)
    }

    /// When the next open batch is due.
    pub fn next_deadline(&self) -> Option<Duration> {
        let since = self.lanes.iter().filter_map(OpenBatch::since).min()?;
        Some(since + self.options.batch_deadline)
    }

    /// Turns all open batches into requests.
    pub fn flush(&mut self) -> Vec<Batch> {
        let lanes = self.lanes.iter_mut().enumerate();
        lanes.filter_map(|(index, lane)| lane.finish(index)).collect()
    }

    /// For each lane, the position before its first unsent item, or else after what was read.
    pub fn places(&self) -> Vec<ItemPosition> {
        self.lanes.iter().map(|lane| lane.from().unwrap_or(self.place)).collect()
    }

    /// The position after the last record.
    pub fn place(&self) -> ItemPosition {
        self.place
    }

    /// Whether it is still skipping what was sent before a restart. The number of lanes must not change until
    /// then.
    pub fn is_resuming(&self) -> bool {
        !self.resume.is_empty()
    }

    /// Distributes series over another number of lanes. All batches must be empty.
    pub fn set_lanes(&mut self, count: usize) {
        self.lanes = (0..count).map(|_| OpenBatch::new(self.options.message)).collect();
    }

    fn take_record(&mut self, step: &mut Step, now: Duration, now_ms: i64) {
        let records = std::mem::take(&mut self.records);
        self.note_losses(&records);
        let segment = records.start.segment;
        for (number, labels) in &records.series {
            self.series.insert(*number, labels, segment);
        }
        for (number, metadata) in &records.metadata {
            self.series.set_metadata(*number, metadata);
        }
        let count = item_count(&records);
        step.items += count as u64;
        self.metrics.count_record(&records);
        if !self.has_caught_up {
            self.metrics.read_before_end.add(count as u64);
        }
        for index in 0..count {
            let place = ItemPosition { record: records.start, item: index as u32 };
            let (number, item) = item_at(&records, index);
            if !self.take_item(step, place, number, item, (now, now_ms)) {
                step.items_dropped += 1;
            }
        }
        self.place = ItemPosition::before(records.end);
        // The former in-flight request is complete; what follows must not be added to it.
        for (index, (open, before)) in self.lanes.iter_mut().zip(&self.resume).enumerate() {
            if before.in_flight <= self.place && open.from().is_some_and(|from| from < before.in_flight) {
                step.ready.extend(open.finish(index));
            }
        }
        if self.resume.iter().all(|lane| lane.acknowledged.max(lane.in_flight) <= self.place) {
            self.resume.clear();
        }
        self.records = records;
    }

    /// Adds an item to the batch of its lane; returns `false` if it is not sent.
    fn take_item(
        &mut self,
        step: &mut Step,
        place: ItemPosition,
        number: LogRef,
        item: Item<'_>,
        (now, now_ms): (Duration, i64),
    ) -> bool {
        let count = self.lanes.len() as u64;
        let lane = (number.get() % count) as usize;
        if let Some(before) = self.resume.get(lane) {
            if place < before.acknowledged {
                return true;
            }
            let open = &mut self.lanes[lane];
            if place >= before.in_flight && open.from().is_some_and(|from| from < before.in_flight) {
                step.ready.extend(open.finish(lane));
            }
        }
        let wanted = match item {
            Item::Float(..) => true,
            Item::Histogram(..) => self.options.histograms,
            Item::Exemplar(_) => self.options.exemplars,
        };
        if !wanted {
            return true;
        }
        if !self.options.age_max.is_zero() {
            let age_max = i64::try_from(self.options.age_max.as_millis()).unwrap_or(i64::MAX);
            if item.at().millis() < now_ms.saturating_sub(age_max) {
                self.metrics.drop_one(item.kind(), TOO_OLD);
                return false;
            }
        }
        if let (Message::V1, Item::Histogram(_, _, value)) = (self.options.message, item)
            && has_custom_buckets(value)
        {
            self.metrics.drop_one(item.kind(), CUSTOM_BUCKETS);
            return false;
        }
        let (known, symbols) = self.series.get(number, place.record.segment);
        let series = match known {
            SeriesState::Sent(series) => series,
            SeriesState::Dropped => {
                self.metrics.drop_one(item.kind(), DROPPED_SERIES);
                return false;
            }
            SeriesState::Unknown => {
                self.metrics.drop_one(item.kind(), UNKNOWN_SERIES);
                return false;
            }
        };
        let open = &mut self.lanes[lane];
        open.add((symbols, series), item, place, now);
        self.metrics.enqueued(item.at());
        if open.len() >= self.options.items_per_batch {
            step.ready.extend(open.finish(lane));
        }
        true
    }

    fn note_losses(&self, records: &LogRecords) {
        if records.segments_lost > 0 {
            ferula_telemetry::error!(
                "A part of the log was removed before a remote write destination had read it; its samples are not sent",
                remote_name = self.metrics.name,
                segments = records.segments_lost,
                continues_at = records.end.segment
            );
            self.metrics.segments_lost.add(u64::from(records.segments_lost));
        }
        if records.damaged > 0 {
            self.metrics.records_damaged.add(u64::from(records.damaged));
            ferula_telemetry::error!(
                "A part of the log cannot be read; its samples are not sent by remote write",
                remote_name = self.metrics.name,
                segment = records.end.segment,
                places = records.damaged
            );
        }
    }

    /// After a truncation of the log: drops series that only the removed part named.
    fn forget_ended(&mut self, step: &mut Step) -> Result<(), DiskError> {
        let first = self.cursor.first_segment()?;
        if first > self.forgotten_at && !self.is_resuming() {
            self.forgotten_at = first;
            let living = self.feed.living_series();
            self.series.forget(first, &*living);
            // Open batches refer to symbols, and with many lanes there is hardly a moment without an open
            // batch.
            step.ready.extend(self.flush());
        }
        if self.lanes.iter().all(|lane| lane.from().is_none()) {
            self.series.recycle();
        }
        self.metrics.series.set(self.series.len() as f64);
        Ok(())
    }
}

fn has_custom_buckets(value: &HistogramValue) -> bool {
    match value {
        HistogramValue::Integer(histogram) => histogram.uses_custom_buckets(),
        HistogramValue::Float(histogram) => histogram.uses_custom_buckets(),
    }
}

/// Positions of a destination that begins at this position of the log.
pub fn positions_at(place: LogPosition, lanes: usize) -> Vec<LanePosition> {
    let at = ItemPosition::before(place);
    vec![LanePosition { acknowledged: at, in_flight: at }; lanes]
}

#[cfg(test)]
mod tests;

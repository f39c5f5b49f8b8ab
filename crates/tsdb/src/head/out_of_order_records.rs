//! What the head writes to the out-of-order log.
//!
//! A marker says that all samples of its series before it are in chunks up to the one that it names. It is logged with the
//! samples of the commit for which the series had no more room in memory, and precedes them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use ferula_chunk::{SampleIter, SampleValue};
use ferula_model::HistogramValue;
use ferula_storage::DiskError;

use super::{FullChunk, Head, MovedOutOfOrder, OutOfOrderSample, OutOfOrderValue, Series};
use crate::ids::{LogRef, SlotId};
use crate::wal::group::{Entry, GroupLog};
use crate::wal::record::{LoggedHistogram, LoggedMarker, LoggedSample, put_histograms, put_markers};

/// So many samples are logged together again.
const SAMPLES_TOGETHER: usize = 8192;

/// What one commit writes.
pub(super) struct OutOfOrderRecords<'a> {
    head: &'a Head,
    seen: HashSet<SlotId>,
    markers: Vec<LoggedMarker>,
    pub samples: Vec<LoggedSample>,
    pub histograms: Vec<LoggedHistogram>,
}

impl<'a> OutOfOrderRecords<'a> {
    pub fn new(head: &'a Head) -> Self {
        OutOfOrderRecords {
            head,
            seen: HashSet::new(),
            markers: Vec::new(),
            samples: Vec::new(),
            histograms: Vec::new(),
        }
    }

    /// Series and timestamps of the samples.
    pub fn keys(&self) -> impl Iterator<Item = (LogRef, i64)> + '_ {
        let floats = self.samples.iter().map(|sample| (sample.series, sample.at));
        floats.chain(self.histograms.iter().map(|sample| (sample.series, sample.at)))
    }

    /// Moves the samples that a series has in memory to chunks if there are many; once per commit, so that
    /// the marker precedes all samples of this one.
    pub fn make_room(&mut self, slot: SlotId, series: &mut Series) {
        let log_ref = series.log_ref;
        let Some(out_of_order) = &mut series.out_of_order else { return };
        if !self.seen.insert(slot) || out_of_order.samples().len() < self.head.out_of_order_samples_max {
            return;
        }
        let places = out_of_order.move_to(&self.head.rules.now(), log_ref, &self.head.chunks);
        self.head.metrics.chunks.add(places.len() as f64);
        self.head.metrics.chunks_created.add(places.len() as u64);
        // Of several chunks only the last is named: chunks reach the disk in their order, and a reader that found only the
        // first of them would forget the samples of all.
        self.markers
            .extend(places.last().map(|place| LoggedMarker { series: log_ref, chunk: place.number() }));
    }

    /// Adds a sample as it is in memory.
    fn sample(&mut self, series: LogRef, sample: &OutOfOrderSample) {
        let OutOfOrderSample { at, start, value } = sample;
        match value {
            OutOfOrderValue::Float(value) => {
                self.samples.push(LoggedSample { series, at: *at, start: *start, value: *value });
            }
            OutOfOrderValue::Histogram(value) => {
                self.histograms.push(LoggedHistogram {
                    series,
                    at: *at,
                    start: *start,
                    value: value.clone(),
                });
            }
        }
    }

    /// Adds the samples of a chunk.
    fn chunk(&mut self, series: LogRef, chunk: &FullChunk) -> io::Result<()> {
        let read = self.head.chunks.read(chunk.place, |stored| (stored.encoding, stored.data.to_vec()));
        let (encoding, data) = read?;
        for sample in SampleIter::new(encoding, &data).map_err(invalid)? {
            let sample = sample.map_err(invalid)?;
            let (at, start) = (sample.timestamp, sample.start);
            let value = match sample.value {
                SampleValue::Float(value) => OutOfOrderValue::Float(value),
                SampleValue::Histogram(value) => {
                    OutOfOrderValue::Histogram(HistogramValue::Integer(Arc::new(*value)))
                }
                SampleValue::FloatHistogram(value) => {
                    OutOfOrderValue::Histogram(HistogramValue::Float(Arc::new(*value)))
                }
            };
            self.sample(series, &OutOfOrderSample { at, start, value });
        }
        Ok(())
    }

    /// The records; `None` if there is nothing to log.
    pub fn entry(&self) -> Option<Entry<'_>> {
        let mut entry = Entry::default();
        let start_timestamps = self.head.rules.start_timestamps();
        if !self.markers.is_empty() {
            let mut record = Vec::new();
            put_markers(&mut record, &self.markers);
            entry.record(record);
        }
        entry.samples(&self.samples);
        put_histograms(&self.histograms, start_timestamps, |write| {
            let mut record = Vec::new();
            write(&mut record);
            entry.record(record);
        });
        (!entry.is_empty()).then_some(entry)
    }
}

fn invalid(error: ferula_chunk::Corrupt) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

impl Head {
    /// Logs out-of-order samples. Their series are in the log before; and as the first commit in a segment is synced, the log is
    /// synced before that: after a power loss no sample may be left whose series is gone.
    ///
    /// # Errors
    /// The disk refused.
    pub(super) fn log_out_of_order(&self, log: &GroupLog, entry: Entry<'_>) -> Result<(), DiskError> {
        let (_, offset) = log.position();
        if offset == 0 {
            self.log.sync()?;
        }
        log.commit(entry)
    }

    /// Markers of chunks that were found without one, for the out-of-order log. To a reader a marker says that all earlier
    /// samples of the series are in chunks, so those that are in memory follow once more.
    pub(crate) fn marks_of_found_chunks(&self, markers: &[LoggedMarker]) -> Entry<'static> {
        let marked: HashSet<LogRef> = markers.iter().map(|marker| marker.series).collect();
        let mut records = OutOfOrderRecords::new(self);
        records.markers.extend(markers.iter().filter(|marker| marker.chunk != 0));
        for slot in self.slots.all() {
            let Some(series) = self.slots.get(slot).filter(|series| marked.contains(&series.log_ref)) else {
                continue;
            };
            for sample in series.out_of_order.iter().flat_map(|out_of_order| out_of_order.samples()) {
                records.sample(series.log_ref, sample);
            }
        }
        records.entry().map(Entry::into_owned).unwrap_or_default()
    }

    /// Logs the out-of-order samples that are not in the chunks of `moved` once more, and syncs them: a new segment of the
    /// out-of-order log gets everything that its earlier segments are still needed for.
    ///
    /// Samples of chunks are logged like others, and no marker is: commits that are logged meanwhile may precede it, and the
    /// marker would say that their samples are in chunks.
    ///
    /// # Errors
    /// The disk refused, or a chunk cannot be read. This can be repeated.
    pub(crate) fn log_out_of_order_again(&self, moved: &[MovedOutOfOrder]) -> io::Result<()> {
        let Some(log) = self.out_of_order_log() else { return Ok(()) };
        let in_blocks: HashMap<(SlotId, LogRef), usize> =
            moved.iter().map(|moved| ((moved.slot, moved.log_ref), moved.chunks)).collect();
        let mut records = OutOfOrderRecords::new(self);
        for slot in self.slots.all() {
            let series = self.slots.lock(slot);
            let log_ref = series.log_ref;
            let Some(out_of_order) = &series.out_of_order else { continue };
            let done = in_blocks.get(&(slot, log_ref)).copied().unwrap_or(0);
            let chunks: Vec<FullChunk> = out_of_order.full_chunks().iter().skip(done).copied().collect();
            let in_memory = out_of_order.samples().to_vec();
            drop(series);
            for chunk in &chunks {
                records.chunk(log_ref, chunk)?;
            }
            in_memory.iter().for_each(|sample| records.sample(log_ref, sample));
            if records.samples.len() + records.histograms.len() >= SAMPLES_TOGETHER {
                records.entry().map_or(Ok(()), |entry| self.log_out_of_order(&log, entry))?;
                records = OutOfOrderRecords::new(self);
            }
        }
        records.entry().map_or(Ok(()), |entry| self.log_out_of_order(&log, entry))?;
        log.sync().map(drop)
    }
}

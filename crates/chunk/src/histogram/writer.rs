//! Appending to a histogram chunk.

use ferula_model::CounterResetHint;
use ferula_model::value::is_stale;

use super::buckets::Alignment;
use super::kind::{Counts, Side};
use super::layout::Layout;
use super::reader::HistogramSamples;
use super::{FloatCounts, IntegerCounts, reset_bits};
use crate::bits::BitAccumulator;
use crate::encoding::{Chunk, Encoding};
use crate::start::StartWriter;

/// A chunk of integer histograms that grows.
pub type IntegerHistogramWriter = HistogramWriter<IntegerCounts>;
/// A chunk of float histograms that grows.
pub type FloatHistogramWriter = HistogramWriter<FloatCounts>;

/// A histogram chunk that grows. It has at least one sample, and the layout of that one.
#[derive(Clone, Debug)]
pub struct HistogramWriter<C> {
    bits: BitAccumulator,
    payload: Vec<u8>,
    starts: Option<StartWriter>,
    reset: CounterResetHint,
    count: u16,
    first_timestamp: i64,
    layout: Layout,
    counts: C,
}

/// Whether a sample can be appended to a chunk.
#[derive(Clone, Debug)]
pub enum Fit {
    /// It can; [`HistogramWriter::append`] takes this value.
    Append(Relayout),
    /// It cannot: [`HistogramWriter::begin`] a chunk with this counter reset header.
    NewChunk(CounterResetHint),
}

/// How the buckets of a chunk and of a sample are aligned.
#[derive(Clone, Debug, Default)]
pub struct Relayout {
    positive: Alignment,
    negative: Alignment,
    gauge: bool,
}

impl Relayout {
    /// Whether the samples already in the chunk are rewritten with more buckets.
    pub fn rewrites_chunk(&self) -> bool {
        self.positive.old_grows || self.negative.old_grows
    }

    fn rewrites_sample(&self) -> bool {
        self.positive.new_grows || self.negative.new_grows
    }

    fn side(&self, side: Side) -> &Alignment {
        match side {
            Side::Positive => &self.positive,
            Side::Negative => &self.negative,
        }
    }
}

const SIDES: [Side; 2] = [Side::Positive, Side::Negative];

impl<C: Counts> HistogramWriter<C> {
    /// The header of a chunk that `sample` begins because the chunk before it is full, or because there is none.
    pub fn header_after(previous: Option<&Self>, sample: &C::Sample) -> CounterResetHint {
        match (C::hint(sample), previous) {
            (hint @ (CounterResetHint::Gauge | CounterResetHint::Reset), _) => hint,
            (_, None) => CounterResetHint::Unknown,
            (_, Some(previous)) => C::header_when_full(match previous.fit_counter(sample) {
                Ok(_) => CounterResetHint::NotReset,
                Err(reason) => reason,
            }),
        }
    }

    /// A chunk with one sample; `header` is from [`header_after`](Self::header_after) or [`Fit::NewChunk`].
    /// `with_starts` chooses the encoding that can hold start timestamps; without it `start` is lost.
    ///
    /// # Panics
    /// If the sample has another number of buckets than its spans say. Callers validate samples first.
    pub fn begin(
        header: CounterResetHint,
        with_starts: bool,
        start: i64,
        timestamp: i64,
        sample: &C::Sample,
    ) -> Self {
        let stale = is_stale(C::sum(sample)).then(C::stale);
        let sample = stale.as_ref().unwrap_or(sample);
        let layout = C::layout(sample);
        assert_well_formed::<C>(sample, &layout);
        let (mut bits, mut payload) = (BitAccumulator::new(), Vec::new());
        layout.put(&mut bits, &mut payload);
        let counts = C::put_first(&mut bits, &mut payload, timestamp, sample);
        let mut writer = HistogramWriter {
            bits,
            payload,
            starts: with_starts.then(StartWriter::default),
            reset: header,
            count: 0,
            first_timestamp: timestamp,
            layout,
            counts,
        };
        writer.finish_sample(start, timestamp, timestamp);
        writer
    }

    /// Whether `sample` can be appended, and how.
    pub fn fit(&self, sample: &C::Sample) -> Fit {
        if C::hint(sample) == CounterResetHint::Gauge {
            return match self.fit_gauge(sample) {
                Some(relayout) => Fit::Append(relayout),
                None => Fit::NewChunk(CounterResetHint::Gauge),
            };
        }
        match self.fit_counter(sample) {
            Ok(relayout) => Fit::Append(relayout),
            Err(reason) => Fit::NewChunk(C::header_when_cut(reason)),
        }
    }

    /// The rules for counter histograms, in Prometheus' order: the first that applies gives the reason.
    fn fit_counter(&self, sample: &C::Sample) -> Result<Relayout, CounterResetHint> {
        if self.reset == CounterResetHint::Gauge {
            return Err(CounterResetHint::NotReset);
        }
        if C::hint(sample) == CounterResetHint::Reset {
            return Err(CounterResetHint::Reset);
        }
        if is_stale(C::sum(sample)) {
            return Ok(Relayout::default());
        }
        if is_stale(self.counts.last_sum()) {
            // Only staleness markers follow a staleness marker.
            return Err(CounterResetHint::Unknown);
        }
        if self.counts.count_shrank(sample) {
            return Err(CounterResetHint::Reset);
        }
        let layout = C::layout(sample);
        if !self.same_schema(&layout) {
            return Err(CounterResetHint::Unknown);
        }
        if !self.layout.same_custom_values(&layout) || self.counts.zero_count_shrank(sample) {
            return Err(CounterResetHint::Reset);
        }
        let relayout = self.align(&layout, false);
        let shrank = SIDES.into_iter().any(|side| !self.no_bucket_shrank(&relayout, sample, side));
        if shrank { Err(CounterResetHint::Reset) } else { Ok(relayout) }
    }

    fn no_bucket_shrank(&self, relayout: &Relayout, sample: &C::Sample, side: Side) -> bool {
        let old: Vec<_> = self.counts.buckets(&self.layout, side).collect();
        let new: Vec<_> = C::sample_buckets(sample, side).collect();
        relayout.side(side).no_bucket_shrank(&old, &new)
    }

    fn fit_gauge(&self, sample: &C::Sample) -> Option<Relayout> {
        if self.reset != CounterResetHint::Gauge {
            return None;
        }
        if is_stale(C::sum(sample)) {
            return Some(Relayout::default());
        }
        let layout = C::layout(sample);
        let fits = !is_stale(self.counts.last_sum())
            && self.same_schema(&layout)
            && self.layout.same_custom_values(&layout);
        fits.then(|| self.align(&layout, true))
    }

    fn same_schema(&self, layout: &Layout) -> bool {
        self.layout.schema == layout.schema && self.layout.zero_threshold == layout.zero_threshold
    }

    fn align(&self, layout: &Layout, gauge: bool) -> Relayout {
        Relayout {
            positive: Alignment::of(&self.layout.positive_spans, &layout.positive_spans),
            negative: Alignment::of(&self.layout.negative_spans, &layout.negative_spans),
            gauge,
        }
    }

    /// Appends a sample that [`fit`](Self::fit)s; `relayout` is what it returned for this sample and this chunk.
    ///
    /// # Panics
    /// When the sample has another number of buckets than its spans say, or the chunk as many samples as its header
    /// can count (65,535; 16,383 with start timestamps).
    pub fn append(&mut self, start: i64, timestamp: i64, sample: &C::Sample, relayout: &Relayout) {
        let capacity = if self.starts.is_some() { 0x3fff } else { u16::MAX };
        assert!(self.count < capacity, "a histogram chunk holds at most {capacity} samples");
        if is_stale(C::sum(sample)) {
            return self.push(start, timestamp, &C::stale());
        }
        let mut widened = None;
        if relayout.rewrites_sample() {
            widened = Some(self.widen_sample(sample, relayout));
        }
        let sample = widened.as_ref().unwrap_or(sample);
        if relayout.rewrites_chunk() {
            self.widen_chunk(&C::layout(sample), relayout);
        }
        assert_well_formed::<C>(sample, &self.layout);
        self.push(start, timestamp, sample);
    }

    /// The sample with the buckets of the chunk that it lacks, empty.
    fn widen_sample(&self, sample: &C::Sample, relayout: &Relayout) -> C::Sample {
        let layout = C::layout(sample);
        let mut widened = sample.clone();
        for side in SIDES {
            let alignment = relayout.side(side);
            let (chunk_spans, sample_spans) = match side {
                Side::Positive => (&self.layout.positive_spans, &layout.positive_spans),
                Side::Negative => (&self.layout.negative_spans, &layout.negative_spans),
            };
            // Several spans can stand for the same buckets. The choice between them follows Prometheus, so that the
            // bytes are the same.
            let spans = if !relayout.gauge && !relayout.rewrites_chunk() {
                chunk_spans
            } else if alignment.new_grows || (relayout.gauge && !alignment.spans().is_empty()) {
                alignment.spans()
            } else {
                sample_spans
            };
            let buckets = alignment.new_grows.then(|| {
                let counts: Vec<_> = C::sample_buckets(sample, side).collect();
                alignment.spread_new(&counts)
            });
            C::set_buckets(&mut widened, side, spans, buckets);
        }
        widened
    }

    /// Rewrites the chunk with the spans of `layout`; new buckets are empty.
    fn widen_chunk(&mut self, layout: &Layout, relayout: &Relayout) {
        let data = self.to_bytes();
        let samples =
            HistogramSamples::<C>::new(&data, self.starts.is_some()).expect("we wrote the header ourselves");
        let mut rewritten: Option<Self> = None;
        for sample in samples {
            let (start, timestamp, mut sample) = sample.expect("we wrote the samples ourselves");
            for side in SIDES {
                let alignment = relayout.side(side);
                let spans = match side {
                    Side::Positive => &layout.positive_spans,
                    Side::Negative => &layout.negative_spans,
                };
                let buckets = alignment.old_grows.then(|| {
                    let counts: Vec<_> = C::sample_buckets(&sample, side).collect();
                    alignment.spread_old(&counts)
                });
                C::set_buckets(&mut sample, side, spans, buckets);
            }
            match &mut rewritten {
                None => {
                    rewritten =
                        Some(Self::begin(self.reset, self.starts.is_some(), start, timestamp, &sample));
                }
                Some(writer) => writer.push(start, timestamp, &sample),
            }
        }
        *self = rewritten.expect("a chunk has at least one sample");
    }

    fn push(&mut self, start: i64, timestamp: i64, sample: &C::Sample) {
        let previous = self.counts.timestamp();
        self.counts.put_next(&mut self.bits, &mut self.payload, timestamp, sample);
        self.finish_sample(start, timestamp, previous);
    }

    fn finish_sample(&mut self, start: i64, timestamp: i64, previous: i64) {
        if let Some(starts) = &mut self.starts {
            starts.put(&mut self.bits, &mut self.payload, self.count, (timestamp, previous), start);
        }
        self.count += 1;
    }

    /// How many samples the chunk has; never 0.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> u16 {
        self.count
    }

    /// The timestamp appended last.
    pub fn last_timestamp(&self) -> i64 {
        self.counts.timestamp()
    }

    /// What the header records about a reset before the first sample.
    pub fn counter_reset_header(&self) -> CounterResetHint {
        self.reset
    }

    /// How its bytes are written.
    pub fn encoding(&self) -> Encoding {
        if self.starts.is_some() { C::ENCODING_ST } else { C::ENCODING }
    }

    /// Bytes of the chunk so far.
    pub fn byte_len(&self) -> usize {
        3 + self.bits.byte_len()
    }

    /// The bytes of the chunk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.byte_len());
        let [high, low] = self.count.to_be_bytes();
        match &self.starts {
            None => data.extend_from_slice(&[high, low, reset_bits(self.reset)]),
            Some(starts) => {
                data.extend_from_slice(&[high | reset_bits(self.reset), low, starts.header()]);
            }
        }
        data.extend_from_slice(&self.payload);
        let (tail, tail_bytes) = self.bits.tail();
        data.extend_from_slice(&tail[..tail_bytes]);
        data
    }

    /// The chunk as it is now.
    pub fn to_chunk(&self) -> Chunk {
        Chunk {
            encoding: self.encoding(),
            min_time: self.first_timestamp,
            max_time: self.last_timestamp(),
            data: self.to_bytes(),
        }
    }
}

fn assert_well_formed<C: Counts>(sample: &C::Sample, layout: &Layout) {
    assert!(
        C::sample_buckets(sample, Side::Positive).count() == layout.positive_buckets()
            && C::sample_buckets(sample, Side::Negative).count() == layout.negative_buckets(),
        "a histogram has as many buckets as its spans say"
    );
}

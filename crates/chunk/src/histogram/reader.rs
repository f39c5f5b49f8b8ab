//! Reading a histogram chunk.

use std::marker::PhantomData;
use std::sync::Arc;

use ferula_model::value::is_stale;
use ferula_model::{CounterResetHint, FloatHistogram};

use super::kind::Counts;
use super::layout::Layout;
use super::{FloatCounts, IntegerCounts, counter_reset_header};
use crate::bits::{BitReader, Corrupt};
use crate::encoding::Encoding;
use crate::start::StartReader;

/// Samples of a chunk of integer histograms.
pub type HistogramIter<'a> = HistogramSamples<'a, IntegerCounts>;
/// Samples of a chunk of float histograms.
pub type FloatHistogramIter<'a> = HistogramSamples<'a, FloatCounts>;

/// Samples of a histogram chunk in order: start timestamp (0 for none), timestamp, histogram. Ends after the first error.
///
/// The hint of a histogram is "gauge" in a chunk of gauges. In others it is "unknown" for the first sample, because
/// the chunk before may be missing, and "not a reset" for the others. Staleness markers have "gauge" or "unknown".
/// Schemas above 8 are reduced to 8.
#[derive(Clone, Debug)]
pub struct HistogramSamples<'a, C> {
    reader: BitReader<'a>,
    starts: Option<StartReader>,
    reset: CounterResetHint,
    left: u16,
    index: u16,
    state: Option<(Layout, C)>,
    counts: PhantomData<C>,
}

impl<'a, C: Counts> HistogramSamples<'a, C> {
    /// An iterator over the chunk `data`, header included, with or without start timestamps.
    ///
    /// # Errors
    /// When `data` is shorter than the header.
    pub fn new(data: &'a [u8], with_starts: bool) -> Result<Self, Corrupt> {
        let encoding = if with_starts { C::ENCODING_ST } else { C::ENCODING };
        Ok(HistogramSamples {
            reset: counter_reset_header(encoding, data)?,
            left: encoding.sample_count(data).ok_or(Corrupt { byte: 0, what: "no header" })?,
            reader: BitReader::new(data, encoding.header_bytes()),
            starts: with_starts.then(|| StartReader::new(data[2])),
            index: 0,
            state: None,
            counts: PhantomData,
        })
    }

    /// Samples that are left by the header.
    pub fn remaining(&self) -> u16 {
        self.left
    }

    /// Reads the next sample into `self.state` and returns its start timestamp.
    fn advance(&mut self) -> Result<i64, Corrupt> {
        let previous = match &mut self.state {
            None => {
                let layout = Layout::read(&mut self.reader)?;
                let counts = C::read_first(&mut self.reader, &layout)?;
                let timestamp = counts.timestamp();
                self.state = Some((layout, counts));
                timestamp
            }
            Some((_, counts)) => {
                let timestamp = counts.timestamp();
                counts.read_next(&mut self.reader)?;
                timestamp
            }
        };
        let timestamp = self.state.as_ref().map_or(0, |(_, counts)| counts.timestamp());
        match &mut self.starts {
            None => Ok(0),
            Some(starts) => starts.read(&mut self.reader, self.index, (timestamp, previous)),
        }
    }

    fn hint(&self) -> CounterResetHint {
        let is_marker = self.state.as_ref().is_some_and(|(_, counts)| is_stale(counts.last_sum()));
        match (self.reset, self.index) {
            (CounterResetHint::Gauge, _) => CounterResetHint::Gauge,
            (_, 0) => CounterResetHint::Unknown,
            _ if is_marker => CounterResetHint::Unknown,
            _ => CounterResetHint::NotReset,
        }
    }

    fn next_with<T>(
        &mut self,
        take: impl FnOnce(&C, &Layout, CounterResetHint) -> T,
    ) -> Option<Result<(i64, i64, T), Corrupt>> {
        if self.left == 0 {
            return None;
        }
        let start = match self.advance() {
            Ok(start) => start,
            Err(corrupt) => {
                self.left = 0;
                return Some(Err(corrupt));
            }
        };
        let hint = self.hint();
        self.left -= 1;
        self.index += 1;
        let (layout, counts) = self.state.as_ref()?;
        Some(Ok((start, counts.timestamp(), take(counts, layout, hint))))
    }

    /// The next sample with float counts.
    pub fn next_float(&mut self) -> Option<Result<(i64, i64, FloatHistogram), Corrupt>> {
        self.next_with(|counts, layout, hint| {
            let mut sample = counts.float_sample(layout, hint);
            sample.reduce_to_stored_schema();
            sample
        })
    }
}

impl<C: Counts> Iterator for HistogramSamples<'_, C> {
    type Item = Result<(i64, i64, C::Sample), Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(|counts, layout, hint| {
            let mut sample = counts.sample(layout, hint);
            C::reduce(&mut sample);
            sample
        })
    }
}

/// Histogram samples as columns. Decoders append to them, so that several chunks can be read into one.
#[derive(Clone, Debug, Default)]
pub struct HistogramColumns {
    /// Milliseconds since the epoch.
    pub timestamps: Vec<i64>,
    /// The histograms, integer ones converted; a stale sample has the marker as its sum.
    pub values: Vec<Arc<FloatHistogram>>,
    /// Start timestamps in milliseconds, 0 for none. Empty as long as no sample has one.
    pub start_timestamps: Vec<i64>,
}

impl HistogramColumns {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Keeps the first `len` samples.
    pub fn truncate(&mut self, len: usize) {
        self.timestamps.truncate(len);
        self.values.truncate(len);
        self.start_timestamps.truncate(len);
    }

    /// Adds a sample; `start` is 0 for none.
    pub fn push(&mut self, start: i64, timestamp: i64, value: Arc<FloatHistogram>) {
        if start != 0 && self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
        }
        if start != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.push(start);
        }
        self.timestamps.push(timestamp);
        self.values.push(value);
    }
}

/// Appends the first `limit` samples of a histogram chunk to `out`; fewer when it has fewer. Returns how many.
///
/// # Errors
/// If `data` is not such a chunk; nothing was appended then.
///
/// # Panics
/// If the encoding is not for histograms.
pub fn decode_histograms(
    encoding: Encoding,
    data: &[u8],
    limit: u16,
    out: &mut HistogramColumns,
) -> Result<usize, Corrupt> {
    match encoding {
        Encoding::Histogram => decode(HistogramIter::new(data, false)?, limit, out),
        Encoding::HistogramSt => decode(HistogramIter::new(data, true)?, limit, out),
        Encoding::FloatHistogram => decode(FloatHistogramIter::new(data, false)?, limit, out),
        Encoding::FloatHistogramSt => decode(FloatHistogramIter::new(data, true)?, limit, out),
        Encoding::Xor | Encoding::Xor2 => panic!("{encoding} chunks have no histograms"),
    }
}

fn decode<C: Counts>(
    mut samples: HistogramSamples<'_, C>,
    limit: u16,
    out: &mut HistogramColumns,
) -> Result<usize, Corrupt> {
    let base = out.len();
    for _ in 0..limit {
        match samples.next_float() {
            Some(Ok((start, timestamp, value))) => out.push(start, timestamp, Arc::new(value)),
            Some(Err(corrupt)) => {
                out.truncate(base);
                return Err(corrupt);
            }
            None => break,
        }
    }
    Ok(out.len() - base)
}

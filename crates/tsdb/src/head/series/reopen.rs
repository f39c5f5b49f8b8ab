//! Saves the open chunk of a series in a savepoint, and restores it.

use std::sync::Arc;

use ferula_chunk::{
    Corrupt, Encoding, Fit, FloatHistogramWriter, IntegerHistogramWriter, SampleIter, SampleValue, Xor2Chunk,
    XorState, XorWriter, counter_reset_header,
};
use ferula_model::HistogramValue;

use super::{ChunkRules, Open, Series};
use crate::head::blocks::Payload;
use crate::head_chunks::Store;

/// The state besides the bytes that is needed to continue an open chunk.
#[derive(Clone, Debug)]
pub struct Reopened {
    pub encoding: Encoding,
    /// Timestamp of its first sample.
    pub min: i64,
    /// A sample at or after this time begins a new chunk.
    pub next_at: i64,
    /// Whether the end of a histogram chunk has been predicted.
    pub predicted: bool,
    /// The last sample as it was appended, if it is a histogram: in the chunk it may have more buckets.
    pub last_histogram: Option<HistogramValue>,
    /// The state of an XOR chunk besides its bytes.
    pub xor: Option<XorState>,
}

/// The bytes are not those of an open chunk.
const MISMATCH: Corrupt = Corrupt { byte: 0, what: "is not valid in an open chunk" };

impl Series {
    /// Writes the bytes of the open chunk to `data`, replacing its content; returns the remaining state.
    pub fn save_open(&self, data: &mut Vec<u8>) -> Option<Reopened> {
        let (encoding, _) = self.open_into(data)?;
        let last_histogram = match &self.open {
            Open::Histogram(_, last) => Some(HistogramValue::Integer(last.clone())),
            Open::FloatHistogram(_, last) => Some(HistogramValue::Float(last.clone())),
            Open::None | Open::Float(_) | Open::Float2(..) => None,
        };
        let xor = match &self.open {
            Open::Float(writer) => Some(writer.state()),
            _ => None,
        };
        let (min, next_at, predicted) = (self.open_min, self.next_at, self.predicted);
        Some(Reopened { encoding, min, next_at, predicted, last_histogram, xor })
    }

    /// Makes `data` the open chunk of a series that has none. Full chunks must be older.
    ///
    /// # Errors
    /// The bytes are not a valid chunk; the series is unchanged then.
    pub fn reopen(&mut self, saved: &Reopened, data: &[u8]) -> Result<(), Corrupt> {
        let open = match saved.encoding {
            Encoding::Xor => {
                let mut payload = Payload::default();
                let writer = XorWriter::go_on(data, saved.xor.ok_or(MISMATCH)?, &mut payload)?;
                self.payload = payload;
                Open::Float(writer)
            }
            Encoding::Xor2 => reopen_xor2(data)?,
            Encoding::Histogram | Encoding::HistogramSt => reopen_histogram(saved, data)?,
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => reopen_float_histogram(saved, data)?,
        };
        (self.open, self.open_min) = (open, saved.min);
        (self.next_at, self.predicted) = (saved.next_at, saved.predicted);
        Ok(())
    }

    /// Appends the samples of `data` that are newer than all others and not before `min`. Returns their
    /// number, and the number of chunks that they began.
    ///
    /// # Errors
    /// The bytes are not a valid chunk; samples before the invalid position were appended.
    pub fn append_newer(
        &mut self,
        encoding: Encoding,
        data: &[u8],
        min: i64,
        rules: &ChunkRules,
        store: &Store,
    ) -> Result<(u64, u64), Corrupt> {
        let (mut samples, mut chunks) = (0, 0);
        for sample in SampleIter::new(encoding, data)? {
            let sample = sample?;
            let (at, start) = (sample.timestamp, sample.start);
            if at < min || self.last().is_some_and(|last| at <= last) {
                continue;
            }
            let began = match sample.value {
                SampleValue::Float(value) => self.append_float(at, start, value, rules, store),
                SampleValue::Histogram(value) => {
                    let value = HistogramValue::Integer(Arc::new(*value));
                    self.append_histogram(at, start, &value, rules, store)
                }
                SampleValue::FloatHistogram(value) => {
                    let value = HistogramValue::Float(Arc::new(*value));
                    self.append_histogram(at, start, &value, rules, store)
                }
            };
            samples += 1;
            chunks += u64::from(began);
        }
        Ok((samples, chunks))
    }
}

fn reopen_xor2(data: &[u8]) -> Result<Open, Corrupt> {
    let mut chunk = Xor2Chunk::new();
    let mut last = None;
    for sample in SampleIter::new(Encoding::Xor2, data)? {
        let sample = sample?;
        let SampleValue::Float(value) = sample.value else { return Err(MISMATCH) };
        chunk.push(sample.start, sample.timestamp, value);
        last = Some((sample.timestamp, value));
    }
    let (at, value) = last.ok_or(MISMATCH)?;
    Ok(Open::Float2(Box::new(chunk), at, value))
}

/// A chunk's samples share its layout, so appending them again creates the same chunk.
macro_rules! reopen_histograms {
    ($name:ident, $value:ident, $variant:ident, $writer:ty, $kind:ident) => {
        fn $name(saved: &Reopened, data: &[u8]) -> Result<Open, Corrupt> {
            let Some(HistogramValue::$kind(last)) = &saved.last_histogram else { return Err(MISMATCH) };
            let header = counter_reset_header(saved.encoding, data)?;
            let with_starts = saved.encoding.has_start_timestamps();
            let mut writer: Option<$writer> = None;
            for sample in SampleIter::new(saved.encoding, data)? {
                let sample = sample?;
                let SampleValue::$value(value) = sample.value else { return Err(MISMATCH) };
                let (start, at) = (sample.start, sample.timestamp);
                match &mut writer {
                    None => writer = Some(<$writer>::begin(header, with_starts, start, at, &value)),
                    Some(writer) => {
                        let Fit::Append(relayout) = writer.fit(&value) else { return Err(MISMATCH) };
                        writer.append(start, at, &value, &relayout);
                    }
                }
            }
            let writer = writer.filter(|writer| writer.to_bytes() == data).ok_or(MISMATCH)?;
            Ok(Open::$variant(Box::new(writer), last.clone()))
        }
    };
}

reopen_histograms!(reopen_histogram, Histogram, Histogram, IntegerHistogramWriter, Integer);
reopen_histograms!(reopen_float_histogram, FloatHistogram, FloatHistogram, FloatHistogramWriter, Float);

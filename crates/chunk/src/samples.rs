//! Samples of a chunk of any encoding, one by one.

use ferula_model::{FloatHistogram, Histogram};

use crate::bits::Corrupt;
use crate::columns::Columns;
use crate::encoding::Encoding;
use crate::histogram::{FloatHistogramIter, HistogramIter};
use crate::xor::{XorIter, decode_xor};
use crate::xor2::{Xor2Iter, decode_xor2};

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Start timestamp in milliseconds, 0 for none.
    pub start: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub value: SampleValue,
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    Float(f64),
    /// A histogram with integer counts.
    Histogram(Box<Histogram>),
    /// A histogram with float counts.
    FloatHistogram(Box<FloatHistogram>),
}

/// Samples of a chunk in order. Ends after the first error.
#[derive(Clone, Debug)]
pub enum SampleIter<'a> {
    /// Of encoding 1.
    Xor(XorIter<'a>),
    /// Of encoding 4.
    Xor2(Xor2Iter<'a>),
    /// Of encodings 2 and 5.
    Histogram(Box<HistogramIter<'a>>),
    /// Of encodings 3 and 6.
    FloatHistogram(Box<FloatHistogramIter<'a>>),
}

impl<'a> SampleIter<'a> {
    /// An iterator over the chunk `data`, header included.
    ///
    /// # Errors
    /// When `data` is shorter than the header.
    pub fn new(encoding: Encoding, data: &'a [u8]) -> Result<Self, Corrupt> {
        let with_starts = encoding.has_start_timestamps();
        Ok(match encoding {
            Encoding::Xor => SampleIter::Xor(XorIter::new(data)?),
            Encoding::Xor2 => SampleIter::Xor2(Xor2Iter::new(data)?),
            Encoding::Histogram | Encoding::HistogramSt => {
                SampleIter::Histogram(Box::new(HistogramIter::new(data, with_starts)?))
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                SampleIter::FloatHistogram(Box::new(FloatHistogramIter::new(data, with_starts)?))
            }
        })
    }
}

impl Iterator for SampleIter<'_> {
    type Item = Result<Sample, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        let sample = |start, timestamp, value| Sample { start, timestamp, value };
        Some(match self {
            SampleIter::Xor(iter) => iter.next()?.map(|(t, v)| sample(0, t, SampleValue::Float(v))),
            SampleIter::Xor2(iter) => iter.next()?.map(|(st, t, v)| sample(st, t, SampleValue::Float(v))),
            SampleIter::Histogram(iter) => {
                iter.next()?.map(|(st, t, v)| sample(st, t, SampleValue::Histogram(Box::new(v))))
            }
            SampleIter::FloatHistogram(iter) => {
                iter.next()?.map(|(st, t, v)| sample(st, t, SampleValue::FloatHistogram(Box::new(v))))
            }
        })
    }
}

/// Appends the first `limit` samples of a float chunk to `out`; fewer when it has fewer. Returns how many.
///
/// # Errors
/// If `data` is not such a chunk; nothing was appended then.
///
/// # Panics
/// When the encoding is none of floats.
pub fn decode_floats(
    encoding: Encoding,
    data: &[u8],
    limit: u16,
    out: &mut Columns,
) -> Result<usize, Corrupt> {
    match encoding {
        Encoding::Xor => decode_xor(data, limit, out),
        Encoding::Xor2 => decode_xor2(data, limit, out),
        _ => panic!("{encoding} chunks have no floats"),
    }
}

//! Encodings 2, 3, 5 and 6: native histograms with integer or float counts, with and without start timestamps.
//!
//! ```text
//! 2, 3:  u16 count | reset header in the top 2 bits | layout, first sample | next sample | …
//! 5, 6:  reset header in the top 2 bits, 14 bits count | start header | layout, first sample, start | …
//! ```
//! A chunk has one layout: schema, zero threshold, spans, custom bounds. A sample with other buckets makes the chunk
//! or the sample get a new layout; another schema, a counter reset or a change between counter and gauge needs a new
//! chunk. [`HistogramWriter::fit`] decides which.
//!
//! `layout` has the layout's bytes, `buckets` aligns two layouts, `integer` and `float` hold what differs between
//! the two kinds of counts, `writer` and `reader` what does not.

mod buckets;
mod float;
mod integer;
mod kind;
mod layout;
mod reader;
mod writer;

pub use float::FloatCounts;
pub use integer::IntegerCounts;
pub use reader::{FloatHistogramIter, HistogramColumns, HistogramIter, HistogramSamples, decode_histograms};
pub use writer::{Fit, FloatHistogramWriter, HistogramWriter, IntegerHistogramWriter, Relayout};

use ferula_model::CounterResetHint;

use crate::bits::Corrupt;
use crate::encoding::Encoding;

/// What the header of a histogram chunk records about a reset between the previous chunk and its first sample.
///
/// # Errors
/// When `data` is shorter than the header.
///
/// # Panics
/// If the encoding is not for histograms.
pub fn counter_reset_header(encoding: Encoding, data: &[u8]) -> Result<CounterResetHint, Corrupt> {
    let short = Corrupt { byte: 0, what: "no header" };
    let at = match encoding {
        Encoding::Histogram | Encoding::FloatHistogram => 2,
        Encoding::HistogramSt | Encoding::FloatHistogramSt => 0,
        Encoding::Xor | Encoding::Xor2 => panic!("{encoding} chunks have no counter reset header"),
    };
    if data.len() < encoding.header_bytes() {
        return Err(short);
    }
    Ok(match data[at] >> 6 {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::NotReset,
        2 => CounterResetHint::Reset,
        _ => CounterResetHint::Gauge,
    })
}

/// The top two bits of the header byte.
fn reset_bits(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0b0000_0000,
        CounterResetHint::NotReset => 0b0100_0000,
        CounterResetHint::Reset => 0b1000_0000,
        CounterResetHint::Gauge => 0b1100_0000,
    }
}

#[cfg(test)]
mod tests;

//! Compressed runs of samples of one series: append and iterate.
//!
//! ```text
//! samples ──XorWriter / Xor2Writer / HistogramWriter──▶ bytes ──decode_* / SampleIter──▶ samples
//! ```
//!
//! Here: the bytes of a chunk in the six encodings of Prometheus (docs/format/chunk.md), nothing around them.
//! Elsewhere: files that hold chunks (`ferula-tsdb`), which chunk a sample belongs to, when a chunk is full.
//!
//! Always true: what was appended comes back bit for bit, NaN payloads included; the bytes are those that
//! Prometheus' encoder writes for the same samples; no decoder panics, reads past its input or allocates more than
//! its input justifies, whatever the bytes are.

pub mod bits;
mod columns;
mod encoding;
pub mod histogram;
pub mod leb128;
mod samples;
mod start;
mod varbit;
mod xor;
mod xor2;

pub use bits::{BitSink, Corrupt};
pub use columns::Columns;
pub use encoding::{Chunk, ChunkRef, Encoding, FloatEncoding, ValueKind};
pub use histogram::{
    Fit, FloatHistogramIter, FloatHistogramWriter, HistogramColumns, HistogramIter, IntegerHistogramWriter,
    Relayout, counter_reset_header, decode_histograms,
};
pub use samples::{Sample, SampleIter, SampleValue, decode_floats};
pub use xor::{XorChunk, XorIter, XorState, XorWriter, decode_xor};
pub use xor2::{Xor2Chunk, Xor2Iter, Xor2Writer, decode_xor2};

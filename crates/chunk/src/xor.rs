//! Encoding 1: floats, timestamps as delta of deltas, values as XOR with the one before.
//!
//! ```text
//! u16 count | t0 varint, v0 64 bits | t1 − t0 uvarint, v1 | (delta of delta, value)*
//! ```
//! Here: the writer, which keeps its state apart from its bytes, a plain iterator, and the fast decoder into
//! columns, for which the iterator is the oracle. The value code (`Window`) is shared with histograms.

mod decode;
mod iter;
mod state;
mod value;
mod writer;

pub use decode::decode_xor;
pub use iter::XorIter;
pub use state::XorState;
pub(crate) use value::Window;
pub use writer::{XorChunk, XorWriter};

#[cfg(test)]
mod tests;

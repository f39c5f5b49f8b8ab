//! Encoding 4: floats, one prefix for timestamp and value together, optional start timestamps.
//!
//! ```text
//! u16 count | start header | t0 varint, v0 64 bits, start | t1 − t0 uvarint, value, start | …
//! 0                    same delta, same value
//! 10    + value'       same delta
//! 110   + 13 bits + value   change of the delta, two's complement
//! 1110  + 20 bits + value
//! 11110 + 64 bits + value
//! 11111                same delta, staleness marker
//! value:  0 same | 10 bits in the window | 110 new window | 111 staleness marker
//! value': 0 bits in the window | 1 new window
//! ```
//! "Same" and XOR refer to the last value that is not a staleness marker (0 when there is none).

mod iter;
mod writer;

pub use iter::{Xor2Iter, decode_xor2};
pub use writer::{Xor2Chunk, Xor2Writer};

#[cfg(test)]
mod tests;

//! Tests of the parts that `tests/interleavings.rs` compiles once more, which is why they are not in those files.

mod isolation;
mod pins;

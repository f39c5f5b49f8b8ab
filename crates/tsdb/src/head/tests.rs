//! Tests of the parts that `tests/interleavings.rs` compiles again, which is why they are not in those files.

mod isolation;
mod pins;

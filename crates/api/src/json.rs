//! Answers as JSON: numbers and times to the digit, written in pieces so that a large result is never text as a whole.

pub mod number;
pub mod result;
pub mod time;
pub mod writer;

pub use writer::JsonWriter;

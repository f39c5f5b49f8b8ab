//! Answers as JSON: exact numbers and times, written in pieces so the text of a large result is never held as a whole.

pub mod number;
pub mod result;
pub mod time;
mod time_texts;
pub mod writer;

pub use writer::JsonWriter;

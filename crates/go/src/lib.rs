//! What Go's library does, to the byte.
//!
//! Prometheus is written in Go, so its answers, error texts and accepted inputs are those of Go's library wherever it
//! passes them through. This crate is the one place for them.
//!
//! Here: only what Go itself does. Elsewhere: what Prometheus builds on it, such as its own duration syntax
//! (`ferula-model`), and the template language (`ferula-template`).
//!
//! Always true: no function panics, whatever its input, and each returns what the real library returned
//! (`testdata/go`, `tests/recorded.rs`).

pub mod base64;
pub mod calendar;
pub mod duration;
pub mod float;
pub mod hex;
pub mod html;
pub mod ip;
pub mod json;
pub mod json_reader;
pub mod math;
pub mod mime;
pub mod multipart;
pub mod number;
pub mod os;
pub mod path;
pub mod protobuf;
pub mod quote;
pub mod regexp;
pub mod sync;
pub mod unicode;
pub mod url;

pub use regexp::Regexp;

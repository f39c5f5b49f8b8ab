//! Reads and writes scrape pages: text 0.0.4 / 1.0.0, OpenMetrics 1.0 and protobuf.
//!
//! ```text
//! body ─▶ Format::of_response ─▶ PageParser ─▶ Entry, Entry, …      key ─▶ key::decode ─▶ labels
//!                                       │  one line at a time
//!                                       ├─ scan: common shapes of a line, fast
//!                                       ├─ lexer + text / openmetrics: every other line, exactly
//!                                       ├─ starts, custom_buckets: meaning that spans several lines
//!                                       └─ protobuf: one sample at a time
//! metric families ─▶ writer ─▶ page
//! ```
//!
//! Here: conversion between the bytes of a page and borrowed entries, and which content type means which format.
//! Elsewhere: HTTP, targets, what happens to a sample.
//!
//! Always true: the fast scan accepts a line only if the exact parser would return the same entry for it. Everything
//! else goes to the exact parser, which alone produces errors. No input panics, and no input makes the parser hold more
//! than the body it borrows.

mod custom_buckets;
pub mod entry;
pub mod error;
mod escape;
pub mod families;
pub mod format;
pub mod key;
mod labels;
mod lexer;
mod line;
mod line_parser;
pub mod name_escaping;
pub mod negotiation;
mod number;
mod openmetrics;
pub mod options;
pub mod page;
pub mod protobuf;
mod scan;
mod starts;
mod text;
pub mod writer;

pub use entry::{Entry, ExemplarLabels, ExemplarText, HistogramSample, Series};
pub use error::ParseError;
pub use format::Format;
pub use labels::{KeyError, LabelScratch};
pub use options::PageOptions;
pub use page::{PageError, PageParser};

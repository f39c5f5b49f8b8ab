//! Scrape pages, read and written: text 0.0.4 / 1.0.0, OpenMetrics 1.0 and protobuf.
//!
//! ```text
//! body ─▶ Format::of_response ─▶ PageParser ─▶ Entry, Entry, …      key ─▶ key::decode ─▶ labels
//!                                       │  one line at a time
//!                                       ├─ scan: the usual shapes of a line, fast
//!                                       ├─ lexer + text / openmetrics: every other line, to the letter
//!                                       ├─ starts, custom_buckets: what several lines of a text page say together
//!                                       └─ protobuf: one sample at a time
//! metric families ─▶ writer ─▶ page
//! ```
//!
//! Here: bytes of a page to borrowed entries and back, and which content type means which format. Elsewhere: HTTP,
//! targets, what becomes of a sample.
//!
//! Always true: the fast scan accepts a line only if the exact parser would give the same entry for it; whatever it
//! does not understand goes to the exact parser, which alone words errors. No input panics, and no input makes the
//! parser hold more than the body it borrows.

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

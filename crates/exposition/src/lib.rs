//! Scrape pages, read and written: text 0.0.4 / 1.0.0 and OpenMetrics 1.0.
//!
//! ```text
//! body ─▶ page::Format::of_response ─▶ PageParser ─▶ Entry, Entry, …      key ─▶ key::decode ─▶ labels
//!                                       │  one line at a time
//!                                       ├─ scan: the usual shapes of a line, fast
//!                                       └─ lexer + text / openmetrics: every other line, to the letter
//! metric families ─▶ writer ─▶ page
//! ```
//!
//! Here: bytes of a page to borrowed entries and back, and which content type means which format. Elsewhere: HTTP,
//! targets, what becomes of a sample. Protobuf is not read yet and is refused by its content type.
//!
//! Always true: the fast scan accepts a line only if the exact parser would give the same entry for it; whatever it
//! does not understand goes to the exact parser, which alone words errors. No input panics, and no input makes the
//! parser hold more than the body it borrows.

pub mod entry;
pub mod error;
pub mod families;
pub mod key;
mod lexer;
mod line;
mod number;
mod openmetrics;
pub mod page;
mod scan;
mod starts;
mod text;
pub mod writer;

pub use entry::{Entry, ExemplarText, Series};
pub use error::ParseError;
pub use key::LabelScratch;
pub use page::{Format, PageParser};

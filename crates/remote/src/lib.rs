//! Remote write, in and out: codecs, the rules for what is kept of a request, and the queues towards others.
//!
//! ```text
//! headers ──write::headers──▶ which message, which packing
//! body ──snappy, zstd──▶ protobuf bytes ──write::message──▶ borrowed series ──write::Receiver──▶ Appender
//! ```
//!
//! Here: the receiver of remote write 1.0 and 2.0, and the sender ([`send`]). Elsewhere: HTTP and its statuses (`ferula-api`), and where samples
//! come to rest (`ferula-storage`). Everything in this crate reads bytes of strangers: sizes are checked before
//! anything is allocated, and no input panics.

mod histogram;
mod label;
pub mod metric_type;
pub mod read;
pub mod send;
pub mod snappy;
pub mod write;
pub mod zstd;

pub use ferula_go::protobuf;

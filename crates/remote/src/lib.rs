//! Remote write, incoming and outgoing, and the serving side of remote read.
//!
//! ```text
//! headers ──write::headers──▶ which message, which packing
//! body ──snappy, zstd──▶ protobuf bytes ──write::message──▶ borrowed series ──write::Receiver──▶ Appender
//! ```
//!
//! Here: the receiver of remote write 1.0 and 2.0 ([`write`]), the sender ([`send`]), and the answers of
//! remote read ([`read`]). Elsewhere: HTTP and its statuses (`ferula-api`), and storage (`ferula-storage`).
//! Everything in this crate reads untrusted bytes: sizes are checked before anything is allocated, and no
//! input panics.

mod histogram;
mod label;
pub mod metric_type;
pub mod read;
pub mod send;
pub mod snappy;
pub mod write;
pub mod zstd;

pub use ferula_go::protobuf;

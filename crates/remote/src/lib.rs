//! Remote write, incoming and outgoing, and the serving side of remote read.
//!
//! ```text
//! headers ──write::headers──▶ which message, which packing
//! body ──snappy, zstd──▶ protobuf bytes ──write::message──▶ borrowed series ──write::Receiver──▶ Appender
//! ```
//!
//! Here: the receiver of remote write 1.0 and 2.0, the sender ([`send`]), remote read as a server ([`read`]) and as a client
//! ([`source`]). Elsewhere: HTTP and its statuses (`ferula-api`), and where samples
//! come to rest (`ferula-storage`). Everything in this crate reads bytes of strangers: sizes are checked before
//! anything is allocated, and no input panics.

mod histogram;
mod label;
pub mod read;
pub mod send;
pub mod snappy;
pub mod source;
pub mod write;
pub mod zstd;

pub use ferula_go::protobuf;

/// How all requests to others name their sender.
const USER_AGENT_TEXT: &str = "Prometheus/3.14.0";

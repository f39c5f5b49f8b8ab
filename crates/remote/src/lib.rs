//! Remote write and read: codecs, and the rules of who gets which answer.
//!
//! ```text
//! request body ──snappy──▶ protobuf bytes ──write::message──▶ borrowed series ──write::Receiver──▶ Appender
//! ```
//!
//! Here: the receiver of remote write 1.0. Elsewhere: headers, statuses and texts of HTTP (`ferula-api`), where
//! samples come to rest (`ferula-storage`). Everything in this crate reads bytes of strangers: sizes are checked
//! before anything is allocated, and no input panics.

pub mod protobuf;
pub mod snappy;
pub mod write;

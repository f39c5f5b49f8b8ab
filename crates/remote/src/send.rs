//! Remote write out: what is stored here is sent to other servers as well.
//!
//! ```text
//! manager ─▶ destination ─▶ reader: log ─▶ series ─▶ encode ─▶ batch
//!               │             └▶ lanes: client ─▶ HTTP, until it is taken or refused
//!               └▶ progress ─▶ position: a file for each destination
//! ```
//!
//! The log of the store is the queue. A destination that is down for hours costs no memory, and one that was killed
//! continues where it was. Why it is so: docs/decisions/remote-write.md.
//!
//! Always true: what was not acknowledged or refused is still to be sent; samples of a series go out in the order of the
//! log; after `kill -9` only the one request of each lane that was in flight goes out again, as the same request.

mod batch;
mod client;
mod destination;
mod encode;
mod lane;
mod manager;
mod metrics;
mod position;
mod progress;
mod reader;
mod series;
mod sharding;
mod symbols;

pub use client::ClientError;
pub use destination::MetadataSource;
pub use manager::{ApplyError, Foundation, POSITIONS_DIR, WriteManager};

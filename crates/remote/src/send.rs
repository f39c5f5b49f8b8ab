//! Outgoing remote write: sends to other servers what is stored here.
//!
//! ```text
//! manager ─▶ destination ─▶ reader: log ─▶ series ─▶ encode ─▶ batch
//!               │             └▶ lanes: client ─▶ HTTP, until accepted or refused
//!               └▶ progress ─▶ position: a file for each destination
//! ```
//!
//! The store's log is the queue. A destination that is down for hours costs no memory, and after a kill,
//! sending continues at the same position. The reasons are in docs/decisions/remote-write.md.
//!
//! Always true: whatever was neither acknowledged nor refused will still be sent; samples of a series are
//! sent in the order of the log; after `kill -9`, only the one request of each lane that was in flight is
//! sent again, unchanged.

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

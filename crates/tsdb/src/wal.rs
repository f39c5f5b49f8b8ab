//! The write-ahead log in Prometheus' format: whatever is in memory has been logged before.
//!
//! ```text
//! commits ──▶ group (waiting commits share one write) ──▶ writer ──▶ pages of 32 KiB ──▶ segments of 128 MiB
//! start   ◀── record (bytes to values) ◀── reader (fragments to records, skips damage) ◀───┘
//!         └── ahead: on a second thread if the caller provides one
//! ```
//!
//! The out-of-order log (`wbl/`) uses the same files. Byte layouts: `format`, `record` and
//! docs/format/wal.md.

pub mod ahead;
pub mod checkpoint;
pub mod format;
pub mod group;
pub mod reader;
pub mod record;
pub mod writer;

pub use format::Compression;
pub use reader::SegmentReader;
pub use writer::{SyncTimer, Writer, WriterOptions};

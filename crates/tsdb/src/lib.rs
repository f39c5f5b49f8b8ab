//! The time series database: the newest samples in memory and in a log, older ones in blocks on disk.
//!
//! Here: everything about storage. Elsewhere: bytes of chunks (`ferula-chunk`), queries (`ferula-promql`),
//! timers and tasks (the binary). Always true: no task is started, no clock is read but the [`Stopwatch`] that the
//! caller hands in, and the disk is touched only through [`disk::Disk`].

mod admin;
pub mod blob;
pub mod block;
mod chunk_snapshot;
pub mod compact;
mod db;
pub mod disk;
pub mod head;
pub mod head_chunks;
mod maintain;
mod metrics;
pub mod postings;
mod querier;
pub mod recovery;
pub mod retention;
pub mod savepoint;
mod series_metadata;
mod series_state;
mod stale_series;
mod stopwatch;
mod sync;
pub mod tools;
mod view;
pub mod wal;

pub use ferula_chunk::FloatEncoding;

pub use db::{CHUNKS_HEAD_DIR, Db, OpenError, Options, WAL_DIR, WBL_DIR};
pub use head::{Cardinality, Head};
pub use maintain::{Doubt, Maintained};
pub use querier::snapshot::DbSnapshot;
pub use recovery::{Progress, Recovered};
pub use savepoint::{SAVEPOINT_DIR, Saved};
pub use stopwatch::Stopwatch;
pub use wal::group::UnsyncedHook;

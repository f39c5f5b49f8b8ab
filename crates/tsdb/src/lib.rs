//! The time series database: the newest samples in memory and in a log, older ones in blocks on disk.
//!
//! Here: everything about storage. Elsewhere: bytes of chunks (`ferula-chunk`), queries (`ferula-promql`),
//! timers and tasks (the binary). [`Db`] is the database, with its options and its reports; [`tools`] are the commands
//! for data directories, [`disk`] the file systems that all of it works on, [`formats`] the files for those who look
//! into them.
//!
//! Always true: no task is started; nothing is decided by a clock but the times that callers pass in; the disk is
//! touched only through [`disk::Disk`]; no file here imports one that imports it.

mod admin;
mod agent;
mod blob;
mod block;
mod bytes;
mod chunk_snapshot;
mod close;
mod compact;
mod db;
pub mod disk;
mod feed;
pub mod formats;
mod head;
mod head_chunks;
mod held;
mod ids;
mod maintain;
mod metrics;
mod open;
mod options;
mod postings;
mod querier;
mod recovery;
mod retention;
mod savepoint;
mod series_metadata;
mod series_state;
mod stopwatch;
mod sync;
pub mod tools;
mod view;
mod wal;

pub use ferula_chunk::FloatEncoding;

pub use agent::{AgentDb, AgentOptions, Truncated};
pub use blob::Access;
pub use block::{Block, BlockError, BlockMeta, BlockOptions, Ulid};
pub use db::Db;
pub use head::{Cardinality, DeleteError, Head, HeadAppender};
pub use maintain::{Doubt, Maintained};
pub use options::{CHUNKS_HEAD_DIR, OpenError, Options, WAL_DIR, WBL_DIR};
pub use querier::snapshot::DbSnapshot;
pub use recovery::{Progress, Recovered};
pub use retention::{Reason, Retention};
pub use savepoint::{SAVEPOINT_DIR, Saved};
pub use stopwatch::Stopwatch;
pub use wal::Compression;
pub use wal::ahead::ReplayHelper;
pub use wal::group::UnsyncedHook;

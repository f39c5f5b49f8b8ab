//! The time series database: the newest samples in memory and in a log, older ones in blocks on disk.
//!
//! Here: everything about storage. Elsewhere: bytes of chunks (`ferula-chunk`), queries (`ferula-promql`),
//! timers and tasks (the binary). [`Db`] is the database, with its options and reports; [`tools`] has the
//! commands for data directories, [`disk`] the file systems on which everything works, and [`formats`] the
//! files, for programs that inspect them.
//!
//! Always true: no tasks are started; decisions depend only on times that callers pass in, never on a clock;
//! the disk is accessed only through [`disk::Disk`]; files do not import each other in a cycle.

mod admin;
mod agent;
mod blob;
mod block;
mod bytes;
mod chunk_snapshot;
mod close;
mod compact;
mod damage;
mod db;
pub mod disk;
mod feed;
pub mod formats;
mod head;
mod head_chunks;
mod ids;
mod log_hold;
mod maintain;
mod metrics;
mod obstacles;
mod open;
mod options;
mod postings;
mod querier;
mod recovery;
mod retention;
mod savepoint;
mod scrub;
mod series_metadata;
mod series_state;
mod stopwatch;
mod sync;
pub mod tools;
mod view;
mod wal;

pub use ferula_chunk::FloatEncoding;

pub use agent::{AgentDb, AgentOptions, TruncationReport};
pub use blob::Access;
pub use block::{Block, BlockError, BlockMeta, BlockOptions, Ulid};
pub use damage::{Damage, DamageKind};
pub use db::Db;
pub use head::{Cardinality, DeleteError, Head, HeadAppender};
pub use ids::TimeSpan;
pub use maintain::{Doubt, Maintained};
pub use options::{CHUNKS_HEAD_DIR, OpenError, Options, WAL_DIR, WBL_DIR};
pub use querier::snapshot::DbSnapshot;
pub use recovery::{Progress, Recovered};
pub use retention::{Reason, Retention};
pub use savepoint::{SAVEPOINT_DIR, Saved};
pub use scrub::ScrubbedBlock;
pub use stopwatch::Stopwatch;
pub use wal::Compression;
pub use wal::ahead::ReplayHelper;
pub use wal::group::UnsyncedHook;

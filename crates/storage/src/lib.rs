//! The traits between producers, stores and readers of samples.
//!
//! ```text
//! scraper, rules, remote, promqltest ──Appender──▶ store ◀──Snapshot── promql, api, remote read
//! ```
//!
//! Here: what every store offers, and the merge of a store with sources beside it ([`fanout`]). Elsewhere: disk
//! (`ferula-tsdb`), PromQL, scraping. Calls are per series or per batch, never per sample, so that dynamic dispatch
//! costs nothing measurable.

pub mod appender;
pub mod columns;
mod disk_error;
pub mod fanout;
pub mod log_feed;
mod memory;
pub mod merge;
pub mod querier;

pub use appender::{
    AppendError, AppendOutcome, Appendable, Appender, CommitError, Durability, HistogramSample, Refusal,
    SampleBatch, SampleKind,
};
pub use columns::{FloatColumn, HistogramColumn, SeriesSamples};
pub use disk_error::DiskError;
pub use fanout::{Fanout, PendingRead, Source, SourceRow, SourceRows};
pub use log_feed::{
    Hold, LogCursor, LogFeed, LogHistogram, LogPosition, LogRecords, LogRef, LogSample, StoredCounts,
};
pub use memory::{LEASE_STEP_BYTES, Lease, MemoryContract, OutOfMemory};
pub use querier::{
    Hints, Purpose, Queryable, RowSink, SelectionId, Snapshot, Stop, StorageError, StoredChunk,
};

//! The time series database: head, WAL, blocks, compaction, postings.

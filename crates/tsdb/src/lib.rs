//! The time series database: the newest samples in memory and in a log, older ones in blocks on disk.
//!
//! Here: everything about storage. Elsewhere: bytes of chunks (`ferula-chunk`), queries (`ferula-promql`),
//! timers and tasks (the binary). Always true: no task is started, no clock is read, and the disk is
//! touched only through [`disk::Disk`].

pub mod blob;
pub mod block;
pub mod disk;
pub mod postings;
pub mod wal;

//! Decides whether a savepoint may be used.

use std::io;
use std::path::Path;

use super::format::{FrameKind, Origin, SavepointError, frames};
use super::segments::{Segments, SegmentsError};
use crate::disk::Disk;
use crate::head::ChunkRules;
use crate::wal::format::{list_checkpoints, list_segments, segment_path};

/// The position at which a start continues to read the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub segment: u32,
    pub offset: u64,
}

/// How much of the log immediately before the position is covered by the checksum.
const BEFORE_BYTES: u64 = 64 << 10;

/// Length and CRC-32 of the bytes immediately before `offset` in a segment.
pub fn before(disk: &dyn Disk, segment: &Path, offset: u64) -> io::Result<(u32, u32)> {
    let bytes = offset.min(BEFORE_BYTES);
    let mut buffer = vec![0; bytes as usize];
    if bytes > 0 && disk.open(segment)?.read_at(&mut buffer, offset - bytes)? != buffer.len() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the log is shorter than when the savepoint was taken",
        ));
    }
    Ok((bytes as u32, crc32fast::hash(&buffer)))
}

/// The first frame of a savepoint, and the others.
///
/// # Errors
/// A byte differs from what was written.
pub(crate) fn open(file: &[u8]) -> Result<(Origin, Vec<(FrameKind, &[u8])>), SavepointError> {
    let mut frames = frames(file)?;
    if frames.first().is_none_or(|(kind, _)| *kind != FrameKind::Begin) {
        return Err(SavepointError::Content("the first frame"));
    }
    let (_, origin) = frames.remove(0);
    Ok((Origin::decode(origin)?, frames))
}

/// Why a savepoint does not belong to this log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OriginError {
    #[error("it was taken with different chunk options")]
    Rules,
    #[error("the log cannot be read: {0}")]
    Log(io::Error),
    #[error("the log was checkpointed since")]
    Checkpointed,
    #[error("segment {0} of the log, at which it was taken, no longer exists")]
    SegmentGone(u32),
    #[error("{0}")]
    Segments(#[from] SegmentsError),
    #[error("the log before its position has changed")]
    Before,
}

/// Checks that a savepoint belongs to the log in `wal`, and that no other program continued that log.
///
/// # Errors
/// It does not.
pub(crate) fn check_origin(
    disk: &dyn Disk,
    wal: &Path,
    origin: &Origin,
    rules: &ChunkRules,
    segments: &Segments,
) -> Result<Start, OriginError> {
    let same_rules = origin.chunk_range == rules.range
        && origin.samples_per_chunk == rules.samples
        && origin.start_timestamps == rules.start_timestamps
        && origin.histogram_starts == rules.histogram_starts;
    if !same_rules {
        return Err(OriginError::Rules);
    }
    let checkpoint = list_checkpoints(disk, wal).map_err(OriginError::Log)?.last().copied();
    if checkpoint != origin.checkpoint {
        return Err(OriginError::Checkpointed);
    }
    let mut behind = list_segments(disk, wal).map_err(OriginError::Log)?;
    behind.retain(|segment| segment.number >= origin.segment);
    if behind.first().is_none_or(|segment| segment.number != origin.segment) {
        return Err(OriginError::SegmentGone(origin.segment));
    }
    segments.check(wal, &behind)?;
    let found = before(disk, &segment_path(wal, origin.segment), origin.offset).map_err(OriginError::Log)?;
    if found != (origin.before_bytes, origin.before_crc) {
        return Err(OriginError::Before);
    }
    Ok(Start { segment: origin.segment, offset: origin.offset })
}

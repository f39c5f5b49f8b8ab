//! Decides whether a savepoint may be used.

use std::io;
use std::path::Path;

use super::format::{FrameKind, Origin, SavepointError, frames};
use super::segments::{Segments, SegmentsError};
use crate::damage::{Damage, DamageKind};
use crate::disk::Disk;
use crate::head::ChunkRules;
use crate::wal::format::{checkpoint_path, list_checkpoints, list_segments, segment_path};

/// Where a start reads the log from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub segment: u32,
    pub offset: u64,
    /// What the log has no longer, and the savepoint has.
    pub lost: Vec<Damage>,
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
    #[error("{0}")]
    Segments(#[from] SegmentsError),
}

/// Checks that a savepoint belongs to the log in `wal`, and that nobody else continued it. What of the log is gone or damaged
/// before the savepoint's place does not rule it out: the savepoint has that.
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
    let mut lost = Vec::new();
    let saved = "nothing: the savepoint has what it held";
    let checkpoint = list_checkpoints(disk, wal).map_err(OriginError::Log)?.last().copied();
    match (origin.checkpoint, checkpoint) {
        (origin, found) if found > origin => return Err(OriginError::Checkpointed),
        (Some(number), found) => {
            let path = checkpoint_path(wal, number);
            let parts = list_segments(disk, &path).map_err(OriginError::Log)?;
            if found != Some(number) || parts.iter().all(|part| part.bytes == 0) {
                lost.push(
                    Damage::new(DamageKind::Missing, path, "the checkpoint is gone or empty").cost(saved),
                );
            }
        }
        (None, _) => {}
    }
    let mut behind = list_segments(disk, wal).map_err(OriginError::Log)?;
    for gone in segments.lost(&behind, checkpoint.max(origin.checkpoint)) {
        if gone.segment < origin.segment {
            let what = "the segment is gone, or not as long as it was";
            let path = segment_path(wal, gone.segment);
            lost.push(Damage::new(DamageKind::Missing, path, what).cost(saved));
        }
    }
    behind.retain(|segment| segment.number >= origin.segment);
    segments.check(wal, &behind)?;
    let path = segment_path(wal, origin.segment);
    match behind.iter().find(|segment| segment.number == origin.segment) {
        None => {
            lost.push(Damage::new(DamageKind::Missing, path, "the segment is gone").cost(saved));
        }
        Some(segment) if segment.bytes < origin.offset => {
            let what = format!("{} bytes are left of at least {}", segment.bytes, origin.offset);
            let bytes = segment.bytes..origin.offset;
            lost.push(Damage::new(DamageKind::Torn, path, what).at(bytes).cost(saved));
        }
        Some(_) => {
            let found = before(disk, &path, origin.offset);
            // A place that cannot be read is as good as one with other bytes.
            if found.ok() != Some((origin.before_bytes, origin.before_crc)) {
                let bytes = origin.offset - u64::from(origin.before_bytes)..origin.offset;
                let what = "other bytes than were written";
                lost.push(Damage::new(DamageKind::Unreadable, path, what).at(bytes).cost(saved));
            }
        }
    }
    Ok(Start { segment: origin.segment, offset: origin.offset, lost })
}

//! The part of a start in which a savepoint replaces the log.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Progress, Recovery};
use crate::disk::Disk;
use crate::head::{Replay, SavedSeriesError};
use crate::head_chunks::load;
use crate::ids::LogRef;
use crate::savepoint::format::{FrameKind, SavepointError, SeriesDecoder, departed, exemplars, extra_refs};
use crate::savepoint::segments::{Segments, SegmentsError};
use crate::savepoint::{OriginError, SAVEPOINT_DIR, Start, check_origin, open, state_path};

/// The files related to a savepoint.
pub(crate) struct SavepointFiles<'a> {
    pub disk: &'a Arc<dyn Disk>,
    pub data_dir: &'a Path,
    pub wal: &'a Path,
    pub chunks_dir: &'a Path,
    /// Whether files of `chunks_head` were damaged.
    pub chunks_damaged: bool,
}

/// Why a savepoint is not used.
#[derive(Debug, thiserror::Error)]
enum UnfitReason {
    #[error("head chunks that it refers to are damaged")]
    ChunksDamaged,
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("{0}")]
    Damaged(#[from] SavepointError),
    #[error("{0}")]
    Segments(#[from] SegmentsError),
    #[error("{0}")]
    Origin(#[from] OriginError),
    #[error("{0}")]
    Series(#[from] SavedSeriesError),
    #[error("a frame is duplicated")]
    FrameTwice,
}

/// A savepoint that cannot be used.
struct Unfit {
    why: UnfitReason,
    /// Whether a part of it has already been restored.
    begun: bool,
}

impl<E: Into<UnfitReason>> From<E> for Unfit {
    fn from(why: E) -> Self {
        Unfit { why: why.into(), begun: false }
    }
}

impl Recovery<Replay<'_>> {
    /// Restores the head to the state of the savepoint, if there is a valid one; then returns where the log
    /// continues. An invalid one is removed, and the list in `segments` is cleared.
    ///
    /// # Errors
    /// Existing files cannot be listed or mapped.
    pub(crate) fn savepoint(
        &mut self,
        files: &SavepointFiles<'_>,
        segments: &mut Segments,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<Option<Start>> {
        let state = state_path(&files.data_dir.join(SAVEPOINT_DIR));
        if files.disk.stat(&state)?.is_none() {
            return Ok(None);
        }
        let unfit = match self.try_savepoint(&state, files, segments) {
            Ok(start) => {
                let series = self.replay.saved_series_count();
                report(Progress::Savepoint { series, segment: start.segment });
                return Ok(Some(start));
            }
            Err(unfit) => unfit,
        };
        report(Progress::SavepointIgnored(unfit.why.to_string()));
        segments.forget();
        if unfit.begun {
            self.replay.start_over(load(&**files.disk, files.chunks_dir)?.chunks);
        }
        // It does no harm if it stays: it will be found invalid again.
        let _ = files.disk.remove_file(&state);
        Ok(None)
    }

    fn try_savepoint(
        &mut self,
        state: &Path,
        files: &SavepointFiles<'_>,
        segments: &mut Segments,
    ) -> Result<Start, Unfit> {
        if files.chunks_damaged {
            return Err(Unfit::from(UnfitReason::ChunksDamaged));
        }
        let file = files.disk.map(state)?;
        let (origin, frames) = open(&file)?;
        segments.load()?;
        let start = check_origin(&**files.disk, files.wal, &origin, self.replay.rules(), segments)?;
        segments.forget_before(start.segment);
        self.replay.note_ref(LogRef::new(origin.next_ref.get().saturating_sub(1)));
        for (kind, body) in frames {
            self.frame(kind, body).map_err(|why| Unfit { why, begun: true })?;
        }
        Ok(start)
    }

    fn frame(&mut self, kind: FrameKind, body: &[u8]) -> Result<(), UnfitReason> {
        match kind {
            FrameKind::Series => {
                let mut decoder = SeriesDecoder::new(body);
                while let Some(saved) = decoder.next_series()? {
                    self.replay.saved_series(decoder.labels(), saved)?;
                }
            }
            FrameKind::ExtraRefs => {
                for (log_ref, extra) in extra_refs(body)? {
                    self.replay.extra_ref(log_ref, extra);
                }
            }
            FrameKind::Departed => {
                for (hash, end) in departed(body)? {
                    self.replay.departed(hash, end);
                }
            }
            FrameKind::Exemplars => {
                let exemplars = exemplars(body)?;
                // Exemplars that are also in a snapshot of Prometheus are skipped.
                self.replay.exemplars(exemplars);
            }
            FrameKind::Begin | FrameKind::End => return Err(UnfitReason::FrameTwice),
        }
        Ok(())
    }
}

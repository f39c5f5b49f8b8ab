//! The part of a start in which a savepoint replaces the log.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Progress, Recovery};
use crate::damage::{Damage, DamageKind, set_aside};
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
struct UnusableSavepoint {
    why: UnfitReason,
    /// Whether a part of it has already been restored.
    begun: bool,
}

impl<E: Into<UnfitReason>> From<E> for UnusableSavepoint {
    fn from(why: E) -> Self {
        UnusableSavepoint { why: why.into(), begun: false }
    }
}

impl Recovery<Replay<'_>> {
    /// Brings the head to where the savepoint was taken, if there is one that can be used; returns where the log
    /// continues then. One that cannot is set aside: see [`Recovery::refused_savepoint`].
    ///
    /// # Errors
    /// When the disk refuses to list files that are there.
    pub(crate) fn savepoint(
        &mut self,
        files: &SavepointFiles<'_>,
        segments: &Segments,
        listed: Result<(), SegmentsError>,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<Option<Start>> {
        let state = state_path(&files.data_dir.join(SAVEPOINT_DIR));
        // One that cannot even be looked at is none.
        if !matches!(files.disk.stat(&state), Ok(Some(_))) {
            return Ok(None);
        }
        let unfit = match self.try_savepoint(&state, files, segments, listed) {
            Ok(start) => {
                let series = self.replay.saved_series_count();
                report(Progress::Savepoint { series, segment: start.segment });
                self.recovered.corruptions += start.lost.len() as u64;
                start.lost.iter().for_each(|lost| report(Progress::Damaged(lost.clone())));
                return Ok(Some(start));
            }
            Err(unfit) => unfit,
        };
        report(Progress::SavepointIgnored(unfit.why.to_string()));
        if unfit.begun {
            self.replay.discard_written_chunks();
            self.replay.start_over(load(&**files.disk, files.chunks_dir)?.chunks);
        }
        // It does no harm when it stays: it will be found unfit again.
        let kept = set_aside(&**files.disk, &state).ok();
        let (why, cost) = (unfit.why.to_string(), "time: the whole log is read");
        match unfit.why {
            UnfitReason::Series(SavedSeriesError::Chunk(_)) => {
                let damage = Damage::new(DamageKind::Missing, files.chunks_dir, why);
                report(Progress::Damaged(damage.cost(cost)));
                self.refused = kept;
            }
            UnfitReason::Read(_) | UnfitReason::Damaged(_) | UnfitReason::Series(_) => {
                let damage = Damage::new(DamageKind::Unreadable, state, why);
                report(Progress::Damaged(damage.cost(cost).kept(kept)));
            }
            _ => self.refused = kept,
        }
        Ok(None)
    }

    /// Ends the life of a savepoint that was refused and is not damaged: if the log had everything, it is of no use any more.
    /// If not, it may have what is lost, and is kept.
    pub(crate) fn refused_savepoint(&mut self, disk: &dyn Disk, report: &mut dyn FnMut(Progress)) {
        let Some(kept) = self.refused.take() else { return };
        if self.recovered.corruptions == 0 && self.replay.unknown_series() == 0 {
            let _ = disk.remove_file(&kept);
            return;
        }
        let what = "this savepoint was refused, and the log is not whole";
        let damage = Damage::new(DamageKind::Contradictory, kept.clone(), what);
        report(Progress::Damaged(
            damage.cost("perhaps none: it may have what the log has lost").kept(Some(kept)),
        ));
    }

    fn try_savepoint(
        &mut self,
        state: &Path,
        files: &SavepointFiles<'_>,
        segments: &Segments,
        listed: Result<(), SegmentsError>,
    ) -> Result<Start, UnusableSavepoint> {
        if files.chunks_damaged {
            return Err(UnusableSavepoint::from(UnfitReason::ChunksDamaged));
        }
        let file = files.disk.map(state)?;
        let (origin, frames) = open(&file)?;
        listed?;
        let start = check_origin(&**files.disk, files.wal, &origin, self.replay.rules(), segments)?;
        self.replay.note_ref(LogRef::new(origin.next_ref.get().saturating_sub(1)));
        for (kind, body) in frames {
            self.frame(kind, body).map_err(|why| UnusableSavepoint { why, begun: true })?;
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

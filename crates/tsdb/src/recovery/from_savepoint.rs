//! The part of a start that a savepoint takes the place of the log for.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Extra, Place, Progress, REF_MAX, Replay, by_series, is_sound, widen};
use crate::disk::Disk;
use crate::head::{Head, Reopened};
use crate::head_chunks::load;
use crate::savepoint::format::{Kind, SavedSeries, SeriesDecoder, departed as ends, exemplars, extra_refs};
use crate::savepoint::segments::Segments;
use crate::savepoint::{SAVEPOINT_DIR, Start, check_origin, open, state_path};

/// What belongs to a savepoint.
pub(crate) struct Surroundings<'a> {
    pub disk: &'a Arc<dyn Disk>,
    pub data_dir: &'a Path,
    pub wal: &'a Path,
    pub chunks_dir: &'a Path,
    /// Whether files of `chunks_head` were damaged.
    pub chunks_damaged: bool,
}

/// Why a savepoint is not used.
struct Unfit {
    why: String,
    /// Whether some of it was brought back already.
    begun: bool,
}

impl From<String> for Unfit {
    fn from(why: String) -> Self {
        Unfit { why, begun: false }
    }
}

impl Replay<'_> {
    /// Brings the head to where the savepoint was taken, if there is one that can be used; says where the log goes on
    /// then. One that cannot is removed, and `segments` knows of no segment afterwards.
    ///
    /// # Errors
    /// When the disk refuses to list or map files that are there.
    pub(crate) fn savepoint(
        &mut self,
        around: &Surroundings<'_>,
        segments: &mut Segments,
        report: &mut dyn FnMut(Progress),
    ) -> io::Result<Option<Start>> {
        let state = state_path(&around.data_dir.join(SAVEPOINT_DIR));
        if around.disk.stat(&state)?.is_none() {
            return Ok(None);
        }
        let unfit = match self.try_savepoint(&state, around, segments) {
            Ok(start) => {
                report(Progress::Savepoint {
                    series: self.recovered.savepoint_series,
                    segment: start.segment,
                });
                return Ok(Some(start));
            }
            Err(unfit) => unfit,
        };
        report(Progress::SavepointIgnored(unfit.why));
        segments.forget();
        if unfit.begun {
            self.start_over(around)?;
        }
        // In the way of nobody when it stays: it will be found unfit again.
        let _ = around.disk.remove_file(&state);
        Ok(None)
    }

    fn try_savepoint(
        &mut self,
        state: &Path,
        around: &Surroundings<'_>,
        segments: &mut Segments,
    ) -> Result<Start, Unfit> {
        if around.chunks_damaged {
            return Err(Unfit::from("head chunks that it needs are damaged".to_owned()));
        }
        let file = around.disk.map(state).map_err(|error| error.to_string())?;
        let (origin, frames) = open(&file).map_err(|error| error.to_string())?;
        segments.load()?;
        let start = check_origin(&**around.disk, around.wal, &origin, &self.rules, segments)?;
        segments.forget_before(start.segment);
        self.note_ref(origin.next_ref.saturating_sub(1));
        for (kind, body) in frames {
            self.frame(kind, body).map_err(|why| Unfit { why, begun: true })?;
        }
        Ok(start)
    }

    /// As if nothing had been brought back.
    fn start_over(&mut self, around: &Surroundings<'_>) -> io::Result<()> {
        self.head.clear();
        self.chunks = by_series(load(&**around.disk, around.chunks_dir)?.chunks);
        self.slots = Default::default();
        self.extra_refs.clear();
        self.waiting_refs.clear();
        self.recovered = Default::default();
        (self.range, self.late_range) = ((i64::MAX, i64::MIN), (i64::MAX, i64::MIN));
        Ok(())
    }

    fn frame(&mut self, kind: Kind, body: &[u8]) -> Result<(), String> {
        match kind {
            Kind::Series => {
                let mut decoder = SeriesDecoder::new(body);
                while let Some(saved) = decoder.next_series().map_err(|error| error.to_string())? {
                    self.saved_series(decoder.labels(), saved)?;
                }
            }
            Kind::ExtraRefs => {
                for extra in extra_refs(body).map_err(|error| error.to_string())? {
                    self.note_ref(extra.log_ref);
                    // Its chunks are the label set's.
                    if let Some(mut chunks) = self.chunks.remove(&extra.log_ref) {
                        self.chunks.entry(extra.first).or_default().append(&mut chunks);
                    }
                    self.extra_refs.insert(extra.log_ref, Extra { first: extra.first, newest: extra.newest });
                    self.waiting_refs.entry(extra.first).or_default().push(extra.log_ref);
                }
            }
            Kind::Departed => {
                let mut departed = self.head.departed.lock();
                for (hash, end) in ends(body).map_err(|error| error.to_string())? {
                    departed.add(hash, end);
                }
            }
            Kind::Exemplars => {
                let mut stored = self.head.exemplars.lock();
                for (labels, exemplar) in exemplars(body).map_err(|error| error.to_string())? {
                    // One that a snapshot of Prometheus had too is left out.
                    let _ = stored.add(&labels, exemplar);
                }
            }
            Kind::Begin | Kind::End => return Err("a frame comes twice".into()),
        }
        Ok(())
    }

    fn saved_series(&mut self, labels: &[(&str, &str)], saved: SavedSeries<'_>) -> Result<(), String> {
        let log_ref = saved.log_ref;
        if log_ref >= REF_MAX || self.slots.get(log_ref).is_some() {
            return Err(format!("the ref {log_ref} cannot be"));
        }
        self.check_chunks(&saved)?;
        let made = self.head.bring_back(labels.iter().copied(), log_ref);
        let Ok((slot, true)) = made else { return Err(format!("series {log_ref} cannot be made")) };
        self.recovered.savepoint_series += 1;
        self.note_ref(log_ref);
        self.adopt_chunks(log_ref, slot);
        if let Some((open, data)) = &saved.open {
            if open.last_histogram.as_ref().is_some_and(|last| !is_sound(last)) {
                return Err(format!("a histogram of series {log_ref} contradicts itself"));
            }
            self.reopen(slot, open, data).map_err(|error| format!("series {log_ref}: {error}"))?;
        }
        if let Some(metadata) = saved.metadata {
            self.head.set_metadata(slot, &metadata);
        }
        saved.deleted.into_iter().for_each(|range| self.head.add_deleted(slot, range));
        let done_to = self.head.slots.get_mut(slot).last().unwrap_or(i64::MIN);
        self.slots.insert(log_ref, Place { done_to, slot, extra: false });
        if !self.waiting_refs.is_empty() {
            for extra in self.waiting_refs.remove(&log_ref).unwrap_or_default() {
                self.slots.insert(extra, Place { done_to, slot, extra: true });
            }
        }
        Ok(())
    }

    /// Checks that `chunks_head` has all full chunks of a series that are not in blocks: the log before the savepoint,
    /// which has their samples too, is not read.
    fn check_chunks(&self, saved: &SavedSeries<'_>) -> Result<(), String> {
        let known = self.chunks.get(&saved.log_ref).map_or(&[][..], Vec::as_slice);
        let mut next = 0;
        for (place, max) in &saved.full {
            if *max < self.min_valid {
                continue;
            }
            // Both rise, but for chunks of a label set's other refs.
            let is_it = |at: &usize| known[*at].place.number() == *place;
            match (next..known.len()).find(is_it).or_else(|| (0..next).find(is_it)) {
                Some(at) => next = at + 1,
                None => return Err(format!("a chunk of series {} is not in chunks_head", saved.log_ref)),
            }
        }
        Ok(())
    }

    fn reopen(
        &mut self,
        slot: crate::head::SlotId,
        open: &Reopened,
        data: &[u8],
    ) -> Result<(), ferula_chunk::Corrupt> {
        let (rules, Head { slots, chunks, metrics, .. }) = (&self.rules, &mut *self.head);
        let series = slots.get_mut(slot);
        // When it was cut since, it is in chunks_head, with all that was added before the cut.
        let (samples, began) =
            if open.min >= self.min_valid && series.last().is_none_or(|last| last < open.min) {
                series.reopen(open, data)?;
                (u64::from(series.open_samples()), 1)
            } else {
                series.append_newer(open.encoding, data, self.min_valid, rules, chunks)?
            };
        self.recovered.samples += samples;
        metrics.chunks.add(began as f64);
        if let Some((first, last)) = series.open_range() {
            widen(&mut self.range, first, last);
        }
        Ok(())
    }
}

//! Series that have ended: their newest sample is a staleness marker, and nothing came out of order.

use ferula_model::value::is_stale;

use super::{Extra, Head, Series, SlotId, lock};

/// A series that had ended when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StaleSeries {
    pub slot: SlotId,
    log_ref: u64,
    /// Time of the marker.
    last: i64,
}

impl StaleSeries {
    /// The series in a slot, if it has ended and nobody is about to append to it.
    fn of(slot: SlotId, series: &Series) -> Option<Self> {
        let ended = series.alive
            && series.pending == 0
            && series.out_of_order.is_none()
            && series.last_value().is_some_and(is_stale);
        let last = series.last().filter(|_| ended)?;
        Some(StaleSeries { slot, log_ref: series.log_ref, last })
    }
}

impl Head {
    /// All series that have ended.
    pub(crate) fn stale_series(&self) -> Vec<StaleSeries> {
        (0..self.slots.end()).filter_map(|slot| StaleSeries::of(slot, &self.slots.lock(slot))).collect()
    }

    /// Removes those of the series, which rise by slot, that have not gone on. Their samples are in blocks that every
    /// snapshot has. Says how many.
    pub(crate) fn remove_stale(&self, stale: &[StaleSeries]) -> usize {
        let (mut chunks, mut wanted) = (0, stale.iter());
        let mut gone: Vec<StaleSeries> = Vec::new();
        let slots: Vec<SlotId> = stale.iter().map(|series| series.slot).collect();
        let removed = self.remove_if(&slots, |slot, series| {
            let before = wanted.find(|before| before.slot == slot);
            let now = StaleSeries::of(slot, series);
            let Some(unchanged) = now.filter(|now| before == Some(now)) else { return false };
            chunks += series.forget_samples();
            gone.push(unchanged);
            true
        });
        // The log may have samples of them for a while, and must know whose they are.
        let mut extra = lock(&self.extra_refs);
        for series in gone {
            Extra::note(&mut extra, series.log_ref, series.last);
        }
        drop(extra);
        self.metrics.chunks.add(-(chunks as f64));
        self.metrics.chunks_removed.add(chunks as u64);
        removed
    }
}

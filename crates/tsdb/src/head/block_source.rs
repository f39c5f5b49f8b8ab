//! The head as a source of blocks: series in label order, chunk by chunk, without copying everything.

use std::path::{Path, PathBuf};

use super::{FullChunk, Head, StaleSeries};
use crate::block::{BlockChunk, BlockError, Interval, Intervals};
use crate::compact::{SeriesSource, SourceSeries};
use crate::head_chunks::ChunkPlace;
use crate::ids::{SlotId, TimeSpan};

/// The samples from which a block is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// In-order samples.
    InOrder,
    /// Out-of-order samples that are in chunks.
    OutOfOrder,
}

/// Series of the head with chunks in a time range.
pub struct HeadSource<'a> {
    head: &'a Head,
    samples: Samples,
    span: TimeSpan,
    symbols: std::vec::IntoIter<String>,
    current: String,
    series: std::vec::IntoIter<(SlotId, Vec<(u32, u32)>)>,
    place: PathBuf,
}

impl<'a> HeadSource<'a> {
    /// The current series. No in-order sample in the span may be added any more.
    pub fn new(head: &'a Head, samples: Samples, span: TimeSpan) -> Self {
        Self::of_slots(head, head.slots.all(), samples, span)
    }

    /// Only series that have ended; in-order samples.
    pub fn of_stale(head: &'a Head, stale: &[StaleSeries], span: TimeSpan) -> Self {
        Self::of_slots(head, stale.iter().map(StaleSeries::slot), Samples::InOrder, span)
    }

    fn of_slots(
        head: &'a Head,
        slots: impl Iterator<Item = SlotId>,
        samples: Samples,
        span: TimeSpan,
    ) -> Self {
        let wanted: Vec<SlotId> = slots.filter(|slot| has_chunks(head, *slot, samples, span)).collect();
        let (symbols, series) = head.index().in_label_order(wanted);
        HeadSource {
            head,
            samples,
            span,
            symbols: symbols.into_iter(),
            current: String::new(),
            series: series.into_iter(),
            place: PathBuf::from(crate::CHUNKS_HEAD_DIR),
        }
    }

    fn chunks(&self, slot: SlotId) -> Result<Vec<BlockChunk>, BlockError> {
        let mut places: Vec<(ChunkPlace, i64, i64)> = Vec::new();
        let mut open = None;
        {
            let series = self.head.slots.lock(slot);
            let mut add = |chunk: &FullChunk| {
                if chunk.time_span().overlaps(self.span) {
                    places.push((chunk.place, chunk.min, chunk.max()));
                }
            };
            match self.samples {
                Samples::InOrder => {
                    series.full_chunks().for_each(|(_, chunk)| add(chunk));
                    if let Some(bounds) = series.open_span().filter(|open| open.overlaps(self.span)) {
                        open = series.open_bytes().map(|(encoding, _, data)| (encoding, bounds, data));
                    }
                }
                Samples::OutOfOrder => {
                    series.out_of_order.iter().flat_map(|samples| samples.full_chunks()).for_each(add);
                }
            }
        }
        places.sort_by_key(|(_, min, max)| (*min, *max));
        let mut chunks = Vec::with_capacity(places.len() + 1);
        for (place, min_time, max_time) in places {
            let read = self.head.chunks.read(place, |chunk| (chunk.encoding, chunk.data.to_vec()));
            let (encoding, data) = read.map_err(|error| BlockError::io(&self.place, error))?;
            chunks.push(BlockChunk { encoding, min_time, max_time, data: data.into() });
        }
        if let Some((encoding, bounds, data)) = open {
            let (min_time, max_time) = (bounds.start(), bounds.last());
            chunks.push(BlockChunk { encoding, min_time, max_time, data: data.into() });
        }
        Ok(chunks)
    }
}

fn has_chunks(head: &Head, slot: SlotId, samples: Samples, span: TimeSpan) -> bool {
    let series = head.slots.lock(slot);
    if !series.alive {
        return false;
    }
    match samples {
        Samples::InOrder => {
            series.full_chunks().any(|(_, chunk)| chunk.time_span().overlaps(span))
                || series.open_span().is_some_and(|open| open.overlaps(span))
        }
        Samples::OutOfOrder => series
            .out_of_order
            .iter()
            .any(|samples| samples.full_chunks().iter().any(|chunk| chunk.time_span().overlaps(span))),
    }
}

impl SeriesSource for HeadSource<'_> {
    fn next_symbol(&mut self) -> Result<Option<&str>, BlockError> {
        let Some(symbol) = self.symbols.next() else { return Ok(None) };
        self.current = symbol;
        Ok(Some(&self.current))
    }

    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, BlockError> {
        let Some((slot, labels)) = self.series.next() else { return Ok(false) };
        series.clear();
        series.labels = labels;
        series.chunks = self.chunks(slot)?;
        let mut deleted = Intervals::default();
        for range in self.head.deleted_ranges(slot).unwrap_or_default() {
            deleted.add(Interval { min: range.start(), max: range.last() });
        }
        series.deleted = deleted;
        Ok(true)
    }

    fn place(&self) -> &Path {
        &self.place
    }
}

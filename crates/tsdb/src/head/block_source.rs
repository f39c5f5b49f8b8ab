//! The head as a source of blocks: series in label order, chunk by chunk, without a copy of everything.

use std::path::{Path, PathBuf};

use super::{FullChunk, Head, SlotId};
use crate::block::{BlockChunk, BlockError, Interval, Intervals};
use crate::compact::{SeriesSource, SourceSeries};
use crate::head_chunks::ChunkPlace;

/// Which samples a block is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that came in order.
    InOrder,
    /// Those that came late and are in chunks.
    OutOfOrder,
}

/// Series of the head with chunks in a range of time.
pub struct HeadSource<'a> {
    head: &'a Head,
    which: Which,
    /// First moment, and the one after the last.
    range: (i64, i64),
    symbols: std::vec::IntoIter<String>,
    current: String,
    series: std::vec::IntoIter<(SlotId, Vec<(u32, u32)>)>,
    place: PathBuf,
}

impl<'a> HeadSource<'a> {
    /// The series as they are now. No in-order sample in the range may be added any more.
    pub fn new(head: &'a Head, which: Which, range: (i64, i64)) -> Self {
        Self::of_slots(head, 0..head.slots.end(), which, range)
    }

    /// Those of the slots only, which rise; in-order samples.
    pub fn of_series(head: &'a Head, slots: impl Iterator<Item = SlotId>, range: (i64, i64)) -> Self {
        Self::of_slots(head, slots, Which::InOrder, range)
    }

    fn of_slots(
        head: &'a Head,
        slots: impl Iterator<Item = SlotId>,
        which: Which,
        range: (i64, i64),
    ) -> Self {
        let wanted: Vec<SlotId> = slots.filter(|slot| has_chunks(head, *slot, which, range)).collect();
        let (symbols, series) = head.index().in_label_order(wanted);
        HeadSource {
            head,
            which,
            range,
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
                if overlaps((chunk.min, chunk.max()), self.range) {
                    places.push((chunk.place, chunk.min, chunk.max()));
                }
            };
            match self.which {
                Which::InOrder => {
                    series.full_chunks().for_each(|(_, chunk)| add(chunk));
                    if let Some(bounds) = series.open_range().filter(|bounds| overlaps(*bounds, self.range)) {
                        open = series.open_bytes().map(|(encoding, _, data)| (encoding, bounds, data));
                    }
                }
                Which::OutOfOrder => {
                    series.out_of_order.iter().flat_map(|late| late.full_chunks()).for_each(add);
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
        if let Some((encoding, (min_time, max_time), data)) = open {
            chunks.push(BlockChunk { encoding, min_time, max_time, data: data.into() });
        }
        Ok(chunks)
    }
}

fn overlaps((first, last): (i64, i64), (min, end): (i64, i64)) -> bool {
    first < end && last >= min
}

fn has_chunks(head: &Head, slot: SlotId, which: Which, range: (i64, i64)) -> bool {
    let series = head.slots.lock(slot);
    if !series.alive {
        return false;
    }
    match which {
        Which::InOrder => {
            series.full_chunks().any(|(_, chunk)| overlaps((chunk.min, chunk.max()), range))
                || series.open_range().is_some_and(|bounds| overlaps(bounds, range))
        }
        Which::OutOfOrder => series
            .out_of_order
            .iter()
            .any(|late| late.full_chunks().iter().any(|chunk| overlaps((chunk.min, chunk.max()), range))),
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
        for (min, max) in self.head.deleted_ranges(slot).unwrap_or_default() {
            deleted.add(Interval { min, max });
        }
        series.deleted = deleted;
        Ok(true)
    }

    fn place(&self) -> &Path {
        &self.place
    }
}

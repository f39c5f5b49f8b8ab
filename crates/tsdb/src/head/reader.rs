//! Reading the head as it was at one moment.

use std::cell::Cell;
use std::io;

use ferula_chunk::Encoding;
use ferula_storage::{SeriesSamples, StorageError};

use super::out_of_order::{holds_histograms, to_columns};
use super::{FullChunk, Head, LateSample, SlotId};
use crate::head_chunks::ChunkPlace;
use crate::querier::columns::append_chunk;
use crate::querier::merge::{merge_all, remove_ranges};

thread_local! {
    /// Room for the bytes of an open chunk, which are copied for every row: readers hold no lock while they decode.
    static OPEN_CHUNK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How far a series went at the moment of the cut.
#[derive(Debug)]
pub struct FrozenRow {
    slot: SlotId,
    /// The chunk that was open …
    chunk_number: u32,
    /// … and how many samples it had.
    samples: u16,
    late: Option<Box<FrozenLate>>,
}

/// Out-of-order samples at the moment of the cut.
#[derive(Debug)]
struct FrozenLate {
    samples: Vec<LateSample>,
    full: Vec<FullChunk>,
}

impl FrozenRow {
    /// Slot of the series.
    pub fn slot(&self) -> SlotId {
        self.slot
    }
}

impl Head {
    /// Notes how far the series goes; `None` when no chunk of it can have a sample in `min..=max`. Call it in the
    /// freeze room.
    pub(crate) fn freeze_row(&self, slot: SlotId, (min, max): (i64, i64)) -> Option<FrozenRow> {
        let series = self.slots.lock(slot);
        // As upstream, the open chunk has no end yet.
        let open = series.open_range().is_some_and(|(first, _)| first <= max);
        let in_range = |chunk: &FullChunk| chunk.min <= max && chunk.max() >= min;
        let late = series
            .out_of_order
            .as_ref()
            .filter(|late| late.range().is_some_and(|(first, last)| first <= max && last >= min));
        if !open && late.is_none() && !series.full_chunks().any(|(_, chunk)| in_range(chunk)) {
            return None;
        }
        let late = late.map(|late| {
            let full = late.full_chunks().iter().filter(|chunk| in_range(chunk)).copied().collect();
            Box::new(FrozenLate { samples: late.samples().to_vec(), full })
        });
        let (chunk_number, samples) = (series.chunk_number, series.open_samples());
        Some(FrozenRow { slot, chunk_number, samples, late })
    }

    /// Fills in the samples in `min..=max` that the series had at the moment of the cut; in-order ones only
    /// from `head_min` on.
    pub(crate) fn read_row(
        &self,
        row: &FrozenRow,
        (late_min, max): (i64, i64),
        head_min: i64,
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        let min = late_min.max(head_min);
        let mut chunks: Vec<(ChunkPlace, u16)> = Vec::new();
        let mut open: Option<Encoding> = None;
        let mut data = OPEN_CHUNK.take();
        {
            let series = self.slots.lock(row.slot);
            for (number, chunk) in series.full_chunks() {
                // Numbers wrap; the cut is never half of them away.
                let ahead = number.wrapping_sub(row.chunk_number) as i32;
                if ahead > 0 || chunk.max() < min || chunk.min > max {
                    continue;
                }
                chunks.push((chunk.place, if ahead == 0 { row.samples } else { u16::MAX }));
            }
            if series.chunk_number == row.chunk_number
                && series.open_range().is_some_and(|(first, last)| first <= max && last >= min)
            {
                open = series.open_into(&mut data).map(|(encoding, _)| encoding);
            }
        }
        for (place, limit) in chunks {
            self.read_chunk(place, limit, (min, max), out)?;
        }
        if let Some(encoding) = open {
            append_chunk(encoding, &data, row.samples, (min, max), out)
                .map_err(|error| StorageError::Corrupt(format!("open chunk of the head: {error}")))?;
        }
        OPEN_CHUNK.set(data);
        if let Some(late) = &row.late {
            self.read_late(late, (late_min, max), out)?;
        }
        if let Some(ranges) = self.deleted_ranges(row.slot) {
            remove_ranges(out, &ranges);
        }
        Ok(())
    }

    fn read_late(
        &self,
        late: &FrozenLate,
        (min, max): (i64, i64),
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        let inside: Vec<LateSample> =
            late.samples.iter().filter(|sample| min <= sample.at && sample.at <= max).cloned().collect();
        let mut columns = SeriesSamples::default();
        to_columns(&inside, &mut columns);
        // The first one wins where several have a sample.
        let mut sources = vec![std::mem::take(out), columns];
        for chunk in late.full.iter().rev() {
            let mut columns = SeriesSamples::default();
            self.read_chunk(chunk.place, u16::MAX, (min, max), &mut columns)?;
            if holds_histograms(chunk.encoding) {
                forget_resets(&mut columns);
            }
            sources.push(columns);
        }
        *out = merge_all(sources);
        Ok(())
    }

    fn read_chunk(
        &self,
        place: ChunkPlace,
        limit: u16,
        range: (i64, i64),
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        let read =
            self.chunks.read(place, |chunk| append_chunk(chunk.encoding, chunk.data, limit, range, out));
        match read {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StorageError::Corrupt(format!(
                "chunks_head file {:06} offset {}: {error}",
                place.file(),
                place.offset()
            ))),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(StorageError::Corrupt(error.to_string()))
            }
            Err(error) => Err(StorageError::Io(error.to_string())),
        }
    }
}

/// Between out-of-order samples and their new neighbours nothing is known about resets.
fn forget_resets(samples: &mut SeriesSamples) {
    use ferula_model::CounterResetHint::{Gauge, Unknown};
    for value in &mut samples.histograms.values {
        if value.counter_reset_hint != Gauge {
            std::sync::Arc::make_mut(value).counter_reset_hint = Unknown;
        }
    }
}

//! Reading the head as it was at one moment.
//!
//! 1. [`Head::select`] resolves matchers to series.
//! 2. [`Head::freeze`] enters the freeze room of the gate, adds series that were created since, and records
//!    the current end of every series: no commit is partially included.
//! 3. [`Head::read_row`] decodes up to that end, outside of the gate.

use std::cell::Cell;
use std::io;

use ferula_chunk::Encoding;
use ferula_model::{LabelSet, Matcher};
use ferula_storage::{OutOfMemory, SeriesSamples, StorageError};

use super::index::Labels;
use super::out_of_order::{holds_histograms, to_columns};
use super::sync::{ReadGuard, rank};
use super::{FullChunk, Head, Index, OutOfOrderSample};
use crate::head_chunks::ChunkPlace;
use crate::ids::{SlotId, TimeSpan};
use crate::postings::Compare;
use crate::querier::columns::append_chunk;
use crate::querier::merge::{merge_all, remove_ranges};

thread_local! {
    /// A buffer for the bytes of an open chunk, which are copied for every row, because readers hold no lock
    /// while they decode.
    static OPEN_CHUNK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The result of resolving matchers, before the cut.
#[derive(Debug, Default)]
pub(crate) struct HeadSelection {
    slots: Vec<SlotId>,
    /// Number of the first series created after the matchers were resolved.
    created: u64,
}

/// The end of a series at the moment of the cut.
#[derive(Debug)]
pub struct FrozenRow {
    pub(super) slot: SlotId,
    /// The chunk that was open …
    pub(super) chunk_number: u32,
    /// … and how many samples it had.
    pub(super) samples: u16,
    pub(super) out_of_order: Option<Box<FrozenOutOfOrder>>,
}

/// Out-of-order samples at the moment of the cut.
#[derive(Debug)]
pub(super) struct FrozenOutOfOrder {
    pub(super) samples: Vec<OutOfOrderSample>,
    pub(super) full: Vec<FullChunk>,
}

impl HeadSelection {
    /// Number of series found.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

impl FrozenRow {
    /// Memory of its out-of-order samples, which are copies.
    fn out_of_order_bytes(&self) -> usize {
        self.out_of_order.as_ref().map_or(0, |out_of_order| {
            size_of::<FrozenOutOfOrder>()
                + out_of_order.samples.len() * size_of::<OutOfOrderSample>()
                + out_of_order.full.len() * size_of::<FullChunk>()
        })
    }
}

/// Reads labels of many rows under one lock of the index.
pub(crate) struct RowLabels<'a>(ReadGuard<'a, Index, rank::Index>);

impl RowLabels<'_> {
    /// Labels of a row.
    pub fn of(&self, row: &FrozenRow) -> Labels<'_> {
        self.0.labels(row.slot)
    }

    /// The same as a label set.
    pub fn label_set(&self, row: &FrozenRow) -> LabelSet {
        self.0.label_set(row.slot)
    }
}

impl Head {
    /// Resolves the series that match all matchers, with the caller's comparison of values with matchers.
    pub(crate) fn select(&self, matchers: &[Matcher], compare: &Compare<'_>) -> HeadSelection {
        let index = self.index();
        HeadSelection { created: index.created_end(), slots: index.select_by(matchers, compare) }
    }

    /// Makes one cut for all selections, each with its matchers and time span. Rows that cannot have a sample
    /// in their span are left out; the others are in the order in which their series were created.
    pub(crate) fn freeze<'s>(
        &self,
        selections: impl Iterator<Item = (HeadSelection, &'s [Matcher], TimeSpan)>,
        charge: &dyn Fn(usize) -> Result<(), OutOfMemory>,
    ) -> Result<Vec<Vec<FrozenRow>>, OutOfMemory> {
        let _room = self.gate.freeze();
        selections
            .map(|(selection, matchers, span)| {
                charge(selection.slots.len().saturating_mul(size_of::<FrozenRow>()))?;
                let rows = self.freeze_one(selection, matchers, span);
                charge(rows.iter().map(FrozenRow::out_of_order_bytes).sum())?;
                Ok(rows)
            })
            .collect()
    }

    fn freeze_one(&self, selection: HeadSelection, matchers: &[Matcher], span: TimeSpan) -> Vec<FrozenRow> {
        let mut slots = selection.slots;
        {
            let index = self.index();
            match index.created_since(selection.created) {
                Some(new) => slots.extend(new.iter().filter(|slot| index.matches(**slot, matchers))),
                None => slots = index.select(matchers),
            }
        }
        if self.slots.reused() {
            slots.sort_by_cached_key(|slot| self.slots.lock(*slot).log_ref);
            slots.dedup();
        }
        slots.into_iter().filter_map(|slot| self.freeze_row(slot, span)).collect()
    }

    /// Records the end of a series; `None` if none of its chunks can have a sample in the span.
    fn freeze_row(&self, slot: SlotId, span: TimeSpan) -> Option<FrozenRow> {
        let series = self.slots.lock(slot);
        let open = series.open_span().is_some_and(|open| open.overlaps(span));
        let in_span = |chunk: &FullChunk| chunk.time_span().overlaps(span);
        let out_of_order = series.out_of_order.as_ref().filter(|samples| samples.span().overlaps(span));
        if !open && out_of_order.is_none() && !series.full_chunks().any(|(_, chunk)| in_span(chunk)) {
            return None;
        }
        let out_of_order = out_of_order.map(|samples| {
            let full = samples.full_chunks().iter().filter(|chunk| in_span(chunk)).copied().collect();
            Box::new(FrozenOutOfOrder { samples: samples.samples().to_vec(), full })
        });
        let (chunk_number, samples) = (series.chunk_number, series.open_samples());
        Some(FrozenRow { slot, chunk_number, samples, out_of_order })
    }

    /// Labels of rows.
    pub(crate) fn row_labels(&self) -> RowLabels<'_> {
        RowLabels(self.index())
    }

    /// Label names of matching series, sorted.
    pub(crate) fn label_names(&self, matchers: &[Matcher], compare: &Compare<'_>) -> Vec<String> {
        let index = self.index();
        if matchers.is_empty() {
            index.label_names()
        } else {
            index.label_names_of(&index.select_by(matchers, compare))
        }
    }

    /// Values of a label of matching series, sorted.
    pub(crate) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        compare: &Compare<'_>,
    ) -> Vec<String> {
        let index = self.index();
        if matchers.is_empty() {
            index.label_values(name)
        } else {
            index.label_values_of(name, &index.select_by(matchers, compare))
        }
    }

    /// Whether the row has only in-order samples, none of them deleted.
    pub(crate) fn is_plain(&self, row: &FrozenRow) -> bool {
        row.out_of_order.is_none() && !self.deleted.read().contains_key(&row.slot)
    }

    /// Adds the samples in the span that the series had at the moment of the cut; in-order samples only from
    /// `head_min` on.
    pub(crate) fn read_row(
        &self,
        row: &FrozenRow,
        span: TimeSpan,
        head_min: i64,
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        let in_order = span.since(head_min);
        let (min, max) = (in_order.start(), in_order.last());
        let mut chunks: Vec<(ChunkPlace, u16)> = Vec::new();
        let mut open: Option<Encoding> = None;
        let mut data = OPEN_CHUNK.take();
        {
            let series = self.slots.lock(row.slot);
            for (number, chunk) in series.full_chunks() {
                // Numbers wrap around, but the difference is always less than half of their range.
                let ahead = number.wrapping_sub(row.chunk_number) as i32;
                if ahead > 0 || chunk.max() < min || chunk.min > max {
                    continue;
                }
                chunks.push((chunk.place, if ahead == 0 { row.samples } else { u16::MAX }));
            }
            if series.chunk_number == row.chunk_number
                && series.open_span().is_some_and(|open| open.overlaps(in_order))
            {
                open = series.open_into(&mut data).map(|(encoding, _)| encoding);
            }
        }
        for (place, limit) in chunks {
            self.read_chunk(place, limit, in_order, out)?;
        }
        if let Some(encoding) = open {
            append_chunk(encoding, &data, row.samples, in_order, out)
                .map_err(|error| StorageError::Corrupt(format!("open chunk of the head: {error}")))?;
        }
        OPEN_CHUNK.set(data);
        if let Some(frozen) = &row.out_of_order {
            self.read_out_of_order(frozen, span, out)?;
        }
        if let Some(ranges) = self.deleted_ranges(row.slot) {
            remove_ranges(out, &ranges);
        }
        Ok(())
    }

    fn read_out_of_order(
        &self,
        frozen: &FrozenOutOfOrder,
        span: TimeSpan,
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        let inside: Vec<OutOfOrderSample> =
            frozen.samples.iter().filter(|sample| span.contains(sample.at)).cloned().collect();
        let mut columns = SeriesSamples::default();
        to_columns(&inside, &mut columns);
        // If several have a sample at the same time, the first one takes precedence.
        let mut sources = vec![std::mem::take(out), columns];
        for chunk in frozen.full.iter().rev() {
            let mut columns = SeriesSamples::default();
            self.read_chunk(chunk.place, u16::MAX, span, &mut columns)?;
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
        span: TimeSpan,
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        let read =
            self.chunks.read(place, |chunk| append_chunk(chunk.encoding, chunk.data, limit, span, out));
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
            Err(error) => Err(StorageError::Io(error.into())),
        }
    }
}

/// Nothing is known about counter resets between out-of-order samples and their new neighbours.
fn forget_resets(samples: &mut SeriesSamples) {
    use ferula_model::CounterResetHint::{Gauge, Unknown};
    for value in &mut samples.histograms.values {
        if value.counter_reset_hint != Gauge {
            std::sync::Arc::make_mut(value).counter_reset_hint = Unknown;
        }
    }
}

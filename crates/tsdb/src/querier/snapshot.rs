//! A consistent view of the database.
//!
//! `select` resolves matchers to series, in the head and in every block of the range. `freeze` enters the
//! freeze room of the head's gate, adds series that were created since, and records the current end of every
//! series: no commit is partially included. `read` decodes up to that end, outside of the gate.
//!
//! With a single source, rows are in its own order. With several, they are in label order, and a series in
//! several sources is one row.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use ferula_model::{LabelSet, Matcher, TimeRange};
use ferula_storage::{
    Hints, Lease, OutOfMemory, RowSink, SelectionId, SeriesSamples, Snapshot, Stop, StorageError, StoredChunk,
};

use super::blocks::BlockPart;
use super::chunks::ChunkSources;
use super::identity::identity;
use super::merge::{append, join_at, newest};
use crate::block::index::SeriesEntry;
use crate::head::{FrozenRow, Head, HeadSelection, HeldNumber, Pin};
use crate::ids::TimeSpan;
use crate::postings::Compare;
use crate::view::View;

thread_local! {
    /// Columns for the samples of a row, which keep their size from one read to the next.
    static COLUMNS: Cell<SeriesSamples> = Cell::default();
}

/// Larger columns are given back: 1 MiB of times and values.
const COLUMNS_KEPT_MAX: usize = 1 << 16;

/// A view of the samples in a range of time.
pub struct DbSnapshot<'a> {
    head: &'a Head,
    /// Whether the head can have samples in the range.
    with_head: bool,
    /// Whether it has any. Only then are its label names and values used.
    head_overlaps: bool,
    /// In-order samples of the head before this time are in blocks.
    head_min: i64,
    blocks: Vec<BlockPart>,
    range: TimeRange,
    selections: Vec<Selection>,
    frozen: bool,
    /// Memory is requested before rows are allocated.
    memory: Option<Arc<Lease>>,
    /// Keeps slots and chunks that are removed meanwhile.
    _pin: Pin,
    /// Until the cut: keeps the slots of series without samples that are removed meanwhile.
    selecting: Option<Pin>,
    /// Used only for metrics.
    _number: HeldNumber,
}

struct Selection {
    matchers: Vec<Matcher>,
    span: TimeSpan,
    in_head: HeadSelection,
    /// Series of each block.
    numbers: Vec<Vec<u32>>,
    rows: Rows,
}

enum Rows {
    Unresolved,
    Head(Vec<FrozenRow>),
    Block(Vec<u32>),
    Merged(Vec<MergedRow>),
}

struct MergedRow {
    labels: LabelSet,
    head: Option<FrozenRow>,
    /// Block, and number of the series in it, in the order of blocks.
    blocks: Vec<(usize, u32)>,
}

impl<'a> DbSnapshot<'a> {
    /// Creates a view without selections. `pin` was taken before `view`.
    pub(crate) fn new(head: &'a Head, pin: Pin, view: &View, range: TimeRange) -> Self {
        let span = TimeSpan::from(range);
        let blocks = view.blocks.iter().filter(|block| block.meta().overlaps(span));
        let (in_order, out_of_order) = (head.in_order_span(), head.out_of_order_span());
        // As in Prometheus, what the head has is not limited by the range's end.
        let open = TimeSpan::closed(in_order.start().max(view.head_min), i64::MAX);
        DbSnapshot {
            head,
            with_head: (!in_order.is_empty() && open.overlaps(span)) || out_of_order.overlaps(span),
            head_overlaps: in_order.overlaps(span) || out_of_order.overlaps(span),
            head_min: view.head_min,
            blocks: blocks.map(|block| BlockPart::new(block.clone(), &view.identities)).collect(),
            range,
            selections: Vec::new(),
            frozen: false,
            memory: None,
            _pin: pin,
            selecting: Some(head.pin_selecting()),
            _number: head.begin_read(),
        }
    }

    fn resolve_rows(&self, selection: &mut Selection, frozen: Vec<FrozenRow>) -> Result<(), StorageError> {
        selection.rows = match (self.with_head, self.blocks.len()) {
            (_, 0) => Rows::Head(frozen),
            (false, 1) => Rows::Block(selection.numbers.pop().unwrap_or_default()),
            _ => Rows::Merged(self.merged(std::mem::take(&mut selection.numbers), frozen)?),
        };
        Ok(())
    }

    fn merged(&self, numbers: Vec<Vec<u32>>, frozen: Vec<FrozenRow>) -> Result<Vec<MergedRow>, StorageError> {
        let in_blocks: usize = numbers.iter().map(Vec::len).sum();
        self.charge((in_blocks + frozen.len()).saturating_mul(MERGED_ROW_BYTES))?;
        let mut rows: Vec<MergedRow> = Vec::new();
        let mut row_of: HashMap<u128, usize> = HashMap::new();
        for (part, (block, numbers)) in self.blocks.iter().zip(numbers).enumerate() {
            for number in numbers {
                let row = match row_of.entry(block.identity(number)?) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        rows.push(MergedRow {
                            labels: block.labels(number)?,
                            head: None,
                            blocks: Vec::new(),
                        });
                        *new.insert(rows.len() - 1)
                    }
                };
                rows[row].blocks.push((part, number));
            }
        }
        let labels = self.head.row_labels();
        for head_row in frozen {
            let row = match row_of.entry(identity(labels.of(&head_row))) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let labels = labels.label_set(&head_row);
                    rows.push(MergedRow { labels, head: None, blocks: Vec::new() });
                    *new.insert(rows.len() - 1)
                }
            };
            rows[row].head = Some(head_row);
        }
        // Rows of the first block are already sorted, of which the sort takes advantage.
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(rows)
    }

    fn read_merged(
        &self,
        row: &MergedRow,
        span: TimeSpan,
        entry: &mut SeriesEntry,
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        for (part, number) in &row.blocks {
            self.blocks[*part].read(*number, span, entry, out)?;
        }
        let Some(head_row) = &row.head else { return Ok(()) };
        if newest(out) < Some(span.since(self.head_min).start()) && self.head.is_plain(head_row) {
            let (joins, histograms) = (!out.is_empty(), out.histograms.values.len());
            self.head.read_row(head_row, span, self.head_min, out)?;
            if joins {
                join_at(out, histograms);
            }
            return Ok(());
        }
        let mut of_head = SeriesSamples::default();
        self.head.read_row(head_row, span, self.head_min, &mut of_head)?;
        append(out, of_head);
        Ok(())
    }

    fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        self.memory.as_ref().map_or(Ok(()), |lease| lease.grow(bytes))
    }

    /// Makes the cut for all of `selections`.
    fn freeze_head(&self, selections: &mut [Selection]) -> Result<Vec<Vec<FrozenRow>>, OutOfMemory> {
        if !self.with_head {
            return Ok(selections.iter().map(|_| Vec::new()).collect());
        }
        let in_head = selections.iter_mut().map(|selection| {
            (std::mem::take(&mut selection.in_head), &selection.matchers[..], selection.span)
        });
        self.head.freeze(in_head, &|bytes| self.charge(bytes))
    }

    /// The sorted union of all sources' answers about labels.
    fn texts(
        &self,
        limit: usize,
        hints: &Hints,
        head: impl FnOnce(&Compare<'_>) -> Vec<String>,
        block: impl Fn(&BlockPart, &Compare<'_>) -> Result<Vec<String>, crate::block::BlockError>,
    ) -> Result<Vec<String>, StorageError> {
        let patience = PeriodicStopCheck::new(&hints.stop);
        let compare = |matcher: &Matcher, value: &str| patience.holds() && matcher.matches(value);
        let mut texts: Vec<String> = Vec::new();
        let mut add = |more: Vec<String>| -> Result<(), StorageError> {
            if patience.is_over() || hints.stop.is_set() {
                return Err(StorageError::Stopped);
            }
            hints.charge(more.iter().map(|text| size_of::<String>() + text.len()).sum())?;
            texts.extend(more);
            Ok(())
        };
        if self.head_overlaps {
            add(head(&compare))?;
        }
        for part in &self.blocks {
            add(block(part, &compare).map_err(super::blocks::storage_error)?)?;
        }
        texts.sort_unstable();
        texts.dedup();
        if limit > 0 {
            // One more shows that the result is truncated.
            texts.truncate(limit + 1);
        }
        Ok(texts)
    }
}

/// Memory of a row from several sources: its own entry, that in the map, and the list of its blocks.
const MERGED_ROW_BYTES: usize =
    size_of::<MergedRow>() + size_of::<(u128, usize)>() * 2 + size_of::<(usize, u32)>() * 4;

/// Checks periodically whether the reader still waits. A regular expression over a million values can take
/// long.
struct PeriodicStopCheck<'a> {
    stop: &'a Stop,
    comparisons: Cell<u32>,
    over: Cell<bool>,
}

impl<'a> PeriodicStopCheck<'a> {
    /// Number of comparisons between two checks.
    const COMPARISONS: u32 = 64;

    fn new(stop: &'a Stop) -> Self {
        PeriodicStopCheck { stop, comparisons: Cell::new(0), over: Cell::new(false) }
    }

    /// Counts a comparison; returns `false` once the reader has stopped waiting.
    fn holds(&self) -> bool {
        let comparisons = self.comparisons.get();
        self.comparisons.set(comparisons.wrapping_add(1));
        if comparisons.is_multiple_of(Self::COMPARISONS) && !self.over.get() {
            self.over.set(self.stop.is_set());
        }
        !self.over.get()
    }

    fn is_over(&self) -> bool {
        self.over.get()
    }
}

impl Snapshot for DbSnapshot<'_> {
    fn select(&mut self, matchers: &[Matcher], hints: &Hints) -> Result<SelectionId, StorageError> {
        let span = TimeSpan::from(hints.range.unwrap_or(self.range));
        let patience = PeriodicStopCheck::new(&hints.stop);
        let compare = |matcher: &Matcher, value: &str| patience.holds() && matcher.matches(value);
        let in_head =
            if self.with_head { self.head.select(matchers, &compare) } else { HeadSelection::default() };
        let numbers = self
            .blocks
            .iter()
            .map(|block| block.select(matchers, span, &compare))
            .collect::<Result<Vec<_>, _>>()?;
        if patience.is_over() {
            return Err(StorageError::Stopped);
        }
        let found = in_head.len() + numbers.iter().map(Vec::len).sum::<usize>();
        hints.charge(found.saturating_mul(size_of::<u32>()))?;
        if hints.memory.is_some() {
            self.memory.clone_from(&hints.memory);
        }
        let matchers = matchers.to_vec();
        let mut selection = Selection { matchers, span, in_head, numbers, rows: Rows::Unresolved };
        if self.frozen {
            // A selection after the cut sees the current state.
            let rows = self.freeze_head(std::slice::from_mut(&mut selection))?.pop();
            self.resolve_rows(&mut selection, rows.unwrap_or_default())?;
        }
        self.selections.push(selection);
        Ok(SelectionId(self.selections.len() - 1))
    }

    fn freeze(&mut self) -> Result<(), StorageError> {
        if self.frozen {
            return Ok(());
        }
        self.frozen = true;
        let mut selections = std::mem::take(&mut self.selections);
        let frozen = self.freeze_head(&mut selections)?;
        self.selecting = None;
        for (selection, rows) in selections.iter_mut().zip(frozen) {
            self.resolve_rows(selection, rows)?;
        }
        self.selections = selections;
        Ok(())
    }

    fn series_count(&self, selection: SelectionId) -> usize {
        match &self.selections[selection.0].rows {
            Rows::Unresolved => 0,
            Rows::Head(rows) => rows.len(),
            Rows::Block(numbers) => numbers.len(),
            Rows::Merged(rows) => rows.len(),
        }
    }

    fn labels(&self, selection: SelectionId, row: usize) -> LabelSet {
        match &self.selections[selection.0].rows {
            Rows::Unresolved => LabelSet::empty(),
            Rows::Head(rows) => self.head.row_labels().label_set(&rows[row]),
            // The entry was read when the row was selected.
            Rows::Block(numbers) => self.blocks[0].labels(numbers[row]).unwrap_or_default(),
            Rows::Merged(rows) => rows[row].labels.clone(),
        }
    }

    fn read(
        &self,
        selection: SelectionId,
        rows: Range<usize>,
        range: TimeRange,
        sink: &mut dyn RowSink,
    ) -> Result<(), StorageError> {
        let span = TimeSpan::from(range);
        let mut samples = COLUMNS.take();
        let mut entry = SeriesEntry::default();
        for row in rows {
            samples.clear();
            match &self.selections[selection.0].rows {
                Rows::Unresolved => return Err(StorageError::NotReady),
                Rows::Head(rows) => {
                    self.head.read_row(&rows[row], span, self.head_min, &mut samples)?;
                }
                Rows::Block(numbers) => {
                    self.blocks[0].read(numbers[row], span, &mut entry, &mut samples)?;
                }
                Rows::Merged(rows) => self.read_merged(&rows[row], span, &mut entry, &mut samples)?,
            }
            if let ControlFlow::Break(()) = sink.row(row, &samples) {
                break;
            }
        }
        samples.clear();
        if samples.floats.values.capacity() <= COLUMNS_KEPT_MAX
            && samples.histograms.values.capacity() <= COLUMNS_KEPT_MAX
        {
            COLUMNS.set(samples);
        }
        Ok(())
    }

    fn read_chunks(
        &self,
        selection: SelectionId,
        row: usize,
        range: TimeRange,
        trimmed: bool,
    ) -> Result<Option<Vec<StoredChunk>>, StorageError> {
        let mut sources = ChunkSources::new(range, trimmed);
        match &self.selections[selection.0].rows {
            Rows::Unresolved => return Err(StorageError::NotReady),
            Rows::Head(rows) => sources.add_head(self.head, &rows[row], self.head_min)?,
            Rows::Block(numbers) => sources.add_block(&self.blocks[0], numbers[row])?,
            Rows::Merged(rows) => {
                for (part, number) in &rows[row].blocks {
                    sources.add_block(&self.blocks[*part], *number)?;
                }
                if let Some(head_row) = &rows[row].head {
                    sources.add_head(self.head, head_row, self.head_min)?;
                }
            }
        }
        sources.finish().map(Some)
    }

    fn is_in_memory(&self) -> bool {
        // Files of the head's full chunks are mapped and were written lately.
        self.blocks.is_empty()
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
        hints: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        self.texts(
            limit,
            hints,
            |compare| self.head.label_names(matchers, compare),
            |part, compare| part.block().label_names_by(matchers, compare),
        )
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
        hints: &Hints,
    ) -> Result<Vec<String>, StorageError> {
        self.texts(
            limit,
            hints,
            |compare| self.head.label_values(name, matchers, compare),
            |part, compare| part.block().label_values_by(name, matchers, compare),
        )
    }
}

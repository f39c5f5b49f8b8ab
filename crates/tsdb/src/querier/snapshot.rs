//! One consistent view of the database.
//!
//! `select` resolves matchers to series, in the head and in every block of the range. `freeze` enters the freeze
//! room of the head's gate, adds series that were made since, and notes for every series how far it goes; no
//! commit is half in what follows. `read` decodes up to there, outside the gate.
//!
//! With one source, rows come in its own order. With several, they come in label order, and a series that
//! several have is one row.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering;

use ferula_model::{LabelSet, Matcher, TimeRange};
use ferula_storage::{Hints, RowSink, SelectionId, SeriesSamples, Snapshot, Stop, StorageError};

use super::blocks::BlockPart;
use super::identity::identity;
use super::merge::append;
use crate::block::index::SeriesEntry;
use crate::head::{FrozenRow, Head, Pin, SlotId};
use crate::view::View;

/// A view of the samples in a range of time.
pub struct DbSnapshot<'a> {
    head: &'a Head,
    /// Whether the head can have samples in the range.
    with_head: bool,
    /// Whether it has some. Names and values of labels are asked only then.
    head_overlaps: bool,
    /// In-order samples of the head before this are in blocks.
    head_min: i64,
    blocks: Vec<BlockPart>,
    range: TimeRange,
    selections: Vec<Selection>,
    frozen: bool,
    /// Keeps slots and chunks that are removed meanwhile.
    _pin: Pin,
}

struct Selection {
    matchers: Vec<Matcher>,
    range: (i64, i64),
    slots: Vec<SlotId>,
    /// Number of the first series that was made after the matchers were resolved.
    created: u64,
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
    /// Block, and number of the series in it; in order of blocks.
    blocks: Vec<(usize, u32)>,
}

impl<'a> DbSnapshot<'a> {
    /// A view that nothing was selected from yet. `pin` was taken before `view`.
    pub(crate) fn new(head: &'a Head, pin: Pin, view: &View, range: TimeRange) -> Self {
        let (start, end) = (range.start.millis(), range.end.millis());
        let blocks = view.blocks.iter().filter(|block| block.meta().overlaps(start, end));
        let times = &head.times;
        let late = (times.late_min.load(Ordering::SeqCst), times.late_max.load(Ordering::SeqCst));
        let overlaps = |(min, max): (i64, i64)| min <= max && min <= end && start <= max;
        DbSnapshot {
            head,
            // As upstream: what the head has has no end yet.
            with_head: times.range().is_some_and(|(min, _)| min.max(view.head_min) <= end) || overlaps(late),
            head_overlaps: times.range().is_some_and(overlaps) || overlaps(late),
            head_min: view.head_min,
            blocks: blocks.map(|block| BlockPart::new(block.clone(), &view.identities)).collect(),
            range,
            selections: Vec::new(),
            frozen: false,
            _pin: pin,
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
        let index = self.head.index();
        for head_row in frozen {
            let row = match row_of.entry(identity(index.labels(head_row.slot()))) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let labels = index.label_set(head_row.slot());
                    rows.push(MergedRow { labels, head: None, blocks: Vec::new() });
                    *new.insert(rows.len() - 1)
                }
            };
            rows[row].head = Some(head_row);
        }
        // Rows of the first block are sorted already, which the sort makes use of.
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(rows)
    }

    fn read_merged(
        &self,
        row: &MergedRow,
        range: (i64, i64),
        entry: &mut SeriesEntry,
        out: &mut SeriesSamples,
    ) -> Result<(), StorageError> {
        for (part, number) in &row.blocks {
            self.blocks[*part].read(*number, range, entry, out)?;
        }
        if let Some(head_row) = &row.head {
            let mut newest = SeriesSamples::default();
            self.head.read_row(head_row, range, self.head_min, &mut newest)?;
            append(out, newest);
        }
        Ok(())
    }

    /// What all sources say to a question about labels, sorted.
    fn texts(
        &self,
        limit: usize,
        head: impl FnOnce() -> Vec<String>,
        block: impl Fn(&BlockPart) -> Result<Vec<String>, crate::block::BlockError>,
    ) -> Result<Vec<String>, StorageError> {
        let mut texts = if self.head_overlaps { head() } else { Vec::new() };
        for part in &self.blocks {
            texts.extend(block(part).map_err(super::blocks::storage_error)?);
        }
        texts.sort_unstable();
        texts.dedup();
        if limit > 0 {
            // One more shows that there are more.
            texts.truncate(limit + 1);
        }
        Ok(texts)
    }
}

impl Selection {
    /// Notes how far the series of the head go. Call it in the freeze room.
    fn freeze(&mut self, head: &Head) -> Vec<FrozenRow> {
        {
            let index = head.index();
            match index.created_since(self.created) {
                Some(new) => {
                    let new = new.iter().filter(|slot| index.matches(**slot, &self.matchers));
                    self.slots.extend(new);
                }
                None => self.slots = index.select(&self.matchers),
            }
        }
        if head.slots.reused() {
            self.slots.sort_by_cached_key(|slot| head.slots.lock(*slot).log_ref);
            self.slots.dedup();
        }
        self.slots.drain(..).filter_map(|slot| head.freeze_row(slot, self.range)).collect()
    }
}

/// Asks the reader once in many comparisons whether it still waits. A regex over a million values can take long.
struct Patience<'a> {
    stop: &'a Stop,
    comparisons: Cell<u32>,
    over: Cell<bool>,
}

impl<'a> Patience<'a> {
    /// Comparisons between two questions.
    const COMPARISONS: u32 = 64;

    fn new(stop: &'a Stop) -> Self {
        Patience { stop, comparisons: Cell::new(0), over: Cell::new(false) }
    }

    /// Counts a comparison; no once the reader has gone.
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
        let range = hints.range.unwrap_or(self.range);
        let range = (range.start.millis(), range.end.millis());
        let patience = Patience::new(&hints.stop);
        let compare = |matcher: &Matcher, value: &str| patience.holds() && matcher.matches(value);
        let (mut slots, mut created) = (Vec::new(), 0);
        if self.with_head {
            let index = self.head.index();
            created = index.created_end();
            slots = index.select_by(matchers, &compare);
        }
        let numbers = self
            .blocks
            .iter()
            .map(|block| block.select(matchers, range, &compare))
            .collect::<Result<_, _>>()?;
        if patience.is_over() {
            return Err(StorageError::Stopped);
        }
        let matchers = matchers.to_vec();
        let mut selection = Selection { matchers, range, slots, created, numbers, rows: Rows::Unresolved };
        if self.frozen {
            // A selection after the cut sees what there is now.
            let rows = if self.with_head {
                let _room = self.head.gate.freeze();
                selection.freeze(self.head)
            } else {
                Vec::new()
            };
            self.resolve_rows(&mut selection, rows)?;
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
        let frozen: Vec<Vec<FrozenRow>> = if self.with_head {
            let _room = self.head.gate.freeze();
            selections.iter_mut().map(|selection| selection.freeze(self.head)).collect()
        } else {
            selections.iter().map(|_| Vec::new()).collect()
        };
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
            Rows::Head(rows) => self.head.index().label_set(rows[row].slot()),
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
        let bounds = (range.start.millis(), range.end.millis());
        let mut samples = SeriesSamples::default();
        let mut entry = SeriesEntry::default();
        for row in rows {
            samples.clear();
            match &self.selections[selection.0].rows {
                Rows::Unresolved => return Err(StorageError::NotReady),
                Rows::Head(rows) => {
                    self.head.read_row(&rows[row], bounds, self.head_min, &mut samples)?;
                }
                Rows::Block(numbers) => {
                    self.blocks[0].read(numbers[row], bounds, &mut entry, &mut samples)?;
                }
                Rows::Merged(rows) => self.read_merged(&rows[row], bounds, &mut entry, &mut samples)?,
            }
            if let ControlFlow::Break(()) = sink.row(row, &samples) {
                break;
            }
        }
        Ok(())
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        let of_head = || {
            let index = self.head.index();
            if matchers.is_empty() {
                index.label_names()
            } else {
                index.label_names_of(&index.select(matchers))
            }
        };
        self.texts(limit, of_head, |part| part.block().label_names(matchers))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let of_head = || {
            let index = self.head.index();
            if matchers.is_empty() {
                index.label_values(name)
            } else {
                index.label_values_of(name, &index.select(matchers))
            }
        };
        self.texts(limit, of_head, |part| part.block().label_values(name, matchers))
    }
}

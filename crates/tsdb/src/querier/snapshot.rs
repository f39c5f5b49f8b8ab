//! One consistent view of the database.
//!
//! `select` resolves matchers to series. `freeze` enters the freeze room of the head's gate, adds series that were made
//! since, and notes for every series how far it goes; no commit is half in what follows. `read` decodes up to
//! there, outside the gate.

use std::ops::{ControlFlow, Range};

use ferula_model::{LabelSet, Matcher, TimeRange};
use ferula_storage::{Hints, RowSink, SelectionId, SeriesSamples, Snapshot, StorageError};

use crate::head::{FrozenRow, Head, Pin, SlotId};

/// A view of the samples in a range of time.
pub struct DbSnapshot<'a> {
    head: &'a Head,
    range: TimeRange,
    selections: Vec<Selection>,
    frozen: bool,
    /// Keeps slots and chunks that are removed meanwhile.
    _pin: Pin,
}

struct Selection {
    matchers: Vec<Matcher>,
    range: TimeRange,
    slots: Vec<SlotId>,
    /// Number of the first series that was made after the matchers were resolved.
    created: u64,
    rows: Vec<FrozenRow>,
}

impl<'a> DbSnapshot<'a> {
    /// A view that nothing was selected from yet.
    pub(crate) fn new(head: &'a Head, range: TimeRange) -> Self {
        DbSnapshot { head, range, selections: Vec::new(), frozen: false, _pin: head.pins.pin() }
    }

    fn freeze_now(&mut self) {
        if self.frozen {
            return;
        }
        self.frozen = true;
        let _room = self.head.gate.freeze();
        for selection in &mut self.selections {
            selection.freeze(self.head);
        }
    }

    /// Series that satisfy the matchers and may have samples in the range.
    fn slots(&self, matchers: &[Matcher]) -> Vec<SlotId> {
        self.head.index().select(matchers)
    }

    fn head_overlaps(&self) -> bool {
        let bounds = self.head.times.range();
        let late = &self.head.times;
        let late_min = late.late_min.load(std::sync::atomic::Ordering::SeqCst);
        let late_max = late.late_max.load(std::sync::atomic::Ordering::SeqCst);
        let (start, end) = (self.range.start.millis(), self.range.end.millis());
        bounds.is_some_and(|(min, max)| min <= end && start <= max)
            || (late_min <= late_max && late_min <= end && start <= late_max)
    }
}

impl Selection {
    fn freeze(&mut self, head: &Head) {
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
        let bounds = (self.range.start.millis(), self.range.end.millis());
        self.rows = self.slots.drain(..).filter_map(|slot| head.freeze_row(slot, bounds)).collect();
    }
}

impl Snapshot for DbSnapshot<'_> {
    fn select(&mut self, matchers: &[Matcher], hints: &Hints) -> Result<SelectionId, StorageError> {
        let index = self.head.index();
        let created = index.created_end();
        let slots = index.select(matchers);
        drop(index);
        let range = hints.range.unwrap_or(self.range);
        let mut selection =
            Selection { matchers: matchers.to_vec(), range, slots, created, rows: Vec::new() };
        if self.frozen {
            // A selection after the cut sees what there is now.
            let _room = self.head.gate.freeze();
            selection.freeze(self.head);
        }
        self.selections.push(selection);
        Ok(SelectionId(self.selections.len() - 1))
    }

    fn freeze(&mut self) -> Result<(), StorageError> {
        self.freeze_now();
        Ok(())
    }

    fn series_count(&self, selection: SelectionId) -> usize {
        self.selections[selection.0].rows.len()
    }

    fn labels(&self, selection: SelectionId, row: usize) -> LabelSet {
        self.head.index().label_set(self.selections[selection.0].rows[row].slot())
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
        for row in rows {
            samples.clear();
            self.head.read_row(&self.selections[selection.0].rows[row], bounds, &mut samples)?;
            if let ControlFlow::Break(()) = sink.row(row, &samples) {
                break;
            }
        }
        Ok(())
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        if !self.head_overlaps() {
            return Ok(Vec::new());
        }
        let names = if matchers.is_empty() {
            self.head.index().label_names()
        } else {
            let slots = self.slots(matchers);
            self.head.index().label_names_of(&slots)
        };
        Ok(limited(names, limit))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        if !self.head_overlaps() {
            return Ok(Vec::new());
        }
        let values = if matchers.is_empty() {
            self.head.index().label_values(name)
        } else {
            let slots = self.slots(matchers);
            self.head.index().label_values_of(name, &slots)
        };
        Ok(limited(values, limit))
    }
}

/// Cut to one more than the limit, which shows that there are more.
fn limited(mut texts: Vec<String>, limit: usize) -> Vec<String> {
    if limit > 0 {
        texts.truncate(limit + 1);
    }
    texts
}

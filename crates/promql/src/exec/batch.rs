//! Values of several series over all steps of a grid.
//!
//! A row is one series. At each step it has a float (bit set in `present`), or a histogram (in its
//! [`HistogramRow`]), or nothing; never two of them. What `values` holds where the bit is clear means nothing.

use std::sync::Arc;

use ferula_model::FloatHistogram;

use crate::QueryError;
use crate::exec::bitmap;
use crate::exec::context::{PIECE, QueryContext};

/// A sample's value inside the engine.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Value {
    /// What it counts as against the limit of samples.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Value::Float(_) => 1,
            Value::Histogram(histogram) => histogram.sample_weight(),
        }
    }
}

/// Histograms of one row, by rising step.
#[derive(Clone, Debug, Default)]
pub(crate) struct HistogramRow {
    pub steps: Vec<u32>,
    pub values: Vec<Arc<FloatHistogram>>,
}

impl HistogramRow {
    /// The histogram at `step`.
    pub(crate) fn get(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        self.steps.binary_search(&(step as u32)).ok().map(|at| &self.values[at])
    }

    /// Adds the histogram of a step that is later than all others.
    pub(crate) fn push(&mut self, step: usize, value: Arc<FloatHistogram>) {
        debug_assert!(self.steps.last().is_none_or(|&last| (last as usize) < step), "steps rise");
        self.steps.push(step as u32);
        self.values.push(value);
    }

    /// Adds the histogram of a step that has none yet.
    pub(crate) fn insert(&mut self, step: usize, value: Arc<FloatHistogram>) {
        let at = self.steps.partition_point(|&other| (other as usize) < step);
        self.steps.insert(at, step as u32);
        self.values.insert(at, value);
    }

    /// Keeps the histograms of steps for which `keep` holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut kept = 0;
        for at in 0..self.steps.len() {
            if keep(self.steps[at] as usize) {
                self.steps.swap(kept, at);
                self.values.swap(kept, at);
                kept += 1;
            }
        }
        self.steps.truncate(kept);
        self.values.truncate(kept);
    }

    /// The histograms with their steps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<FloatHistogram>)> {
        self.steps.iter().map(|&step| step as usize).zip(&self.values)
    }

    /// Bytes that they take. A histogram counts as 16 bytes for every sample that it weighs.
    pub(crate) fn bytes(&self) -> usize {
        (self.samples() as usize).saturating_mul(16).saturating_add(self.values.len() * 12)
    }

    /// What they count as against the limit of samples.
    pub(crate) fn samples(&self) -> u64 {
        self.values.iter().map(|h| h.sample_weight() as u64).sum()
    }
}

/// Rows of values, in blocks that never move: a batch that grows copies nothing and takes what it holds, not twice that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    steps: usize,
    words: usize,
    series: Vec<u32>,
    /// All but the last one in use are full. Those after it are empty and wait for the next rows.
    blocks: Vec<Block>,
    /// Empty while no row has a histogram, otherwise one entry per row.
    histograms: Vec<Option<Box<HistogramRow>>>,
}

/// Floats and presence of [`Batch::block_rows`] rows.
#[derive(Clone, Debug, Default)]
struct Block {
    values: Vec<f64>,
    present: Vec<u64>,
}

/// One row to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRef<'a> {
    /// Index into the operator's series table.
    pub series: usize,
    /// One value per step.
    pub values: &'a [f64],
    /// Steps with a float.
    pub present: &'a [u64],
    /// Steps with a histogram, if there are any.
    pub histograms: Option<&'a HistogramRow>,
}

/// One row to be written.
#[derive(Debug)]
pub(crate) struct RowMut<'a> {
    /// One value per step.
    pub values: &'a mut [f64],
    /// Steps with a float.
    pub present: &'a mut [u64],
    histograms: &'a mut Vec<Option<Box<HistogramRow>>>,
    index: usize,
}

/// What stays in the second-level cache.
const BLOCK_BYTES: usize = 256 * 1024;

impl Batch {
    /// An empty batch over `steps` steps.
    pub(crate) fn new(steps: usize) -> Self {
        Batch { steps, words: bitmap::words_for(steps), ..Batch::default() }
    }

    /// How many rows an operator should put into one batch.
    pub(crate) fn rows_wanted(steps: usize) -> usize {
        const ROWS_MAX: usize = 64;
        Self::block_rows(steps).min(ROWS_MAX)
    }

    /// How many rows are in one block.
    fn block_rows(steps: usize) -> usize {
        (BLOCK_BYTES / (8 * steps.max(1))).max(1)
    }

    /// Bytes that `rows` rows over `steps` steps take.
    pub(crate) fn bytes_for(rows: usize, steps: usize) -> usize {
        let row = 8usize.saturating_mul(steps.saturating_add(bitmap::words_for(steps)));
        rows.saturating_mul(row.saturating_add(4))
    }

    /// Bytes that these rows take, their histograms included.
    pub(crate) fn bytes(&self) -> usize {
        let histograms = self.histograms.iter().flatten().map(|row| row.bytes()).sum();
        Self::bytes_for(self.rows(), self.steps).saturating_add(histograms)
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    pub(crate) fn rows(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Removes all rows and keeps the buffers of the first block.
    pub(crate) fn clear(&mut self) {
        self.series.clear();
        self.blocks.truncate(1);
        self.blocks.iter_mut().for_each(|block| block.truncate(0, self.steps, self.words));
        self.histograms.clear();
    }

    /// The block of the next row, and which of its rows that is.
    fn next_block(&mut self) -> (&mut Block, usize) {
        let block_rows = Self::block_rows(self.steps);
        let (at, row) = (self.series.len() / block_rows, self.series.len() % block_rows);
        if at == self.blocks.len() {
            let mut block = Block::default();
            // The first block may stay almost empty. A batch that needs a second one has many rows.
            if at > 0 {
                block.values.reserve_exact(block_rows * self.steps);
                block.present.reserve_exact(block_rows * self.words);
            }
            self.blocks.push(block);
        }
        (&mut self.blocks[at], row)
    }

    /// Adds a row without samples.
    pub(crate) fn push(&mut self, series: usize) -> RowMut<'_> {
        let (steps, words) = (self.steps, self.words);
        let (block, row) = self.next_block();
        if block.values.capacity() == 0 {
            // Zeroes from the system cost nothing until they are touched.
            block.values = vec![0.0; steps];
        }
        block.values.resize((row + 1) * steps, 0.0);
        block.present.resize((row + 1) * words, 0);
        self.series.push(series as u32);
        if !self.histograms.is_empty() {
            self.histograms.push(None);
        }
        self.row_mut(self.series.len() - 1)
    }

    /// Takes the last row away.
    pub(crate) fn pop(&mut self) {
        self.series.pop();
        let (steps, words) = (self.steps, self.words);
        let (block, row) = self.next_block();
        block.truncate(row, steps, words);
        self.histograms.truncate(self.series.len());
    }

    /// Adds a copy of a row under another series index.
    pub(crate) fn push_copy(
        &mut self,
        series: usize,
        row: RowRef<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        let (steps, words) = (self.steps, self.words);
        let (block, index) = self.next_block();
        for piece in row.values.chunks(PIECE) {
            if let Err(error) = query.work(1 + piece.len() / 8) {
                block.truncate(index, steps, words);
                return Err(error);
            }
            block.values.extend_from_slice(piece);
        }
        block.present.extend_from_slice(row.present);
        self.series.push(series as u32);
        let last = self.series.len() - 1;
        if let Some(histograms) = row.histograms {
            self.histograms.resize(last, None);
            self.histograms.push(Some(Box::new(histograms.clone())));
        } else if !self.histograms.is_empty() {
            self.histograms.push(None);
        }
        Ok(())
    }

    pub(crate) fn row(&self, index: usize) -> RowRef<'_> {
        let block_rows = Self::block_rows(self.steps);
        let (block, row) = (&self.blocks[index / block_rows], index % block_rows);
        RowRef {
            series: self.series[index] as usize,
            values: &block.values[row * self.steps..(row + 1) * self.steps],
            present: &block.present[row * self.words..(row + 1) * self.words],
            histograms: self.histograms.get(index).and_then(|row| row.as_deref()),
        }
    }

    pub(crate) fn row_mut(&mut self, index: usize) -> RowMut<'_> {
        let block_rows = Self::block_rows(self.steps);
        let (block, row) = (&mut self.blocks[index / block_rows], index % block_rows);
        RowMut {
            values: &mut block.values[row * self.steps..(row + 1) * self.steps],
            present: &mut block.present[row * self.words..(row + 1) * self.words],
            histograms: &mut self.histograms,
            index,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RowRef<'_>> {
        (0..self.rows()).map(|index| self.row(index))
    }

    /// What the rows count as against the limit of samples.
    pub(crate) fn samples(&self) -> u64 {
        self.blocks.iter().map(|block| bitmap::count(&block.present) as u64).sum::<u64>()
            + self.histograms.iter().flatten().map(|row| row.samples()).sum::<u64>()
    }

    /// Removes rows without any sample.
    pub(crate) fn drop_empty_rows(&mut self) {
        let mut kept = 0;
        for index in 0..self.rows() {
            if self.row(index).is_empty() {
                continue;
            }
            if kept != index {
                self.move_row(index, kept);
            }
            kept += 1;
        }
        let block_rows = Self::block_rows(self.steps);
        self.series.truncate(kept);
        for (at, block) in self.blocks.iter_mut().enumerate() {
            let left = kept.saturating_sub(at * block_rows).min(block_rows);
            block.truncate(left, self.steps, self.words);
        }
        // One empty block may wait for the next row.
        self.blocks.truncate(kept / block_rows + 1);
        self.histograms.truncate(kept);
    }

    /// Puts a row into the place of an earlier one.
    fn move_row(&mut self, from: usize, to: usize) {
        let block_rows = Self::block_rows(self.steps);
        let (steps, words) = (self.steps, self.words);
        let (from_row, to_row) = (from % block_rows, to % block_rows);
        let (from_block, to_block) = (from / block_rows, to / block_rows);
        if from_block == to_block {
            let block = &mut self.blocks[from_block];
            block.values.copy_within(from_row * steps..(from_row + 1) * steps, to_row * steps);
            block.present.copy_within(from_row * words..(from_row + 1) * words, to_row * words);
        } else {
            let (earlier, later) = self.blocks.split_at_mut(from_block);
            let (source, target) = (&later[0], &mut earlier[to_block]);
            target.values[to_row * steps..(to_row + 1) * steps]
                .copy_from_slice(&source.values[from_row * steps..(from_row + 1) * steps]);
            target.present[to_row * words..(to_row + 1) * words]
                .copy_from_slice(&source.present[from_row * words..(from_row + 1) * words]);
        }
        self.series[to] = self.series[from];
        if !self.histograms.is_empty() {
            self.histograms.swap(to, from);
        }
    }
}

impl Block {
    fn truncate(&mut self, rows: usize, steps: usize, words: usize) {
        self.values.truncate(rows * steps);
        self.present.truncate(rows * words);
    }
}

impl<'a> RowRef<'a> {
    /// The float at `step`.
    #[inline]
    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        bitmap::get(self.present, step).then(|| self.values[step])
    }

    /// The histogram at `step`.
    pub(crate) fn histogram(&self, step: usize) -> Option<&'a Arc<FloatHistogram>> {
        self.histograms.and_then(|row| row.get(step))
    }

    /// The sample at `step`.
    pub(crate) fn value(&self, step: usize) -> Option<Value> {
        match self.float(step) {
            Some(float) => Some(Value::Float(float)),
            None => self.histogram(step).map(|h| Value::Histogram(h.clone())),
        }
    }

    /// Whether there is a sample at `step`.
    pub(crate) fn has(&self, step: usize) -> bool {
        bitmap::get(self.present, step) || self.histogram(step).is_some()
    }

    /// Whether there is no sample at all.
    pub(crate) fn is_empty(&self) -> bool {
        bitmap::is_empty(self.present) && self.histograms.is_none_or(|row| row.steps.is_empty())
    }

    /// Steps with a sample of either kind, as a bitmap.
    pub(crate) fn presence(&self) -> Vec<u64> {
        let mut words = self.present.to_vec();
        self.add_presence_to(&mut words);
        words
    }

    /// Sets the bits of all steps with a sample.
    pub(crate) fn add_presence_to(&self, words: &mut [u64]) {
        bitmap::union(words, self.present);
        for &step in self.histograms.iter().flat_map(|row| &row.steps) {
            bitmap::set(words, step as usize);
        }
    }

    /// The last step with a sample.
    pub(crate) fn last_step(&self) -> Option<usize> {
        let histogram = self.histograms.and_then(|row| row.steps.last()).map(|&step| step as usize);
        bitmap::last(self.present).max(histogram)
    }

    /// The first step with a sample.
    pub(crate) fn first_step(&self) -> Option<usize> {
        let histogram = self.histograms.and_then(|row| row.steps.first()).map(|&step| step as usize);
        match (bitmap::first(self.present), histogram) {
            (Some(float), Some(histogram)) => Some(float.min(histogram)),
            (float, histogram) => float.or(histogram),
        }
    }

    /// Floats and histograms with their steps, in order.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (usize, Value)> {
        let mut floats = bitmap::ones(self.present).peekable();
        let mut histograms = self.histograms.into_iter().flat_map(HistogramRow::iter).peekable();
        let values = self.values;
        std::iter::from_fn(move || {
            let float_first = match (floats.peek(), histograms.peek()) {
                (Some(float), Some((histogram, _))) => float < histogram,
                (float, _) => float.is_some(),
            };
            if float_first {
                floats.next().map(|step| (step, Value::Float(values[step])))
            } else {
                histograms.next().map(|(step, h)| (step, Value::Histogram(h.clone())))
            }
        })
    }
}

impl RowMut<'_> {
    /// Sets the float at `step`.
    #[inline]
    pub(crate) fn set_float(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        bitmap::set(self.present, step);
    }

    /// Sets the histogram at `step`, which must be later than the row's other histograms.
    pub(crate) fn set_histogram(&mut self, step: usize, value: Arc<FloatHistogram>) {
        self.histograms_mut().push(step, value);
    }

    /// Sets the sample at `step`; steps must rise.
    pub(crate) fn set(&mut self, step: usize, value: Value) {
        match value {
            Value::Float(value) => self.set_float(step, value),
            Value::Histogram(value) => self.set_histogram(step, value),
        }
    }

    /// The row's histograms, to be changed in place. This call creates them if there are none.
    pub(crate) fn histograms_mut(&mut self) -> &mut HistogramRow {
        if self.histograms.len() <= self.index {
            self.histograms.resize(self.index + 1, None);
        }
        self.histograms[self.index].get_or_insert_default()
    }

    /// The row's histograms, taken out of it.
    pub(crate) fn take_histograms(&mut self) -> Option<Box<HistogramRow>> {
        self.histograms.get_mut(self.index).and_then(Option::take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::context::tests::with_context;

    /// Rows whose values are their numbers, every third of them empty; more than fit one block.
    fn batch(steps: usize, rows: usize) -> Batch {
        let mut batch = Batch::new(steps);
        for index in 0..rows {
            let mut row = batch.push(index);
            if index % 3 != 0 {
                row.set_float(index % steps, index as f64);
            }
            if index % 7 == 1 {
                row.set_histogram((index + 1) % steps, Arc::new(FloatHistogram::default()));
            }
        }
        batch
    }

    #[test]
    fn rows_stay_what_they_are_over_the_ends_of_blocks() {
        for steps in [2, 100, BLOCK_BYTES / 8 / 3, BLOCK_BYTES] {
            let rows = 3 * Batch::block_rows(steps) + 2;
            let mut some = batch(steps, rows);
            let samples = some.samples();
            let mut copy = Batch::new(steps);
            with_context(|query| {
                for row in some.iter() {
                    copy.push_copy(row.series, row, query).expect("nobody stops it");
                }
            });
            for batch in [&mut some, &mut copy] {
                batch.drop_empty_rows();
                assert_eq!((batch.rows(), batch.samples()), (rows - rows.div_ceil(3) + both(rows), samples));
                let mut last = None;
                for row in batch.iter() {
                    assert!(last < Some(row.series), "in order");
                    last = Some(row.series);
                    let value = (row.series % 3 != 0).then_some(row.series as f64);
                    assert_eq!(row.float(row.series % steps), value, "{steps} steps");
                    assert_eq!(row.histogram((row.series + 1) % steps).is_some(), row.series % 7 == 1);
                }
                batch.pop();
                batch.push(77).set_float(1, 7.0);
                assert_eq!(batch.row(batch.rows() - 1).samples().count(), 1);
                batch.clear();
                assert!(batch.is_empty() && batch.samples() == 0);
            }
        }
    }

    /// Rows without a float that have a histogram.
    fn both(rows: usize) -> usize {
        (0..rows).filter(|index| index % 3 == 0 && index % 7 == 1).count()
    }
}

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

/// Rows of values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    steps: usize,
    words: usize,
    series: Vec<u32>,
    values: Vec<f64>,
    present: Vec<u64>,
    /// Empty while no row has a histogram, otherwise one entry per row.
    histograms: Vec<Option<Box<HistogramRow>>>,
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

impl Batch {
    /// An empty batch over `steps` steps.
    pub(crate) fn new(steps: usize) -> Self {
        Batch { steps, words: bitmap::words_for(steps), ..Batch::default() }
    }

    /// How many rows an operator should put into one batch: as many as stay in the second-level cache.
    pub(crate) fn rows_wanted(steps: usize) -> usize {
        const BATCH_BYTES: usize = 256 * 1024;
        const ROWS_MAX: usize = 64;
        (BATCH_BYTES / (8 * steps.max(1))).clamp(1, ROWS_MAX)
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

    /// Removes all rows and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.series.clear();
        self.values.clear();
        self.present.clear();
        self.histograms.clear();
    }

    /// Adds a row without samples.
    pub(crate) fn push(&mut self, series: usize) -> RowMut<'_> {
        self.series.push(series as u32);
        if self.values.is_empty() && self.values.capacity() < self.steps {
            // Zeroes from the system cost nothing until they are touched.
            self.values = vec![0.0; self.steps];
        }
        self.values.resize(self.series.len() * self.steps, 0.0);
        self.present.resize(self.series.len() * self.words, 0);
        if !self.histograms.is_empty() {
            self.histograms.push(None);
        }
        self.row_mut(self.series.len() - 1)
    }

    /// Takes the last row away.
    pub(crate) fn pop(&mut self) {
        self.series.pop();
        self.values.truncate(self.series.len() * self.steps);
        self.present.truncate(self.series.len() * self.words);
        self.histograms.truncate(self.series.len());
    }

    /// Adds a copy of a row under another series index.
    pub(crate) fn push_copy(
        &mut self,
        series: usize,
        row: RowRef<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        let start = self.values.len();
        for piece in row.values.chunks(PIECE) {
            if let Err(error) = query.work(1 + piece.len() / 8) {
                self.values.truncate(start);
                return Err(error);
            }
            self.values.extend_from_slice(piece);
        }
        self.present.extend_from_slice(row.present);
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
        RowRef {
            series: self.series[index] as usize,
            values: &self.values[index * self.steps..(index + 1) * self.steps],
            present: &self.present[index * self.words..(index + 1) * self.words],
            histograms: self.histograms.get(index).and_then(|row| row.as_deref()),
        }
    }

    pub(crate) fn row_mut(&mut self, index: usize) -> RowMut<'_> {
        RowMut {
            values: &mut self.values[index * self.steps..(index + 1) * self.steps],
            present: &mut self.present[index * self.words..(index + 1) * self.words],
            histograms: &mut self.histograms,
            index,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RowRef<'_>> {
        (0..self.rows()).map(|index| self.row(index))
    }

    /// What the rows count as against the limit of samples.
    pub(crate) fn samples(&self) -> u64 {
        bitmap::count(&self.present) as u64
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
                self.series[kept] = self.series[index];
                self.values.copy_within(index * self.steps..(index + 1) * self.steps, kept * self.steps);
                self.present.copy_within(index * self.words..(index + 1) * self.words, kept * self.words);
                if !self.histograms.is_empty() {
                    self.histograms.swap(kept, index);
                }
            }
            kept += 1;
        }
        self.series.truncate(kept);
        self.values.truncate(kept * self.steps);
        self.present.truncate(kept * self.words);
        self.histograms.truncate(kept);
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

    /// The row's histograms, to be changed in place. They come into being by this call.
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

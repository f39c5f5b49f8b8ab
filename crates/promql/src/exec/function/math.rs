//! Functions of one float, and what all functions of single samples share.

use std::sync::Arc;

use ferula_model::FloatHistogram;

use crate::QueryError;
use crate::exec::batch::{Batch, RowMut};
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::merge::{DuplicateLabels, MergeSameLabels};
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::scalars::{BoxScalar, Parameters, Scalars};
use crate::exec::series::{SeriesTable, computed};

/// `rad`.
pub(super) fn rad(degrees: f64) -> f64 {
    degrees * std::f64::consts::PI / 180.0
}

/// `deg`.
pub(super) fn deg(radians: f64) -> f64 {
    radians * 180.0 / std::f64::consts::PI
}

/// `sgn`: zeros and NaN stay as they are.
pub(super) fn sgn(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// A function applied to every float; histograms are left out.
pub(crate) fn map_floats<'q>(
    inner: BoxOperator<'q>,
    function: fn(f64) -> f64,
    query: &QueryContext<'_>,
) -> BoxOperator<'q> {
    map_rows(inner, Vec::new(), query, move |row, _, query| {
        row.take_histograms();
        map_present(row, query, function)
    })
}

/// Rows changed in place by `change`, which also gets the scalars, with the metric name dropped.
pub(crate) fn map_rows<'q>(
    inner: BoxOperator<'q>,
    scalars: Vec<BoxScalar<'q>>,
    query: &QueryContext<'_>,
    change: impl FnMut(&mut RowMut<'_>, &[Scalars], &QueryContext<'_>) -> Result<(), QueryError> + 'q,
) -> BoxOperator<'q> {
    let map = MapRows { inner, scalars: Parameters::new(scalars), series: SeriesTable::new(), change };
    if query.features.delayed_name_removal {
        return Box::new(map);
    }
    Box::new(MergeSameLabels::new(Box::new(map), DuplicateLabels::AtOneStep))
}

/// Every float that is there replaced by `function` of it.
pub(crate) fn map_present(
    row: &mut RowMut<'_>,
    query: &QueryContext<'_>,
    mut function: impl FnMut(f64) -> f64,
) -> Result<(), QueryError> {
    for (word, &present) in row.present.iter().enumerate() {
        query.work(1 + present.count_ones() as usize)?;
        let from = word * 64;
        let to = row.values.len().min(from + 64);
        if present.count_ones() as usize == to - from {
            row.values[from..to].iter_mut().for_each(|value| *value = function(*value));
        } else if present != 0 {
            for bit in bitmap::ones(&[present]) {
                row.values[from + bit] = function(row.values[from + bit]);
            }
        }
    }
    Ok(())
}

struct MapRows<'q, F> {
    inner: BoxOperator<'q>,
    scalars: Parameters<'q>,
    series: SeriesTable,
    change: F,
}

impl<F> Operator for MapRows<'_, F>
where
    F: FnMut(&mut RowMut<'_>, &[Scalars], &QueryContext<'_>) -> Result<(), QueryError>,
{
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        let scalars = self.scalars.values_after(&mut *self.inner, out.steps(), query)?;
        if !self.inner.next(query, out)? {
            return Ok(false);
        }
        for entry in self.inner.series().since(self.series.len()) {
            query.work(8)?;
            let entry = computed(entry, query.features.delayed_name_removal);
            self.series.push(entry.labels, entry.drop_name);
        }
        for index in 0..out.rows() {
            query.work(1)?;
            (self.change)(&mut out.row_mut(index), scalars, query)?;
        }
        Ok(true)
    }
}

/// Unary minus: floats and histograms.
pub(crate) fn negate<'q>(inner: BoxOperator<'q>, query: &QueryContext<'_>) -> BoxOperator<'q> {
    map_rows(inner, Vec::new(), query, |row, _, query| {
        map_present(row, query, |value| -value)?;
        if let Some(mut histograms) = row.take_histograms() {
            query.account.charge(histograms.bytes())?;
            for histogram in &mut histograms.values {
                query.work(histogram.sample_weight())?;
                let mut negated = FloatHistogram::clone(histogram);
                negated.mul(-1.0);
                *histogram = Arc::new(negated);
            }
            *row.histograms_mut() = *histograms;
        }
        Ok(())
    })
}

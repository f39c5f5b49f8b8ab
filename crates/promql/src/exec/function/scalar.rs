//! Between scalars and vectors (`scalar`, `vector`), functions of scalars (`min_of`, `max_of`), and functions of
//! floats with scalar parameters (`clamp*`, `round`).

use ferula_go::math::{max, min};

use super::call::Arguments;
use super::math::{map_present, map_rows};
use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::operator::BoxOperator;
use crate::exec::scalars::{BoxScalar, ScalarOperator, ScalarSeries, Scalars};

/// `min_of`.
pub(super) fn min_of<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxScalar<'q>, QueryError> {
    combined(call, min)
}

/// `max_of`.
pub(super) fn max_of<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxScalar<'q>, QueryError> {
    combined(call, max)
}

fn combined<'q>(
    call: &mut Arguments<'_, 'q>,
    combine: fn(f64, f64) -> f64,
) -> Result<BoxScalar<'q>, QueryError> {
    let (mut left, mut right) = (call.scalar(0)?, call.scalar(1)?);
    Ok(Box::new(move |query: &QueryContext<'_>| {
        let (left, right) = (left.evaluate(query)?, right.evaluate(query)?);
        left.zip(&right, query, combine)
    }))
}

/// `vector`.
pub(super) fn vector<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    Ok(Box::new(ScalarSeries::new(call.scalar(0)?)))
}

/// `scalar`.
pub(super) fn scalar<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxScalar<'q>, QueryError> {
    Ok(Box::new(OnlyFloat { inner: call.vector(0)?, steps: call.scope.steps() }))
}

/// The only float of a vector; NaN when there is none or more than one.
struct OnlyFloat<'q> {
    inner: BoxOperator<'q>,
    steps: usize,
}

impl ScalarOperator for OnlyFloat<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Scalars, QueryError> {
        let steps = self.steps;
        let before = query.samples.current();
        query.account.charge(steps.saturating_mul(9))?;
        let mut values = query.filled(f64::NAN, steps)?;
        let words = bitmap::words_for(steps);
        let (mut once, mut twice) = (vec![0u64; words], vec![0u64; words]);
        let mut batch = Batch::new(steps);
        while self.inner.next(query, &mut batch)? {
            query.work(1)?;
            for row in batch.iter() {
                query.work(1 + row.present.len() / 8)?;
                for (word, &present) in row.present.iter().enumerate() {
                    twice[word] |= once[word] & present;
                    once[word] |= present;
                }
                query.each_one(row.present, |step| values[step] = row.values[step])?;
            }
        }
        query.each_one(&twice, |step| values[step] = f64::NAN)?;
        query.samples.settle(before, steps as u64)?;
        Ok(Scalars::PerStep(values))
    }
}

/// `clamp`: nothing at all where the upper bound is below the lower one.
pub(super) fn clamp<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let (lower, upper) = (call.scalar(1)?, call.scalar(2)?);
    between(call, lower, upper)
}

/// `clamp_min`.
pub(super) fn clamp_min<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let lower = call.scalar(1)?;
    between(call, lower, Box::new(Scalars::Constant(f64::INFINITY)))
}

/// `clamp_max`.
pub(super) fn clamp_max<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let upper = call.scalar(1)?;
    between(call, Box::new(Scalars::Constant(f64::NEG_INFINITY)), upper)
}

/// Every float held between two bounds.
fn between<'q>(
    call: &mut Arguments<'_, 'q>,
    lower: BoxScalar<'q>,
    upper: BoxScalar<'q>,
) -> Result<BoxOperator<'q>, QueryError> {
    Ok(map_rows(call.vector(0)?, vec![lower, upper], call.query, |row, bounds, query| {
        row.take_histograms();
        for step in 0..row.values.len() {
            query.work(1)?;
            let (lower, upper) = (bounds[0].at(step), bounds[1].at(step));
            if upper < lower {
                bitmap::clear(row.present, step);
            } else {
                row.values[step] = max(lower, min(upper, row.values[step]));
            }
        }
        Ok(())
    }))
}

/// `round`: every float rounded to a multiple, halves up.
pub(super) fn round<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let to_nearest = if call.len() > 1 { call.scalar(1)? } else { Box::new(Scalars::Constant(1.0)) };
    Ok(map_rows(call.vector(0)?, vec![to_nearest], call.query, |row, to_nearest, query| {
        row.take_histograms();
        match &to_nearest[0] {
            Scalars::Constant(to) => {
                let inverse = 1.0 / to;
                map_present(row, query, |value| (value * inverse + 0.5).floor() / inverse)
            }
            Scalars::PerStep(to) => {
                for (value, to) in row.values.iter_mut().zip(to) {
                    query.work(1)?;
                    let inverse = 1.0 / to;
                    *value = (*value * inverse + 0.5).floor() / inverse;
                }
                Ok(())
            }
        }
    }))
}

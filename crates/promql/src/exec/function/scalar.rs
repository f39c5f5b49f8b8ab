//! Between scalars and vectors (`scalar`, `vector`), functions of scalars (`min_of`, `max_of`), and functions of
//! floats with scalar parameters (`clamp*`, `round`).

use super::call::CallArguments;
use super::math::{map_present, map_rows};
use crate::QueryError;
use crate::exec::batch::Batch;
use crate::exec::bitmap;
use crate::exec::build::in_order;
use crate::exec::operator::BoxOperator;
use crate::exec::scalars::{ScalarSeries, Scalars};
use ferula_go::math::{max, min};

/// `min_of`.
pub(super) fn min_of(call: &CallArguments<'_, '_>) -> Result<Scalars, QueryError> {
    call.scalar(0)?.zip(&call.scalar(1)?, call.query, min)
}

/// `max_of`.
pub(super) fn max_of(call: &CallArguments<'_, '_>) -> Result<Scalars, QueryError> {
    call.scalar(0)?.zip(&call.scalar(1)?, call.query, max)
}

/// `vector`.
pub(super) fn vector<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    Ok(Box::new(ScalarSeries::new(call.scalar(0)?)))
}

/// `clamp`.
pub(super) fn clamp<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    between(call, |call| Ok((call.scalar(1)?, call.scalar(2)?)))
}

/// `clamp_min`.
pub(super) fn clamp_min<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    between(call, |call| Ok((call.scalar(1)?, Scalars::Constant(f64::INFINITY))))
}

/// `clamp_max`.
pub(super) fn clamp_max<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    between(call, |call| Ok((Scalars::Constant(f64::NEG_INFINITY), call.scalar(1)?)))
}

/// The only float of a vector; NaN when there is none or more than one.
pub(super) fn scalar(call: &CallArguments<'_, '_>) -> Result<Scalars, QueryError> {
    let (query, steps) = (call.query, call.scope.steps());
    let before = query.samples.current();
    let mut inner = call.vector(0)?;
    query.account.reserve(steps.saturating_mul(9))?;
    let mut values = query.filled(f64::NAN, steps)?;
    let words = bitmap::words_for(steps);
    let (mut once, mut twice) = (vec![0u64; words], vec![0u64; words]);
    let mut batch = Batch::new(steps);
    while inner.next(query, &mut batch)? {
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

/// Every float held between two bounds; nothing at all where the upper one is below the lower one.
fn between<'q>(
    call: &CallArguments<'_, 'q>,
    bounds: fn(&CallArguments<'_, 'q>) -> Result<(Scalars, Scalars), QueryError>,
) -> Result<BoxOperator<'q>, QueryError> {
    let mut inner = call.vector(0)?;
    let (lower, upper) = in_order(&mut *inner, call.scope, call.query, bounds(call))?;
    Ok(map_rows(inner, call.query, move |row, query| {
        row.take_histograms();
        for step in 0..row.values.len() {
            query.work(1)?;
            let (lower, upper) = (lower.at(step), upper.at(step));
            if upper < lower {
                bitmap::clear(row.present, step);
            } else {
                row.values[step] = max(lower, min(upper, row.values[step]));
            }
        }
        Ok(())
    }))
}

/// Every float rounded to a multiple, halves up.
pub(super) fn round<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    let mut inner = call.vector(0)?;
    let to_nearest = if call.len() > 1 { call.scalar(1) } else { Ok(Scalars::Constant(1.0)) };
    let to_nearest = in_order(&mut *inner, call.scope, call.query, to_nearest)?;
    Ok(map_rows(inner, call.query, move |row, query| {
        row.take_histograms();
        match &to_nearest {
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

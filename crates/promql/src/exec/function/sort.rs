//! `sort*`: order, which only instant queries show.

use std::cmp::Ordering;

use super::call::CallArguments;
use crate::exec::batch::{Batch, RowRef};
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Operator, Replay, collect};
use crate::exec::series::SeriesTable;
use crate::exec::sorting;
use crate::{Annotation, QueryError};

/// `sort`.
pub(super) fn rising<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    operator(call, Order::Value(|a, b| a.total_cmp(&b)))
}

/// `sort_desc`.
pub(super) fn falling<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    operator(call, Order::Value(|a, b| b.total_cmp(&a)))
}

/// `sort_by_label`.
pub(super) fn by_label<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    by_labels(call, false)
}

/// `sort_by_label_desc`.
pub(super) fn by_label_desc<'q>(call: &CallArguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    by_labels(call, true)
}

enum Order<'q> {
    /// Floats by value, NaN last; histograms are left out.
    Value(fn(f64, f64) -> Ordering),
    /// By the values of these labels in natural order, then by all labels.
    Labels { names: Vec<&'q str>, descending: bool },
}

fn by_labels<'q>(call: &CallArguments<'_, 'q>, descending: bool) -> Result<BoxOperator<'q>, QueryError> {
    let names = (1..call.len()).map(|index| call.string(index)).collect::<Result<_, _>>()?;
    operator(call, Order::Labels { names, descending })
}

fn operator<'q>(call: &CallArguments<'_, 'q>, order: Order<'q>) -> Result<BoxOperator<'q>, QueryError> {
    let (inner, steps) = (call.vector(0)?, call.scope.steps());
    // After the argument: of two that sort, the outer one is named. A range is one also when its step is so wide that
    // there is a single moment.
    if call.scope.grid.start_ms < call.scope.grid.end_ms {
        call.query.annotate(Annotation::sort_in_range_query(call.span));
    }
    Ok(Box::new(Sort { inner, order, steps, result: None }))
}

struct Sort<'q> {
    inner: BoxOperator<'q>,
    order: Order<'q>,
    steps: usize,
    result: Option<Replay>,
}

impl Operator for Sort<'_> {
    fn series(&self) -> &SeriesTable {
        self.inner.series()
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        let result = match &mut self.result {
            Some(result) => result,
            None => {
                let result = self.evaluate(query)?;
                self.result.insert(result)
            }
        };
        result.next(query, out)
    }
}

impl Sort<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let mut rows = collect(&mut *self.inner, self.steps, query)?;
        if matches!(self.order, Order::Value(_)) {
            for index in 0..rows.rows() {
                query.work(1)?;
                rows.row_mut(index).take_histograms();
            }
            rows.drop_empty_rows();
        }
        if self.steps > 1 {
            return Ok(Replay::new(SeriesTable::new(), rows));
        }
        let mut order: Vec<usize> = (0..rows.rows()).collect();
        if matches!(self.order, Order::Value(_)) {
            // Go's order of several NaN is the reverse of that in which they came.
            order.reverse();
            query.work(order.len())?;
            let (nan, mut rest): (Vec<usize>, Vec<usize>) =
                order.iter().partition(|&&index| rows.row(index).values[0].is_nan());
            order = nan;
            order.append(&mut rest);
            let nans = order.iter().filter(|&&index| rows.row(index).values[0].is_nan()).count();
            order[nans..].reverse();
        }
        sorting::sort_by(&mut order, query, |&a, &b| self.compare(rows.row(a), rows.row(b)))?;
        query.account.reserve(rows.bytes())?;
        let mut sorted = Batch::new(self.steps);
        for index in order {
            let row = rows.row(index);
            sorted.push_copy(row.series, row, query)?;
        }
        Ok(Replay::new(SeriesTable::new(), sorted))
    }

    fn compare(&self, a: RowRef<'_>, b: RowRef<'_>) -> Ordering {
        match &self.order {
            Order::Value(compare) => {
                let (a, b) = (a.values[0], b.values[0]);
                match (a.is_nan(), b.is_nan()) {
                    // Zeros of both signs are equal.
                    (false, false) if a == b => Ordering::Equal,
                    (false, false) => compare(a, b),
                    (a, b) => a.cmp(&b),
                }
            }
            Order::Labels { names, descending } => {
                let table = self.inner.series();
                let (a, b) = (table.labels(a.series), table.labels(b.series));
                let order = names
                    .iter()
                    .map(|name| natural(a.value(name), b.value(name)))
                    .find(|order| order.is_ne())
                    .unwrap_or_else(|| a.cmp(b));
                if *descending { order.reverse() } else { order }
            }
        }
    }
}

/// Natural order: runs of digits compare as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let (mut chunks_a, mut chunks_b) = (chunks(a), chunks(b));
    loop {
        let (chunk_a, chunk_b) = match (chunks_a.next(), chunks_b.next()) {
            (None, _) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => (a, b),
        };
        let order = match (chunk_a.parse::<i64>(), chunk_b.parse::<i64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => chunk_a.cmp(chunk_b),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Runs of digits, and runs of anything else.
fn chunks(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let is_digit = text.chars().next()?.is_ascii_digit();
        let end = text.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(text.len());
        let (chunk, rest) = text.split_at(end);
        text = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_as_numbers() {
        let mut names = ["node10", "node9", "node1", "node", "a2b10", "a2b9", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a2b9", "a2b10", "node", "node1", "node9", "node10"]);
    }
}

//! `sort*`: order, which only instant queries show.

use std::cmp::Ordering;

use ferula_model::LabelSet;
use ferula_promql_syntax::ast::Span;

use super::call::Arguments;
use crate::exec::batch::Batch;
use crate::exec::collected::{Evaluate, collected};
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Replay, collect};
use crate::exec::sorting;
use crate::{Annotation, Grid, QueryError};

/// `sort`.
pub(super) fn rising<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    operator(call, Order::Value(|a, b| a.total_cmp(&b)))
}

/// `sort_desc`.
pub(super) fn falling<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    operator(call, Order::Value(|a, b| b.total_cmp(&a)))
}

/// `sort_by_label`.
pub(super) fn by_label<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    by_labels(call, false)
}

/// `sort_by_label_desc`.
pub(super) fn by_label_desc<'q>(call: &mut Arguments<'_, 'q>) -> Result<BoxOperator<'q>, QueryError> {
    by_labels(call, true)
}

enum Order<'q> {
    /// Floats by value, NaN last; histograms are left out.
    Value(fn(f64, f64) -> Ordering),
    /// By the values of these labels in natural order, those without the label last, then by all labels.
    Labels { names: Vec<&'q str>, descending: bool },
}

fn by_labels<'q>(call: &mut Arguments<'_, 'q>, descending: bool) -> Result<BoxOperator<'q>, QueryError> {
    let names = (1..call.len()).map(|index| call.string(index)).collect::<Result<_, _>>()?;
    operator(call, Order::Labels { names, descending })
}

fn operator<'q>(call: &mut Arguments<'_, 'q>, order: Order<'q>) -> Result<BoxOperator<'q>, QueryError> {
    let (inner, grid, span) = (call.vector(0)?, call.scope.grid, call.span);
    Ok(collected(Sort { inner, order, grid, span }))
}

struct Sort<'q> {
    inner: BoxOperator<'q>,
    order: Order<'q>,
    grid: Grid,
    span: Span,
}

impl Evaluate for Sort<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let steps = self.grid.steps();
        let mut rows = collect(&mut *self.inner, steps, query)?;
        // After the argument: of two that sort, the outer one is named. A range is one also when its step is so wide
        // that there is a single moment.
        if self.grid.start_ms < self.grid.end_ms {
            query.annotate(Annotation::sort_in_range_query(self.span));
        }
        if matches!(self.order, Order::Value(_)) {
            for index in 0..rows.rows() {
                query.work(1)?;
                rows.row_mut(index).take_histograms();
            }
            rows.drop_empty_rows();
        }
        if steps > 1 {
            return Replay::of_operand(self.inner.series(), rows, query);
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
        match &self.order {
            Order::Labels { names, descending } if order.len() <= sorting::INSERTION_MAX => {
                query.work(order.len() * order.len() * names.len())?;
                let labels = |row: usize| self.inner.series().labels(rows.row(row).series);
                sorting::insert_sort(&mut order, |&a, &b| {
                    goes_before(labels(a), labels(b), names, *descending)
                });
            }
            Order::Labels { names, descending } => {
                let labels = |row: usize| self.inner.series().labels(rows.row(row).series);
                sorting::sort_by(&mut order, query, |&a, &b| {
                    order_of_labels(labels(a), labels(b), names, *descending)
                })?;
            }
            Order::Value(compare) => sorting::sort_by(&mut order, query, |&a, &b| {
                order_of_floats(rows.row(a).values[0], rows.row(b).values[0], *compare)
            })?,
        }
        query.account.charge(rows.bytes())?;
        let mut sorted = Batch::new(steps);
        for index in order {
            let row = rows.row(index);
            sorted.push_copy(row.series, row, query)?;
        }
        Replay::of_operand(self.inner.series(), sorted, query)
    }
}

/// Floats by `compare`, NaN last; zeros of both signs are equal.
fn order_of_floats(a: f64, b: f64, compare: fn(f64, f64) -> Ordering) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if a == b => Ordering::Equal,
        (false, false) => compare(a, b),
        (a, b) => a.cmp(&b),
    }
}

/// By the values of these labels in natural order, then by all labels.
fn order_of_labels(a: &LabelSet, b: &LabelSet, names: &[&str], descending: bool) -> Ordering {
    let differing =
        names.iter().map(|name| natural(a.value(name), b.value(name))).find(|order| order.is_ne());
    let order = differing.unwrap_or_else(|| a.cmp(b));
    if descending { order.reverse() } else { order }
}

/// Whether a series goes before another one, as Prometheus asks it. No order: see [`precedes`].
fn goes_before(a: &LabelSet, b: &LabelSet, names: &[&str], descending: bool) -> bool {
    let differing = names.iter().map(|name| (a.value(name), b.value(name))).find(|(a, b)| a != b);
    match differing {
        Some((a, b)) => precedes(a, b) != descending,
        None => a.cmp(b) == if descending { Ordering::Greater } else { Ordering::Less },
    }
}

/// Whether the first of two different texts precedes the other one, as Prometheus' library has it. Runs of digits
/// compare as numbers of 64 bits. Of two texts with equal numbers (`1`, `01`) each precedes the other, the empty text
/// precedes nothing and nothing precedes it, and numbers beyond 64 bits compare as text: so this is not an order.
fn precedes(a: &str, b: &str) -> bool {
    let (mut rest_b, mut left_a) = (chunks(b).peekable(), chunks(a).peekable());
    while let Some(chunk_a) = left_a.next() {
        let Some(chunk_b) = rest_b.next() else { return false };
        let order = match (chunk_a.parse::<i64>(), chunk_b.parse::<i64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => chunk_a.cmp(chunk_b),
        };
        match order {
            Ordering::Equal if left_a.peek().is_none() => return true,
            Ordering::Equal => {}
            order => return order.is_lt(),
        }
    }
    false
}

/// The total order nearest to [`precedes`]: numbers of any length by value, the empty text last, and of texts with
/// equal numbers the one with fewer zeros first.
fn natural(a: &str, b: &str) -> Ordering {
    if a.is_empty() || b.is_empty() {
        return a.is_empty().cmp(&b.is_empty());
    }
    let (mut chunks_a, mut chunks_b) = (chunks(a), chunks(b));
    loop {
        let order = match (chunks_a.next(), chunks_b.next()) {
            (None, None) => return b.cmp(a),
            (Some(a), Some(b)) if is_number(a) && is_number(b) => {
                let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
                a.len().cmp(&b.len()).then_with(|| a.cmp(b))
            }
            (a, b) => a.cmp(&b),
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn is_number(chunk: &str) -> bool {
    chunk.starts_with(|c: char| c.is_ascii_digit())
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
    use ferula_testkit::assert_total_order;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_orders_are_total() {
        let texts = [
            "",
            "0",
            "00",
            "1",
            "01",
            "001",
            "10",
            "a",
            "a1",
            "a01",
            "1a",
            "99999999999999999999",
            "é",
            "-1",
        ];
        assert_total_order(&texts, |a, b| natural(a, b));
        let sets: Vec<LabelSet> = texts
            .iter()
            .flat_map(|a| ["", "1", "01"].map(|b| LabelSet::from_pairs([("a", *a), ("b", b), ("c", "x")])))
            .collect();
        for descending in [false, true] {
            assert_total_order(&sets, |a, b| order_of_labels(a, b, &["b", "a"], descending));
        }
        let floats = [f64::NAN, -f64::NAN, 0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, 5e-324];
        assert_total_order(&floats, |a, b| order_of_floats(*a, *b, |a, b| a.total_cmp(&b)));
        assert_total_order(&floats, |a, b| order_of_floats(*a, *b, |a, b| b.total_cmp(&a)));
    }

    #[test]
    fn digits_count_as_numbers() {
        let mut names =
            ["node10", "node9", "node1", "node", "a2b10", "a2b9", "10", "9", "", "99999999999999999999"];
        names.sort_by(|a, b| natural(a, b));
        let sorted =
            ["9", "10", "99999999999999999999", "a2b9", "a2b10", "node", "node1", "node9", "node10", ""];
        assert_eq!(names, sorted);
    }

    /// Answers of Prometheus 3.5 for series in order of their labels.
    #[test]
    fn few_series_are_sorted_as_prometheus_sorts_them() {
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            (
                &["001", "01", "010", "1", "10", "2", "x01", "x1"],
                &["1", "01", "001", "2", "10", "010", "x1", "x01"],
                &["x01", "x1", "010", "10", "2", "001", "01", "1"],
            ),
            (&["a", "b", "c", ""], &["a", "b", "c", ""], &["", "c", "b", "a"]),
            (
                &["100", "90000000000000000000", "95"],
                &["100", "90000000000000000000", "95"],
                &["90000000000000000000", "100", "95"],
            ),
        ];
        for (given, rising, falling) in cases {
            for (descending, want) in [(false, rising), (true, falling)] {
                let mut sets: Vec<LabelSet> =
                    given.iter().map(|value| LabelSet::from_pairs([("a", *value)])).collect();
                sorting::insert_sort(&mut sets, |a, b| goes_before(a, b, &["a"], descending));
                let got: Vec<&str> = sets.iter().map(|labels| labels.value("a")).collect();
                assert_eq!(&got, want, "descending: {descending}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_natural_order_is_total_and_agrees_with_prometheus_where_that_is_an_order(
            texts in proptest::collection::vec("[019a]{0,4}", 3),
        ) {
            let [a, b, c] = [&texts[0], &texts[1], &texts[2]];
            prop_assert_eq!(natural(a, b), natural(b, a).reverse());
            prop_assert_eq!(natural(a, b).is_eq(), a == b);
            if natural(a, b).is_le() && natural(b, c).is_le() {
                prop_assert!(natural(a, c).is_le(), "{:?} {:?} {:?}", a, b, c);
            }
            if precedes(a, b) != precedes(b, a) {
                prop_assert_eq!(precedes(a, b), natural(a, b).is_lt(), "{:?} {:?}", a, b);
            }
        }
    }
}

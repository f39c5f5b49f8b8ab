//! The floats of a window in order, as the window moves forward over the samples of a series.

use crate::QueryError;
use crate::exec::context::QueryContext;
use crate::numeric::quantile::sort_values;

/// The floats of a window, sorted. What two neighbouring windows share stays sorted.
///
/// Equal values (zeros of both signs, NaN) stay in the order of their times, as a stable sort of the window would have
/// them.
#[derive(Default)]
pub(super) struct SortedWindow {
    /// The sorted values from `start` on; before it lie places that values left. Rising counters, whose smallest value
    /// leaves and whose largest arrives, so move nothing.
    values: Vec<f64>,
    start: usize,
    /// Which samples are in it.
    from: usize,
    to: usize,
}

impl SortedWindow {
    pub(super) fn clear(&mut self) {
        self.values.clear();
        (self.start, self.from, self.to) = (0, 0, 0);
    }

    pub(super) fn sorted(&self) -> &[f64] {
        &self.values[self.start..]
    }

    /// Moves to a window that neither begins nor ends before the last one.
    pub(super) fn move_to(
        &mut self,
        samples: &[f64],
        (from, to): (usize, usize),
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        let moved = (from - self.from).saturating_add(to - self.to);
        // Every value that moves costs a search and a shift of what lies on one side of it.
        if from >= self.to || moved > (to - from) / 4 {
            self.start = 0;
            copy_of(&samples[from..to], &mut self.values, query)?;
            sort_values(&mut self.values, query)?;
        } else {
            let work = 1 + self.sorted().len() / 16;
            for &value in &samples[self.from..from] {
                query.work(work)?;
                self.remove_first(value);
            }
            for &value in &samples[self.to..to] {
                query.work(work)?;
                self.make_room(query)?;
                self.insert_last(value);
            }
        }
        (self.from, self.to) = (from, to);
        Ok(())
    }

    /// Removes the first of the values that are equal to `value`, one of which must be here.
    fn remove_first(&mut self, value: f64) {
        let at = self.start + count_before(self.sorted(), value);
        if at - self.start <= self.values.len() - at {
            self.values.copy_within(self.start..at, self.start + 1);
            self.start += 1;
        } else {
            self.values.remove(at);
        }
    }

    /// Inserts `value` behind the values that are equal to it.
    fn insert_last(&mut self, value: f64) {
        let at = self.start + count_through(self.sorted(), value);
        if self.start > 0 && at - self.start < self.values.len() - at {
            self.values.copy_within(self.start..at, self.start - 1);
            self.start -= 1;
            self.values[at - 1] = value;
        } else {
            self.values.insert(at, value);
        }
    }

    /// Makes room for one more value, on the account of the query if the buffer has to grow.
    fn make_room(&mut self, query: &QueryContext<'_>) -> Result<(), QueryError> {
        if self.values.len() < self.values.capacity() {
            return Ok(());
        }
        if self.start > self.values.len() / 2 {
            self.values.copy_within(self.start.., 0);
            self.values.truncate(self.values.len() - self.start);
            self.start = 0;
            return Ok(());
        }
        let more = self.values.len().max(16);
        query.account.charge(more * size_of::<f64>())?;
        self.values.reserve_exact(more);
        Ok(())
    }
}

/// Puts a copy into a buffer whose growth is accounted for.
pub(super) fn copy_of(
    values: &[f64],
    into: &mut Vec<f64>,
    query: &QueryContext<'_>,
) -> Result<(), QueryError> {
    into.clear();
    if values.len() > into.capacity() {
        query.account.charge((values.len() - into.capacity()) * size_of::<f64>())?;
        into.reserve_exact(values.len());
    }
    query.in_pieces(values, |piece| into.extend_from_slice(piece))
}

/// How many of the sorted values come before `value`, NaN being the smallest. The comparisons are such that the search
/// needs no branch.
fn count_before(sorted: &[f64], value: f64) -> usize {
    if value.is_nan() { 0 } else { sorted.partition_point(|other| (*other < value) | other.is_nan()) }
}

/// How many of them come before `value` or equal it.
fn count_through(sorted: &[f64], value: f64) -> usize {
    match sorted.last() {
        Some(last) if *last <= value => sorted.len(),
        _ if value.is_nan() => sorted.partition_point(|other| other.is_nan()),
        _ => sorted.partition_point(|other| (*other <= value) | other.is_nan()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exec::context::tests::with_context;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![4 => -3.0..3.0f64, 2 => (-2i32..3).prop_map(f64::from), 1 => Just(-0.0), 1 => Just(f64::NAN)]
    }

    proptest! {
        #[test]
        fn a_moving_window_is_sorted_as_a_window_by_itself(
            values in proptest::collection::vec(value(), 1..400),
            rising in any::<bool>(),
            moves in proptest::collection::vec((0usize..6, 0usize..8), 1..120),
        ) {
            let mut values = values;
            if rising {
                values.iter_mut().enumerate().for_each(|(at, value)| *value += at as f64);
            }
            with_context(|query| {
                let (mut window, mut from, mut to) = (SortedWindow::default(), 0, 0);
                for (begin, end) in &moves {
                    to = (to + end).min(values.len());
                    from = (from + begin).min(to);
                    if from == to {
                        continue;
                    }
                    window.move_to(&values, (from, to), query).expect("nobody stops it");
                    let mut plain = values[from..to].to_vec();
                    sort_values(&mut plain, query).expect("nobody stops it");
                    let bits = |list: &[f64]| list.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(window.sorted()), bits(&plain), "{from}..{to} of {values:?}");
                }
            });
        }
    }
}

//! Samples of one series from two sources, in order of time; where both have a sample, the first source wins.

use std::mem::take;
use std::sync::Arc;

use ferula_model::CounterResetHint;

use crate::{FloatColumn, HistogramColumn, SeriesSamples};

/// Adds to `into` the samples of `from` whose times it does not have.
pub fn merge(into: &mut SeriesSamples, from: &SeriesSamples) {
    if from.is_empty() {
        return;
    }
    if into.is_empty() {
        into.clone_from(from);
        return;
    }
    let first = take(into);
    let mut merged = Merged::default();
    let (mut a, mut b) = (Cursor::new(&first), Cursor::new(from));
    loop {
        match (a.at(), b.at()) {
            (None, None) => break,
            (Some(left), Some(right)) if left == right => {
                merged.push(&mut a, 0);
                b.skip();
            }
            (Some(left), Some(right)) if left < right => merged.push(&mut a, 0),
            (Some(_), None) => merged.push(&mut a, 0),
            (_, Some(_)) => merged.push(&mut b, 1),
        }
    }
    *into = merged.out;
}

/// Merges any number of sources; of those that have a sample at the same time, the first wins. Neighbours are merged
/// first, so that no sample is moved more often than the number of sources has binary digits.
pub fn merge_all(mut sources: Vec<SeriesSamples>) -> SeriesSamples {
    while sources.len() > 1 {
        let mut halved = Vec::with_capacity(sources.len().div_ceil(2));
        let mut sources_left = sources.into_iter();
        while let Some(mut first) = sources_left.next() {
            if let Some(second) = sources_left.next() {
                merge(&mut first, &second);
            }
            halved.push(first);
        }
        sources = halved;
    }
    sources.pop().unwrap_or_default()
}

/// The time of the newest sample.
pub fn newest(samples: &SeriesSamples) -> Option<i64> {
    samples.floats.timestamps.last().max(samples.histograms.timestamps.last()).copied()
}

/// For samples of a later source that were put directly behind those of an earlier one: what [`append`] changes of them.
/// `histograms` is how many histograms there were before.
pub fn join_at(samples: &mut SeriesSamples, histograms: usize) {
    if let Some(value) = samples.histograms.values.get_mut(histograms) {
        forget_reset(value);
    }
}

/// Adds the samples of a later source, which wins where both have a sample. Most often all of them are newer.
pub fn append(into: &mut SeriesSamples, mut later: SeriesSamples) {
    if into.is_empty() {
        *into = later;
        return;
    }
    let first = Cursor::new(&later).at();
    if first.is_some_and(|first| newest(into) >= Some(first)) {
        merge(&mut later, into);
        *into = later;
        return;
    }
    if let Some(value) = later.histograms.values.first_mut() {
        forget_reset(value);
    }
    let (floats, histograms) = (&mut into.floats, &mut into.histograms);
    extend_starts(
        &mut floats.start_timestamps,
        floats.timestamps.len(),
        &later.floats.start_timestamps,
        later.floats.timestamps.len(),
    );
    floats.timestamps.append(&mut later.floats.timestamps);
    floats.values.append(&mut later.floats.values);
    extend_starts(
        &mut histograms.start_timestamps,
        histograms.timestamps.len(),
        &later.histograms.start_timestamps,
        later.histograms.timestamps.len(),
    );
    histograms.timestamps.append(&mut later.histograms.timestamps);
    histograms.values.append(&mut later.histograms.values);
}

fn extend_starts(starts: &mut Vec<i64>, before: usize, more: &[i64], count: usize) {
    if starts.is_empty() && more.is_empty() {
        return;
    }
    starts.resize(before, 0);
    starts.extend_from_slice(more);
    starts.resize(before + count, 0);
}

/// Behind a sample of another source, whether a histogram follows a reset is not known any more.
fn forget_reset(value: &mut Arc<ferula_model::FloatHistogram>) {
    let hint = value.counter_reset_hint;
    if hint != CounterResetHint::Gauge && hint != CounterResetHint::Unknown {
        Arc::make_mut(value).counter_reset_hint = CounterResetHint::Unknown;
    }
}

/// Walks the samples of both columns in order of time.
struct Cursor<'a> {
    samples: &'a SeriesSamples,
    float: usize,
    histogram: usize,
}

impl<'a> Cursor<'a> {
    fn new(samples: &'a SeriesSamples) -> Self {
        Cursor { samples, float: 0, histogram: 0 }
    }

    fn float_at(&self) -> Option<i64> {
        self.samples.floats.timestamps.get(self.float).copied()
    }

    fn histogram_at(&self) -> Option<i64> {
        self.samples.histograms.timestamps.get(self.histogram).copied()
    }

    fn at(&self) -> Option<i64> {
        match (self.float_at(), self.histogram_at()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn is_float(&self) -> bool {
        match (self.float_at(), self.histogram_at()) {
            (Some(a), Some(b)) => a < b,
            (a, _) => a.is_some(),
        }
    }

    fn skip(&mut self) {
        if self.is_float() { self.float += 1 } else { self.histogram += 1 }
    }
}

#[derive(Default)]
struct Merged {
    out: SeriesSamples,
    last_source: Option<u8>,
}

impl Merged {
    fn push(&mut self, cursor: &mut Cursor<'_>, source: u8) {
        if cursor.is_float() {
            push_float(&mut self.out.floats, &cursor.samples.floats, cursor.float);
        } else {
            let same_source = self.last_source.is_none_or(|last| last == source);
            push_histogram(
                &mut self.out.histograms,
                &cursor.samples.histograms,
                cursor.histogram,
                same_source,
            );
        }
        self.last_source = Some(source);
        cursor.skip();
    }
}

fn push_start(starts: &mut Vec<i64>, before: usize, start: i64) {
    if start != 0 && starts.is_empty() {
        starts.resize(before, 0);
    }
    if start != 0 || !starts.is_empty() {
        starts.push(start);
    }
}

fn push_float(out: &mut FloatColumn, from: &FloatColumn, index: usize) {
    let start = from.start_timestamps.get(index).copied().unwrap_or(0);
    push_start(&mut out.start_timestamps, out.timestamps.len(), start);
    out.timestamps.push(from.timestamps[index]);
    out.values.push(from.values[index]);
}

fn push_histogram(out: &mut HistogramColumn, from: &HistogramColumn, index: usize, same_source: bool) {
    let start = from.start_timestamps.get(index).copied().unwrap_or(0);
    push_start(&mut out.start_timestamps, out.timestamps.len(), start);
    out.timestamps.push(from.timestamps[index]);
    let mut value = from.values[index].clone();
    if !same_source {
        forget_reset(&mut value);
    }
    out.values.push(value);
}

#[cfg(test)]
mod tests {
    use ferula_model::FloatHistogram;
    use proptest::prelude::*;

    use super::*;

    /// Samples at these times; even times are floats, odd ones histograms, values name the source.
    fn samples(times: &[i64], source: f64) -> SeriesSamples {
        let mut out = SeriesSamples::default();
        for at in times {
            if at % 2 == 0 {
                out.floats.timestamps.push(*at);
                out.floats.values.push(source);
            } else {
                out.histograms.timestamps.push(*at);
                let counter_reset_hint = CounterResetHint::NotReset;
                let value = FloatHistogram { sum: source, counter_reset_hint, ..Default::default() };
                out.histograms.values.push(Arc::new(value));
            }
        }
        out
    }

    fn times() -> impl Strategy<Value = Vec<i64>> {
        proptest::collection::btree_set(0i64..60, 0..30).prop_map(|set| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_union_comes_out_and_the_first_source_wins(a in times(), b in times()) {
            let mut merged = samples(&a, 1.0);
            merge(&mut merged, &samples(&b, 2.0));
            let mut all: Vec<i64> = a.iter().chain(&b).copied().collect();
            all.sort_unstable();
            all.dedup();
            let mut previous = None;
            for (column, wanted) in [(&merged.floats.timestamps, 0), (&merged.histograms.timestamps, 1)] {
                let expected: Vec<i64> = all.iter().copied().filter(|at| at % 2 == wanted).collect();
                prop_assert_eq!(column, &expected);
            }
            for at in all {
                let source = if a.contains(&at) { 1.0 } else { 2.0 };
                if at % 2 == 0 {
                    let place = merged.floats.timestamps.binary_search(&at).expect("there");
                    prop_assert_eq!(merged.floats.values[place], source);
                } else {
                    let place = merged.histograms.timestamps.binary_search(&at).expect("there");
                    let value = &merged.histograms.values[place];
                    prop_assert_eq!(value.sum, source);
                    let known = previous.is_none_or(|previous| previous == source) || b.is_empty();
                    prop_assert_eq!(value.counter_reset_hint == CounterResetHint::NotReset, known);
                }
                previous = Some(source);
            }
        }
    }

    proptest! {
        #[test]
        fn merging_many_at_once_is_merging_one_after_the_other(
            all in proptest::collection::vec(times(), 0..6),
        ) {
            let sources: Vec<SeriesSamples> =
                all.iter().enumerate().map(|(n, times)| samples(times, n as f64)).collect();
            let mut one_by_one = SeriesSamples::default();
            sources.iter().for_each(|source| merge(&mut one_by_one, source));
            let merged = merge_all(sources);
            prop_assert_eq!(&merged.floats.timestamps, &one_by_one.floats.timestamps);
            prop_assert_eq!(&merged.floats.values, &one_by_one.floats.values);
            prop_assert_eq!(&merged.histograms.timestamps, &one_by_one.histograms.timestamps);
            let sums = |s: &HistogramColumn| s.values.iter().map(|h| h.sum).collect::<Vec<_>>();
            prop_assert_eq!(sums(&merged.histograms), sums(&one_by_one.histograms));
        }
    }

    proptest! {
        #[test]
        fn appending_is_merging_with_the_later_source_first(a in times(), b in times(), shift in 0i64..2) {
            // Half of the cases are disjoint.
            let b: Vec<i64> = b.iter().map(|at| at + shift * 60).collect();
            let mut appended = samples(&a, 1.0);
            append(&mut appended, samples(&b, 2.0));
            let mut merged = samples(&b, 2.0);
            merge(&mut merged, &samples(&a, 1.0));
            prop_assert_eq!(appended.floats.timestamps, merged.floats.timestamps);
            prop_assert_eq!(appended.floats.values, merged.floats.values);
            prop_assert_eq!(&appended.histograms.timestamps, &merged.histograms.timestamps);
            let sums = |s: &HistogramColumn| s.values.iter().map(|h| h.sum).collect::<Vec<_>>();
            prop_assert_eq!(sums(&appended.histograms), sums(&merged.histograms));
        }
    }
}

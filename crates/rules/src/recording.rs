//! Recording rules: the result of a query under another name.
//!
//! An evaluation mostly returns the same elements as the previous one, in the same order. For each element,
//! [`SeriesCache`] keeps the labels of the recorded series and its ref in the store, so an evaluation without
//! new series creates no label sets and performs no look-ups.

use std::collections::{BTreeMap, HashMap};

use ferula_model::labels::METRIC_NAME;
use ferula_model::{HistogramValue, LabelSet, SeriesRef, Timestamp};
use ferula_promql::{InstantSample, SampleValue};
use ferula_storage::{AppendError, Appender, HistogramSample, SampleBatch, SampleKind};

use crate::RuleError;

/// Elements that are no longer in the result are dropped once this many have accumulated.
const SURPLUS_MAX: usize = 1024;

/// A sample of the rule: which series of the cache, when, and the value.
pub(crate) type Recorded = (u32, Timestamp, SampleValue);

/// How a rule changes the labels of an element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming<'a> {
    /// The name of the series.
    pub metric: &'a str,
    /// Labels that override those of the element; an empty value removes a label.
    pub labels: &'a BTreeMap<String, String>,
}

impl Naming<'_> {
    fn series(&self, element: &LabelSet) -> LabelSet {
        let mut labels = element.to_builder();
        labels.set(METRIC_NAME, self.metric);
        for (name, value) in self.labels {
            labels.set(name, value);
        }
        labels.finish()
    }
}

/// The series of a rule, kept from one evaluation to the next.
#[derive(Debug, Default)]
pub(crate) struct SeriesCache {
    elements: Vec<Element>,
    by_element: HashMap<LabelSet, u32>,
    series: Vec<Series>,
    by_labels: HashMap<LabelSet, u32>,
    /// Evaluations so far.
    round: u64,
    /// The last one whose samples were stored.
    stored_round: u64,
}

/// An element of the query's result.
#[derive(Debug)]
struct Element {
    labels: LabelSet,
    series: u32,
    seen: u64,
}

/// The recorded series of each element. Several elements may share one, but not in the same evaluation.
#[derive(Debug)]
struct Series {
    labels: LabelSet,
    handle: Option<SeriesRef>,
    /// The last round whose result contained it.
    given: u64,
    /// The last round that stored it.
    stored: u64,
}

impl SeriesCache {
    /// Applies the rule's name and labels to the result; a label with an empty value is removed.
    ///
    /// # Errors
    /// Two elements become the same series, or there are more than `limit`.
    pub fn record(
        &mut self,
        naming: Naming<'_>,
        vector: Vec<InstantSample>,
        limit: usize,
    ) -> Result<Vec<Recorded>, RuleError> {
        if self.elements.len() > 2 * vector.len() + SURPLUS_MAX {
            self.forget();
        }
        self.round += 1;
        let (count, mut expected) = (vector.len(), 0);
        let mut results = Vec::with_capacity(count);
        for sample in vector {
            let element = self.element(naming, &sample.labels, expected);
            expected = element + 1;
            let element = &mut self.elements[element];
            element.seen = self.round;
            let series = &mut self.series[element.series as usize];
            if series.given == self.round {
                return Err(RuleError::SameRecordedLabels);
            }
            series.given = self.round;
            results.push((element.series, Timestamp::from_millis(sample.timestamp_ms), sample.value));
        }
        if limit > 0 && count > limit {
            return Err(RuleError::Limit { limit, count, what: "series" });
        }
        Ok(results)
    }

    /// The index of an element; `expected` if nothing has changed.
    fn element(&mut self, naming: Naming<'_>, labels: &LabelSet, expected: usize) -> usize {
        if self.elements.get(expected).is_some_and(|element| element.labels == *labels) {
            return expected;
        }
        if let Some(known) = self.by_element.get(labels) {
            return *known as usize;
        }
        let series = self.series_with(naming.series(labels));
        let place = self.elements.len();
        self.by_element.insert(labels.clone(), index(place));
        self.elements.push(Element { labels: labels.clone(), series, seen: 0 });
        place
    }

    fn series_with(&mut self, labels: LabelSet) -> u32 {
        if let Some(known) = self.by_labels.get(&labels) {
            return *known;
        }
        let place = index(self.series.len());
        self.by_labels.insert(labels.clone(), place);
        self.series.push(Series { labels, handle: None, given: 0, stored: 0 });
        place
    }

    /// Labels of a series that [`SeriesCache::record`] returned.
    pub fn labels(&self, series: u32) -> &LabelSet {
        &self.series[series as usize].labels
    }

    /// Appends results. Calls `refused` for those that the store refuses, and returns the series of the
    /// others.
    pub fn append(
        &mut self,
        appender: &mut dyn Appender,
        results: Vec<Recorded>,
        mut refused: impl FnMut(&LabelSet, AppendError),
    ) -> Vec<u32> {
        let mut accepted = Vec::with_capacity(results.len());
        let again = self.append_once(appender, results, &mut accepted, &mut refused, true);
        // The store had removed these series; they have been looked up again.
        self.append_once(appender, again, &mut accepted, &mut refused, false);
        accepted
    }

    /// Appends once. Returns the results whose series the store no longer knows, if they are to be retried
    /// (`again`).
    fn append_once(
        &mut self,
        appender: &mut dyn Appender,
        results: Vec<Recorded>,
        accepted: &mut Vec<u32>,
        refused: &mut impl FnMut(&LabelSet, AppendError),
        again: bool,
    ) -> Vec<Recorded> {
        let mut batch = SampleBatch::default();
        let (mut floats, mut histograms) = (Vec::with_capacity(results.len()), Vec::new());
        for (series, timestamp, value) in results {
            let known = &mut self.series[series as usize];
            let handle = match known.handle {
                Some(handle) => handle,
                None => match appender.resolve(&known.labels) {
                    Ok(handle) => *known.handle.insert(handle),
                    Err(error) => {
                        refused(&known.labels, error);
                        continue;
                    }
                },
            };
            match value {
                SampleValue::Float(value) => {
                    batch.push_float(handle, timestamp, value);
                    floats.push((series, timestamp, SampleValue::Float(value)));
                }
                SampleValue::Histogram(histogram) => {
                    let value = HistogramValue::Float(histogram.clone());
                    let sample = HistogramSample {
                        series: handle,
                        timestamp,
                        start_timestamp: Timestamp::EPOCH,
                        value,
                    };
                    batch.histograms.push(sample);
                    histograms.push((series, timestamp, SampleValue::Histogram(histogram)));
                }
            }
        }
        let mut left = Vec::new();
        let mut bad = (vec![false; floats.len()], vec![false; histograms.len()]);
        for refusal in appender.append(&mut batch).refused {
            let (rows, bad) = match refusal.kind {
                SampleKind::Float => (&floats, &mut bad.0),
                SampleKind::Histogram => (&histograms, &mut bad.1),
                SampleKind::Exemplar => continue,
            };
            let (Some(row), Some(bad)) = (rows.get(refusal.index), bad.get_mut(refusal.index)) else {
                continue;
            };
            *bad = true;
            let series = &mut self.series[row.0 as usize];
            if again && refusal.error == AppendError::UnknownSeries {
                series.handle = None;
                left.push(row.clone());
            } else {
                refused(&series.labels, refusal.error);
            }
        }
        let rows = floats.iter().zip(&bad.0).chain(histograms.iter().zip(&bad.1));
        accepted.extend(rows.filter(|(_, bad)| !**bad).map(|((series, ..), _)| *series));
        left
    }

    /// Series that were stored last time but not this time.
    pub fn gone(&self, accepted: &[u32]) -> Vec<LabelSet> {
        let mut now = vec![false; self.series.len()];
        accepted.iter().for_each(|series| now[*series as usize] = true);
        let gone = self.series.iter().zip(now).filter(|(series, now)| self.was_stored(series) && !now);
        gone.map(|(series, _)| series.labels.clone()).collect()
    }

    fn was_stored(&self, series: &Series) -> bool {
        self.stored_round > 0 && series.stored == self.stored_round
    }

    /// Records that the results of this evaluation are stored.
    pub fn stored(&mut self, accepted: &[u32]) {
        self.stored_round = self.round;
        for series in accepted {
            self.series[*series as usize].stored = self.round;
        }
    }

    /// Clears the cache; returns the series that were stored last.
    pub fn take_stored(&mut self) -> Vec<LabelSet> {
        let taken = std::mem::take(self);
        let stored = taken.series.iter().filter(|series| taken.was_stored(series));
        stored.map(|series| series.labels.clone()).collect()
    }

    /// Drops elements that are neither in the last result nor among the last stored series.
    fn forget(&mut self) {
        let old = std::mem::take(self);
        (self.round, self.stored_round) = (old.round, old.stored_round);
        let mut places = vec![None; old.series.len()];
        for (place, series) in old.series.into_iter().enumerate() {
            if series.given == old.round || self.was_stored(&series) {
                places[place] = Some(index(self.series.len()));
                self.by_labels.insert(series.labels.clone(), index(self.series.len()));
                self.series.push(series);
            }
        }
        for element in old.elements {
            if let Some(series) = places[element.series as usize].filter(|_| element.seen == old.round) {
                self.by_element.insert(element.labels.clone(), index(self.elements.len()));
                self.elements.push(Element { series, ..element });
            }
        }
    }
}

/// Indices have 32 bits: more series than that do not fit into memory.
fn index(place: usize) -> u32 {
    u32::try_from(place).expect("a rule has fewer than four billion series")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ferula_storage::{AppendOutcome, CommitError, Durability, Refusal};

    use super::*;

    /// A store that now and then forgets all series.
    #[derive(Default)]
    struct Forgetful {
        series: BTreeMap<LabelSet, u64>,
        next: u64,
        samples: Vec<(LabelSet, f64)>,
    }

    struct Appending<'s>(&'s mut Forgetful);

    impl Appender for Appending<'_> {
        fn resolve(&mut self, labels: &LabelSet) -> Result<SeriesRef, AppendError> {
            if labels.value("job") == "refused" {
                return Err(AppendError::SeriesLimit(1));
            }
            self.0.next += 1;
            let known = *self.0.series.entry(labels.clone()).or_insert(self.0.next);
            Ok(SeriesRef::new(known).expect("not 0"))
        }

        fn append(&mut self, batch: &mut SampleBatch) -> AppendOutcome {
            let mut outcome = AppendOutcome::default();
            for (index, (handle, value)) in batch.refs.iter().zip(&batch.values).enumerate() {
                match self.0.series.iter().find(|(_, known)| **known == handle.get()) {
                    Some((labels, _)) => self.0.samples.push((labels.clone(), *value)),
                    None => {
                        let error = AppendError::UnknownSeries;
                        outcome.refused.push(Refusal { kind: SampleKind::Float, index, error });
                    }
                }
            }
            batch.clear();
            outcome
        }

        fn commit(self: Box<Self>, _: Durability) -> Result<(), CommitError> {
            Ok(())
        }
    }

    fn rule_labels() -> BTreeMap<String, String> {
        BTreeMap::from([("drop".to_owned(), String::new()), ("team".to_owned(), "a".to_owned())])
    }

    fn naming(labels: &BTreeMap<String, String>) -> Naming<'_> {
        Naming { metric: "r", labels }
    }

    fn element(job: &str, dropped: &str, value: f64) -> InstantSample {
        let labels = LabelSet::from_pairs([("job", job), ("drop", dropped)]);
        InstantSample { labels, timestamp_ms: 1, value: SampleValue::Float(value) }
    }

    fn series(job: &str) -> LabelSet {
        LabelSet::from_pairs([("__name__", "r"), ("job", job), ("team", "a")])
    }

    /// One evaluation: returns the stored samples and the ended series.
    fn evaluate(
        cache: &mut SeriesCache,
        store: &mut Forgetful,
        vector: Vec<InstantSample>,
    ) -> (BTreeSet<LabelSet>, BTreeSet<LabelSet>) {
        let labels = rule_labels();
        let results = cache.record(naming(&labels), vector, 0).expect("no clash");
        let accepted = cache.append(&mut Appending(store), results, |_, _| {});
        let gone = cache.gone(&accepted).into_iter().collect();
        cache.stored(&accepted);
        (accepted.iter().map(|series| cache.labels(*series).clone()).collect(), gone)
    }

    #[test]
    fn what_is_stored_and_what_ends_is_as_without_a_cache() {
        let (mut cache, mut store) = (SeriesCache::default(), Forgetful::default());
        let mut before: BTreeSet<LabelSet> = BTreeSet::new();
        let mut random = 1u64;
        for round in 0..300 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Every round has the elements in another order, and now and then many that never return.
            let churn = if round % 50 == 49 { 1500 } else { 3 };
            let mut vector: Vec<InstantSample> =
                (0..churn).map(|n| element(&format!("{round}-{n}"), "", f64::from(n))).collect();
            for job in 0..6 {
                if random >> (10 + job) & 1 == 1 {
                    // Two elements become the same series, alternately.
                    vector.push(element(&job.to_string(), &(random >> 20 & 1).to_string(), 1.0));
                }
            }
            vector.push(element("refused", "", 1.0));
            if random >> 30 & 1 == 1 {
                vector.reverse();
            }
            if round % 7 == 0 {
                store.series.clear();
            }
            store.samples.clear();
            let expected: BTreeSet<LabelSet> = vector
                .iter()
                .map(|sample| series(sample.labels.value("job")))
                .filter(|labels| labels.value("job") != "refused")
                .collect();
            let (stored, gone) = evaluate(&mut cache, &mut store, vector);
            assert_eq!(stored, expected, "round {round}");
            assert_eq!(gone, before.difference(&expected).cloned().collect(), "round {round}");
            assert_eq!(
                store.samples.iter().map(|(labels, _)| labels.clone()).collect::<BTreeSet<_>>(),
                expected
            );
            before = expected;
            assert!(cache.elements.len() < 3000 && cache.series.len() < 3000, "the cache is bounded");
        }
        assert_eq!(cache.take_stored().into_iter().collect::<BTreeSet<_>>(), before);
        assert!(cache.take_stored().is_empty());
    }

    #[test]
    fn a_failed_evaluation_ends_nothing() {
        let (mut cache, mut store) = (SeriesCache::default(), Forgetful::default());
        evaluate(&mut cache, &mut store, vec![element("a", "", 1.0), element("b", "", 1.0)]);
        let clash = vec![element("a", "1", 1.0), element("a", "2", 1.0)];
        let labels = rule_labels();
        assert_eq!(cache.record(naming(&labels), clash, 0), Err(RuleError::SameRecordedLabels));
        let many = vec![element("a", "", 1.0), element("c", "", 1.0)];
        assert!(matches!(cache.record(naming(&labels), many, 1), Err(RuleError::Limit { count: 2, .. })));
        let (stored, gone) = evaluate(&mut cache, &mut store, vec![element("b", "", 2.0)]);
        assert_eq!((stored, gone), (BTreeSet::from([series("b")]), BTreeSet::from([series("a")])));
    }
}

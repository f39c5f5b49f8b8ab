//! Exemplars: a limited number in memory; new ones replace the oldest.

use std::collections::{HashMap, VecDeque};

use ferula_model::{Exemplar, LabelSet, Matcher, TimeRange};
use ferula_storage::AppendError;

/// Maximum total number of characters in an exemplar's labels.
const LABEL_CHARACTERS_MAX: usize = 128;

/// Checks the length of the labels.
///
/// # Errors
/// [`AppendError::ExemplarLabelsTooLong`]
pub fn check_labels(exemplar: &Exemplar) -> Result<(), AppendError> {
    let characters: usize =
        exemplar.labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if characters > LABEL_CHARACTERS_MAX {
        return Err(AppendError::ExemplarLabelsTooLong);
    }
    Ok(())
}

/// Whether a target exposes the same exemplar again, which it does in every scrape until it has a new one. If it
/// has no timestamp on the page, the scrape's timestamp does not distinguish them.
pub fn is_same(newest: &Exemplar, exemplar: &Exemplar) -> bool {
    let timed = newest.has_timestamp || exemplar.has_timestamp;
    newest.labels == exemplar.labels
        && newest.value.to_bits() == exemplar.value.to_bits()
        && (!timed || newest.timestamp == exemplar.timestamp)
}

/// Numbers of exemplars.
#[derive(Clone, Copy, Debug)]
pub struct ExemplarCounts {
    pub stored: usize,
    /// Number of series with exemplars.
    pub series: usize,
    pub max: usize,
    /// Timestamp of the one that arrived first, in milliseconds.
    pub oldest: Option<i64>,
}

/// The newest exemplars of a head.
#[derive(Debug, Default)]
pub struct Exemplars {
    max: usize,
    /// How much older than the newest of its series an exemplar may be, in milliseconds; 0 means not at all.
    window: i64,
    /// Exemplars of each series in time order, with their numbers.
    by_series: HashMap<LabelSet, VecDeque<(u64, Exemplar)>>,
    /// The series of every exemplar, in the order of arrival. The last one has the number `next - 1`.
    order: VecDeque<LabelSet>,
    next: u64,
}

impl Exemplars {
    /// Creates storage for `max` exemplars; 0 stores none.
    pub fn new(max: usize, window: i64) -> Self {
        Exemplars { max, window: window.max(0), ..Self::default() }
    }

    /// Sets how much older than the newest of its series an exemplar may be, in milliseconds.
    pub fn set_window(&mut self, window: i64) {
        self.window = window.max(0);
    }

    /// Sets the maximum number.
    pub fn resize(&mut self, max: usize) {
        self.max = max;
        while self.order.len() > max {
            self.drop_oldest();
        }
    }

    /// All exemplars in the order of their arrival.
    pub fn in_order(&self) -> Vec<(LabelSet, Exemplar)> {
        let mut all: Vec<(u64, &LabelSet, &Exemplar)> = Vec::with_capacity(self.order.len());
        for (series, exemplars) in &self.by_series {
            all.extend(exemplars.iter().map(|(number, exemplar)| (*number, series, exemplar)));
        }
        all.sort_unstable_by_key(|(number, ..)| *number);
        all.into_iter().map(|(_, series, exemplar)| (series.clone(), exemplar.clone())).collect()
    }

    /// Numbers of exemplars.
    pub fn counts(&self) -> ExemplarCounts {
        ExemplarCounts {
            stored: self.order.len(),
            series: self.by_series.len(),
            max: self.max,
            oldest: self.oldest(),
        }
    }

    /// Maximum number of exemplars.
    pub fn capacity(&self) -> usize {
        self.max
    }

    /// Number of the one that arrived first.
    fn first(&self) -> u64 {
        self.next - self.order.len() as u64
    }

    /// Timestamp of the one that arrived first, in milliseconds.
    fn oldest(&self) -> Option<i64> {
        let series = self.by_series.get(self.order.front()?)?;
        series
            .iter()
            .find(|(number, _)| *number == self.first())
            .map(|(_, exemplar)| exemplar.timestamp.millis())
    }

    /// Whether an exemplar would be stored.
    pub fn check(&self, series: &LabelSet, exemplar: &Exemplar) -> Result<(), AppendError> {
        check_labels(exemplar)?;
        let newest = self.by_series.get(series).and_then(VecDeque::back);
        let Some((_, newest)) = newest else { return Ok(()) };
        if is_same(newest, exemplar) {
            return Err(AppendError::DuplicateExemplar);
        }
        let (at, newest_at) = (exemplar.timestamp.millis(), newest.timestamp.millis());
        if (at < newest_at && at <= newest_at.saturating_sub(self.window))
            || (exemplar.timestamp == newest.timestamp && exemplar.value < newest.value)
        {
            return Err(AppendError::OutOfOrderExemplar);
        }
        Ok(())
    }

    /// Stores an exemplar that [`check`](Self::check) accepts; skips others.
    pub fn add(&mut self, series: &LabelSet, exemplar: Exemplar) -> Result<(), AppendError> {
        if self.max == 0 {
            return Ok(());
        }
        self.check(series, &exemplar)?;
        let at = exemplar.timestamp;
        let place_of = |known: &VecDeque<(u64, Exemplar)>| known.partition_point(|(_, e)| e.timestamp <= at);
        if let Some(known) = self.by_series.get(series) {
            let place = place_of(known);
            // As in Prometheus, only the first one per timestamp is kept between others.
            if place < known.len() && place > 0 && known[place - 1].1.timestamp == at {
                return Err(AppendError::DuplicateExemplar);
            }
        }
        if self.order.len() >= self.max {
            self.drop_oldest();
        }
        let known = self.by_series.entry(series.clone()).or_default();
        known.insert(place_of(known), (self.next, exemplar));
        self.order.push_back(series.clone());
        self.next += 1;
        Ok(())
    }

    fn drop_oldest(&mut self) {
        let first = self.first();
        let Some(series) = self.order.pop_front() else { return };
        if let Some(exemplars) = self.by_series.get_mut(&series) {
            exemplars.retain(|(number, _)| *number != first);
            if exemplars.is_empty() {
                self.by_series.remove(&series);
            }
        }
    }

    /// Exemplars in `range` of series that match all matchers of any set, ordered by series.
    pub fn select(&self, range: TimeRange, matcher_sets: &[Vec<Matcher>]) -> Vec<(LabelSet, Vec<Exemplar>)> {
        let wanted = |labels: &LabelSet| {
            matcher_sets.iter().any(|set| set.iter().all(|m| m.matches(labels.value(&m.name))))
        };
        let mut found: Vec<(LabelSet, Vec<Exemplar>)> = self
            .by_series
            .iter()
            .filter(|(labels, _)| wanted(labels))
            .map(|(labels, exemplars)| {
                let all = exemplars.iter().map(|(_, exemplar)| exemplar);
                let inside = all.filter(|e| range.contains(e.timestamp)).cloned();
                (labels.clone(), inside.collect::<Vec<_>>())
            })
            .filter(|(_, exemplars)| !exemplars.is_empty())
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::Timestamp;

    use super::*;

    fn exemplar(at: i64, value: f64, trace: &str) -> Exemplar {
        let labels = LabelSet::from_pairs([("trace_id", trace)]);
        Exemplar { labels, value, timestamp: Timestamp::from_millis(at), has_timestamp: true }
    }

    #[test]
    fn the_oldest_exemplar_is_replaced() {
        let (a, b) = (LabelSet::from_pairs([("s", "a")]), LabelSet::from_pairs([("s", "b")]));
        let mut ring = Exemplars::new(3, 0);
        for (series, at) in [(&a, 1), (&b, 2), (&a, 3), (&a, 4)] {
            ring.add(series, exemplar(at, 1.0, "x")).expect("in order");
        }
        assert_eq!((ring.order.len(), ring.oldest()), (3, Some(2)));
        let all = ring.select(TimeRange::ALL, &[vec![]]);
        let times = |i: usize| all[i].1.iter().map(|e| e.timestamp.millis()).collect::<Vec<_>>();
        assert_eq!((times(0), times(1)), (vec![3, 4], vec![2]));
        let only_b = [vec![Matcher::equal("s", "b")]];
        assert_eq!(ring.select(TimeRange::from_millis(3, 9), &only_b), []);
        ring.resize(1);
        assert_eq!((ring.order.len(), ring.by_series.len()), (1, 1));
    }

    #[test]
    fn repeated_older_and_long_ones_are_refused() {
        let series = LabelSet::from_pairs([("s", "a")]);
        let mut ring = Exemplars::new(10, 0);
        ring.add(&series, exemplar(5, 1.0, "x")).expect("first");
        assert_eq!(ring.add(&series, exemplar(5, 1.0, "x")), Err(AppendError::DuplicateExemplar));
        assert_eq!(ring.add(&series, exemplar(4, 1.0, "y")), Err(AppendError::OutOfOrderExemplar));
        let long = "é".repeat(121);
        assert_eq!(ring.add(&series, exemplar(6, 1.0, &long)), Err(AppendError::ExemplarLabelsTooLong));
        // "trace_id" has 8 characters.
        assert_eq!(ring.add(&series, exemplar(6, 1.0, &"é".repeat(120))), Ok(()));
    }

    #[test]
    fn an_exemplar_without_a_timestamp_is_stored_once() {
        let series = LabelSet::from_pairs([("s", "a")]);
        let mut ring = Exemplars::new(10, 0);
        let untimed = |at, value| Exemplar { has_timestamp: false, ..exemplar(at, value, "x") };
        assert_eq!(ring.add(&series, untimed(1, 1.0)), Ok(()));
        assert_eq!(ring.add(&series, untimed(2, 1.0)), Err(AppendError::DuplicateExemplar));
        assert_eq!(ring.add(&series, untimed(3, 2.0)), Ok(()));
        assert_eq!(ring.add(&series, exemplar(4, 2.0, "x")), Ok(()));
        assert_eq!(ring.add(&series, untimed(5, 2.0)), Ok(()));
        assert_eq!(ring.order.len(), 4);
    }

    #[test]
    fn in_the_window_older_ones_are_inserted_and_the_first_arrival_is_removed_first() {
        let series = LabelSet::from_pairs([("s", "a")]);
        let mut ring = Exemplars::new(4, 50);
        let times = |ring: &Exemplars| {
            let all = ring.select(TimeRange::ALL, &[vec![]]);
            all[0].1.iter().map(|e| e.timestamp.millis()).collect::<Vec<_>>()
        };
        for at in [100, 80, 90, 60] {
            assert_eq!(ring.add(&series, exemplar(at, 1.0, "x")), Ok(()), "{at}");
        }
        assert_eq!(ring.add(&series, exemplar(50, 1.0, "x")), Err(AppendError::OutOfOrderExemplar));
        assert_eq!(ring.add(&series, exemplar(80, 2.0, "y")), Err(AppendError::DuplicateExemplar));
        assert_eq!((times(&ring), ring.oldest()), (vec![60, 80, 90, 100], Some(100)));
        assert_eq!(ring.add(&series, exemplar(110, 1.0, "x")), Ok(()));
        assert_eq!((times(&ring), ring.oldest()), (vec![60, 80, 90, 110], Some(80)));
        ring.resize(2);
        assert_eq!((times(&ring), ring.oldest()), (vec![60, 110], Some(60)));
        ring.set_window(0);
        assert_eq!(ring.add(&series, exemplar(109, 1.0, "x")), Err(AppendError::OutOfOrderExemplar));
    }
}

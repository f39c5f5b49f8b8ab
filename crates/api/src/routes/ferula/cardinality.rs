//! Cardinality of selected series, and of one label's values: `status/tsdb` with `match[]` and `focusLabel`.
//! Where Prometheus has no name for a field, VictoriaMetrics' name is used.

use std::collections::{HashMap, HashSet};

use ferula_model::labels::METRIC_NAME;
use ferula_model::{LabelSet, Matcher, TimeRange};
use ferula_query::Lookup;
use ferula_storage::{Hints, OutOfMemory, StorageError};

use crate::api::Api;
use crate::error::{ApiError, ErrorKind};

/// Maximum number of series to count.
const SERIES_MAX: usize = 2_000_000;
/// Estimated memory of a value besides its text, while it is counted and listed.
const VALUE_BYTES: usize = 160;
/// Estimated memory of a label set besides its texts.
const SERIES_BYTES: usize = 64;
/// How many series are counted between two checks for cancellation.
const SERIES_BETWEEN_LOOKS: usize = 1024;

type Counts = Vec<(String, u64)>;

/// Numbers of series by various properties; each list is sorted, largest first.
#[derive(Debug, Default, PartialEq)]
pub struct Cardinality {
    pub series: u64,
    pub label_pairs: u64,
    pub series_by_metric_name: Counts,
    pub series_by_label_name: Counts,
    pub series_by_focus_value: Counts,
    pub series_by_label_pair: Counts,
    pub values_by_label_name: Counts,
    pub value_bytes_by_label_name: Counts,
}

/// Counts the series that match any of the matcher sets, each of them once.
pub fn count(
    api: &Api,
    range: TimeRange,
    sets: &[Vec<Matcher>],
    focus: &str,
    limit: usize,
    lookup: &Lookup,
) -> Result<Cardinality, ApiError> {
    let failed = |error: StorageError| ApiError::storage(&error, ErrorKind::Execution);
    let mut snapshot = api.store.queryable.snapshot(range).map_err(failed)?;
    let hints = Hints { range: Some(range), labels_only: true, ..lookup.hints() };
    let all = [Vec::new()];
    let sets = if sets.is_empty() { &all } else { sets };
    let mut selections = Vec::with_capacity(sets.len());
    for set in sets {
        selections.push(snapshot.select(set, &hints).map_err(failed)?);
    }
    snapshot.freeze().map_err(failed)?;
    let series: usize = selections.iter().map(|selection| snapshot.series_count(*selection)).sum();
    if series > SERIES_MAX {
        let why = format!("{series} series, more than {SERIES_MAX}; narrow the selector");
        return Err(ApiError::new(ErrorKind::Execution, why));
    }
    let mut tally = Tally { focus, ..Tally::default() };
    let mut seen: HashSet<LabelSet> = HashSet::new();
    for selection in &selections {
        for row in 0..snapshot.series_count(*selection) {
            if row.is_multiple_of(SERIES_BETWEEN_LOOKS) && lookup.is_ended() {
                return Err(failed(StorageError::Stopped));
            }
            let labels = snapshot.labels(*selection, row);
            if selections.len() > 1 {
                if seen.contains(&labels) {
                    continue;
                }
                let texts: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
                lookup.charge(SERIES_BYTES + texts)?;
                seen.insert(labels.clone());
            }
            tally.add(&labels, &|bytes| lookup.charge(bytes))?;
        }
    }
    Ok(tally.finish(limit))
}

#[derive(Default)]
struct Tally<'a> {
    focus: &'a str,
    series: u64,
    label_pairs: u64,
    /// By name, then by value.
    names: HashMap<String, HashMap<String, u64>>,
}

impl Tally<'_> {
    /// Counts a series. `charge` is called before more memory is allocated.
    fn add(
        &mut self,
        labels: &LabelSet,
        charge: &dyn Fn(usize) -> Result<(), OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        self.series += 1;
        for (name, value) in labels.iter() {
            self.label_pairs += 1;
            // Names and values are almost always known already, and then nothing is allocated.
            if !self.names.contains_key(name) {
                charge(VALUE_BYTES + 2 * name.len())?;
                self.names.insert(name.to_owned(), HashMap::new());
            }
            let Some(values) = self.names.get_mut(name) else { continue };
            match values.get_mut(value) {
                Some(count) => *count += 1,
                None => {
                    charge(VALUE_BYTES + 2 * value.len())?;
                    values.insert(value.to_owned(), 1);
                }
            }
        }
        Ok(())
    }

    fn finish(self, limit: usize) -> Cardinality {
        let of = |name: &str| {
            let values = self.names.get(name);
            values.map_or(Vec::new(), |values| {
                values.iter().map(|(value, count)| (value.clone(), *count)).collect()
            })
        };
        let by_name = |figure: fn(&HashMap<String, u64>) -> u64| {
            self.names.iter().map(|(name, values)| (name.clone(), figure(values))).collect()
        };
        let mut pairs: Vec<(&str, &str, u64)> = self
            .names
            .iter()
            .flat_map(|(name, values)| {
                values.iter().map(move |(value, count)| (name.as_str(), value.as_str(), *count))
            })
            .collect();
        let order =
            |a: &(&str, &str, u64), b: &(&str, &str, u64)| b.2.cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1)));
        if pairs.len() > limit {
            pairs.select_nth_unstable_by(limit, order);
            pairs.truncate(limit);
        }
        pairs.sort_unstable_by(order);
        Cardinality {
            series: self.series,
            label_pairs: self.label_pairs,
            series_by_metric_name: largest(of(METRIC_NAME), limit),
            series_by_label_name: largest(by_name(|values| values.values().sum()), limit),
            series_by_focus_value: if self.focus.is_empty() {
                Vec::new()
            } else {
                largest(of(self.focus), limit)
            },
            series_by_label_pair: pairs
                .iter()
                .map(|(name, value, count)| (format!("{name}={value}"), *count))
                .collect(),
            values_by_label_name: largest(by_name(|values| values.len() as u64), limit),
            value_bytes_by_label_name: largest(
                by_name(|values| values.keys().map(|value| value.len() as u64).sum()),
                limit,
            ),
        }
    }
}

/// The largest counts; equal ones are sorted by name.
fn largest(mut counts: Counts, limit: usize) -> Counts {
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(limit);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_counted_by_name_pair_and_focus() {
        let mut tally = Tally { focus: "a", ..Tally::default() };
        for pairs in [
            [("__name__", "x"), ("a", "1")],
            [("__name__", "x"), ("a", "2")],
            [("__name__", "y"), ("a", "1")],
        ] {
            tally.add(&LabelSet::from_pairs(pairs), &|_| Ok(())).expect("there is room");
        }
        let counted = tally.finish(2);
        let pairs = |counts: &Counts| {
            counts.iter().map(|(name, count)| format!("{name}:{count}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((counted.series, counted.label_pairs), (3, 6));
        assert_eq!(pairs(&counted.series_by_metric_name), "x:2 y:1");
        assert_eq!(pairs(&counted.series_by_focus_value), "1:2 2:1");
        assert_eq!(pairs(&counted.series_by_label_pair), "__name__=x:2 a=1:2");
        assert_eq!(pairs(&counted.series_by_label_name), "__name__:3 a:3");
        assert_eq!(pairs(&counted.values_by_label_name), "__name__:2 a:2");
    }

    #[test]
    fn memory_is_charged_before_it_is_allocated() {
        let mut tally = Tally::default();
        let charged = std::cell::Cell::new(0);
        let charge = |bytes| {
            charged.set(charged.get() + bytes);
            if charged.get() > 10_000 { Err(OutOfMemory { asked: 0, used: 0, limit: 0 }) } else { Ok(()) }
        };
        let value = "v".repeat(1_000);
        let labels = |index: usize| LabelSet::from_pairs([("a".to_owned(), format!("{value}{index}"))]);
        assert_eq!(tally.add(&labels(0), &charge), Ok(()));
        let once = charged.get();
        assert_eq!(tally.add(&labels(0), &charge), Ok(()), "it is known");
        assert!(charged.get() == once && once > 2_000);
        assert!((1..10).any(|index| tally.add(&labels(index), &charge).is_err()));
        assert!(tally.names["a"].len() < 10);
    }
}

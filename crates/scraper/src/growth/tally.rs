//! What grows: jobs, metrics, and the label of a metric whose values are many. Bounded, whatever comes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use ferula_model::LabelSet;
use ferula_model::labels::METRIC_NAME;

use super::budget::Minute;

/// So many jobs, and so many metrics, are distinguished in a minute.
const NAMES_MAX: usize = 1000;
/// Of so many metrics the values of labels are counted,
const METRICS_WITH_LABELS_MAX: usize = 256;
/// of so many labels each,
const LABELS_MAX: usize = 32;
/// up to so many values.
const VALUES_MAX: usize = 256;
/// So many jobs and metrics are shown.
const SHOWN_MAX: usize = 20;

/// New series in a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// When it began, in milliseconds since the epoch.
    pub begun_at_ms: i64,
    /// Jobs with most new series, taken or refused, first.
    pub jobs: Vec<GrowthOf>,
    /// Metrics likewise.
    pub metrics: Vec<GrowthOf>,
}

/// How a job or a metric grew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrowthOf {
    pub name: String,
    /// Series at the beginning of the minute.
    pub series: u64,
    /// New ones that were taken.
    pub new: u64,
    /// New ones that were refused; one that is sent again counts again.
    pub refused: u64,
    /// Labels of the new series of a metric, that with most values first.
    pub labels: Vec<LabelGrowth>,
}

/// How many values a label has among new series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelGrowth {
    pub name: String,
    /// At most 256 are counted.
    pub values: usize,
}

#[derive(Default)]
struct Counts {
    new: u64,
    refused: u64,
    labels: HashMap<Box<str>, HashSet<u64>>,
}

impl Counts {
    fn note(&mut self, taken: bool) {
        if taken { self.new += 1 } else { self.refused += 1 }
    }
}

/// Counts of a minute.
#[derive(Default)]
pub(super) struct Tally {
    hasher: RandomState,
    jobs: HashMap<Box<str>, Counts>,
    metrics: HashMap<Box<str>, Counts>,
    metrics_with_labels: usize,
}

fn counts<'m>(map: &'m mut HashMap<Box<str>, Counts>, name: &str) -> Option<&'m mut Counts> {
    if !map.contains_key(name) {
        if map.len() >= NAMES_MAX {
            return None;
        }
        map.insert(name.into(), Counts::default());
    }
    map.get_mut(name)
}

impl Tally {
    /// Counts a new series.
    pub fn note(&mut self, job: &str, labels: &LabelSet, taken: bool) {
        if let Some(counts) = counts(&mut self.jobs, job) {
            counts.note(taken);
        }
        let Some(counts) = counts(&mut self.metrics, labels.value(METRIC_NAME)) else { return };
        counts.note(taken);
        if counts.labels.is_empty() {
            if self.metrics_with_labels >= METRICS_WITH_LABELS_MAX {
                return;
            }
            self.metrics_with_labels += 1;
        }
        for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME).take(LABELS_MAX) {
            if !counts.labels.contains_key(name) {
                if counts.labels.len() >= LABELS_MAX {
                    continue;
                }
                counts.labels.insert(name.into(), HashSet::new());
            }
            if let Some(values) = counts.labels.get_mut(name)
                && values.len() < VALUES_MAX
            {
                values.insert(self.hasher.hash_one(value));
            }
        }
    }

    /// The jobs and metrics that grew most.
    pub fn summary(&self, begun_at_ms: i64, minute: &Minute) -> Growth {
        Growth {
            begun_at_ms,
            jobs: largest(&self.jobs, |job| minute.series_of_job(job)),
            metrics: largest(&self.metrics, |metric| minute.series_of_metric(metric)),
        }
    }
}

fn largest(map: &HashMap<Box<str>, Counts>, series: impl Fn(&str) -> u64) -> Vec<GrowthOf> {
    let mut all: Vec<(&str, &Counts)> = map.iter().map(|(name, counts)| (&**name, counts)).collect();
    all.sort_unstable_by_key(|(name, counts)| (std::cmp::Reverse(counts.new + counts.refused), *name));
    all.truncate(SHOWN_MAX);
    let of = |(name, counts): (&str, &Counts)| {
        let labels = counts.labels.iter();
        let mut labels: Vec<LabelGrowth> = labels
            .map(|(name, values)| LabelGrowth { name: name.to_string(), values: values.len() })
            .collect();
        labels.sort_unstable_by(|a, b| b.values.cmp(&a.values).then_with(|| a.name.cmp(&b.name)));
        GrowthOf {
            name: name.to_owned(),
            series: series(name),
            new: counts.new,
            refused: counts.refused,
            labels,
        }
    };
    all.into_iter().map(of).collect()
}

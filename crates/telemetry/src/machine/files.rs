//! What the collectors share: the kernel's files, and the page that they fill.

use std::path::PathBuf;

use ferula_model::{LabelSet, Metric, MetricFamily, MetricType, MetricValue};

/// The directory that the kernel reports in.
pub(super) struct ProcFiles {
    pub(super) root: PathBuf,
}

impl ProcFiles {
    /// The text of a file; empty if it cannot be read.
    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join(name)).unwrap_or_default()
    }
}

/// A family that is filled metric by metric.
pub(super) struct Filling<'a> {
    pub(super) families: &'a mut Vec<MetricFamily>,
}

impl Filling<'_> {
    /// Adds one metric; the family is created with its first one.
    pub(super) fn add(
        &mut self,
        (name, kind, help): (&str, MetricType, &str),
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let metric = Metric {
            labels: LabelSet::from_pairs(labels.iter().copied().filter(|(_, value)| !value.is_empty())),
            value: MetricValue::Single(value),
            timestamp: None,
        };
        match self.families.iter_mut().rev().find(|family| family.name == name) {
            Some(family) => family.metrics.push(metric),
            None => self.families.push(MetricFamily {
                name: name.to_owned(),
                help: help.to_owned(),
                kind,
                metrics: vec![metric],
            }),
        }
    }
}

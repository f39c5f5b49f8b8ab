//! The machine's processors, memory, disks, file systems and network, under the names and labels that node_exporter gives
//! them, so that its rules and dashboards work without it.
//!
//! Read from `/proc` when metrics are gathered. What a system does not have is omitted.

use std::path::PathBuf;

use ferula_model::{LabelSet, Metric, MetricFamily, MetricType, MetricValue};

use crate::Registry;

mod disks;
mod kernel;
mod network;

/// Registers the `node_*` metrics.
pub fn register_machine_metrics(registry: &Registry) {
    let files = ProcFiles { root: PathBuf::from("/proc") };
    registry.collector(move |families| {
        kernel::collect(&files, families);
        disks::collect(&files, families);
        network::collect(&files, families);
    });
}

/// The directory that the kernel reports in.
struct ProcFiles {
    root: PathBuf,
}

impl ProcFiles {
    /// The text of a file; empty if it cannot be read.
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join(name)).unwrap_or_default()
    }
}

/// A family that is filled metric by metric.
struct Filling<'a> {
    families: &'a mut Vec<MetricFamily>,
}

impl Filling<'_> {
    /// Adds one metric; the family is created with its first one.
    fn add(&mut self, (name, kind, help): (&str, MetricType, &str), labels: &[(&str, &str)], value: f64) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a collector adds, a line a metric, sorted.
    pub(super) fn page(collect: impl FnOnce(&mut Filling<'_>)) -> String {
        let mut families = Vec::new();
        collect(&mut Filling { families: &mut families });
        let mut lines = Vec::new();
        for family in &families {
            for metric in &family.metrics {
                let MetricValue::Single(value) = metric.value else { panic!("one number") };
                let labels: Vec<String> =
                    metric.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let labels =
                    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                lines.push(format!("{}{labels} {value}\n", family.name));
            }
        }
        lines.sort();
        lines.concat()
    }

    #[test]
    fn a_system_without_proc_has_no_metrics() {
        let directory = std::env::temp_dir().join("ferula-no-such-directory");
        let files = ProcFiles { root: directory };
        let mut families = Vec::new();
        kernel::collect(&files, &mut families);
        disks::collect(&files, &mut families);
        network::collect(&files, &mut families);
        assert_eq!(families, []);
    }
}

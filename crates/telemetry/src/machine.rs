//! The machine's processors, memory, disks, file systems and network, under the names and labels that node_exporter gives
//! them, so that its rules and dashboards work without it.
//!
//! Read from `/proc` when metrics are gathered. What a system does not have is omitted.

use std::path::PathBuf;

use self::files::ProcFiles;
use crate::Registry;

mod disks;
mod files;
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

#[cfg(test)]
mod tests {
    use ferula_model::MetricValue;

    use super::files::Filling;
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

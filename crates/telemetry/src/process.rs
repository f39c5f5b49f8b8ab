//! What the operating system reports about this process, under the metric names of Prometheus' client libraries.
//!
//! Read from `/proc`. On systems without it, or if a file cannot be read, the metric is omitted.

use ferula_model::{LabelSet, Metric, MetricFamily, MetricType, MetricValue};

use crate::Registry;

/// Ticks per second of the times in `/proc/self/stat`: fixed by the kernel's interface on all platforms we support.
const TICKS_PER_SECOND: f64 = 100.0;

/// Registers the `process_*` metrics.
pub fn register_process_metrics(registry: &Registry) {
    registry.collector(|families| {
        use MetricType::{Counter, Gauge};
        let stat = Stat::read();
        let status = read("/proc/self/status");
        let limits = read("/proc/self/limits");
        let network = read("/proc/self/net/netstat");
        let kib = |key| field(&status, key).map(|kib| kib * 1024.0);
        let mut add = |name: &str, help: &str, kind, value: Option<f64>| {
            if let Some(value) = value {
                families.push(single(name, help, kind, value));
            }
        };
        add(
            "process_cpu_seconds_total",
            "CPU seconds that the process has used, its own and those of the kernel for it.",
            Counter,
            stat.as_ref().map(|s| s.cpu_seconds),
        );
        add(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970. It rises at every restart.",
            Gauge,
            stat.as_ref().and_then(Stat::start_time_seconds),
        );
        add("process_resident_memory_bytes", "Bytes of RAM that the process occupies, including mapped files. Compare it with the limit of its container.", Gauge, kib("VmRSS:"));
        add("process_virtual_memory_bytes", "Bytes of address space that the process has reserved; mapped blocks make it large without using RAM.", Gauge, kib("VmSize:"));
        add(
            "process_virtual_memory_max_bytes",
            "Bytes of address space that the process may reserve (`ulimit -v`).",
            Gauge,
            limit(&limits, "Max address space"),
        );
        add(
            "process_max_fds",
            "Files and connections that the process may have open (`ulimit -n`).",
            Gauge,
            limit(&limits, "Max open files"),
        );
        add("process_open_fds", "Files and connections that the process has open. Act before it reaches process_max_fds.", Gauge, open_fds());
        add("process_threads", "Threads of the process.", Gauge, field(&status, "Threads:"));
        add(
            "process_network_receive_bytes_total",
            "Bytes received in the network namespace of the process, that is, by its container or machine.",
            Counter,
            octets(&network, "InOctets"),
        );
        add(
            "process_network_transmit_bytes_total",
            "Bytes sent in the network namespace of the process, that is, by its container or machine.",
            Counter,
            octets(&network, "OutOctets"),
        );
    });
}

fn single(name: &str, help: &str, kind: MetricType, value: f64) -> MetricFamily {
    MetricFamily {
        name: name.to_owned(),
        help: help.to_owned(),
        kind,
        metrics: vec![Metric {
            labels: LabelSet::empty(),
            value: MetricValue::Single(value),
            timestamp: None,
        }],
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The number after `key` in a file of `key: number` lines.
fn field(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The soft limit on a line of `/proc/self/limits`; "unlimited" is the largest number, as client libraries report it.
fn limit(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

/// A value from the `IpExt` pair of lines of `/proc/self/net/netstat`: first the names, then the numbers.
fn octets(text: &str, key: &str) -> Option<f64> {
    let mut lines = text.lines().filter(|line| line.starts_with("IpExt:"));
    let at = lines.next()?.split_whitespace().position(|name| name == key)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

fn open_fds() -> Option<f64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The directory itself is open while it is being read.
    Some(entries.saturating_sub(1) as f64)
}

struct Stat {
    cpu_seconds: f64,
    started_after_boot_seconds: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&read("/proc/self/stat"))
    }

    fn parse(text: &str) -> Option<Self> {
        // The program's name is in parentheses and may contain anything, so fields are counted from the last
        // parenthesis.
        let after_name = text.rsplit_once(')')?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Stat {
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
            started_after_boot_seconds: ticks(19)? / TICKS_PER_SECOND,
        })
    }

    fn start_time_seconds(&self) -> Option<f64> {
        Some(field(&read("/proc/stat"), "btime ")? + self.started_after_boot_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_may_contain_spaces_and_parentheses() {
        let stat =
            Stat::parse("1 (a ) (b) S 0 1 1 0 -1 4 5 6 7 8 150 50 0 0 20 0 9 0 1234 5 6").expect("parses");
        assert_eq!((stat.cpu_seconds, stat.started_after_boot_seconds), (2.0, 12.34));
    }

    #[test]
    fn limits_status_and_octets_are_found() {
        let limits = "Limit  Soft Hard Units\nMax open files            1024      4096     files\nMax address space   unlimited unlimited bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(limit(limits, "Max address space"), Some(u64::MAX as f64));
        assert_eq!(field("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
        assert_eq!(octets("IpExt: A InOctets OutOctets\nIpExt: 1 2 3\n", "OutOctets"), Some(3.0));
    }
}

//! Processors, memory, load, and what the kernel says of itself.

use ferula_model::MetricFamily;
use ferula_model::MetricType::{Counter, Gauge};

use super::files::{Filling, ProcFiles};

/// Ticks per second in `/proc/stat`: fixed by the kernel's interface on all platforms we support.
const TICKS_PER_SECOND: f64 = 100.0;

/// Columns of a processor's line in `/proc/stat`.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];

/// Adds all of it.
pub(super) fn collect(files: &ProcFiles, families: &mut Vec<MetricFamily>) {
    let mut filling = Filling { families };
    stat(&files.read("stat"), &mut filling);
    memory(&files.read("meminfo"), &mut filling);
    load(&files.read("loadavg"), &mut filling);
    uname(files, &mut filling);
}

fn stat(text: &str, out: &mut Filling<'_>) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(key), Some(first)) = (words.next(), words.clone().next()) else { continue };
        let Ok(number) = first.parse::<f64>() else { continue };
        if let Some(cpu) = key.strip_prefix("cpu") {
            if cpu.is_empty() {
                continue;
            }
            let ticks: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
            for (mode, ticks) in MODES.iter().zip(&ticks) {
                let family =
                    ("node_cpu_seconds_total", Counter, "Where the time of a processor went, by mode.");
                out.add(family, &[("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_SECOND);
            }
            for (mode, ticks) in GUEST_MODES.iter().zip(ticks.iter().skip(MODES.len())) {
                let family = (
                    "node_cpu_guest_seconds_total",
                    Counter,
                    "The part of user and nice that virtual machines used.",
                );
                out.add(family, &[("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_SECOND);
            }
            continue;
        }
        let family = match key {
            "ctxt" => ("node_context_switches_total", Counter, "Switches from one thread to another."),
            "btime" => ("node_boot_time_seconds", Gauge, "When the machine started, since the epoch."),
            "processes" => ("node_forks_total", Counter, "Processes and threads that were started."),
            "intr" => ("node_intr_total", Counter, "Interrupts that were served."),
            "procs_running" => ("node_procs_running", Gauge, "Threads that run or could run."),
            "procs_blocked" => ("node_procs_blocked", Gauge, "Threads that wait for a disk."),
            _ => continue,
        };
        out.add(family, &[], number);
    }
}

/// Every line of `/proc/meminfo` becomes a gauge of its own: `Active(anon): 1 kB` is `node_memory_Active_anon_bytes 1024`.
fn memory(text: &str, out: &mut Filling<'_>) {
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let mut words = value.split_ascii_whitespace();
        let Some(Ok(number)) = words.next().map(str::parse::<f64>) else { continue };
        let key = key.replace('(', "_").replace(')', "");
        let (name, number) = match words.next() {
            Some("kB") => (format!("node_memory_{key}_bytes"), number * 1024.0),
            _ => (format!("node_memory_{key}"), number),
        };
        let help = format!("The line {key} of /proc/meminfo.");
        out.add((&name, Gauge, &help), &[], number);
    }
}

fn load(text: &str, out: &mut Filling<'_>) {
    let names = [
        ("node_load1", "Threads that run or wait, averaged over a minute."),
        ("node_load5", "Threads that run or wait, averaged over five minutes."),
        ("node_load15", "Threads that run or wait, averaged over a quarter of an hour."),
    ];
    for ((name, help), word) in names.into_iter().zip(text.split_ascii_whitespace()) {
        if let Ok(number) = word.parse() {
            out.add((name, Gauge, help), &[], number);
        }
    }
}

fn uname(files: &ProcFiles, out: &mut Filling<'_>) {
    let kernel = |name: &str| files.read(&format!("sys/kernel/{name}")).trim().to_owned();
    let (release, version) = (kernel("osrelease"), kernel("version"));
    let (sysname, nodename, domain) = (kernel("ostype"), kernel("hostname"), kernel("domainname"));
    if release.is_empty() {
        return;
    }
    let labels = [
        ("domainname", domain.as_str()),
        ("machine", std::env::consts::ARCH),
        ("nodename", &nodename),
        ("release", &release),
        ("sysname", &sysname),
        ("version", &version),
    ];
    out.add(
        ("node_uname_info", Gauge, "1, with the kernel and the name of the machine as labels."),
        &labels,
        1.0,
    );
}

#[cfg(test)]
mod tests {
    use super::super::tests::page;
    use super::*;

    #[test]
    fn processors_are_read_mode_by_mode() {
        let text = "cpu  3 3 3 3 3 3 3 3 3 3\ncpu0 100 2 3 4 5 6 7 8 9 10\nintr 77 1 2 3\nctxt 5\nbtime 1700000000\n\
                    processes 9\nprocs_running 2\nprocs_blocked 1\nsoftirq 1 2\ncpu1 x\n";
        let expected = "\
node_boot_time_seconds 1700000000
node_context_switches_total 5
node_cpu_guest_seconds_total{cpu=0,mode=nice} 0.1
node_cpu_guest_seconds_total{cpu=0,mode=user} 0.09
node_cpu_seconds_total{cpu=0,mode=idle} 0.04
node_cpu_seconds_total{cpu=0,mode=iowait} 0.05
node_cpu_seconds_total{cpu=0,mode=irq} 0.06
node_cpu_seconds_total{cpu=0,mode=nice} 0.02
node_cpu_seconds_total{cpu=0,mode=softirq} 0.07
node_cpu_seconds_total{cpu=0,mode=steal} 0.08
node_cpu_seconds_total{cpu=0,mode=system} 0.03
node_cpu_seconds_total{cpu=0,mode=user} 1
node_forks_total 9
node_intr_total 77
node_procs_blocked 1
node_procs_running 2
";
        assert_eq!(page(|out| stat(text, out)), expected);
    }

    #[test]
    fn memory_keeps_the_kernels_names() {
        let text = "MemTotal:  2 kB\nActive(anon):   1 kB\nHugePages_Total:  3\nnonsense\nBad: x kB\n";
        let expected = "node_memory_Active_anon_bytes 1024\nnode_memory_HugePages_Total 3\nnode_memory_MemTotal_bytes 2048\n";
        assert_eq!(page(|out| memory(text, out)), expected);
        assert_eq!(
            page(|out| load("0.5 1.25 2 1/234 99\n", out)),
            "node_load1 0.5\nnode_load15 2\nnode_load5 1.25\n"
        );
    }
}

//! Limits of the machine or the container.

mod cgroup;

use std::fs;

/// Bytes of memory this process may use: the lowest of the machine's memory, the limits of all its control groups, and
/// the process' own limits (`ulimit -v`, `ulimit -d`).
pub fn memory_bytes() -> u64 {
    let own =
        ["Max address space", "Max data size"].into_iter().filter_map(|key| soft_limit(key)?.parse().ok());
    let least = own.chain(cgroup::memory_limit_bytes()).chain(machine_bytes()).min();
    least.unwrap_or(u64::MAX)
}

/// The soft limit from one line of the process' limits.
fn soft_limit(key: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn machine_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Formats one line of the process' limits as `soft=…, hard=…`.
pub fn limit_text(key: &str) -> String {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("");
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap_or("unknown");
    format!("(soft={}, hard={})", next(), next())
}

/// This machine's name.
pub fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

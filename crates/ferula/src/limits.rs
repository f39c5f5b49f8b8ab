//! What the machine, or the container, allows.

use std::fs;

/// Bytes of memory this process may use: the container's limit, or the machine's memory.
pub fn memory_bytes() -> u64 {
    let cgroup = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit =
        cgroup.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()).min();
    limit.unwrap_or(u64::MAX).min(machine_bytes().unwrap_or(u64::MAX))
}

fn machine_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// `soft=…, hard=…` of one line of the process' limits.
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

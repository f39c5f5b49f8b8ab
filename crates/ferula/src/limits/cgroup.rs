//! The memory limit of this process' control groups.
//!
//! A limit counts at any level: a systemd unit with `MemoryMax=` is somewhere below the root, while a container with
//! its own namespace is the root. So every group from the process' own up to the mount is checked, in both cgroup
//! versions.

use std::fs;
use std::path::{Path, PathBuf};

/// The lowest limit on the way up, in bytes; `None` if there is none.
pub fn memory_limit_bytes() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    least_limit(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"), |path| {
        fs::read_to_string(path).ok()
    })
}

/// A mounted hierarchy that can limit memory.
struct Mount {
    /// The group at the top of the mount.
    root: String,
    at: PathBuf,
    version_2: bool,
}

fn least_limit(groups: &str, mounts: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let mounts: Vec<Mount> = mounts.lines().filter_map(mount).collect();
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        // `0::/path` in version 2, `7:cpu,memory:/path` in version 1.
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let version_2 = controllers.is_empty();
        if !version_2 && controllers.split(',').all(|name| name != "memory") {
            continue;
        }
        let file = if version_2 { "memory.max" } else { "memory.limit_in_bytes" };
        for mount in mounts.iter().filter(|mount| mount.version_2 == version_2) {
            for directory in way_up(mount, group) {
                let limit = read(&directory.join(file)).and_then(|text| text.trim().parse().ok());
                least = least.into_iter().chain(limit).min();
            }
        }
    }
    least
}

/// One line of `mountinfo`: `36 35 0:29 ROOT AT options … - cgroup2 source super-options`.
fn mount(line: &str) -> Option<Mount> {
    let (about, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let version_2 = match kind.next()? {
        "cgroup2" => true,
        "cgroup" if kind.nth(1)?.split(',').any(|option| option == "memory") => false,
        _ => return None,
    };
    let mut about = about.split(' ').skip(3);
    let (root, at) = (about.next()?, about.next()?);
    Some(Mount { root: root.to_owned(), at: PathBuf::from(at), version_2 })
}

/// The directories from the group up to the mount.
fn way_up(mount: &Mount, group: &str) -> Vec<PathBuf> {
    // In a container, the mount may show only the container's own group, under its full path or under `/`.
    let below = if mount.root == "/" { group } else { group.strip_prefix(mount.root.as_str()).unwrap_or("") };
    let mut names: Vec<&str> = below.split('/').filter(|name| !name.is_empty() && *name != "..").collect();
    let mut directories = Vec::with_capacity(names.len() + 1);
    loop {
        directories.push(names.iter().fold(mount.at.clone(), |path, name| path.join(name)));
        if names.pop().is_none() {
            return directories;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "33 32 0:29 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory\n\
                      34 32 0:30 / /sys/fs/cgroup/cpu rw shared:16 - cgroup cgroup rw,cpu,cpuacct\n";

    fn least(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Option<u64> {
        let files: HashMap<PathBuf, String> =
            files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        least_limit(groups, mounts, |path| files.get(path).cloned())
    }

    #[test]
    fn the_limit_of_a_unit_below_the_root_counts() {
        let unit = "0::/system.slice/ferula.service\n";
        let own = ("/sys/fs/cgroup/system.slice/ferula.service/memory.max", "536870912\n");
        assert_eq!(least(unit, V2, &[own]), Some(536_870_912));
        // The slice above may have a lower limit, and "max" means none.
        let slice = ("/sys/fs/cgroup/system.slice/memory.max", "268435456\n");
        assert_eq!(least(unit, V2, &[own, slice]), Some(268_435_456));
        let none = ("/sys/fs/cgroup/system.slice/ferula.service/memory.max", "max\n");
        assert_eq!(least(unit, V2, &[none]), None);
        assert_eq!(least(unit, V2, &[none, slice]), Some(268_435_456));
    }

    #[test]
    fn a_container_sees_itself_as_the_root() {
        let file = ("/sys/fs/cgroup/memory.max", "1073741824\n");
        assert_eq!(least("0::/\n", V2, &[file]), Some(1 << 30));
        // Without its own namespace, the path is the host's and the mount shows a part of it.
        let mount = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(least("0::/docker/abc\n", mount, &[file]), Some(1 << 30));
        assert_eq!(least("0::/elsewhere\n", mount, &[file]), Some(1 << 30));
    }

    #[test]
    fn version_1_has_a_hierarchy_of_its_own_for_memory() {
        let groups = "4:memory:/user.slice/job\n3:cpu,cpuacct:/user.slice\n1:name=systemd:/x\n";
        let file = ("/sys/fs/cgroup/memory/user.slice/job/memory.limit_in_bytes", "99999744\n");
        assert_eq!(least(groups, V1, &[file]), Some(99_999_744));
        // Both versions may be mounted at once; only the one with the memory controller limits.
        let hybrid = format!("{V1}{V2}");
        assert_eq!(least(&format!("{groups}0::/user.slice\n"), &hybrid, &[file]), Some(99_999_744));
    }

    #[test]
    fn garbage_is_not_a_limit() {
        for (groups, mounts) in [
            ("", ""),
            ("0::", V2),
            (":::", V2),
            ("0::/../../..", V2),
            ("x", "- - -"),
            ("0::/a", "1 2 3 - cgroup2"),
        ] {
            assert_eq!(least(groups, mounts, &[("/etc/memory.max", "1")]), None, "{groups} {mounts}");
        }
    }
}

//! File systems and the disks below them.

use std::ffi::CString;

use ferula_model::MetricFamily;
use ferula_model::MetricType::{self, Counter, Gauge};

use super::files::{Filling, ProcFiles};

/// Bytes of a sector in `/proc/diskstats`, whatever the disk's own sectors are.
const SECTOR_BYTES: f64 = 512.0;

/// Columns of `/proc/diskstats` from the fourth on: name, type, factor, help.
const COLUMNS: [(&str, MetricType, f64, &str); 11] = [
    ("reads_completed_total", Counter, 1.0, "Reads that ended."),
    ("reads_merged_total", Counter, 1.0, "Reads that were joined with another."),
    ("read_bytes_total", Counter, SECTOR_BYTES, "Bytes that were read."),
    ("read_time_seconds_total", Counter, 0.001, "How long reads took, all together."),
    ("writes_completed_total", Counter, 1.0, "Writes that ended."),
    ("writes_merged_total", Counter, 1.0, "Writes that were joined with another."),
    ("written_bytes_total", Counter, SECTOR_BYTES, "Bytes that were written."),
    ("write_time_seconds_total", Counter, 0.001, "How long writes took, all together."),
    ("io_now", Gauge, 1.0, "Reads and writes in progress."),
    ("io_time_seconds_total", Counter, 0.001, "How long the disk had work."),
    ("io_time_weighted_seconds_total", Counter, 0.001, "The same, times the requests that waited."),
];

/// File systems of the kernel's own, which have no room that could run out.
const PSEUDO_FILE_SYSTEMS: [&str; 27] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "erofs",
    "sysfs",
    "tracefs",
    "fuse.lxcfs",
    "ramfs",
];

/// Directories below which nothing is reported.
const HIDDEN_BELOW: [&str; 6] =
    ["/dev", "/proc", "/sys", "/run/credentials", "/var/lib/docker", "/var/lib/containers/storage"];

/// Adds disks and file systems.
pub(super) fn collect(files: &ProcFiles, families: &mut Vec<MetricFamily>) {
    let mut filling = Filling { families };
    disks(&files.read("diskstats"), &mut filling);
    // What the first process sees, as in node_exporter; a container may not be allowed to look.
    let seen = Some(files.read("1/mounts")).filter(|text| !text.is_empty());
    for mount in mounts(&seen.unwrap_or_else(|| files.read("self/mounts"))) {
        file_system(&mount, &mut filling);
    }
}

fn disks(text: &str, out: &mut Filling<'_>) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(2);
        let Some(device) = words.next().filter(|device| is_disk(device)) else { continue };
        for ((name, kind, factor, help), word) in COLUMNS.iter().zip(words) {
            if let Ok(number) = word.parse::<f64>() {
                let name = format!("node_disk_{name}");
                out.add((&name, *kind, help), &[("device", device)], number * factor);
            }
        }
    }
}

/// Whether this is a disk, not a partition of one nor a device that only looks like one.
fn is_disk(device: &str) -> bool {
    let without_number = device.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if without_number.len() == device.len() {
        return true;
    }
    if matches!(without_number, "ram" | "zram" | "loop" | "fd") {
        return false;
    }
    let letter_of = |prefix: &str| {
        let rest = without_number.strip_prefix(prefix)?;
        (rest.len() == 1 && rest.as_bytes()[0].is_ascii_lowercase()).then_some(())
    };
    let is_partition = ["hd", "sd", "vd", "xvd"].into_iter().any(|prefix| letter_of(prefix).is_some());
    // nvme0n1 is a disk, nvme0n1p2 a partition.
    let is_nvme_partition = device.starts_with("nvme") && without_number.ends_with('p');
    !is_partition && !is_nvme_partition
}

/// A mounted file system.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    directory: String,
    kind: String,
    is_read_only: bool,
}

/// The file systems of `/proc/1/mounts` that have room of their own, each once.
fn mounts(text: &str) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ').map(unescape);
        let (Some(device), Some(directory), Some(kind)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let is_hidden = HIDDEN_BELOW.iter().any(|top| {
            directory.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if is_hidden || PSEUDO_FILE_SYSTEMS.contains(&kind.as_str()) {
            continue;
        }
        let is_read_only =
            words.next().is_some_and(|options| options.split(',').any(|option| option == "ro"));
        let is_known = found.iter().any(|mount| mount.directory == directory && mount.device == device);
        if !is_known {
            found.push(Mount { device, directory, kind, is_read_only });
        }
    }
    found
}

/// Space, tab, newline and backslash are written in octal.
fn unescape(word: &str) -> String {
    word.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn file_system(mount: &Mount, out: &mut Filling<'_>) {
    // A file system behind a network that is gone would stop anyone that asks it.
    let is_local = mount.device.starts_with('/') || mount.kind == "tmpfs" || mount.kind == "zfs";
    let Some(room) = is_local.then(|| DiskSpace::of(&mount.directory)).flatten() else { return };
    let labels =
        [("device", mount.device.as_str()), ("fstype", &mount.kind), ("mountpoint", &mount.directory)];
    let read_only = f64::from(u8::from(mount.is_read_only));
    for (name, help, value) in [
        ("node_filesystem_size_bytes", "Size of a file system.", room.size_bytes),
        ("node_filesystem_free_bytes", "What is not used.", room.free_bytes),
        (
            "node_filesystem_avail_bytes",
            "What programs can still write, without root's reserve.",
            room.available_bytes,
        ),
        ("node_filesystem_files", "How many files there can be.", room.files),
        ("node_filesystem_files_free", "How many more there can be.", room.files_free),
        ("node_filesystem_readonly", "1 if nothing can be written.", read_only),
    ] {
        out.add((name, Gauge, help), &labels, value);
    }
}

/// Room on a file system.
struct DiskSpace {
    size_bytes: f64,
    free_bytes: f64,
    available_bytes: f64,
    files: f64,
    files_free: f64,
}

impl DiskSpace {
    /// `None` if the system does not say.
    fn of(directory: &str) -> Option<DiskSpace> {
        let path = CString::new(directory).ok()?;
        // SAFETY: all fields are integers, for which zeros are valid.
        let mut answer: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the path ends in a zero byte, and `answer` is a whole struct that the call may write.
        if unsafe { libc::statvfs(path.as_ptr(), &mut answer) } != 0 {
            return None;
        }
        let block = answer.f_frsize as f64;
        Some(DiskSpace {
            size_bytes: answer.f_blocks as f64 * block,
            free_bytes: answer.f_bfree as f64 * block,
            available_bytes: answer.f_bavail as f64 * block,
            files: answer.f_files as f64,
            files_free: answer.f_ffree as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::page;
    use super::*;

    #[test]
    fn disks_are_told_from_partitions() {
        for disk in ["sda", "vda", "nvme0n1", "dm-0", "md127", "sr0", "mmcblk0"] {
            assert!(is_disk(disk), "{disk}");
        }
        for other in ["sda1", "vda12", "xvdb3", "nvme0n1p2", "loop0", "ram3", "zram0", "fd0"] {
            assert!(!is_disk(other), "{other}");
        }
        let text = "   8 0 sda 1 2 4 5000 6 7 8 9000 3 10000 11000 0 0\n   8 1 sda1 1 1 1 1\n";
        let page = page(|out| disks(text, out));
        for line in [
            "node_disk_read_bytes_total{device=sda} 2048",
            "node_disk_written_bytes_total{device=sda} 4096",
            "node_disk_read_time_seconds_total{device=sda} 5",
            "node_disk_io_now{device=sda} 3",
            "node_disk_io_time_seconds_total{device=sda} 10",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in {page}");
        }
        assert_eq!(page.lines().count(), 11);
    }

    #[test]
    fn file_systems_with_room_of_their_own_are_listed_once() {
        let text = "/dev/vda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\ntmpfs /run tmpfs rw,nosuid 0 0\n\
                    /dev/vdb /mnt/a\\040b xfs ro 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n/dev/vda1 / ext4 rw 0 0\n\
                    nas:/x /nas nfs4 rw 0 0\n/dev/vdc /devices ext4 rw 0 0\nbroken\n";
        let directories: Vec<(String, bool)> =
            mounts(text).into_iter().map(|mount| (mount.directory, mount.is_read_only)).collect();
        let expected =
            [("/", false), ("/run", false), ("/mnt/a b", true), ("/nas", false), ("/devices", false)];
        assert_eq!(directories, expected.map(|(directory, ro)| (directory.to_owned(), ro)));
    }

    #[test]
    fn a_real_directory_has_room() {
        let mount = Mount {
            device: "/dev/x".to_owned(),
            directory: "/".to_owned(),
            kind: "ext4".to_owned(),
            is_read_only: false,
        };
        assert_eq!(page(|out| file_system(&mount, out)).lines().count(), 6);
        let remote = Mount { device: "nas:/x".to_owned(), kind: "nfs4".to_owned(), ..mount };
        assert_eq!(page(|out| file_system(&remote, out)), "", "nobody waits for a network");
    }
}

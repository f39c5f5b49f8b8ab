//! How the allocator keeps memory, and when it returns what is free to the system.

use std::fs;
use std::path::Path;

/// Configures the allocator: buffers of requests and pages are used again, and large ones return to the system.
///
/// glibc creates a heap for each thread, up to eight per core; here there is one per core. Buffers of a mebibyte or more are outside
/// the heaps and return to the system when they are freed. Smaller ones stay in a heap, so that the next request does not find every
/// page of its buffers missing; a heap keeps at most four mebibytes at its end. The figures are in docs/decisions/allocator.md.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle() {
    const LARGE_BYTES: libc::c_int = 1 << 20;
    const KEPT_BYTES: libc::c_int = 4 << 20;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let heaps = libc::c_int::try_from(cores.max(2)).unwrap_or(libc::c_int::MAX);
    // SAFETY: `mallopt` only stores numbers; it is called before there is a second thread.
    let taken = unsafe {
        libc::mallopt(libc::M_ARENA_MAX, heaps)
            & libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES)
            & libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES)
    };
    debug_assert_eq!(taken, 1, "glibc accepts all three settings");
}

/// Other allocators do not need these settings.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle() {}

/// Returns memory to the system: after the start, its code, and when the process has grown, what a large answer or a compaction
/// leaves between memory that is in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct FreeMemory {
    /// Resident memory after the last time.
    resident_bytes: u64,
}

impl FreeMemory {
    /// A growth below this is not worth looking at all heaps.
    const GROWTH_BYTES: u64 = 8 << 20;

    /// Returns free memory if the process has grown since the last time. Takes some milliseconds then.
    pub fn release_if_grown(mut self) -> Self {
        let resident_bytes = resident_bytes();
        if self.resident_bytes == 0 {
            // The start is over, and most of what it ran is not needed again.
            release_code();
        }
        if resident_bytes > self.resident_bytes + Self::GROWTH_BYTES {
            release_free_memory();
            self.resident_bytes = self::resident_bytes();
        } else {
            self.resident_bytes = self.resident_bytes.min(resident_bytes);
        }
        self
    }
}

/// The memory of this process that is in RAM; 0 if the system does not say.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Unmaps the pages of this program's code. Those that are used again come back from the file, which the system has in memory.
/// Returns how many bytes of code there are.
#[cfg(target_os = "linux")]
fn release_code() -> usize {
    let Ok(program) = fs::read_link("/proc/self/exe") else { return 0 };
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut code_bytes = 0;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some("r-xp"), Some(path)) = (words.next(), words.next(), words.nth(3)) else {
            continue;
        };
        let address = |text: &str| usize::from_str_radix(text, 16).ok();
        let Some((start, end)) = range.split_once('-') else { continue };
        let (Some(start), Some(end)) = (address(start), address(end)) else { continue };
        if Path::new(path) == program {
            // SAFETY: the range is a mapping of a file that is never written through it (`r-xp`), so its pages have no content
            // of their own, and the next access to one reads the same bytes from the file.
            let advised =
                unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
            code_bytes += if advised == 0 { end - start } else { 0 };
        }
    }
    code_bytes
}

#[cfg(not(target_os = "linux"))]
fn release_code() -> usize {
    0
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn release_free_memory() {
    // SAFETY: `malloc_trim` may be called at any time by any thread; it locks each heap while it looks for free pages.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn release_free_memory() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_continues_without_its_code_in_memory() {
        for _ in 0..3 {
            let code_bytes = release_code();
            assert!(code_bytes > 100 << 10, "{code_bytes}");
        }
    }

    #[test]
    fn memory_between_used_memory_goes_back_to_the_system() {
        let pages: Vec<Vec<u8>> = (0..16 * 1024).map(|_| vec![1; 4096]).collect();
        let before = FreeMemory { resident_bytes: resident_bytes() - (32 << 20) };
        // Every hundredth stays, so that no heap ends with free memory.
        let kept: Vec<Vec<u8>> = pages.into_iter().step_by(100).collect();
        let after = before.release_if_grown();
        // Other tests run in this process at the same time.
        let released = (before.resident_bytes + (32 << 20)).saturating_sub(after.resident_bytes);
        assert!(released > 16 << 20, "{released} bytes of 64 MiB were released; {} pages stay", kept.len());
    }
}

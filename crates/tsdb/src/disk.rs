//! The interface to the disk, as a trait so that tests can simulate a crash or a full disk between any two
//! writes.
//!
//! Here: the traits, and small helpers that only use them. Elsewhere: the real file system (`real`),
//! a file system in memory that can fail on command (`fault`), a view of a disk whose changes stay in memory
//! (`overlay`).
//!
//! Guarantees: written bytes can be read at once, and survive a killed process; they survive a power loss
//! only after `sync_data`; a new name survives a power loss only after `sync_dir` of its directory.

mod fault;
mod overlay;
mod real;

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use fault::{FaultDisk, Faults, Survives};
pub use overlay::OverlayDisk;
pub use real::RealDisk;

/// A file system.
pub trait Disk: Send + Sync {
    /// Creates a directory and its parents; succeeds if it exists already.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Lists a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound` if the directory does not exist.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Makes a file that holds nothing yet; one that was there is emptied. No call here waits for anything but the disk: what is
    /// no file, such as a pipe, is not opened.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a file for appending.
    ///
    /// # Errors
    /// `NotFound` if the file does not exist.
    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a file for reading, even while it is being written.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>>;

    /// The content of a finished file, mapped into memory if the disk supports that. The file must not be
    /// written or truncated while the content is in use; its name may be removed.
    fn map(&self, path: &Path) -> io::Result<Arc<dyn MappedFile>>;

    /// Renames a file or directory atomically; an existing file with the new name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Adds a second name for a file.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and everything in it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory survive a power loss.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// What the path names, if it exists.
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>>;

    /// Holds the lock file at `path` for as long as the returned value lives.
    ///
    /// # Errors
    /// `WouldBlock` if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<FileLock>;

    /// Size of the file system that contains `path`, in bytes.
    fn total_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name, without the directory. Names that are not UTF-8 are omitted from listings.
    pub name: String,
    pub stat: Stat,
}

/// What a name stands for, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub is_dir: bool,
    /// Whether it is a file with bytes in it. What is neither is a pipe, a socket, a device, or a link that leads nowhere: its
    /// name is taken, and it cannot be opened.
    pub is_file: bool,
    /// Length of a file in bytes, 0 for a directory.
    pub bytes: u64,
}

/// A file that is open for writing. Dropping it closes it without a sync.
pub trait WriteFile: Send {
    /// Appends `bytes`. After an error, it is unknown how much was written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes written data survive a power loss.
    fn sync_data(&mut self) -> io::Result<()>;

    /// Truncates the file, or extends it with zeros; writing continues at its new end.
    fn set_len(&mut self, bytes: u64) -> io::Result<()>;
}

/// A file that is open for reading.
pub trait ReadFile: Send + Sync {
    /// Fills `buf` from `offset`, with fewer bytes only at the end of the file. Returns their number.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The current length of the file.
    fn bytes(&self) -> io::Result<u64>;
}

/// The content of a finished file.
pub trait MappedFile: Send + Sync + Deref<Target = [u8]> {}

/// The result of [`Disk::lock`]; dropping it releases the lock.
pub struct FileLock {
    /// Whether the lock file already existed, because the last user did not shut down cleanly.
    pub was_there: bool,
    pub(crate) _guard: Box<dyn Send + Sync>,
}

/// Reads a whole file, which must not be longer than `bytes_max`.
pub fn read_file(disk: &dyn Disk, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let bytes = file.bytes()?;
    if bytes > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is {bytes} bytes long, at most {bytes_max} were expected", path.display()),
        ));
    }
    let mut buf = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    let read = file.read_at(&mut buf, 0)?;
    buf.truncate(read);
    Ok(buf)
}

/// Total size of all files below a directory; 0 if it cannot be read.
pub fn directory_bytes(disk: &dyn Disk, dir: &Path) -> u64 {
    let entries = disk.list(dir).unwrap_or_default();
    let bytes = entries.iter().map(|entry| match entry.stat.is_dir {
        true => directory_bytes(disk, &dir.join(&entry.name)),
        false => entry.stat.bytes,
    });
    bytes.sum()
}

/// The name under which `path` is written before it is renamed.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Writes a small file such that readers, and a start after a power loss, see either the old or the new
/// content: writes under another name, syncs, renames.
pub fn write_whole(disk: &dyn Disk, path: &Path, data: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    let mut file = disk.create(&unfinished)?;
    file.write_all(data)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&unfinished, path)?;
    disk.sync_dir(path.parent().unwrap_or(path))
}

/// Creates a directory and its parents such that their names survive a power loss. A parent that this process
/// may not read cannot be synced, and is left to the file system.
pub fn create_dir_durable(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let missing = |dir: &&Path| !dir.as_os_str().is_empty() && matches!(disk.stat(dir), Ok(None));
    let made: Vec<&Path> = dir.ancestors().take_while(missing).collect();
    disk.create_dir_all(dir)?;
    for parent in made.into_iter().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match disk.sync_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the disk is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

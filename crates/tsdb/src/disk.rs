//! The one door to the disk: what the engine asks of a file system, so that tests can put a crash or
//! a full disk between any two writes.
//!
//! Here: the traits, and small helpers that only use them. Elsewhere: the real file system (`real`),
//! a file system in memory that can fail on command (`fault`), a view of a disk whose changes stay in memory
//! (`overlay`).
//!
//! What a caller may rely on, and what it may not: bytes written are readable at once; they survive a
//! killed process; they survive a power loss only after `sync_data`; a new name survives a power loss
//! only after `sync_dir` of its directory.

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
    /// Makes a directory and those above it; no error when it is there already.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// What lies in a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Makes a file that holds nothing yet; one that was there is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a file to write behind its end.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a file to read, also while it is being written.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>>;

    /// The bytes of a finished file, mapped into memory where the disk can do that. The file must not be
    /// written or shortened while the bytes are in use; removing its name is allowed.
    fn map(&self, path: &Path) -> io::Result<Arc<dyn MappedFile>>;

    /// Renames a file or directory, atomically; a file of that name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// A second name for a file.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and everything in it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory survive a power loss.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether the name exists, and as what.
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>>;

    /// Takes the lock file at `path` for as long as the returned value lives.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<FileLock>;

    /// Size of the whole file system that holds `path`, in bytes.
    fn total_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name, without the directory. Names that are not UTF-8 are left out of listings.
    pub name: String,
    /// What it names.
    pub stat: Stat,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length of a file in bytes, 0 for a directory.
    pub bytes: u64,
}

/// A file open for writing. Dropping it closes it without syncing.
pub trait WriteFile: Send {
    /// Writes all of `bytes` behind what is there. After an error, how much was written is unknown.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written survive a power loss.
    fn sync_data(&mut self) -> io::Result<()>;

    /// Shortens the file, or lengthens it with zeros; writing continues at its new end.
    fn set_len(&mut self, bytes: u64) -> io::Result<()>;
}

/// A file open for reading.
pub trait ReadFile: Send + Sync {
    /// Fills `buf` from `offset`; fewer bytes only at the end of the file. Returns how many there were.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Length of the file now.
    fn bytes(&self) -> io::Result<u64>;
}

/// Bytes of a finished file.
pub trait MappedFile: Send + Sync + Deref<Target = [u8]> {}

/// What [`Disk::lock`] returns; dropping it releases the lock.
pub struct FileLock {
    /// Whether the lock file was there before: the last user did not close cleanly.
    pub was_there: bool,
    pub(crate) _guard: Box<dyn Send + Sync>,
}

/// The whole file, which must not be longer than `bytes_max`.
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

/// Bytes of all files below a directory; 0 for one that cannot be read.
pub fn directory_bytes(disk: &dyn Disk, dir: &Path) -> u64 {
    let entries = disk.list(dir).unwrap_or_default();
    let bytes = entries.iter().map(|entry| match entry.stat.is_dir {
        true => directory_bytes(disk, &dir.join(&entry.name)),
        false => entry.stat.bytes,
    });
    bytes.sum()
}

/// Path of a file that is to become `path`.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Writes a small file so that readers, and a start after a power loss, see the old or the new one: another name, sync, rename.
pub fn write_whole(disk: &dyn Disk, path: &Path, data: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    let mut file = disk.create(&unfinished)?;
    file.write_all(data)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&unfinished, path)?;
    disk.sync_dir(path.parent().unwrap_or(path))
}

/// Makes a directory and those above it, so that their names survive a power loss. A directory above that this process
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

/// Whether the disk has no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

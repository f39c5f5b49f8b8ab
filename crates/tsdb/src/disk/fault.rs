//! An in-memory file system that fails on command: a crash before or in the middle of write number n; the
//! loss of everything that was not synced; a full disk.
//!
//! Without faults, it is a plain in-memory file system for tests and for databases that need no disk. A crash
//! makes every later call fail, until [`FaultDisk::restart`] returns the disk as the next process would find
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DirEntry, Disk, FileLock, MappedFile, ReadFile, Stat, WriteFile};
use crate::sync::{Mutex, MutexGuard, rank};

/// When and how the disk fails. By default, it never does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The process stops at the operation with this number (from 0, counting only those that change
    /// something).
    pub crash_at: Option<u64>,
    /// How many bytes of the crashing write are still written.
    pub torn_bytes: usize,
    /// Capacity of the disk in bytes.
    pub capacity_bytes: Option<u64>,
    /// Syncs of files fail, and what they were to make safe never is, as the page cache of Linux has it: a later sync says that
    /// all is well.
    pub fail_syncs: bool,
    /// Every change fails, as on a disk that was mounted read-only.
    pub read_only: bool,
}

/// What survives a [`FaultDisk::restart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Everything written: the process was killed, but the machine kept running.
    Written,
    /// Only what was synced: the machine lost power. Names survive, as in journalling file systems.
    Synced,
    /// The same, and names that were created, changed or removed revert, unless their directory was synced
    /// since.
    SyncedWithNames,
    /// The machine lost power, and of what was not synced some pages arrived and some did not: a file has some length between
    /// what was synced and what was written, and pages of zeros in it. The number decides which.
    Scattered(u64),
}

/// An in-memory file system. Clones share its content.
#[derive(Clone, Default)]
pub struct FaultDisk(Arc<Mutex<State, rank::Disk>>);

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, SharedContent>,
    /// Directories and their numbers, which do not change when they are renamed.
    dirs: BTreeMap<PathBuf, u64>,
    dirs_made: u64,
    /// The content of each directory at its last sync.
    durable: BTreeMap<u64, Children>,
    locks: BTreeSet<PathBuf>,
    faults: Faults,
    operations: u64,
    crashed: bool,
}

/// The direct content of a directory, by name.
#[derive(Clone, Default)]
struct Children {
    files: BTreeMap<OsString, SharedContent>,
    dirs: BTreeMap<OsString, u64>,
}

type SharedContent = Arc<Mutex<Content, rank::File>>;

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// From here up to there a failed sync gave up on the bytes.
    given_up: Vec<std::ops::Range<usize>>,
}

impl Content {
    fn sync(&mut self) {
        let mut synced = self.bytes.clone();
        for range in &self.given_up {
            for at in range.start..range.end.min(synced.len()) {
                synced[at] = self.synced.get(at).copied().unwrap_or(0);
            }
        }
        self.synced = synced;
    }

    /// What is left of the file when only some of what was not synced arrived.
    fn scattered(&self, random: &mut u64) -> Vec<u8> {
        const PAGE: usize = 4096;
        let mut next = || {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*random >> 33) as usize
        };
        if self.synced == self.bytes {
            return self.bytes.clone();
        }
        let (short, long) =
            (self.synced.len().min(self.bytes.len()), self.synced.len().max(self.bytes.len()));
        let length = short + next() % (long - short + 1);
        let mut left = self.synced.clone();
        left.resize(length, 0);
        for page in (0..length).step_by(PAGE) {
            let end = length.min(page + PAGE).min(self.bytes.len());
            if page < end && next() % 3 > 0 {
                left[page..end].copy_from_slice(&self.bytes[page..end]);
            }
        }
        left
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: no such file or directory", path.display()))
}

fn dead() -> io::Error {
    io::Error::other("the simulated machine has stopped")
}

impl FaultDisk {
    /// Creates an empty disk with these faults.
    pub fn new(faults: Faults) -> Self {
        let disk = FaultDisk::default();
        disk.0.lock().faults = faults;
        disk
    }

    /// Sets the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    /// Number of operations so far that changed something.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Whether the crash has happened.
    pub fn crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// The disk as the next process finds it, without faults.
    pub fn restart(&self, survives: Survives) -> FaultDisk {
        let state = self.0.lock();
        let (files, dirs) = match survives {
            Survives::SyncedWithNames => state.durable_names(),
            _ => (state.files.clone(), state.dirs.keys().cloned().collect()),
        };
        let mut next = State::default();
        for (path, content) in files {
            let content = content.lock();
            let bytes = match survives {
                Survives::Written => content.bytes.clone(),
                Survives::Synced | Survives::SyncedWithNames => content.synced.clone(),
                Survives::Scattered(seed) => {
                    let of_path = path.as_os_str().as_encoded_bytes().iter().map(|byte| u64::from(*byte));
                    content.scattered(
                        &mut of_path.fold(seed, |all, byte| all.wrapping_mul(31).wrapping_add(byte)),
                    )
                }
            };
            let found = Content { synced: bytes.clone(), bytes, ..Content::default() };
            next.files.insert(path, Arc::new(Mutex::new(found)));
        }
        for dir in dirs {
            next.make_dir(&dir);
        }
        // Everything found at a start is durable.
        for dir in next.dirs.keys().cloned().collect::<Vec<_>>() {
            next.sync_dir(&dir);
        }
        FaultDisk(Arc::new(Mutex::new(next)))
    }

    /// Overwrites the bytes of a file, to damage it.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let state = self.0.lock();
        let content = state.files.get(path).ok_or_else(|| not_found(path))?;
        let mut content = content.lock();
        change(&mut content.bytes);
        content.synced = content.bytes.clone();
        Ok(())
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, State, rank::Disk>> {
        let state = self.0.lock();
        if state.crashed { Err(dead()) } else { Ok(state) }
    }

    /// Counts an operation that changes something, and crashes if it is the chosen one.
    fn change(&self) -> io::Result<MutexGuard<'_, State, rank::Disk>> {
        let mut state = self.alive()?;
        let number = state.operations;
        state.operations += 1;
        if state.faults.crash_at == Some(number) {
            state.crashed = true;
            return Err(dead());
        }
        if state.faults.read_only {
            return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "read-only file system"));
        }
        Ok(state)
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        self.files.values().map(|content| content.lock().bytes.len() as u64).sum()
    }

    fn parent_exists(&self, path: &Path) -> bool {
        path.parent().is_none_or(|dir| dir.as_os_str().is_empty() || self.dirs.contains_key(dir))
    }

    fn make_dir(&mut self, dir: &Path) {
        if !self.dirs.contains_key(dir) {
            self.dirs.insert(dir.to_path_buf(), self.dirs_made);
            self.dirs_made += 1;
        }
    }

    /// Records the current content of the directory as synced.
    fn sync_dir(&mut self, dir: &Path) {
        let Some(number) = self.dirs.get(dir) else { return };
        let name = |path: &Path| {
            (path.parent() == Some(dir)).then(|| path.file_name()).flatten().map(OsString::from)
        };
        let files = self.files.iter().filter_map(|(path, content)| Some((name(path)?, content.clone())));
        let dirs = self.dirs.iter().filter_map(|(path, number)| Some((name(path)?, *number)));
        let children = Children { files: files.collect(), dirs: dirs.collect() };
        self.durable.insert(*number, children);
    }

    /// Files and directories that can be reached from the root by synced names.
    fn durable_names(&self) -> (BTreeMap<PathBuf, SharedContent>, BTreeSet<PathBuf>) {
        let (mut files, mut dirs) = (BTreeMap::new(), BTreeSet::new());
        let root = Path::new("/");
        let mut left: Vec<(PathBuf, u64)> =
            self.dirs.get(root).map(|n| (root.into(), *n)).into_iter().collect();
        while let Some((dir, number)) = left.pop() {
            let children = self.durable.get(&number).cloned().unwrap_or_default();
            files.extend(children.files.into_iter().map(|(name, content)| (dir.join(name), content)));
            left.extend(children.dirs.into_iter().map(|(name, number)| (dir.join(name), number)));
            dirs.insert(dir);
        }
        (files, dirs)
    }
}

impl Disk for FaultDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        dir.ancestors().for_each(|dir| state.make_dir(dir));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.alive()?;
        if !state.dirs.contains_key(dir) {
            return Err(not_found(dir));
        }
        let name_in = |path: &Path| {
            (path.parent() == Some(dir)).then(|| path.file_name()?.to_str().map(str::to_owned)).flatten()
        };
        let mut entries: Vec<DirEntry> = Vec::new();
        for path in state.dirs.keys() {
            entries.extend(
                name_in(path)
                    .map(|name| DirEntry { name, stat: Stat { is_dir: true, is_file: false, bytes: 0 } }),
            );
        }
        for (path, content) in &state.files {
            let bytes = content.lock().bytes.len() as u64;
            entries.extend(
                name_in(path)
                    .map(|name| DirEntry { name, stat: Stat { is_dir: false, is_file: true, bytes } }),
            );
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.change()?;
        if !state.parent_exists(path) {
            return Err(not_found(path));
        }
        let content = SharedContent::default();
        state.files.insert(path.to_path_buf(), content.clone());
        Ok(Box::new(MemoryFile { disk: self.clone(), content }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let state = self.alive()?;
        let content = state.files.get(path).ok_or_else(|| not_found(path))?.clone();
        Ok(Box::new(MemoryFile { disk: self.clone(), content }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        let state = self.alive()?;
        let content = state.files.get(path).ok_or_else(|| not_found(path))?.clone();
        Ok(Arc::new(MemoryFile { disk: self.clone(), content }))
    }

    fn map(&self, path: &Path) -> io::Result<Arc<dyn MappedFile>> {
        let state = self.alive()?;
        let content = state.files.get(path).ok_or_else(|| not_found(path))?;
        let bytes = content.lock().bytes.clone();
        Ok(Arc::new(MemoryMap(bytes)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        if let Some(content) = state.files.remove(from) {
            state.files.insert(to.to_path_buf(), content);
            return Ok(());
        }
        if !state.dirs.contains_key(from) {
            return Err(not_found(from));
        }
        let moved = |path: &Path| path.strip_prefix(from).ok().map(|rest| to.join(rest));
        let renamed = |path: PathBuf| match moved(&path) {
            // `join` with an empty rest would leave a trailing slash.
            Some(_) if path == from => to.to_path_buf(),
            Some(new) => new,
            None => path,
        };
        state.dirs = std::mem::take(&mut state.dirs)
            .into_iter()
            .map(|(path, number)| (renamed(path), number))
            .collect();
        state.files = std::mem::take(&mut state.files)
            .into_iter()
            .map(|(path, content)| (moved(&path).unwrap_or(path), content))
            .collect();
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let content = state.files.get(from).ok_or_else(|| not_found(from))?.clone();
        state.files.insert(to.to_path_buf(), content);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        state.files.remove(path).map(|_| ()).ok_or_else(|| not_found(path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        if !state.dirs.contains_key(dir) {
            return Err(not_found(dir));
        }
        state.dirs.retain(|path, _| !path.starts_with(dir));
        state.files.retain(|path, _| !path.starts_with(dir));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        if !state.dirs.contains_key(dir) {
            return Err(not_found(dir));
        }
        state.sync_dir(dir);
        Ok(())
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let state = self.alive()?;
        if state.dirs.contains_key(path) {
            return Ok(Some(Stat { is_dir: true, is_file: false, bytes: 0 }));
        }
        let file = state.files.get(path);
        Ok(file.map(|content| Stat {
            is_dir: false,
            is_file: true,
            bytes: content.lock().bytes.len() as u64,
        }))
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        let mut state = self.change()?;
        if !state.locks.insert(path.to_path_buf()) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the lock is held"));
        }
        let was_there = state.files.contains_key(path);
        state.files.entry(path.to_path_buf()).or_default();
        let guard = LockGuard { disk: self.clone(), path: path.to_path_buf() };
        Ok(FileLock { was_there, _guard: Box::new(guard) })
    }

    fn total_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.alive()?.faults.capacity_bytes.unwrap_or(1 << 40))
    }
}

struct LockGuard {
    disk: FaultDisk,
    path: PathBuf,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

struct MemoryFile {
    disk: FaultDisk,
    content: SharedContent,
}

impl WriteFile for MemoryFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let state = match self.disk.change() {
            Ok(state) => state,
            Err(error) => {
                let state = self.disk.0.lock();
                // Only the crashing write leaves a part behind, not later ones.
                if state.faults.crash_at == Some(state.operations - 1) {
                    let part = &bytes[..state.faults.torn_bytes.min(bytes.len())];
                    self.content.lock().bytes.extend_from_slice(part);
                    drop(state);
                    self.disk.0.lock().faults.torn_bytes = 0;
                }
                return Err(error);
            }
        };
        let room = match state.faults.capacity_bytes {
            Some(capacity) => capacity.saturating_sub(state.used_bytes()),
            None => u64::MAX,
        };
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.content.lock().bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let state = self.disk.change()?;
        let mut content = self.content.lock();
        if state.faults.fail_syncs {
            let lost = content.synced.len().min(content.bytes.len())..content.bytes.len();
            content.given_up.push(lost);
            return Err(io::Error::other("input/output error"));
        }
        content.sync();
        Ok(())
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        let _state = self.disk.change()?;
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.content.lock().bytes.resize(bytes, 0);
        Ok(())
    }
}

impl ReadFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let _state = self.disk.alive()?;
        let content = self.content.lock();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.bytes.len());
        let read = buf.len().min(content.bytes.len() - start);
        buf[..read].copy_from_slice(&content.bytes[start..start + read]);
        Ok(read)
    }

    fn bytes(&self) -> io::Result<u64> {
        let _state = self.disk.alive()?;
        Ok(self.content.lock().bytes.len() as u64)
    }
}

struct MemoryMap(Vec<u8>);

impl Deref for MemoryMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl MappedFile for MemoryMap {}

#[cfg(test)]
mod tests {
    use super::super::read_file;
    use super::*;

    fn path(name: &str) -> PathBuf {
        PathBuf::from("/d").join(name)
    }

    #[test]
    fn a_crash_tears_its_write_and_ends_everything_after_it() {
        let disk = FaultDisk::new(Faults { crash_at: Some(3), torn_bytes: 2, ..Faults::default() });
        disk.create_dir_all(Path::new("/d")).expect("operation 0");
        let mut file = disk.create(&path("a")).expect("operation 1");
        file.write_all(b"whole").expect("operation 2");
        assert!(file.write_all(b"torn").is_err());
        assert!(file.write_all(b"never").is_err());
        assert!(disk.list(Path::new("/d")).is_err());
        let after = disk.restart(Survives::Written);
        assert_eq!(read_file(&after, &path("a"), 100).expect("read"), b"wholeto");
    }

    #[test]
    fn power_loss_keeps_synced_data() {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new("/d")).expect("made");
        let mut file = disk.create(&path("a")).expect("made");
        file.write_all(b"safe").expect("written");
        file.sync_data().expect("synced");
        file.write_all(b" lost").expect("written");
        let after = disk.restart(Survives::Synced);
        assert_eq!(read_file(&after, &path("a"), 100).expect("read"), b"safe");
    }

    #[test]
    fn a_failed_sync_gives_up_on_bytes_and_the_next_one_does_not_say_so() {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new("/d")).expect("made");
        let mut file = disk.create(&path("a")).expect("made");
        file.write_all(b"safe").and_then(|()| file.sync_data()).expect("synced");
        disk.set_faults(Faults { fail_syncs: true, ..Faults::default() });
        file.write_all(b" lost").expect("written");
        assert!(file.sync_data().is_err());
        disk.set_faults(Faults::default());
        file.write_all(b" kept").and_then(|()| file.sync_data()).expect("as if all were well");
        assert_eq!(read_file(&disk, &path("a"), 100).expect("read"), b"safe lost kept");
        let after = disk.restart(Survives::Synced);
        assert_eq!(read_file(&after, &path("a"), 100).expect("read"), b"safe\0\0\0\0\0 kept");
    }

    #[test]
    fn a_scattered_file_has_pages_that_were_written_and_pages_of_zeros() {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new("/d")).expect("made");
        let mut file = disk.create(&path("a")).expect("made");
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).expect("synced");
        file.write_all(&[8; 40_960]).expect("written");
        let (mut lengths, mut zeros) = (BTreeSet::new(), 0);
        for seed in 0..50 {
            let after = disk.restart(Survives::Scattered(seed));
            let bytes = read_file(&after, &path("a"), 100_000).expect("read");
            assert!(bytes[..4096] == [7; 4096] && bytes[4096..].iter().all(|byte| [0, 8].contains(byte)));
            lengths.insert(bytes.len());
            zeros += bytes.iter().filter(|byte| **byte == 0).count();
            let again = disk.restart(Survives::Scattered(seed));
            assert_eq!(read_file(&again, &path("a"), 100_000).expect("read"), bytes);
        }
        assert!(lengths.len() > 40 && zeros > 100_000, "{lengths:?}, {zeros} zeros");
    }

    #[test]
    fn power_loss_undoes_names_that_were_not_synced() {
        let disk = FaultDisk::default();
        let write = |name: &str, bytes: &[u8]| {
            let mut file = disk.create(&path(name)).expect("made");
            file.write_all(bytes).and_then(|()| file.sync_data()).expect("synced");
        };
        disk.create_dir_all(&path("sub")).expect("made");
        disk.sync_dir(Path::new("/")).expect("synced");
        write("sub/kept", b"1");
        write("old", b"2");
        disk.sync_dir(&path("sub")).expect("synced");
        disk.sync_dir(Path::new("/d")).expect("synced");
        write("sub/lost", b"3");
        disk.rename(&path("old"), &path("new")).expect("renamed");
        disk.rename(&path("sub"), &path("other")).expect("renamed");
        let after = disk.restart(Survives::SyncedWithNames);
        assert_eq!(read_file(&after, &path("old"), 10).expect("read"), b"2");
        assert_eq!(after.list(&path("sub")).expect("it is there").len(), 1);
        assert!(after.stat(&path("new")).expect("asked").is_none());
        // Removals too.
        disk.sync_dir(Path::new("/d")).expect("synced");
        disk.remove_dir_all(&path("other")).expect("removed");
        assert_eq!(disk.restart(Survives::SyncedWithNames).list(&path("other")).expect("back").len(), 1);
        disk.sync_dir(Path::new("/d")).expect("synced");
        assert!(disk.restart(Survives::SyncedWithNames).list(&path("other")).is_err());
    }

    #[test]
    fn a_full_disk_writes_what_fits_and_has_space_again_after_a_removal() {
        let disk = FaultDisk::new(Faults { capacity_bytes: Some(6), ..Faults::default() });
        disk.create_dir_all(Path::new("/d")).expect("made");
        let mut old = disk.create(&path("old")).expect("made");
        old.write_all(b"1234").expect("fits");
        let mut new = disk.create(&path("new")).expect("made");
        let error = new.write_all(b"5678").expect_err("no room");
        assert!(super::super::is_full(&error));
        disk.remove_file(&path("old")).expect("removed");
        new.write_all(b"78").expect("room again");
        assert_eq!(read_file(&disk, &path("new"), 100).expect("read"), b"5678");
    }

    #[test]
    fn a_directory_takes_its_files_along_when_renamed() {
        let disk = FaultDisk::default();
        disk.create_dir_all(&path("x.tmp/chunks")).expect("made");
        disk.create(&path("x.tmp/chunks/000001")).expect("made").write_all(b"c").expect("written");
        disk.rename(&path("x.tmp"), &path("x")).expect("renamed");
        assert_eq!(read_file(&disk, &path("x/chunks/000001"), 10).expect("read"), b"c");
        assert!(disk.stat(&path("x.tmp")).expect("asked").is_none());
        assert_eq!(disk.list(&path("x")).expect("listed").len(), 1);
    }
}

//! A disk that accepts writes but keeps them only in memory; everything else is read from another disk.
//!
//! Tools open a data directory through it: recovery may repair, truncate and clean up as usual, while the
//! files, which a server may be using at that moment, do not change.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DirEntry, Disk, FaultDisk, FileLock, MappedFile, ReadFile, Stat, WriteFile};
use crate::sync::{Mutex, rank};

/// See the module.
pub struct OverlayDisk {
    below: Arc<dyn Disk>,
    above: FaultDisk,
    /// Names on the other disk that were removed or renamed; the content of a removed directory is gone too.
    gone: Mutex<BTreeSet<PathBuf>, rank::Overlay>,
}

/// How much is copied at a time.
const COPY_BYTES: usize = 1 << 20;

impl OverlayDisk {
    /// Creates an overlay without changes.
    pub fn new(below: Arc<dyn Disk>) -> Self {
        OverlayDisk { below, above: FaultDisk::default(), gone: Mutex::default() }
    }

    fn is_gone(&self, path: &Path) -> bool {
        let gone = self.gone.lock();
        path.ancestors().any(|path| gone.contains(path))
    }

    fn is_above(&self, path: &Path) -> io::Result<bool> {
        Ok(self.above.stat(path)?.is_some_and(|stat| !stat.is_dir))
    }

    /// The disk that holds the file.
    fn holder(&self, path: &Path) -> io::Result<&dyn Disk> {
        if self.is_above(path)? {
            return Ok(&self.above);
        }
        if self.is_gone(path) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it was removed"));
        }
        Ok(&*self.below)
    }

    /// Copies a directory with all that is in it under a name in memory.
    fn copy_directory_up(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.above.create_dir_all(to)?;
        for entry in self.list(from)? {
            let (from, to) = (from.join(&entry.name), to.join(&entry.name));
            if entry.stat.is_dir {
                self.copy_directory_up(&from, &to)?;
            } else if entry.stat.is_file {
                self.copy_up(&from, &to)?;
            }
        }
        Ok(())
    }

    /// Copies a file from below under a name in memory.
    fn copy_up(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.holder(from)?.open(from)?;
        let mut copy = self.create(to)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = 0;
        loop {
            let read = file.read_at(&mut buffer, at)?;
            if read == 0 {
                return Ok(());
            }
            copy.write_all(&buffer[..read])?;
            at += read as u64;
        }
    }
}

impl Disk for OverlayDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.above.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let above = self.above.list(dir);
        let below = if self.is_gone(dir) { Ok(Vec::new()) } else { self.below.list(dir) };
        let (mut entries, below) = match (above, below) {
            (Err(above), Err(below)) if above.kind() == io::ErrorKind::NotFound => return Err(below),
            (Ok(above), Err(below)) if below.kind() == io::ErrorKind::NotFound => (above, Vec::new()),
            (Err(above), Ok(below)) if above.kind() == io::ErrorKind::NotFound => (Vec::new(), below),
            (above, below) => (above?, below?),
        };
        for entry in below {
            let hidden = self.is_gone(&dir.join(&entry.name));
            if !hidden && entries.iter().all(|other| other.name != entry.name) {
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        if let Some(dir) = path.parent() {
            self.above.create_dir_all(dir)?;
        }
        self.above.create(path)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        if !self.is_above(path)? {
            self.copy_up(path, path)?;
        }
        self.above.append(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        self.holder(path)?.open(path)
    }

    fn map(&self, path: &Path) -> io::Result<Arc<dyn MappedFile>> {
        self.holder(path)?.map(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.above.stat(from)?.is_some() {
            self.above.rename(from, to)?;
        } else if self.stat(from)?.is_some_and(|stat| stat.is_dir) {
            self.copy_directory_up(from, to)?;
        } else {
            self.copy_up(from, to)?;
        }
        self.gone.lock().insert(from.to_path_buf());
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy_up(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let above = self.is_above(path)?;
        if above {
            self.above.remove_file(path)?;
        } else if self.stat(path)?.is_none() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no such file"));
        }
        self.gone.lock().insert(path.to_path_buf());
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        if self.stat(dir)?.is_none() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no such directory"));
        }
        if self.above.stat(dir)?.is_some() {
            self.above.remove_dir_all(dir)?;
        }
        self.gone.lock().insert(dir.to_path_buf());
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match self.above.stat(path)? {
            Some(stat) => Ok(Some(stat)),
            None if self.is_gone(path) => Ok(None),
            None => self.below.stat(path),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        if let Some(dir) = path.parent() {
            self.above.create_dir_all(dir)?;
        }
        self.above.lock(path)
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        self.below.total_bytes(path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_file;
    use super::*;

    fn names(disk: &dyn Disk, dir: &str) -> Vec<String> {
        disk.list(Path::new(dir)).expect("it is there").into_iter().map(|entry| entry.name).collect()
    }

    fn read(disk: &dyn Disk, path: &str) -> Vec<u8> {
        read_file(disk, Path::new(path), 100).expect("it is there")
    }

    #[test]
    fn changes_do_not_reach_the_disk_below() {
        let below = FaultDisk::default();
        below.create_dir_all(Path::new("/d/sub")).expect("room");
        for (path, bytes) in [("/d/a", "one"), ("/d/b", "two"), ("/d/sub/c", "three")] {
            below.create(Path::new(path)).and_then(|mut f| f.write_all(bytes.as_bytes())).expect("room");
        }
        let before = below.operations();
        let disk = OverlayDisk::new(Arc::new(below.clone()));
        assert_eq!(names(&disk, "/d"), ["a", "b", "sub"]);
        disk.append(Path::new("/d/a")).and_then(|mut f| f.write_all(b" more")).expect("memory");
        disk.rename(Path::new("/d/b"), Path::new("/d/z")).expect("memory");
        disk.rename(Path::new("/d/sub"), Path::new("/d/moved")).expect("memory");
        assert_eq!(read(&disk, "/d/moved/c"), b"three");
        disk.rename(Path::new("/d/moved"), Path::new("/d/sub")).expect("memory");
        disk.remove_dir_all(Path::new("/d/sub")).expect("memory");
        disk.create(Path::new("/d/new/x")).and_then(|mut f| f.write_all(b"x")).expect("memory");
        disk.hard_link(Path::new("/d/a"), Path::new("/d/link")).expect("memory");
        assert_eq!(names(&disk, "/d"), ["a", "link", "new", "z"]);
        assert_eq!(read(&disk, "/d/a"), b"one more");
        assert_eq!(read(&disk, "/d/z"), b"two");
        assert_eq!(read(&disk, "/d/link"), b"one more");
        assert!(disk.open(Path::new("/d/b")).is_err() && disk.open(Path::new("/d/sub/c")).is_err());
        assert_eq!(disk.stat(Path::new("/d/sub")).expect("asked"), None);
        disk.remove_file(Path::new("/d/a")).expect("memory");
        assert!(disk.map(Path::new("/d/a")).is_err());
        assert_eq!(below.operations(), before, "nothing was changed below");
        assert_eq!(read(&below, "/d/a"), b"one");
    }

    #[test]
    fn missing_files_are_not_found() {
        let disk = OverlayDisk::new(Arc::new(FaultDisk::default()));
        let kind = |error: io::Error| error.kind();
        assert_eq!(disk.list(Path::new("/d")).map_err(kind).err(), Some(io::ErrorKind::NotFound));
        assert_eq!(disk.remove_file(Path::new("/d")).map_err(kind).err(), Some(io::ErrorKind::NotFound));
        assert_eq!(disk.remove_dir_all(Path::new("/d")).map_err(kind).err(), Some(io::ErrorKind::NotFound));
    }
}

//! The real file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::{DirEntry, Disk, FileLock, MappedFile, ReadFile, Stat, WriteFile};

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // A file that vanished between the listing and the question is no longer there: leave it out.
            let Ok(Some(stat)) = self.stat(&entry.path()) else { continue };
            entries.push(DirEntry { name, stat });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut options = OpenOptions::new();
        Ok(Box::new(RealWriter(open_file(options.write(true).create(true).truncate(true), path)?)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(RealWriter(open_file(OpenOptions::new().append(true), path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(RealReader(open_file(OpenOptions::new().read(true), path)?)))
    }

    fn map(&self, path: &Path) -> io::Result<Arc<dyn MappedFile>> {
        let file = open_file(OpenOptions::new().read(true), path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Arc::new(RealMap(None)));
        }
        // SAFETY: callers map only files that are no longer written (the contract of `Disk::map`); removing
        // the name does not affect the pages. A read past the end cannot happen, because the slice has the
        // length that the file had when it was mapped.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Arc::new(RealMap(Some(map))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match fs::metadata(path) {
            Ok(meta) => Ok(Some(stat_of(&meta))),
            // A link that leads nowhere, or to itself, is there all the same.
            Err(error) => match fs::symlink_metadata(path) {
                Ok(link) if link.is_symlink() => Ok(Some(Stat { is_dir: false, is_file: false, bytes: 0 })),
                _ if error.kind() == io::ErrorKind::NotFound => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        let was_there = self.stat(path)?.is_some();
        let file = open_file(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)?;
        // SAFETY: the descriptor is open for as long as `file` lives, and flock touches no memory of ours.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(FileLock { was_there, _guard: Box::new(file) })
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
        let mut stats = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: `path` ends with a zero byte, and `stats` has space for the result.
        if unsafe { libc::statvfs(path.as_ptr(), stats.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above succeeded, so it filled the struct.
        let stats = unsafe { stats.assume_init() };
        Ok(stats.f_blocks.saturating_mul(stats.f_frsize))
    }
}

fn stat_of(meta: &fs::Metadata) -> Stat {
    Stat {
        is_dir: meta.is_dir(),
        is_file: meta.is_file(),
        bytes: if meta.is_file() { meta.len() } else { 0 },
    }
}

/// Opens only regular files. Opening a pipe would wait for its other end, and reading from a device
/// may never end.
fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    Ok(file)
}

struct RealWriter(File);

impl WriteFile for RealWriter {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        use std::io::Seek;
        self.0.set_len(bytes)?;
        self.0.seek(io::SeekFrom::End(0)).map(|_| ())
    }
}

struct RealReader(File);

impl ReadFile for RealReader {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.0.read_at(&mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// `None` for an empty file, which cannot be mapped.
struct RealMap(Option<memmap2::Mmap>);

impl Deref for RealMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl MappedFile for RealMap {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_seen_and_never_opened() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        let pipe = std::ffi::CString::new(path("pipe").as_os_str().as_bytes()).expect("no zero byte");
        // SAFETY: the name ends with a zero byte, and the call touches no other memory.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("bound");
        std::os::unix::fs::symlink(path("loop"), path("loop")).expect("linked");
        std::os::unix::fs::symlink(path("nowhere"), path("dead")).expect("linked");
        std::os::unix::fs::symlink("/dev/zero", path("zeros")).expect("linked");
        fs::create_dir(path("directory")).expect("made");
        let listed = RealDisk.list(dir.path()).expect("listed");
        assert_eq!(listed.len(), 6, "{listed:?}");
        for entry in listed {
            let name = entry.name.as_str();
            assert_eq!((entry.stat.is_file, entry.stat.is_dir), (false, name == "directory"), "{name}");
            assert_eq!(RealDisk.stat(&path(name)).expect("asked"), Some(entry.stat), "{name}");
            assert!(RealDisk.open(&path(name)).is_err(), "{name}");
            assert!(RealDisk.map(&path(name)).is_err(), "{name}");
            assert!(RealDisk.append(&path(name)).is_err(), "{name}");
            if name != "dead" {
                assert!(RealDisk.create(&path(name)).is_err(), "{name}");
                assert!(RealDisk.lock(&path(name)).is_err(), "{name}");
            }
        }
    }

    #[test]
    fn a_held_lock_refuses_a_second_holder_and_is_free_again_when_dropped() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("lock");
        let first = RealDisk.lock(&path).expect("nobody holds it");
        assert!(!first.was_there);
        assert_eq!(RealDisk.lock(&path).err().map(|e| e.kind()), Some(io::ErrorKind::WouldBlock));
        drop(first);
        assert!(RealDisk.lock(&path).expect("released").was_there);
    }

    #[test]
    fn writing_continues_at_the_new_end_after_a_truncation() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        let mut file = RealDisk.create(&path).expect("created");
        file.write_all(b"one two").expect("written");
        file.set_len(3).expect("shortened");
        file.write_all(b"!").expect("written");
        assert_eq!(super::super::read_file(&RealDisk, &path, 100).expect("read"), b"one!");
        assert_eq!(&**RealDisk.map(&path).expect("mapped"), b"one!");
    }
}

//! The content of files that no longer change: mapped into memory, or read on demand.
//!
//! Mapping is the default. Reading on demand is for network file systems, and for containers whose memory
//! limit includes mapped pages. A range past the end of the file is an error, never a fault: the length is
//! fixed when the file is opened.

use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, MappedFile, ReadFile};

/// How files that no longer change are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Mapped into memory.
    #[default]
    Mapped,
    /// With a read call for each range.
    Pread,
}

/// A file that no longer changes. Clones are cheap and refer to the same file, even after its name has been
/// removed.
#[derive(Clone)]
pub struct Blob {
    source: Source,
    bytes: u64,
    path: Arc<Path>,
}

#[derive(Clone)]
enum Source {
    Mapped(Arc<dyn MappedFile>),
    Pread(Arc<dyn ReadFile>),
}

impl Blob {
    /// Opens the file at `path`.
    pub fn open(disk: &dyn Disk, path: &Path, access: Access) -> io::Result<Self> {
        let (source, bytes) = match access {
            Access::Mapped => {
                let file = disk.map(path)?;
                let bytes = file.len() as u64;
                (Source::Mapped(file), bytes)
            }
            Access::Pread => {
                let file = disk.open(path)?;
                let bytes = file.bytes()?;
                (Source::Pread(file), bytes)
            }
        };
        Ok(Blob { source, bytes, path: path.into() })
    }

    /// Length of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The path of the file when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `len` bytes at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file is shorter.
    pub fn range(&self, offset: u64, len: usize) -> io::Result<BlobSlice> {
        let past_end = || io::Error::new(io::ErrorKind::UnexpectedEof, "the file is too short");
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.bytes).ok_or_else(past_end)?;
        match &self.source {
            Source::Mapped(file) => {
                // The ends fit into `usize`, because the file is mapped.
                Ok(BlobSlice(Bytes::Mapped { file: file.clone(), start: offset as usize, end: end as usize }))
            }
            Source::Pread(file) => {
                let mut buf = vec![0; len];
                if file.read_at(&mut buf, offset)? < len {
                    return Err(past_end());
                }
                Ok(BlobSlice(Bytes::Owned(buf)))
            }
        }
    }

    /// Up to `len` bytes at `offset`; fewer at the end of the file.
    pub fn prefix(&self, offset: u64, len: usize) -> io::Result<BlobSlice> {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.range(offset.min(self.bytes), len.min(left))
    }
}

/// A range of a [`Blob`], or bytes in memory.
#[derive(Clone)]
pub struct BlobSlice(Bytes);

#[derive(Clone)]
enum Bytes {
    Mapped { file: Arc<dyn MappedFile>, start: usize, end: usize },
    Owned(Vec<u8>),
}

impl BlobSlice {
    /// The part from byte `from` up to, but not including, byte `to`.
    ///
    /// # Panics
    /// There are fewer bytes.
    pub fn slice(self, from: usize, to: usize) -> BlobSlice {
        match self.0 {
            Bytes::Mapped { file, start, end } => {
                assert!(from <= to && to <= end - start, "a slice lies within its piece");
                BlobSlice(Bytes::Mapped { file, start: start + from, end: start + to })
            }
            Bytes::Owned(mut bytes) => {
                bytes.truncate(to);
                bytes.drain(..from);
                BlobSlice(Bytes::Owned(bytes))
            }
        }
    }
}

impl BlobSlice {
    /// Converts to a vector; without a copy if it is one already.
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Bytes::Mapped { file, start, end } => file[start..end].to_vec(),
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for BlobSlice {
    fn from(bytes: Vec<u8>) -> Self {
        BlobSlice(Bytes::Owned(bytes))
    }
}

impl Deref for BlobSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped { file, start, end } => &file[*start..*end],
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for BlobSlice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobSlice({} bytes)", self.len())
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({}, {} bytes)", self.path.display(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FaultDisk;

    #[test]
    fn both_kinds_of_access_return_the_same_bytes_and_refuse_ranges_past_the_end() {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new("/d")).expect("made");
        let path = Path::new("/d/f");
        disk.create(path).expect("made").write_all(b"0123456789").expect("written");
        for access in [Access::Mapped, Access::Pread] {
            let blob = Blob::open(&disk, path, access).expect("open");
            assert_eq!(&*blob.range(2, 3).expect("inside"), b"234");
            assert_eq!(&*blob.range(2, 5).expect("inside").slice(1, 3), b"34");
            assert_eq!(&*blob.prefix(8, 100).expect("cut"), b"89");
            assert_eq!(&*blob.prefix(80, 100).expect("cut"), b"");
            for (offset, len) in [(8, 3), (11, 0), (u64::MAX, 2)] {
                let error = blob.range(offset, len).expect_err("past the end");
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            }
        }
    }
}

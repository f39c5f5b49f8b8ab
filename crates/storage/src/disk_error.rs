//! Failures of the disk as stores report them.

use std::fmt;
use std::io;
use std::sync::Arc;

/// A failure of the disk: its kind and its description. Cheap to clone; compared by both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    kind: io::ErrorKind,
    text: Arc<str>,
}

impl DiskError {
    /// A failure of that kind, described in other words than the system's.
    pub fn new(kind: io::ErrorKind, text: impl fmt::Display) -> Self {
        DiskError { kind, text: text.to_string().into() }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> io::ErrorKind {
        self.kind
    }

    /// Whether there is no room on the disk, or none within the user's quota.
    pub fn is_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for DiskError {}

impl From<&io::Error> for DiskError {
    fn from(error: &io::Error) -> Self {
        DiskError::new(error.kind(), error)
    }
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        DiskError::from(&error)
    }
}

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> Self {
        io::Error::new(error.kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_survives_the_way_there_and_back() {
        let full = DiskError::from(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        assert!(full.is_full());
        assert_eq!(full.to_string(), "no space left on device");
        assert_eq!(DiskError::from(io::Error::from(full.clone())), full);
        assert!(!DiskError::new(io::ErrorKind::PermissionDenied, "no").is_full());
    }
}

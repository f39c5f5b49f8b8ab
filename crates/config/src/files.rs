//! Files that a configuration names, and reading them with the error texts of Go.

use std::path::Path;

use ferula_go::path;

use crate::error::{ConfigError, Naming};

/// Joins a relative, non-empty file name with a directory, as Go's `filepath.Join` would.
pub(crate) fn join_path(dir: &str, file: &mut String) {
    if !file.is_empty() && !file.starts_with('/') {
        *file = path::join(dir, file);
    }
}

/// Go's `filepath.Dir`.
pub(crate) fn directory_of(file: &Path) -> String {
    match file.parent().map(|dir| dir.to_string_lossy().into_owned()) {
        Some(dir) if !dir.is_empty() => dir,
        _ => ".".to_owned(),
    }
}

pub(crate) fn read_file(file: &Path) -> Result<String, ConfigError> {
    let failed = |reason: &str| ConfigError::bare(format!("open {}: {reason}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed("no such file or directory"),
        std::io::ErrorKind::PermissionDenied => failed("permission denied"),
        std::io::ErrorKind::IsADirectory => {
            ConfigError::bare(format!("read {}: is a directory", file.display()))
        }
        _ => failed(&error.to_string()),
    })?;
    String::from_utf8(bytes).map_err(|_| {
        ConfigError::bare("yaml: invalid leading UTF-8 octet").in_file(file, Naming::ParsingFile)
    })
}

//! The directory of test material that others wrote. It is not part of the project, so tests must do without it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The directory `name` of the shared material, such as `promqltest` or `cases/config`.
///
/// Looked for below `FERULA_SHARED`, or below `../shared` seen from the workspace's root. When it is missing the
/// test is left out, which is printed on standard error so that nobody believes it passed.
pub fn directory(name: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("FERULA_SHARED") {
        Some(root) => PathBuf::from(root),
        None => workspace_root().join("../shared"),
    };
    let directory = root.join(name);
    if directory.is_dir() {
        return Some(directory);
    }
    eprintln!(
        "LEFT OUT: {} is missing, so the cases in it did not run (set FERULA_SHARED)",
        directory.display()
    );
    None
}

/// Notes that `count` cases of `name` ran. CI gathers these lines in the file that `FERULA_SHARED_LOG` names and
/// fails when the directory is there but nothing of it ran.
///
/// # Panics
/// If `count` is 0 (a directory that was found must hold cases), or the file cannot be written.
pub fn ran(name: &str, count: usize) {
    assert!(count > 0, "the directory {name} was found, but no case in it ran");
    let Some(log) = std::env::var_os("FERULA_SHARED_LOG") else { return };
    let mut file =
        OpenOptions::new().create(true).append(true).open(&log).expect("FERULA_SHARED_LOG can be written");
    writeln!(file, "{name} {count}").expect("FERULA_SHARED_LOG can be written");
}

/// The root of the workspace, for tests that read `testdata/` or `config/`.
pub fn workspace_root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

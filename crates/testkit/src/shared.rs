//! Test material that others wrote, and the real programs to compare with. Neither is part of the project, so tests must
//! do without them, and say so.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The directory `name` of the shared material, such as `promqltest` or `cases/config`.
///
/// Looked for below `FERULA_SHARED`, or below `../shared` seen from the workspace's root. When it is missing the
/// test is left out, and says so.
pub fn directory(name: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("FERULA_SHARED") {
        Some(root) => PathBuf::from(root),
        None => workspace_root().join("../shared"),
    };
    let directory = root.join(name);
    if directory.is_dir() {
        return Some(directory);
    }
    say_left_out(&format!(
        "{} is missing, so the cases in it did not run (set FERULA_SHARED)",
        directory.display()
    ));
    None
}

/// The real program of this name, such as `promtool`, from the directory that `FERULA_PEERS` names. Without that
/// variable the comparison is left out, and says so.
///
/// # Panics
/// If the variable is set and the program is not there.
pub fn peer(name: &str) -> Option<PathBuf> {
    let Some(directory) = std::env::var_os("FERULA_PEERS") else {
        say_left_out(&format!("nothing is compared with the real {name} (set FERULA_PEERS)"));
        return None;
    };
    let path = PathBuf::from(directory).join(name);
    assert!(path.exists(), "FERULA_PEERS is set, but {} is not there", path.display());
    Some(path)
}

/// Prints what is left out on standard error itself: what a test prints with `eprintln!` is hidden when it passes, and
/// nobody should believe that the comparison was made.
fn say_left_out(what: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Without standard error nobody reads it.
    let _ = writeln!(std::io::stderr(), "LEFT OUT of {test}: {what}");
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

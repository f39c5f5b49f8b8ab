//! What the script tests share.

use std::path::Path;

use ferula_promqltest::Store;
use ferula_testkit::MemStorage;

/// How many failures of a script are printed: `PROMQLTEST_FAILURES`, or some.
pub fn failures_shown() -> usize {
    std::env::var("PROMQLTEST_FAILURES").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// Makes stores in memory.
pub fn memory_stores() -> impl FnMut() -> Result<Box<dyn Store>, String> {
    || Ok(Box::new(MemStorage::new()))
}

/// Names and texts of the scripts in a folder, by name.
pub fn scripts_in(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut scripts: Vec<(String, String)> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text)
        })
        .collect();
    scripts.sort();
    scripts
}

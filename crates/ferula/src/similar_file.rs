//! A mistyped file name: what exists instead.

use std::path::Path;

use ferula_config::closest;

/// Larger directories are not searched to their end.
const ENTRIES_MAX: usize = 1000;

/// The file in the directory of a missing one whose name is close to it; `None` if the file is there.
pub fn similar(path: &Path) -> Option<String> {
    if path.exists() {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = std::fs::read_dir(directory.unwrap_or(Path::new("."))).ok()?;
    let files = entries.take(ENTRIES_MAX).filter_map(Result::ok).filter(|entry| entry.path().is_file());
    let names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let meant = closest(name, names.iter().map(String::as_str))?;
    Some(directory.map_or_else(|| meant.to_owned(), |directory| directory.join(meant).display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_letter_is_found_and_a_strange_name_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("prometheus.yml"), "").expect("written");
        std::fs::create_dir(at("promethues.yml.d")).expect("created");
        let meant = at("prometheus.yml").display().to_string();
        assert_eq!(similar(&at("promethues.yml")), Some(meant));
        for name in ["prometheus.yml", "rules.yml", "", "no/prometheus.yml"] {
            assert_eq!(similar(&at(name)), None, "{name}");
        }
    }
}

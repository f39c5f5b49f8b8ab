//! File name patterns, as Go's `filepath.Glob` reads them.

use std::path::Path;

use ferula_go::path::{self, BadPattern};

/// Whether a pattern has at most one `*`, and that in its last segment, as `rule_files` and others demand.
pub(crate) fn is_simple_pattern(pattern: &str) -> bool {
    match pattern.split_once('*') {
        Some((_, after)) => !after.contains('/'),
        None => true,
    }
}

/// The files and directories that match, sorted. Nothing is returned for a pattern that matches nothing, a malformed
/// pattern, or a name that does not exist.
pub fn glob(pattern: &str) -> Vec<String> {
    if !pattern.contains(['*', '?', '[', '\\']) {
        return if Path::new(pattern).exists() { vec![pattern.to_owned()] } else { Vec::new() };
    }
    let (dir, file) = pattern
        .rsplit_once('/')
        .map_or(("", pattern), |(dir, file)| (if dir.is_empty() { "/" } else { dir }, file));
    let dirs = if dir.is_empty() { vec![String::new()] } else { glob(dir) };
    let mut found = Vec::new();
    for dir in dirs {
        let Ok(entries) = std::fs::read_dir(if dir.is_empty() { "." } else { &dir }) else { continue };
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort_unstable();
        for name in names.into_iter().filter(|name| path::matches(file, name) == Ok(true)) {
            found.push(match dir.as_str() {
                "" => name,
                "/" => format!("/{name}"),
                dir => format!("{dir}/{name}"),
            });
        }
    }
    found
}

/// Refuses a malformed pattern, which [`glob`] takes as one that matches nothing.
///
/// # Errors
/// Go's `filepath.ErrBadPattern`.
pub fn check_pattern(pattern: &str) -> Result<(), BadPattern> {
    path::matches(pattern, "").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers recorded from Go's `filepath.Match`.
    #[test]
    fn malformed_patterns_are_refused_as_in_go() {
        for bad in ["[x", "x[a-", "x\\", "[]a]", "[-]", "[x-]", "[a-b-c]", "[", "[^", "[^]", "a/[b/*", "[\\"]
        {
            assert_eq!(check_pattern(bad), Err(BadPattern), "{bad}");
        }
        for good in ["", "*", "[x]", "[^x]*", "\\[", "[\\]]", "]", "[[]", "a-b", "[x-\\-]"] {
            assert_eq!(check_pattern(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn directories_are_searched_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yml", "c.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let root = dir.path().to_str().unwrap();
        assert_eq!(glob(&format!("{root}/*.yml")), [format!("{root}/a.yml"), format!("{root}/b.yml")]);
        assert_eq!(glob(&format!("{root}/none.yml")), Vec::<String>::new());
        assert_eq!(glob(&format!("{root}/c.txt")), [format!("{root}/c.txt")]);
    }
}

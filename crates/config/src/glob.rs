//! File name patterns, as Go's `filepath.Glob` reads them.

use std::path::Path;

/// Whether a pattern has at most one `*`, and that in its last segment, as `rule_files` and others demand.
pub(crate) fn is_simple_pattern(pattern: &str) -> bool {
    match pattern.split_once('*') {
        Some((_, after)) => !after.contains('/'),
        None => true,
    }
}

/// The files and directories that match, sorted. A pattern that matches nothing returns nothing, and so do a malformed one and a
/// name that does not exist.
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
        for name in names.into_iter().filter(|name| matches(file, name)) {
            found.push(match dir.as_str() {
                "" => name,
                "/" => format!("/{name}"),
                dir => format!("{dir}/{name}"),
            });
        }
    }
    found
}

/// Whether a name without slashes matches: `*` any run, `?` one character, `[a-z]`, `[^a]`, `\` before a literal.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // Where to continue when the run after the last `*` does not fit: one character later.
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            retry = Some((p + 1, n));
            p += 1;
            continue;
        }
        if p == pattern.len() && n == name.len() {
            return true;
        }
        if p < pattern.len()
            && n < name.len()
            && let Some(next) = one(&pattern, p, name[n])
        {
            (p, n) = (next, n + 1);
            continue;
        }
        match retry {
            Some((after, from)) if from < name.len() => {
                retry = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one character against the item at `at`, and returns where the next item starts.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern[at] {
        '?' => Some(at + 1),
        '\\' => (pattern.get(at + 1) == Some(&c)).then_some(at + 2),
        '[' => class(pattern, at, c).and_then(|(held, end)| held.then_some(end)),
        literal => (literal == c).then_some(at + 1),
    }
}

/// Whether a character is in the class that starts at `at`, and where the class ends. `None`: it is malformed.
fn class(pattern: &[char], at: usize, c: char) -> Option<(bool, usize)> {
    let negated = pattern.get(at + 1) == Some(&'^');
    let first = at + 1 + usize::from(negated);
    let (mut item, mut held) = (first, false);
    while item == first || *pattern.get(item)? != ']' {
        let (low, end) = class_character(pattern, item)?;
        let (high, end) =
            if pattern.get(end) == Some(&'-') { class_character(pattern, end + 1)? } else { (low, end) };
        held |= (low..=high).contains(&c);
        item = end;
    }
    Some((held != negated, item + 1))
}

fn class_character(pattern: &[char], at: usize) -> Option<(char, usize)> {
    match *pattern.get(at)? {
        '-' | ']' => None,
        '\\' => Some((*pattern.get(at + 1)?, at + 2)),
        c => Some((c, at + 1)),
    }
}

/// A pattern that matches nothing because it is malformed: a class that does not end, a `\` at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// Refuses a malformed pattern, which [`glob`] takes as one that matches nothing.
///
/// # Errors
/// Go's `filepath.ErrBadPattern`.
pub fn check_pattern(pattern: &str) -> Result<(), BadPattern> {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while at < pattern.len() {
        at = match pattern[at] {
            '[' => class(&pattern, at, ' ').ok_or(BadPattern)?.1,
            '\\' if at + 1 == pattern.len() => return Err(BadPattern),
            '\\' => at + 2,
            _ => at + 1,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, name, expected) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "aXbYbZc", true),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("*", "", true),
            ("[", "[", false),
            ("[]a]", "]", false),
            ("[\\]a]", "]", true),
            ("[\\-x]", "-", true),
            ("aaaaaaaaaaaaaaaaaaaaaaaa*b*b*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

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

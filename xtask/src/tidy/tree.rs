//! The files that tidy checks: those of the repository, or a few created by a test.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::root::root;

/// Text files by their path below the root.
#[derive(Default)]
pub struct Tree(BTreeMap<String, String>);

impl Tree {
    /// All files that git tracks, or would add.
    pub fn of_repository() -> Result<Self> {
        let out = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output()
            .context("asking git for the files")?;
        let names = String::from_utf8(out.stdout).context("file names are UTF-8")?;
        let mut files = BTreeMap::new();
        for name in names.lines().filter(|name| Path::new(&root().join(name)).is_file()) {
            let bytes = std::fs::read(root().join(name)).with_context(|| format!("reading {name}"))?;
            files.insert(name.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(Tree(files))
    }

    /// A tree of these files.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Tree(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    /// Path and text of every file whose path the filter accepts, in order.
    pub fn files(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        all.filter(move |(path, _)| wanted(path))
    }

    /// Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files(|path| path.ends_with(".rs"))
    }

    /// Rust files of the product: those below `src` of a crate, without tests.
    pub fn product(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files(is_product)
    }

    /// Documents.
    pub fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files(|path| path.ends_with(".md"))
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Whether such a file, or a file below such a directory, exists.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let below = format!("{path}/");
        self.0.contains_key(path)
            || self.0.range(below.clone()..).next().is_some_and(|(p, _)| p.starts_with(&below))
    }
}

/// Whether this is a Rust file of the product, rather than of its tests.
pub fn is_product(path: &str) -> bool {
    let is_test = path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/");
    path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs") && !is_test
}

/// The code of a Rust file without comments and test code; line numbers stay the same.
pub fn product_code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            out.push('\n');
            // rustfmt aligns the end of a block with its start.
            let is_block = lines.peek().is_some_and(|next| next.ends_with('{'));
            for line in lines.by_ref() {
                out.push('\n');
                if !is_block || line == "}" {
                    break;
                }
            }
            continue;
        }
        out.push_str(without_comment(line));
        out.push('\n');
    }
    out
}

fn without_comment(line: &str) -> &str {
    match line.find("//") {
        // A URL in a string is not a comment.
        Some(at) if !line[..at].ends_with(':') => &line[..at],
        _ => line,
    }
}

/// The texts in backticks.
pub fn backticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether `text` contains `word` as a whole identifier.
pub fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_for_tests_and_comments_are_left_out_and_lines_keep_their_numbers() {
        let text = "use a::B; // and c\nlet u = \"http://x\";\n#[cfg(test)]\nmod tests {\n    use d::E;\n}\nfn f() {}\n#[cfg(test)]\nmod tests;\nfn g() {}\n";
        assert_eq!(
            product_code(text),
            "use a::B; \nlet u = \"http://x\";\n\n\n\n\nfn f() {}\n\n\nfn g() {}\n"
        );
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("use time::Duration;", "time") && has_word("time", "time"));
        assert!(!has_word("let runtime = uptime_s;", "time"));
    }

    #[test]
    fn a_directory_exists_when_a_file_below_it_does() {
        let tree = Tree::of(&[("docs/format/wal.md", "")]);
        assert!(tree.has("docs/format/wal.md") && tree.has("docs/format") && tree.has("docs/"));
        assert!(!tree.has("docs/for") && !tree.has("docs/format/wal"));
    }
}

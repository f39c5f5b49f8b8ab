//! Documents: everything that they link to, name or cite must exist.

use super::tree::{Tree, backticked};

/// Standards, which may be cited with a number although they are not in the repository.
const STANDARDS: [&str; 8] = ["YAML", "HTTP", "TLS", "RFC", "ISO", "IEEE", "OTLP", "POSIX"];

/// Complains about links and paths to files that do not exist.
pub fn paths(tree: &Tree, complaints: &mut Vec<String>) {
    for (document, text) in tree.documents() {
        let directory = document.rsplit_once('/').map_or("", |(directory, _)| directory);
        for (at, line) in text.lines().enumerate() {
            let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            for link in links.map(|link| link.split('#').next().unwrap_or("")) {
                let is_outside = link.is_empty() || link.contains("://") || link.starts_with("mailto:");
                if !is_outside && !tree.has(&joined(directory, link)) {
                    complaints.push(format!("{document}:{}: link to {link}, which does not exist", at + 1));
                }
            }
            for path in backticked(line).filter(|path| is_ours(path)) {
                if !matches(tree, path) {
                    complaints.push(format!("{document}:{}: names {path}, which does not exist", at + 1));
                }
            }
            for file in backticked(line).filter(|text| is_source_file(text) && !is_ours(text)) {
                if tree.files(|path| path.ends_with(&format!("/{file}"))).next().is_none() {
                    complaints.push(format!("{document}:{}: names {file}, which does not exist", at + 1));
                }
            }
        }
    }
}

fn joined(directory: &str, link: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn is_ours(text: &str) -> bool {
    const DIRECTORIES: [&str; 10] = [
        "crates/",
        "config/",
        "testdata/",
        "benches/",
        "fuzz/",
        "docs/",
        "xtask/",
        "demo/",
        ".ci/",
        ".cargo/",
    ];
    DIRECTORIES.iter().any(|directory| text.starts_with(directory))
        && !text.contains([' ', '<', '…', '{', 'N'])
}

/// `http.rs`, `build/run.rs`: a source file without the path of its crate.
fn is_source_file(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || ['_', '/', '.', '-'].contains(&c);
    text.len() > 3 && text.ends_with(".rs") && text.chars().all(is_name)
}

/// Whether a path, which may contain one `*` in its last part, exists.
fn matches(tree: &Tree, path: &str) -> bool {
    let Some((before, after)) = path.split_once('*') else { return tree.has(path) };
    let after = after.trim_start_matches('*');
    tree.files(|file| file.starts_with(before)).any(|(file, _)| {
        let rest = &file[before.len()..];
        rest.split('/').next().is_some_and(|part| part.ends_with(after)) || rest.ends_with(after)
    })
}

/// Complains about documents that are cited by name (`X.md`, or `X 2.3`) and do not exist.
pub fn citations(tree: &Tree, complaints: &mut Vec<String>) {
    let text =
        tree.files(|path| path.ends_with(".md") || path.ends_with(".rs") && !path.starts_with("xtask/"));
    for (file, text) in text {
        for (at, line) in text.lines().enumerate() {
            // In code, only comments cite documents.
            if file.ends_with(".rs") && !line.trim_start().starts_with("//") {
                continue;
            }
            for cited in cited(line).filter(|cited| !is_there(tree, cited)) {
                complaints
                    .push(format!("{file}:{}: cites {cited}, which the repository does not have", at + 1));
            }
        }
    }
}

/// `ENGINE.md` and `ENGINE 2.3`.
fn cited(line: &str) -> impl Iterator<Item = String> {
    let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || "()[],;`\"".contains(c)).collect();
    let is_name = |name: &str| name.len() > 2 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let is_section = |text: &str| {
        let text = text.trim_end_matches(['.', ':']);
        text.contains('.') && text.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let file = |word: &str| {
        let word = word.trim_end_matches(['.', ':']);
        word.strip_suffix(".md").filter(|name| is_name(name)).map(|_| word.to_owned())
    };
    let files: Vec<String> = words.iter().filter_map(|word| file(word)).collect();
    let sections: Vec<String> = words
        .windows(2)
        .filter(|pair| is_name(pair[0]) && is_section(pair[1]) && !STANDARDS.contains(&pair[0]))
        .map(|pair| format!("{} {}", pair[0], pair[1].trim_end_matches(['.', ':'])))
        .collect();
    files.into_iter().chain(sections)
}

fn is_there(tree: &Tree, cited: &str) -> bool {
    let name = cited.split(' ').next().unwrap_or(cited);
    let name = if name.ends_with(".md") { name.to_owned() } else { format!("{name}.md") };
    tree.documents().any(|(path, _)| path == name || path.ends_with(&format!("/{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_paths_and_citations_are_named() {
        let tree = Tree::of(&[
            (
                "README.md",
                "[a](docs/a.md) [b](docs/b.md#x) [c](https://x/y.md)\n`crates/x` `crates/y.rs` `docs/*.md` `docs/*.rs`\n`lib.rs` `x/lib.rs` `y/lib.rs`\n",
            ),
            ("docs/a.md", "See [up](../README.md), ENGINE 2.3, README.md and YAML 1.1, HTTP 1.1.\n"),
            ("crates/x/lib.rs", "// as DESIGN.md says\nlet s = \"STYLE.md\";\n"),
        ]);
        let mut complaints = Vec::new();
        paths(&tree, &mut complaints);
        citations(&tree, &mut complaints);
        assert_eq!(
            complaints,
            [
                "README.md:1: link to docs/b.md, which does not exist",
                "README.md:2: names crates/y.rs, which does not exist",
                "README.md:2: names docs/*.rs, which does not exist",
                "README.md:3: names y/lib.rs, which does not exist",
                "crates/x/lib.rs:1: cites DESIGN.md, which the repository does not have",
                "docs/a.md:1: cites ENGINE 2.3, which the repository does not have",
            ]
        );
    }
}

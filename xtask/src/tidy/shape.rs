//! The shape of Rust files: a header first, one module style, no errors as text at public borders.

use super::allowances::Finding;
use super::tree::{Tree, product_code};

/// Complains about files without a header.
pub fn headers(tree: &Tree, complaints: &mut Vec<String>) {
    for (file, text) in tree.rust() {
        let is_tests = file.ends_with("/tests.rs");
        if !text.starts_with("//!") && !is_tests {
            complaints.push(format!("{file}: does not begin with a `//!` header"));
        }
    }
}

/// `mod.rs` files, and modules whose file is elsewhere.
pub fn modules(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |file: &str, complaint: String| {
        findings.push(Finding { key: format!("module {file}"), complaint });
    };
    for (file, text) in tree.rust().filter(|(file, _)| !file.starts_with("xtask/")) {
        if file.contains("/src/") && file.ends_with("/mod.rs") {
            find(file, format!("{file}: the file of a module lies beside its directory, not in it"));
        }
        if text.lines().any(|line| line.trim_start().starts_with("#[path")) {
            find(file, format!("{file}: `#[path`: a module's file lies where its name says"));
        }
    }
    findings
}

/// Public functions of library crates whose error is a text.
pub fn text_errors(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_library =
        |file: &str| !["crates/ferula/", "crates/testkit/"].iter().any(|binary| file.starts_with(binary));
    for (file, text) in tree.product().filter(|(file, _)| is_library(file)) {
        let code = product_code(text);
        for (at, _) in code.match_indices("pub fn ").chain(code.match_indices("pub async fn ")) {
            let rest = &code[at..];
            let signature = &rest[..rest.find(['{', ';']).unwrap_or(rest.len())];
            let Some(returns) = signature.split_once("->").map(|(_, returns)| returns) else { continue };
            if !has_text_error(returns) {
                continue;
            }
            let name = signature.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next());
            let name = name.unwrap_or_default().trim();
            findings.push(Finding {
                key: format!("text-error {file} {name}"),
                complaint: format!("{file}: `{name}` returns its error as text, so its kind is lost"),
            });
        }
    }
    findings
}

/// Whether a `Result` in a type has a text, or several, as its error.
fn has_text_error(returns: &str) -> bool {
    const TEXTS: [&str; 6] = ["String", "Vec<String>", "Arc<str>", "Box<str>", "&'static str", "&str"];
    let after_result = returns.match_indices("Result<").map(|(at, found)| &returns[at + found.len()..]);
    after_result.into_iter().any(|arguments| {
        let mut depth = 0;
        let mut comma = None;
        for (at, c) in arguments.char_indices() {
            match c {
                '<' | '(' | '[' => depth += 1,
                '>' | ')' | ']' if depth > 0 => depth -= 1,
                '>' => {
                    return comma.is_some_and(|from: usize| {
                        TEXTS.contains(&arguments[from..at].trim_matches([' ', ',', '\n']))
                    });
                }
                ',' if depth == 0 && comma.is_none() => comma = Some(at + 1),
                _ => {}
            }
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.key.as_str()).collect()
    }

    #[test]
    fn headers_come_first() {
        let tree = Tree::of(&[("a.rs", "//! A.\n"), ("b.rs", "use x;\n"), ("c/tests.rs", "use x;\n")]);
        let mut complaints = Vec::new();
        headers(&tree, &mut complaints);
        assert_eq!(complaints, ["b.rs: does not begin with a `//!` header"]);
    }

    #[test]
    fn modules_in_the_other_style_are_found() {
        let tree = Tree::of(&[
            ("crates/a/src/x/mod.rs", "//! X.\n"),
            ("crates/a/src/y.rs", "#[path = \"z.rs\"]\nmod z;\n"),
            ("crates/a/tests/common/mod.rs", "//! Tests have no other way.\n"),
        ]);
        assert_eq!(keys(&modules(&tree)), ["module crates/a/src/x/mod.rs", "module crates/a/src/y.rs"]);
    }

    #[test]
    fn errors_as_text_are_found_at_public_borders_only() {
        let tree = Tree::of(&[
            (
                "crates/a/src/x.rs",
                "pub fn one() -> Result<(), String> {}\npub fn two<T>(\n    a: T,\n) -> Result<Vec<(T, u8)>, Vec<String>>\n\
                 {}\npub fn fine() -> Result<String, Error> {}\nfn private() -> Result<(), String> {}\npub fn shown() -> \
                 io::Result<String> {}\npub async fn three() -> Option<Result<u8, Arc<str>>> {}\npub fn takes(f: fn() -> u8) {}\n",
            ),
            ("crates/ferula/src/main.rs", "pub fn one() -> Result<(), String> {}\n"),
        ]);
        let found = [
            "text-error crates/a/src/x.rs one",
            "text-error crates/a/src/x.rs two",
            "text-error crates/a/src/x.rs three",
        ];
        assert_eq!(keys(&text_errors(&tree)), found);
    }
}

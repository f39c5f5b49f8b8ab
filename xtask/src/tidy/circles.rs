//! Files of one crate that use each other in a circle, so that none can be read or tested without the others.
//!
//! A file uses another if it imports from it (`use crate::x::Y`), or names it where it is used (`x::f()`,
//! `super::x::CONSTANT`). What it only shows (`pub use`) or declares (`mod`) does not count, nor do its tests.

use std::collections::{BTreeMap, BTreeSet};

use super::allowances::Finding;
use super::tree::{Tree, has_word, is_product, product_code};

/// The path of a module, without `crate`.
type Module = Vec<String>;

/// The modules of one crate.
#[derive(Default)]
struct Crate {
    files: BTreeMap<Module, (String, String)>,
}

/// Every file that belongs to a circle.
pub fn circles(tree: &Tree) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Crate> = BTreeMap::new();
    for (file, text) in tree.files(|path| is_product(path) || is_own(path)) {
        let Some((name, inside)) = file.split_once("/src/") else { continue };
        let module = module_of(inside);
        let code = product_code(&without_texts(text));
        crates.entry(name).or_default().files.insert(module, (file.to_owned(), code));
    }
    let mut findings = Vec::new();
    for (_, files) in crates {
        let uses = files.uses();
        for circle in circular(&uses) {
            findings.extend(circle.iter().map(|file| {
                let others = uses.get(file).into_iter().flatten().filter(|other| circle.contains(other));
                let others: Vec<&str> = others.map(String::as_str).collect();
                Finding {
                    key: format!("circle {file}"),
                    complaint: format!("{file}: uses itself through {}", others.join(", ")),
                }
            }));
        }
    }
    findings
}

/// Whether this is a file of `xtask` itself.
fn is_own(path: &str) -> bool {
    path.starts_with("xtask/src/") && path.ends_with(".rs")
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; `lib.rs` and `main.rs` are the crate.
fn module_of(inside: &str) -> Module {
    let path = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    if ["lib", "main"].contains(&path) { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

impl Crate {
    /// The files that each file uses, by name.
    fn uses(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, (file, code)) in &self.files {
            let to = uses.entry(file.clone()).or_default();
            // What is only re-exported further up does not make a file depend on it.
            let imported = used(code).into_iter().filter(|(_, is_shown)| !is_shown).map(|(path, _)| path);
            for path in imported.chain(named(code)) {
                let Some(target) = self.resolve(module, &path, 0) else { continue };
                if let Some((other, _)) = self.files.get(&target).filter(|(other, _)| other != file) {
                    to.insert(other.clone());
                }
            }
        }
        uses
    }

    /// The module that contains what a path names, seen from a module; `None` for paths outside the crate.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let mut rest = path.iter();
        let mut at = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            first => {
                let child = [from.as_slice(), &[first.to_owned()]].concat();
                self.files.contains_key(&child).then_some(child)?
            }
        };
        rest.next();
        let mut name = None;
        for part in rest {
            if part == "super" {
                at.pop();
                continue;
            }
            let child = [at.as_slice(), std::slice::from_ref(part)].concat();
            if !self.files.contains_key(&child) {
                name = Some(part);
                break;
            }
            at = child;
        }
        match name {
            Some(name) if depth < 5 => Some(self.shown_from(&at, name, depth).unwrap_or(at)),
            _ => Some(at),
        }
    }

    /// The module from which another re-exports a name that it does not define.
    fn shown_from(&self, module: &Module, name: &str, depth: usize) -> Option<Module> {
        let (_, code) = self.files.get(module)?;
        let shown: Vec<Vec<String>> =
            used(code).into_iter().filter(|(_, is_shown)| *is_shown).map(|(path, _)| path).collect();
        let named = shown.iter().find(|path| path.last().is_some_and(|last| last == name));
        if let Some(path) = named {
            return self.resolve(module, path, depth + 1);
        }
        let globs = shown.iter().filter(|path| path.last().is_some_and(|last| last == "*"));
        globs.filter_map(|path| self.resolve(module, &path[..path.len() - 1], depth + 1)).find(|target| {
            self.files.get(target).is_some_and(|(_, code)| {
                ["struct", "enum", "fn", "trait", "type", "const", "static", "macro_rules!"]
                    .iter()
                    .any(|kind| has_word(code, &format!("{kind} {name}")))
            })
        })
    }
}

/// The paths of all `use` declarations, each with whether it is public.
fn used(code: &str) -> Vec<(Vec<String>, bool)> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let line = rest[..at].rsplit('\n').next().unwrap_or_default().trim();
        let statement = &rest[at + 4..];
        rest = statement;
        let is_shown = line.starts_with("pub");
        if !(line.is_empty() || is_shown && !line.contains(' ')) {
            continue;
        }
        let end = statement.find(';').unwrap_or(statement.len());
        for path in flattened(&statement[..end]) {
            paths.push((path, is_shown));
        }
        rest = &statement[end..];
    }
    paths
}

/// The paths outside of `use` declarations, such as `super::x::f`.
fn named(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut is_import = false;
    for line in code.lines() {
        let statement = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        is_import |= statement.starts_with("use ");
        if is_import {
            is_import = !line.contains(';');
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find("::") {
            let start = rest[..at].rfind(|c| !is_word(c)).map_or(0, |before| before + 1);
            let end = at + rest[at..].find(|c| !is_word(c) && c != ':').unwrap_or(rest.len() - at);
            // A path from the root of another crate, a macro's own crate, or the bounds of a visibility.
            let is_other = rest[..start].ends_with([':', '$']) || rest[..start].ends_with("(in ");
            let parts = rest[start..end].split("::").filter(|part| !part.is_empty());
            let path: Vec<String> = parts.map(str::to_owned).collect();
            if !is_other && path.len() > 1 && rest[start..].starts_with(|c: char| c.is_ascii_lowercase()) {
                paths.push(path);
            }
            rest = &rest[end..];
        }
    }
    paths
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code without comments, and with its texts in quotes emptied: both may hold anything.
fn without_texts(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let (before, quoted) = rest.split_at(at);
        out.push_str(before);
        let inside = &quoted[1..];
        rest = match &quoted[..1] {
            "/" if inside.starts_with('/') => inside.find('\n').map_or("", |end| &inside[end..]),
            "/" => inside,
            "\"" if before.ends_with(['r', '#']) => {
                let end = format!("\"{}", "#".repeat(before.len() - before.trim_end_matches('#').len()));
                inside.split_once(&end).map_or("", |(_, after)| after)
            }
            "\"" => after_text(inside),
            // A character such as '"'; a lifetime has no second quote there.
            _ => {
                let escape = if inside.starts_with('\\') { 1 } else { 0 };
                let mut after = inside[escape..].chars();
                after.next();
                after.as_str().strip_prefix('\'').unwrap_or(inside)
            }
        };
    }
    out + rest
}

/// What follows a text whose first quote has been read.
fn after_text(inside: &str) -> &str {
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    chars.as_str()
}

/// Expands `a::{b, c::{d, self}}` to `a::b`, `a::c::d` and `a::c`; names after `as` are dropped.
fn flattened(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        let parts = path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty());
        return vec![parts.collect()];
    };
    let before: Vec<String> =
        tree[..open].split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let inside = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut start, mut branches) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    branches.push(&inside[start..]);
    let branches = branches.into_iter().filter(|branch| !branch.trim().is_empty());
    branches
        .flat_map(flattened)
        .map(|path| {
            let path: Vec<String> = path.into_iter().filter(|part| part != "self").collect();
            [before.clone(), path].concat()
        })
        .collect()
}

/// Groups of files that reach each other, each with at least two members.
fn circular(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reachable = |from: &String| -> BTreeSet<String> {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(file) = next.pop() {
            for to in uses.get(&file).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&String, BTreeSet<String>> =
        uses.keys().map(|file| (file, reachable(file))).collect();
    let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, to) in &reach {
        if to.contains(*file) {
            let members = to.iter().filter(|other| reach.get(other).is_some_and(|back| back.contains(*file)));
            circles.insert(members.cloned().collect());
        }
    }
    circles.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(sources: &[(&str, &str)]) -> Vec<String> {
        circles(&Tree::of(sources)).into_iter().map(|finding| finding.key).collect()
    }

    #[test]
    fn a_circle_is_found_through_parents_children_and_names_that_are_shown_elsewhere() {
        let found = files(&[
            ("crates/a/src/lib.rs", "mod x;\nmod y;\nmod z;\npub use x::X;\n"),
            ("crates/a/src/x.rs", "mod deep;\nuse crate::y::{Y, other::{self, More}};\npub struct X;\n"),
            ("crates/a/src/x/deep.rs", "use super::X;\n"),
            ("crates/a/src/y.rs", "use crate::X;\npub struct Y;\n"),
            ("crates/a/src/z.rs", "use crate::{x::X, y::Y};\nuse super::z::Nothing;\n"),
        ]);
        assert_eq!(found, ["circle crates/a/src/x.rs", "circle crates/a/src/y.rs"]);
    }

    #[test]
    fn tests_and_names_that_are_only_shown_make_no_circle() {
        let found = files(&[
            ("crates/a/src/x.rs", "pub mod deep;\npub use deep::Deep;\npub struct X;\n"),
            ("crates/a/src/x/deep.rs", "use super::X;\n#[cfg(test)]\nmod tests {\n    use crate::y::Y;\n}\n"),
            ("crates/a/src/y.rs", "use crate::x::Deep;\nfn f() { let use_x = 1; }\n"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn paths_in_code_count_as_imports_do() {
        let found = files(&[
            ("crates/a/src/x.rs", "mod deep;\npub const N: u8 = 1;\nfn f() { deep::g(); }\n"),
            ("crates/a/src/x/deep.rs", "pub fn g() -> u8 {\n    let c = '\"';\n    super::N\n}\n"),
            ("crates/a/src/y.rs", "fn f() { crate::z::g::<u8>(\"\\\"crate::x::f()\") }\n"),
            ("crates/a/src/z.rs", "pub(in crate::y) fn g() { r#\"x\"y::f()\"#; other::y::f(); Vec::y(); }\n"),
        ]);
        assert_eq!(found, ["circle crates/a/src/x.rs", "circle crates/a/src/x/deep.rs"]);
        let complaint = &circles(&Tree::of(&[
            ("xtask/src/a.rs", "fn f() { crate::b::g() }\n"),
            ("xtask/src/b.rs", "use crate::a::f;\n"),
        ]))[0]
            .complaint;
        assert_eq!(complaint, "xtask/src/a.rs: uses itself through xtask/src/b.rs");
    }

    #[test]
    fn trees_of_imports_are_flattened() {
        let paths: Vec<String> =
            flattened("a::{b, c::{d as e, self}, f::*}").iter().map(|path| path.join("::")).collect();
        assert_eq!(paths, ["a::b", "a::c::d", "a::c", "a::f::*"]);
    }
}

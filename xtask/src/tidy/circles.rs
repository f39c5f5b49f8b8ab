//! Files of one crate that import each other in a circle, so that none can be read or tested without the others.

use std::collections::{BTreeMap, BTreeSet};

use super::allowances::Finding;
use super::tree::{Tree, has_word, product_code};

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
    for (file, text) in tree.product() {
        let Some((name, inside)) = file.split_once("/src/") else { continue };
        let module = module_of(inside);
        crates.entry(name).or_default().files.insert(module, (file.to_owned(), product_code(text)));
    }
    let mut findings = Vec::new();
    for (_, files) in crates {
        for circle in circular(&files.imports()) {
            let others = circle.len() - 1;
            findings.extend(circle.into_iter().map(|file| Finding {
                key: format!("circle {file}"),
                complaint: format!("{file}: imports itself through {others} other files of its crate"),
            }));
        }
    }
    findings
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; `lib.rs` and `main.rs` are the crate.
fn module_of(inside: &str) -> Module {
    let path = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    if ["lib", "main"].contains(&path) { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

impl Crate {
    /// The files that each file imports from, by name.
    fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, (file, code)) in &self.files {
            let to = imports.entry(file.clone()).or_default();
            for (path, is_shown) in used(code) {
                // What is only re-exported further up does not make a file depend on it.
                if is_shown {
                    continue;
                }
                let Some(target) = self.resolve(module, &path, 0) else { continue };
                if let Some((other, _)) = self.files.get(&target).filter(|(other, _)| other != file) {
                    to.insert(other.clone());
                }
            }
        }
        imports
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
fn circular(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reachable = |from: &String| -> BTreeSet<String> {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(file) = next.pop() {
            for to in imports.get(&file).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|file| (file, reachable(file))).collect();
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
    fn trees_of_imports_are_flattened() {
        let paths: Vec<String> =
            flattened("a::{b, c::{d as e, self}, f::*}").iter().map(|path| path.join("::")).collect();
        assert_eq!(paths, ["a::b", "a::c::d", "a::c", "a::f::*"]);
    }
}

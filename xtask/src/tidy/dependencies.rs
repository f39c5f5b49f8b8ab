//! Dependencies: those between our crates must match the arrows of ARCHITECTURE.md exactly, and every declared
//! dependency must be used.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Tree, backticked, is_product, product_code};

/// Crates without their prefix, each with the crates of ours that its product code uses.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Compares the manifests below crates/ with the table "Who may use whom".
pub fn arrows(tree: &Tree, complaints: &mut Vec<String>) {
    let allowed = table(tree.text("ARCHITECTURE.md").unwrap_or_default());
    let actual = manifests(tree);
    for (name, uses) in &actual {
        let Some(allowed) = allowed.get(name) else {
            complaints.push(format!("ARCHITECTURE.md: crate `{name}` has no row in \"Who may use whom\""));
            continue;
        };
        for used in uses.difference(allowed) {
            complaints
                .push(format!("crates/{name}: uses `{used}`, an arrow that ARCHITECTURE.md does not list"));
        }
        for unused in allowed.difference(uses) {
            complaints.push(format!("ARCHITECTURE.md: allows `{name}` to use `{unused}`, which it does not"));
        }
    }
    for name in allowed.keys().filter(|name| !actual.contains_key(*name)) {
        complaints.push(format!("ARCHITECTURE.md: lists the crate `{name}`, which does not exist"));
    }
}

/// Parses rows `| crates | may use a, b, c |`, with crates in backticks. Only names are understood.
fn table(architecture: &str) -> Arrows {
    let section = architecture.split("\n## ").find(|section| section.starts_with("Who may use whom"));
    let mut allowed = Arrows::new();
    for line in section.unwrap_or_default().lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.trim_matches('|').split('|');
        let (names, uses) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
        for name in backticked(names) {
            allowed.entry(name.to_owned()).or_default().extend(backticked(uses).map(str::to_owned));
        }
    }
    allowed
}

fn manifests(tree: &Tree) -> Arrows {
    let of_crate = |path: &str| path.starts_with("crates/") && path.ends_with("/Cargo.toml");
    tree.files(of_crate)
        .map(|(_, manifest)| {
            let uses = section(manifest, "dependencies");
            (short(package(manifest)), uses.filter(|name| name.starts_with("ferula-")).map(short).collect())
        })
        .collect()
}

fn short(name: &str) -> String {
    name.strip_prefix("ferula-").unwrap_or(name).to_owned()
}

fn package(manifest: &str) -> &str {
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
    name.unwrap_or_default().trim_matches('"')
}

/// The names in a section: `x` of `x = …`, `x.workspace = true`.
fn section<'a>(manifest: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let header = format!("[{name}]");
    let lines = manifest.lines().skip_while(move |line| *line != header).skip(1);
    let entries = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#'));
    entries.filter_map(|line| line.split(['=', '.', ' ']).next()).filter(|name| !name.is_empty())
}

/// Complains about dependencies that the code of their crate does not use.
pub fn unused(tree: &Tree, complaints: &mut Vec<String>) {
    for (path, manifest) in tree.files(|path| path.ends_with("/Cargo.toml")) {
        let directory = path.strip_suffix("Cargo.toml").unwrap_or_default();
        let below = |file: &str| file.starts_with(directory) && file.ends_with(".rs");
        // Outside crates/ all compiled code is product code.
        let is_code = |file: &str| if file.starts_with("crates/") { is_product(file) } else { below(file) };
        let code: String =
            tree.files(|file| below(file) && is_code(file)).map(|(_, text)| product_code(text)).collect();
        let all: String = tree.files(below).map(|(_, text)| text).collect();
        for name in section(manifest, "dependencies") {
            if names(&code, name) {
                continue;
            }
            complaints.push(match names(&all, name) {
                true => format!("{path}: only tests use `{name}`: move it to [dev-dependencies]"),
                false => format!("{path}: nothing uses `{name}`: remove it"),
            });
        }
        for name in section(manifest, "dev-dependencies") {
            if !names(&all, name) {
                complaints.push(format!("{path}: nothing uses `{name}`: remove it"));
            }
        }
    }
}

/// Whether code uses a package, at the start of a path or alone in a `use`. A few crates lack the hyphen of their
/// package.
fn names(code: &str, package: &str) -> bool {
    [package.replace('-', "_"), package.replace('-', "")].iter().any(|name| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let starts_a_path = code
            .match_indices(name.as_str())
            .any(|(at, _)| !code[..at].ends_with(is_part) && code[at + name.len()..].starts_with("::"));
        starts_a_path || [";", " as "].iter().any(|end| code.contains(&format!("use {name}{end}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCHITECTURE: &str = "# A\n\n## Who may use whom\n\n| crate | may use |\n| --- | --- |\n| `model` | nothing |\n\
                                | `api`, `tsdb` | `model` |\n| `gone` | |\n\n## Next\n";
    const MODEL: &str = "[package]\nname = \"ferula-model\"\n";
    const API: &str = "[package]\nname = \"ferula-api\"\n\n[dependencies]\nferula-model.workspace = true\n\
                       serde_json = \"1\"\n\n[dev-dependencies]\ntempfile.workspace = true\n";

    #[test]
    fn arrows_must_be_listed_and_listed_arrows_must_be_used() {
        let tree = Tree::of(&[
            ("ARCHITECTURE.md", ARCHITECTURE),
            (
                "crates/model/Cargo.toml",
                "[package]\nname = \"ferula-model\"\n\n[dependencies]\nferula-api.workspace = true\n",
            ),
            ("crates/tsdb/Cargo.toml", "[package]\nname = \"ferula-tsdb\"\n"),
            ("crates/api/Cargo.toml", API),
            ("crates/new/Cargo.toml", "[package]\nname = \"ferula-new\"\n"),
        ]);
        let mut complaints = Vec::new();
        arrows(&tree, &mut complaints);
        assert_eq!(
            complaints,
            [
                "crates/model: uses `api`, an arrow that ARCHITECTURE.md does not list",
                "ARCHITECTURE.md: crate `new` has no row in \"Who may use whom\"",
                "ARCHITECTURE.md: allows `tsdb` to use `model`, which it does not",
                "ARCHITECTURE.md: lists the crate `gone`, which does not exist",
            ]
        );
    }

    #[test]
    fn declared_dependencies_must_be_used_and_in_the_right_section() {
        let mut complaints = Vec::new();
        let tree = Tree::of(&[
            ("crates/model/Cargo.toml", MODEL),
            ("crates/api/Cargo.toml", API),
            (
                "crates/api/src/lib.rs",
                "//! Uses ferula_model.\nuse ferula_model::X;\n#[cfg(test)]\nmod tests {\n    use serde_json::json;\n}\n",
            ),
            ("crates/api/tests/t.rs", "fn main() {}\n"),
        ]);
        unused(&tree, &mut complaints);
        assert_eq!(
            complaints,
            [
                "crates/api/Cargo.toml: only tests use `serde_json`: move it to [dev-dependencies]",
                "crates/api/Cargo.toml: nothing uses `tempfile`: remove it"
            ]
        );
    }
}

//! `cargo xtask tidy`: what a compiler cannot see.
//!
//! 1. Every dependency between our crates is an arrow that ARCHITECTURE.md lists, and the other way round
//!    every crate has its row there.
//! 2. Every path and relative link that a document names exists.
//! 3. Every Rust file begins with a header that says what lives in it.
//! 4. Every public item of a crate has a line of documentation. Fields and variants may go without: a name that explains
//!    itself needs no sentence that repeats it.
//! 5. Every file below testdata/ is named by some test, or lies in a directory that a test reads whole.

mod docs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::root;

pub fn tidy() -> Result<()> {
    let mut complaints = Vec::new();
    let architecture = read("ARCHITECTURE.md")?;
    arrows(&architecture, &mut complaints)?;
    for document in tracked(&["*.md"])? {
        paths_exist(&document, &mut complaints)?;
    }
    for file in tracked(&["*.rs"])? {
        if !read(&file)?.starts_with("//!") {
            complaints.push(format!("{file}: does not begin with a `//!` header"));
        }
        if docs::applies_to(&file) {
            complaints.extend(docs::undocumented(&file, &read(&file)?));
        }
    }
    fixtures_are_used(&mut complaints)?;
    if complaints.is_empty() {
        println!("tidy: nothing to complain about");
        return Ok(());
    }
    bail!("tidy:\n  {}", complaints.join("\n  "));
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("reading {path}"))
}

/// Files that git knows or would take up, below the root.
fn tracked(patterns: &[&str]) -> Result<Vec<String>> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--"])
        .args(patterns)
        .current_dir(root())
        .output()
        .context("asking git for the files")?;
    let text = String::from_utf8(out.stdout).context("file names are UTF-8")?;
    Ok(text.lines().filter(|f| root().join(f).is_file()).map(str::to_owned).collect())
}

/// Compares the product dependencies of `cargo metadata` with the table "Who may use whom" of ARCHITECTURE.md.
///
/// A row is `| crate | may use a, b, c |`, crates in backticks.
fn arrows(architecture: &str, complaints: &mut Vec<String>) -> Result<()> {
    let section = architecture
        .split("\n## ")
        .find(|section| section.starts_with("Who may use whom"))
        .context("ARCHITECTURE.md has no section \"Who may use whom\"")?;
    let mut allowed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.trim_matches('|').split('|');
        let (names, uses) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
        for name in backticked(names) {
            allowed.entry(name).or_default().extend(backticked(uses));
        }
    }
    let actual = dependencies()?;
    for (name, uses) in &actual {
        let Some(allowed) = allowed.get(name.as_str()) else {
            complaints.push(format!("ARCHITECTURE.md: crate `{name}` has no row in \"Who may use whom\""));
            continue;
        };
        for used in uses.iter().filter(|used| !allowed.contains(used.as_str())) {
            complaints
                .push(format!("crates/{name}: uses `{used}`, an arrow that ARCHITECTURE.md does not list"));
        }
    }
    for name in allowed.keys().filter(|name| !actual.contains_key(**name)) {
        complaints.push(format!("ARCHITECTURE.md: lists the crate `{name}`, which does not exist"));
    }
    Ok(())
}

fn backticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Our crates below crates/ and the crates of ours that each uses in the product (not in its tests).
fn dependencies() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let out = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .context("starting cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&out.stdout).context("reading cargo metadata")?;
    let short = |name: &str| name.strip_prefix("ferula-").unwrap_or(name).to_owned();
    let mut crates = BTreeMap::new();
    for package in metadata["packages"].as_array().context("cargo metadata lists packages")? {
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        if !Path::new(manifest).starts_with(root().join("crates")) {
            continue;
        }
        let uses = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|d| d["kind"].is_null())
            .filter_map(|d| d["name"].as_str())
            .filter(|name| name.starts_with("ferula-"))
            .map(short)
            .collect();
        crates.insert(short(package["name"].as_str().unwrap_or_default()), uses);
    }
    Ok(crates)
}

/// Complains about links to files that are not there, and about paths in backticks that look like ours and are not.
fn paths_exist(document: &str, complaints: &mut Vec<String>) -> Result<()> {
    let text = read(document)?;
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    for (number, line) in text.lines().enumerate() {
        let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.map(|link| link.split('#').next().unwrap_or("")) {
            let outside = link.is_empty() || link.contains("://") || link.starts_with("mailto:");
            if !outside && !root().join(folder).join(link).exists() {
                complaints.push(format!("{document}:{}: link to {link}, which does not exist", number + 1));
            }
        }
        for path in backticked(line).filter(|path| is_our_path(path)) {
            if !exists_with_glob(path) {
                complaints.push(format!("{document}:{}: names {path}, which does not exist", number + 1));
            }
        }
    }
    Ok(())
}

fn is_our_path(text: &str) -> bool {
    const FOLDERS: [&str; 9] =
        ["crates/", "config/", "testdata/", "benches/", "fuzz/", "docs/", "xtask/", ".ci/", ".cargo/"];
    FOLDERS.iter().any(|folder| text.starts_with(folder)) && !text.contains([' ', '<', '…', '{', 'N'])
}

fn exists_with_glob(path: &str) -> bool {
    let (folder, pattern) = match path.find('*') {
        None => return root().join(path).exists(),
        Some(star) => path.split_at(path[..star].rfind('/').map_or(0, |slash| slash + 1)),
    };
    let (prefix, suffix) = pattern.split_once('*').unwrap_or((pattern, ""));
    std::fs::read_dir(root().join(folder)).is_ok_and(|entries| {
        entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .any(|name| name.starts_with(prefix) && name.ends_with(suffix.trim_start_matches('*')))
    })
}

/// A fixture that no test reads is dead: its name, or the name of a folder above it, stands in some Rust file.
fn fixtures_are_used(complaints: &mut Vec<String>) -> Result<()> {
    let mut sources = String::new();
    for file in tracked(&["*.rs"])? {
        sources.push_str(&read(&file)?);
    }
    for fixture in tracked(&["testdata/*"])? {
        let path = PathBuf::from(&fixture);
        let below: PathBuf = path.iter().skip(1).collect();
        let named = below
            .ancestors()
            .filter_map(Path::to_str)
            .filter(|part| !part.is_empty())
            .any(|part| sources.contains(part))
            || path.file_name().and_then(|n| n.to_str()).is_some_and(|name| sources.contains(name));
        if !named {
            complaints.push(format!("{fixture}: no test reads it"));
        }
    }
    Ok(())
}

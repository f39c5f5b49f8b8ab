//! What is inside the program: crates with their versions, licences and checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::toolchain::Linked;
use crate::root::root;

/// A crate of others that the program contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    pub name: String,
    pub version: String,
    /// An SPDX expression.
    pub licence: String,
    /// The registry's checksum; "" for what is in this repository.
    pub sha256: String,
    directory: PathBuf,
}

/// The crates that the program is made of on a platform, ours left out, in the order of their names.
///
/// # Errors
/// Cargo fails.
pub fn metadata(platform: &str) -> Result<Vec<Inside>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", platform])
        .current_dir(root())
        .output()
        .context("starting cargo")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("the answer of cargo metadata")?;
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).context("reading Cargo.lock")?;
    Ok(reached(&metadata, &checksums(&lock)))
}

/// Checksums of `Cargo.lock` by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let entry = |block: &str| {
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches(" = ").trim_matches('"').to_owned())
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    };
    lock.split("[[package]]").filter_map(entry).collect()
}

/// What ferula reaches through dependencies that are neither for tests nor for building.
fn reached(metadata: &Value, checksums: &BTreeMap<(String, String), String>) -> Vec<Inside> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package)).collect();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|node| (text(&node["id"]), node)).collect();
    let first = packages.iter().find(|(_, package)| package["name"] == "ferula").map(|(id, _)| id.clone());
    let (mut seen, mut next) = (BTreeSet::new(), Vec::from_iter(first));
    while let Some(id) = next.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for dependency in nodes.get(&id).map(|node| list(&node["deps"])).unwrap_or_default() {
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                next.push(text(&dependency["pkg"]));
            }
        }
    }
    let mut inside: Vec<Inside> = seen
        .iter()
        .filter_map(|id| packages.get(id))
        .filter(|package| !package["source"].is_null())
        .map(|package| {
            let (name, version) = (text(&package["name"]), text(&package["version"]));
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            let sha256 = checksums.get(&(name.clone(), version.clone())).cloned().unwrap_or_default();
            let directory = manifest.parent().map(Path::to_path_buf).unwrap_or_default();
            Inside { name, version, licence: text(&package["license"]), sha256, directory }
        })
        .collect();
    inside.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    inside
}

/// The licences of all crates and of what the toolchain links, with the texts that came with them; equal texts stand once.
///
/// # Errors
/// A file cannot be read.
pub fn licences(inside: &[Inside], linked: &[Linked]) -> Result<String> {
    let mut by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut out = String::from("Ferula contains the following software of others.\n\n");
    for one in linked {
        let _ = writeln!(out, "{} {}: {}", one.name, one.version, one.licence);
        by_text.entry(one.notice.clone()).or_default().push(format!("{} {}", one.name, one.version));
    }
    for one in inside {
        let _ = writeln!(out, "{} {}: {}", one.name, one.version, one.licence);
        let mut names: Vec<PathBuf> = std::fs::read_dir(&one.directory)
            .with_context(|| format!("reading {}", one.directory.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name =
                    path.file_name().map(|name| name.to_string_lossy().to_uppercase()).unwrap_or_default();
                path.is_file()
                    && ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"]
                        .iter()
                        .any(|start| name.starts_with(start))
            })
            .collect();
        names.sort();
        for path in names {
            let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            let text = String::from_utf8_lossy(&text).trim().replace("\r\n", "\n");
            by_text.entry(text).or_default().push(format!("{} {}", one.name, one.version));
        }
    }
    for (text, owners) in &by_text {
        let _ = write!(out, "\n{}\n{}\n\n{text}\n", "-".repeat(80), owners.join(", "));
    }
    Ok(out)
}

/// The bill of materials as CycloneDX 1.5, without a time or a serial number, so that it is the same each time.
///
/// # Errors
/// It cannot be printed.
pub fn bill(inside: &[Inside], linked: &[Linked]) -> Result<String> {
    let linked = linked.iter().map(|one| {
        let licences = json!([{ "expression": one.licence }]);
        json!({ "type": "library", "name": one.name, "version": one.version, "licenses": licences })
    });
    let components: Vec<Value> = inside
        .iter()
        .map(|one| {
            let hashes =
                (!one.sha256.is_empty()).then(|| json!([{ "alg": "SHA-256", "content": one.sha256 }]));
            let mut component = json!({
                "type": "library",
                "name": one.name,
                "version": one.version,
                "purl": format!("pkg:cargo/{}@{}", one.name, one.version),
                "licenses": [{ "expression": one.licence.replace('/', " OR ") }],
            });
            if let Some(hashes) = hashes {
                component["hashes"] = hashes;
            }
            component
        })
        .chain(linked)
        .collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "application", "name": "ferula", "version": env!("CARGO_PKG_VERSION") } },
        "components": components,
    });
    Ok(serde_json::to_string_pretty(&bill).context("printing the bill of materials")? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_program_reaches_is_inside() {
        let package = |name: &str, source: Value| json!({ "id": format!("{name} id"), "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source, "manifest_path": format!("/r/{name}/Cargo.toml") });
        let dependency =
            |name: &str, kind: Value| json!({ "pkg": format!("{name} id"), "dep_kinds": [{ "kind": kind }] });
        let node = |name: &str, deps: Vec<Value>| json!({ "id": format!("{name} id"), "deps": deps });
        let registry = json!("registry+x");
        let metadata = json!({
            "packages": [package("ferula", Value::Null), package("ferula-go", Value::Null), package("a", registry.clone()),
                package("b", registry.clone()), package("tests", registry.clone()), package("builds", registry)],
            "resolve": { "nodes": [
                node("ferula", vec![dependency("ferula-go", Value::Null), dependency("tests", json!("dev")), dependency("builds", json!("build"))]),
                node("ferula-go", vec![dependency("a", Value::Null)]),
                node("a", vec![dependency("b", Value::Null), dependency("a", Value::Null)]),
            ] },
        });
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"abc\"\n";
        let inside = reached(&metadata, &checksums(lock));
        let shown: Vec<_> = inside.iter().map(|one| (one.name.as_str(), one.sha256.as_str())).collect();
        assert_eq!(shown, [("a", "abc"), ("b", "")]);
        let linked = Linked {
            name: "musl",
            version: "1".to_owned(),
            licence: "MIT",
            notice: "MUSL'S NOTICE".to_owned(),
        };
        let bill: Value =
            serde_json::from_str(&bill(&inside, std::slice::from_ref(&linked)).expect("printed"))
                .expect("JSON");
        assert_eq!(bill["components"][2]["name"], "musl");
        let texts = licences(&[], &[linked]).expect("no file is read");
        assert!(texts.contains("musl 1: MIT\n") && texts.ends_with("\nmusl 1\n\nMUSL'S NOTICE\n"), "{texts}");
        assert_eq!(bill["components"][0]["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["components"][1].get("hashes"), None);
    }
}

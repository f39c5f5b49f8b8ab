//! Chores that run one or more commands.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::root::root;

fn cargo(args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    eprintln!("$ cargo {}", args.join(" "));
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(args)
        .envs(env.iter().copied())
        .current_dir(root())
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "cargo {} failed ({status})", args.join(" "));
    Ok(())
}

/// Builds ferula and returns its program; `FERULA_BINARY` names another program that takes the same flags.
pub fn build_ferula(release: bool) -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("FERULA_BINARY") {
        return Ok(PathBuf::from(binary));
    }
    let profile = if release { "release" } else { "dev" };
    cargo(&["build", "--quiet", "--profile", profile, "--package", "ferula"], &[])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join(if release { "release/ferula" } else { "debug/ferula" }))
}

pub fn check() -> Result<()> {
    cargo(&["fmt", "--all", "--", "--check"], &[])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    cargo(
        &["doc", "--workspace", "--no-deps", "--document-private-items"],
        &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")],
    )?;
    crate::tidy::tidy()?;
    cargo(&["test", "--workspace"], &[])
}

pub fn golden() -> Result<()> {
    cargo(&["test", "--workspace"], &[("UPDATE_GOLDEN", "1")])
}

pub fn conformance(files: &[&str]) -> Result<()> {
    let shared = std::env::var_os("FERULA_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let scripts = shared.join("promqltest");
    let scripts = scripts.to_str().context("FERULA_SHARED is not UTF-8")?;
    let mut args = vec!["run", "--quiet", "--release", "--package", "ferula", "--", "test", "promql"];
    if files.is_empty() {
        args.push(scripts);
    }
    args.extend(files);
    cargo(&args, &[])
}

pub fn bench(name: Option<&str>) -> Result<()> {
    match name {
        Some(name) => cargo(&["bench", "--package", "ferula-benches", "--bench", name], &[]),
        None => cargo(&["bench", "--package", "ferula-benches"], &[]),
    }
}

pub fn measure_ui(addresses: &[&str]) -> Result<()> {
    let measure = ["test", "--release", "--package", "ferula", "--test", "browser", "--", "--measure"];
    cargo(&[&measure, addresses].concat(), &[])
}

/// Takes the pictures that the README shows.
pub fn take_pictures() -> Result<()> {
    let directory = root().join("docs/pictures").display().to_string();
    let take = ["test", "--package", "ferula", "--test", "browser", "--", "--pictures", &directory];
    cargo(&take, &[])
}

pub fn fuzz(name: Option<&str>, seconds: u64) -> Result<()> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("fuzz/fuzz_targets"))?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.replace('_', "-")))
        .collect();
    names.sort();
    if let Some(name) = name {
        if !names.iter().any(|known| known == name) {
            bail!("no such fuzz target: {name}; known targets: {}", names.join(", "));
        }
        names = vec![name.to_owned()];
    }
    for name in names {
        let bin = format!("fuzz-{name}");
        cargo(
            &[
                "run",
                "--quiet",
                "--release",
                "--package",
                "ferula-fuzz",
                "--bin",
                &bin,
                "--",
                &seconds.to_string(),
            ],
            &[],
        )?;
    }
    Ok(())
}

//! `cargo xtask release`: everything that is published with a version, in one directory.
//!
//! | file | what |
//! | --- | --- |
//! | `ferula` | the static program without symbols |
//! | `ferula.1` | the manual, from the tables of flags and commands (`pages`) |
//! | `completions/` | for bash, zsh and fish, from the same tables |
//! | `LICENSE`, `LICENSES.txt` | ours, and those of what is inside (`inside`, `toolchain`) |
//! | `LICENSES-rust.html` | all notices of Rust's standard library, as they come with the toolchain |
//! | `ferula.cdx.json` | the bill of materials (`inside`) |
//! | `SHA256SUMS` | of all the others, for `sha256sum --check` |
//!
//! The program is asked for its tables, so what is published describes what is published. Paths of this machine are not in
//! it, and no time is written anywhere: two runs of the same source give the same files.

mod commands;
mod inside;
mod pages;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use self::toolchain::Toolchain;
use crate::root::root;

/// Where the program runs: any Linux of this architecture, whatever its C library.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// Makes the directory: `[--program FILE] [--out DIRECTORY]`. Without a program it is built.
pub fn release(words: &[&str]) -> Result<()> {
    let (mut program, mut out) = (None, root().join("target/release-files"));
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = || words.clone().next().with_context(|| format!("{word} needs a value"));
        match *word {
            "--program" => program = Some(PathBuf::from(value()?)),
            "--out" => out = PathBuf::from(value()?),
            other => bail!("unknown argument {other}; expected --program FILE or --out DIRECTORY"),
        }
        words.next();
    }
    let program = match program {
        Some(program) => program,
        None => build()?,
    };
    write(&program, &out)
}

fn build() -> Result<PathBuf> {
    let home =
        std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let flags = format!("--remap-path-prefix={}=/src --remap-path-prefix={home}=/cargo", root().display());
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "--package", "ferula", "--target", TARGET])
        .env("RUSTFLAGS", flags)
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .current_dir(root())
        .status()
        .context("starting cargo")?;
    ensure!(
        status.success(),
        "the program cannot be built for {TARGET}; `rustup target add {TARGET}` and a C compiler for musl are needed"
    );
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join(TARGET).join("release/ferula"))
}

/// Writes the directory beside its place and renames it, so that it is whole or not there.
fn write(program: &Path, out: &Path) -> Result<()> {
    let begun = out.with_extension("begun");
    let _ = fs::remove_dir_all(&begun);
    fs::create_dir_all(begun.join("completions")).with_context(|| format!("creating {}", begun.display()))?;
    fs::copy(program, begun.join("ferula")).with_context(|| format!("copying {}", program.display()))?;
    let tree = commands::read(program)?;
    let metadata = inside::metadata(TARGET)?;
    let toolchain = Toolchain::installed()?;
    let linked = toolchain.linked()?;
    let files = [
        ("ferula.1", pages::manual(&tree)),
        ("completions/ferula.bash", pages::bash(&tree)),
        ("completions/_ferula", pages::zsh(&tree)),
        ("completions/ferula.fish", pages::fish(&tree)),
        ("LICENSE", fs::read_to_string(root().join("LICENSE")).context("reading LICENSE")?),
        ("LICENSES.txt", inside::licences(&metadata, &linked)?),
        ("LICENSES-rust.html", toolchain.library_notices()?),
        ("ferula.cdx.json", inside::bill(&metadata, &linked)?),
    ];
    for (name, text) in &files {
        fs::write(begun.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    let names: Vec<&str> = std::iter::once("ferula").chain(files.iter().map(|(name, _)| *name)).collect();
    let sums =
        Command::new("sha256sum").args(&names).current_dir(&begun).output().context("starting sha256sum")?;
    ensure!(sums.status.success(), "sha256sum: {}", String::from_utf8_lossy(&sums.stderr));
    fs::write(begun.join("SHA256SUMS"), &sums.stdout).context("writing SHA256SUMS")?;
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("removing {}", out.display()))?;
    }
    fs::rename(&begun, out).with_context(|| format!("renaming to {}", out.display()))?;
    let bytes = fs::metadata(out.join("ferula")).context("the program")?.len();
    println!(
        "{}: the program has {:.1} MB, {} crates are inside",
        out.display(),
        bytes as f64 / 1e6,
        metadata.len()
    );
    Ok(())
}

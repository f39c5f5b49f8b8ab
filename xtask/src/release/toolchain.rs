//! What the toolchain links into the program: Rust's standard library, its unwinder and musl, with their notices.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Software that comes with the toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    pub name: &'static str,
    pub version: String,
    /// An SPDX expression.
    pub licence: &'static str,
    /// The texts of the licences, with the holders of the copyright.
    pub notice: String,
}

/// Holders of the copyright on parts of musl, by licence, as its `COPYRIGHT` names them.
const MUSL_HOLDERS: [(&str, &str); 3] = [
    ("MIT", "2005-2020 Rich Felker and the other contributors to musl"),
    ("BSD-2-Clause", "2001-2008 Ville Laurikari; 2005-2011 David Schultz"),
    ("ISC", "2008 Stephen L. Moshier"),
];
/// The notice that the mathematical functions of musl ask to be kept.
const SUN_NOTICE: &str = "Copyright (c) 1993, 2004 Sun Microsystems, Inc.\n\n\
    Developed at SunPro, a Sun Microsystems, Inc. business.\n\
    Permission to use, copy, modify, and distribute this\nsoftware is freely granted, provided that this notice\n\
    is preserved.";

/// A toolchain's notices.
pub struct Toolchain {
    version: String,
    documents: PathBuf,
}

impl Toolchain {
    /// # Errors
    /// The compiler cannot be started.
    pub fn installed() -> Result<Self> {
        let sysroot = PathBuf::from(compiler(&["--print", "sysroot"])?.trim());
        let version = compiler(&["--version"])?;
        let version = version.split(' ').nth(1).context("rustc --version prints no version")?.to_owned();
        Ok(Toolchain { version, documents: sysroot.join("share/doc/rust") })
    }

    /// The page with all notices of the standard library and the crates in it.
    ///
    /// # Errors
    /// The toolchain was installed without it.
    pub fn library_notices(&self) -> Result<String> {
        read(&self.documents.join("COPYRIGHT-library.html"))
    }

    /// # Errors
    /// The toolchain was installed without the texts of licences.
    pub fn linked(&self) -> Result<Vec<Linked>> {
        let text = |licence: &str| read(&self.documents.join("licenses").join(format!("{licence}.txt")));
        let mut musl = Vec::new();
        for (licence, holder) in MUSL_HOLDERS {
            musl.push(held_by(&text(licence)?, holder)?);
        }
        musl.push(SUN_NOTICE.to_owned());
        Ok(vec![
            Linked {
                name: "Rust standard library",
                version: self.version.clone(),
                licence: "MIT OR Apache-2.0",
                notice: held_by(&text("MIT")?, "the contributors to the Rust project")?,
            },
            Linked {
                name: "LLVM libunwind",
                version: format!("of Rust {}", self.version),
                licence: "Apache-2.0 WITH LLVM-exception",
                notice: format!("{}\n\n{}", text("Apache-2.0")?.trim(), text("LLVM-exception")?.trim()),
            },
            Linked {
                name: "musl",
                version: format!("of Rust {}", self.version),
                licence: "MIT AND BSD-2-Clause AND ISC",
                notice: musl.join("\n\n"),
            },
        ])
    }
}

/// The text of a licence with its holder instead of the blank.
fn held_by(text: &str, holder: &str) -> Result<String> {
    let blank = text.lines().find(|line| line.contains('<'));
    let blank = blank.context("the text of the licence has no blank for its holder")?;
    Ok(text.replacen(blank, &format!("Copyright (c) {holder}"), 1).trim().to_owned())
}

fn compiler(args: &[&str]) -> Result<String> {
    let output = Command::new("rustc").args(args).output().context("starting rustc")?;
    ensure!(output.status.success(), "rustc: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("reading {}, which comes with the toolchain", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_stands_where_the_licence_has_a_blank() {
        let text = "MIT License\n\nCopyright (c) <year> <copyright holders>\n\nPermission is granted.\n";
        let held = held_by(text, "2001 Somebody").expect("it has a blank");
        assert_eq!(held, "MIT License\n\nCopyright (c) 2001 Somebody\n\nPermission is granted.");
        assert_eq!(
            held_by("<copyright notice>\n\nText.\n", "x").expect("it has a blank"),
            "Copyright (c) x\n\nText."
        );
        assert!(held_by("Copyright (c) 2001 Somebody", "x").is_err());
    }
}

//! `cargo xtask tidy`: checks that the compiler does not do.
//!
//! | rule | in |
//! | --- | --- |
//! | every dependency between our crates is an arrow of ARCHITECTURE.md, and every arrow is used | `dependencies` |
//! | every dependency is used, by the product or only in the section for tests | `dependencies` |
//! | links, paths and citations of documents exist | `documents` |
//! | Rust files begin with a header; modules have one style; no public error is a plain text | `shape` |
//! | no type has a name that several could have, such as `Kind` | `names` |
//! | the status of an answer is chosen in one file of each server | `statuses` |
//! | public items have documentation (fields and variants may go without) | `docs` |
//! | no files of a crate use each other in a circle | `circles` |
//! | no traces of machines and tools; no HTML built from text in the web pages; no words that the glossary replaces | `words` |
//! | every file of test data is read by some test | `fixtures` |
//! | nothing but the content of a file tells whether it has changed | `contents` |
//! | what a sort compares by is a total order | `orders` |
//! | letters are mapped as by Go | `letters` |
//! | tests start no program that a machine with cargo and git may lack | `programs` |
//! | no tracked file is ignored by .gitignore | here |
//!
//! Accepted violations are listed in `xtask/allowances.txt`, which only shrinks:
//! `cargo xtask tidy shrink` removes lines that are no longer needed.

mod allowances;
mod circles;
mod contents;
mod dependencies;
mod docs;
mod documents;
mod fixtures;
mod letters;
mod names;
mod orders;
mod programs;
mod shape;
mod statuses;
mod tree;
mod words;

use std::process::Command;

use anyhow::{Context, Result, bail};

use self::allowances::Finding;
use self::tree::Tree;
use crate::root::root;

/// Checks the repository.
pub fn tidy() -> Result<()> {
    let tree = Tree::of_repository()?;
    let mut complaints = Vec::new();
    dependencies::arrows(&tree, &mut complaints);
    dependencies::unused(&tree, &mut complaints);
    documents::paths(&tree, &mut complaints);
    documents::citations(&tree, &mut complaints);
    shape::headers(&tree, &mut complaints);
    for (file, text) in tree.product() {
        complaints.extend(docs::undocumented(file, text));
    }
    names::bare(&tree, &mut complaints);
    statuses::chosen(&tree, &mut complaints);
    words::traces(&tree, &mut complaints);
    fixtures::unused(&tree, &mut complaints);
    contents::times_of_change(&tree, &mut complaints);
    orders::comparisons(&tree, &mut complaints);
    programs::of_tests(&tree, &mut complaints);
    letters::of_rust(&tree, &mut complaints);
    ignored_but_tracked(&mut complaints)?;
    complaints.extend(allowances::judge(list(&tree), findings(&tree)));
    if complaints.is_empty() {
        println!("tidy: no complaints");
        return Ok(());
    }
    bail!("tidy:\n  {}", complaints.join("\n  "));
}

/// Removes allowances that no finding needs any more.
pub fn shrink() -> Result<()> {
    let tree = Tree::of_repository()?;
    let text = allowances::shrunk(list(&tree), &findings(&tree));
    std::fs::write(root().join(allowances::FILE), text).context("writing the allowances")
}

fn list(tree: &Tree) -> &str {
    tree.text(allowances::FILE).unwrap_or_default()
}

/// Findings of the rules that allow exceptions.
fn findings(tree: &Tree) -> Vec<Finding> {
    [
        shape::modules(tree),
        shape::text_errors(tree),
        circles::circles(tree),
        words::html_from_text(tree),
        words::replaced(tree),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Build results that were committed by mistake.
fn ignored_but_tracked(complaints: &mut Vec<String>) -> Result<()> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--ignored", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("asking git for ignored files")?;
    let names = String::from_utf8_lossy(&out.stdout).into_owned();
    complaints
        .extend(names.lines().map(|name| format!("{name}: is tracked although .gitignore excludes it")));
    Ok(())
}

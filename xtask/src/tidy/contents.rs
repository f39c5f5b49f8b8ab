//! Whether a file has changed is seen by its content. Its time of change and its size are equal after `rsync -a` or `cp -p`.

use super::tree::{Tree, product_code};

/// Files of the product that ask when a file was changed, and what for.
const FOR_SHOW: [(&str, &str); 2] = [
    ("crates/discovery/src/mechanism/file.rs", "a metric shows it"),
    ("crates/ferula/src/version.rs", "--version shows when the program was built"),
];

/// Complains about code that asks when a file was changed.
pub fn times_of_change(tree: &Tree, complaints: &mut Vec<String>) {
    let others = tree.product().filter(|(file, _)| !FOR_SHOW.iter().any(|(shown, _)| shown == file));
    for (file, text) in others {
        let code = product_code(text);
        for (at, _) in code.match_indices(".modified()") {
            let line = code[..at].matches('\n').count() + 1;
            complaints.push(format!(
                "{file}:{line}: asks when a file was changed; compare its content, which may differ at the same time"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_compared_by_its_content() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "fn f() {\n    file.metadata()?.modified()?;\n}\n"),
            ("crates/a/tests/t.rs", "file.metadata()?.modified()?;\n"),
            (FOR_SHOW[0].0, "file.metadata()?.modified()?;\n"),
        ]);
        let mut complaints = Vec::new();
        times_of_change(&tree, &mut complaints);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with("crates/a/src/lib.rs:2: "), "{complaints:?}");
    }
}

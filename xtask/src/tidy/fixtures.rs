//! Finds test data that no test reads.

use super::tree::Tree;

/// Complains about files below testdata/ if neither their name nor that of a directory above appears in a Rust file.
pub fn unused(tree: &Tree, complaints: &mut Vec<String>) {
    let sources: String = tree.rust().map(|(_, text)| text).collect();
    for (fixture, _) in tree.files(|path| path.starts_with("testdata/")) {
        let below = fixture.trim_start_matches("testdata/");
        let name = below.rsplit('/').next().unwrap_or(below);
        let ends = below.match_indices('/').map(|(at, _)| at).chain([below.len()]);
        if !ends.map(|end| &below[..end]).chain([name]).any(|part| sources.contains(part)) {
            complaints.push(format!("{fixture}: no test reads it"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixture_is_used_by_its_name_or_its_directory() {
        let tree = Tree::of(&[
            ("a.rs", "include_str!(\"one.txt\"); read(\"rules/good\")"),
            ("testdata/x/one.txt", ""),
            ("testdata/rules/good/two.yml", ""),
            ("testdata/y/three.txt", ""),
        ]);
        let mut complaints = Vec::new();
        unused(&tree, &mut complaints);
        assert_eq!(complaints, ["testdata/y/three.txt: no test reads it"]);
    }
}

//! Letters: Rust's own mappings follow another Unicode than Go's, turn one letter into several, and look at the letters
//! around them. Product code uses `ferula_go::unicode`, or ASCII.

use super::tree::{Tree, product_code};

const CALLS: [&str; 2] = [".to_lowercase()", ".to_uppercase()"];

/// Complains about Rust's mappings of letters.
pub fn of_rust(tree: &Tree, complaints: &mut Vec<String>) {
    for (file, text) in tree.product() {
        for (at, line) in product_code(text).lines().enumerate() {
            if let Some(call) = CALLS.iter().find(|call| line.contains(*call)) {
                complaints.push(format!(
                    "{file}:{}: `{call}` is not Go's: use ferula_go::unicode, or the function for ASCII",
                    at + 1
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_for_ascii_and_those_of_tests_pass() {
        let tree = Tree::of(&[
            ("crates/a/src/bad.rs", "fn f(a: &str) { a.to_lowercase(); }\n// a.to_uppercase()\n"),
            ("crates/a/src/good.rs", "fn f(a: &str) { a.to_ascii_lowercase(); unicode::upper(a); }\n"),
            ("crates/a/src/test.rs", "//! X.\n#[cfg(test)]\nmod tests {\n    a.to_lowercase()\n}\n"),
        ]);
        let mut complaints = Vec::new();
        of_rust(&tree, &mut complaints);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with("crates/a/src/bad.rs:1:"), "{complaints:?}");
    }
}

//! Tests run on a machine that has cargo, rustc, a C compiler, git and coreutils, and nothing else on its PATH; not in a
//! home directory, and not at a place of their own below `/`.

use super::tree::{Tree, is_product};

/// Programs that tests may start by name: none is needed, since the built binary and the real programs have paths.
const STARTS: &str = "Command::new(\"";
/// Places outside of the test's own directory. `/proc/` and `/dev/` are the system's; `/bin/sh` is everywhere.
const PLACES: [&str; 7] = [
    "\"/tmp/",
    concat!("\"/ho", "me/"),
    concat!("\"/ro", "ot/"),
    "\"/nonexistent",
    "\"/does/not",
    "\"/no/",
    "\"/nowhere",
];
/// What a test would find differently for another user.
const VARIABLES: [&str; 3] = ["var(\"HOME\")", "var_os(\"HOME\")", "var(\"USER\")"];

/// Complains about tests that depend on the machine.
pub fn of_tests(tree: &Tree, complaints: &mut Vec<String>) {
    for (file, text) in tree.rust().filter(|(file, _)| file.starts_with("crates/")) {
        // Test code of a file of the product is at its end.
        let from = if is_product(file) { text.find("\n#[cfg(test)]").unwrap_or(text.len()) } else { 0 };
        let skipped = text[..from].matches('\n').count();
        for (number, line) in text[from..].lines().enumerate() {
            let place = skipped + number + 1;
            if let Some((_, name)) = line.split_once(STARTS)
                && !name.starts_with('/')
            {
                let name = name.split('"').next().unwrap_or_default();
                complaints.push(format!("{file}:{place}: a test starts `{name}`, which a machine may lack"));
            }
            let outside = PLACES.iter().chain(&VARIABLES).find(|outside| line.contains(*outside));
            if let Some(outside) = outside.filter(|_| opens(line)) {
                complaints.push(format!("{file}:{place}: a test depends on {outside}, which is not its own"));
            }
        }
    }
}

/// Whether a line looks at the place that it names, rather than at the text.
fn opens(line: &str) -> bool {
    let calls =
        ["fs::", "Path::new(", "Command::new(", "symlink(", "var(", "var_os(", "current_dir(", "env("];
    calls.iter().any(|call| line.contains(call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_places_of_a_machine_are_found_in_test_code_only() {
        let tree = Tree::of(&[
            (
                "crates/a/src/lib.rs",
                "fn f() { Command::new(\"az\"); }\n\n#[cfg(test)]\nmod tests {\n    Command::new(\"kill\")\n}\n",
            ),
            (
                "crates/a/tests/b.rs",
                "Command::new(\"/no/such\");\nstd::fs::read(\"/tmp/x\");\nassert_eq!(shown, \"/tmp/x\");\n",
            ),
        ]);
        let mut complaints = Vec::new();
        of_tests(&tree, &mut complaints);
        assert_eq!(
            complaints,
            [
                "crates/a/src/lib.rs:5: a test starts `kill`, which a machine may lack",
                "crates/a/tests/b.rs:1: a test depends on \"/no/, which is not its own",
                "crates/a/tests/b.rs:2: a test depends on \"/tmp/, which is not its own",
            ]
        );
    }
}

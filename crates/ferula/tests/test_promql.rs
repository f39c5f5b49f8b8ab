//! `ferula test promql`, called as users do.

use std::path::Path;
use std::process::{Command, Output};

fn ferula(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferula"));
    command.current_dir(root).args(["test", "promql"]).args(arguments).output().expect("ferula starts")
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn scripts_pass_or_fail() {
    let good = ferula(&["--restart", "testdata/promql"]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stdout));
    assert!(last_line(&good).ends_with(" passed, 0 failed"), "{}", last_line(&good));

    let bad = ferula(&["testdata/promql/must_fail/values.test"]);
    assert_eq!(bad.status.code(), Some(1));
    let text = String::from_utf8_lossy(&bad.stdout);
    assert!(last_line(&bad).starts_with("0 passed, "), "{text}");
    let first = "testdata/promql/must_fail/values.test:9: a{x=\"1\"} at 0 ms: expected 1.00001";
    assert!(text.contains(first), "{text}");
}

#[test]
fn invalid_scripts_are_refused() {
    for arguments in [&[][..], &["--what"], &["testdata/promql/missing"]] {
        let output = ferula(arguments);
        assert!(!output.status.success(), "{arguments:?}");
    }
}

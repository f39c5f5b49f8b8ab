//! `ferula amtool …` compared with the recorded output of the real `amtool`.

use std::process::Command;

use ferula_testkit::shared;
use serde_json::Value;

const CONFIG: &str = "testdata/alertmanager/every_receiver.yml";

/// Exit code, standard output, standard error.
fn ferula(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .arg("amtool")
        .args(arguments)
        .current_dir(shared::workspace_root())
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn alerts_are_routed_as_in_amtool() {
    let file = shared::workspace_root().join("testdata/alertmanager/routes.tsv");
    let table = std::fs::read_to_string(file).expect("the table");
    let mut rows = 0;
    for row in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<Value> =
            row.split('\t').map(|field| serde_json::from_str(field).expect("JSON")).collect();
        let arguments: Vec<&str> =
            fields[0].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let config = format!("--config.file={CONFIG}");
        let all = [&["config", "routes", arguments[0], &config], &arguments[1..]].concat();
        let (code, stdout, stderr) = ferula(&all);
        assert_eq!(Some(i64::from(code)), fields[1].as_i64(), "{arguments:?}: {stderr}");
        assert_eq!(stdout, fields[2].as_str().expect("text"), "{arguments:?}");
        let error = fields[3].as_str().expect("text").replace("amtool: ", "ferula: ");
        assert_eq!(stderr.trim_end(), error, "{arguments:?}");
        rows += 1;
    }
    assert!(rows > 10);
}

#[test]
fn files_are_checked_and_errors_have_positions() {
    let (code, stdout, _) = ferula(&["check-config", CONFIG]);
    assert_eq!(code, 0);
    assert!(stdout.starts_with(&format!(
        "Checking '{CONFIG}'  SUCCESS\nFound:\n - global config\n - route\n - 2 inhibit rules\n - 3 receivers\n - 1 templates\n"
    )));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("alertmanager.yml");
    std::fs::write(&file, "route:\n  receiver: x\nreceivers: [{name: r}]\n").expect("written");
    let file = file.to_str().expect("a name");
    let (code, stdout, stderr) = ferula(&["check-config", CONFIG, file]);
    assert_eq!(code, 1);
    assert!(
        stdout.contains(r#"  FAILED: undefined receiver "x" used in route (line 2: route.receiver)"#),
        "{stdout}"
    );
    assert_eq!(stderr, "ferula: error: failed to validate 1 file(s)\n\n");
}

#[test]
fn the_syntax_of_matchers_can_be_chosen() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("alertmanager.yml");
    let yaml = "route: {receiver: r, routes: [{matchers: ['a=b c']}]}\nreceivers: [{name: r}]\n";
    std::fs::write(&file, yaml).expect("written");
    let file = file.to_str().expect("a name");
    let (code, stdout, _) = ferula(&["check-config", file]);
    assert!(code == 0 && stdout.contains("warning: the matchers"), "{stdout}");
    let (code, stdout, _) = ferula(&["--enable-feature=utf8-strict-mode", "check-config", file]);
    assert!(code == 1 && stdout.contains("4:5: unexpected c: expected a comma or close brace"), "{stdout}");
}

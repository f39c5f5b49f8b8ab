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
fn variables_are_read_where_the_server_reads_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("alertmanager.yml");
    // `PATH` is set wherever tests run.
    let yaml = "route: {receiver: r}\nreceivers: [{name: r, webhook_configs: [{url: '${PATH}http://x/'}]}]\n";
    std::fs::write(&file, yaml.replace("${PATH}http", "http${FERULA_NO_SUCH_VARIABLE}")).expect("written");
    let name = file.to_str().expect("a name");
    let with = |arguments: &[&str]| ferula(&[arguments, &["--config.expand-env"]].concat());
    let config = format!("--config.file={name}");
    let unset = "the variable FERULA_NO_SUCH_VARIABLE is not set";
    let (code, stdout, _) = with(&["check-config", name]);
    assert!(code == 1 && stdout.contains(unset), "{stdout}");
    for command in [&["config", "routes", "show", &config][..], &["receivers", "test", "--dry-run", &config]]
    {
        let (code, _, stderr) = with(command);
        assert!(code == 1 && stderr.contains(unset), "{command:?}: {stderr}");
    }
    std::fs::write(&file, yaml.replace("${PATH}http", "http").replace("/'", "/${PATH}'")).expect("written");
    assert_eq!(with(&["check-config", name]).0, 0);
    assert_eq!(with(&["config", "routes", "show", &config]).0, 0);
}

/// Alertmanager stops at the first one.
#[test]
fn every_error_of_a_file_is_printed_in_one_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("alertmanager.yml");
    let yaml = "\
config_files: [part.yml]
route:
  receiver: x
  routes:
  - receiver: y
    matchers: ['a=~\"(\"']
    group_interval: 0s
  - receiver: r
    mute_time_intervals: [nix]
receivers:
- name: r
  colour: red
  slack_configs:
  - channel: c
- name: r
  email_configs:
  - to: ''
";
    std::fs::write(&file, yaml).expect("written");
    let part = "routes:\n- receiver: z\nreceivers:\n- name: p\n  webhook_configs: [{}]\n";
    std::fs::write(directory.path().join("part.yml"), part).expect("written");
    let (code, stdout, _) = ferula(&["check-config", file.to_str().expect("a name")]);
    assert_eq!(code, 1);
    let mut rest = stdout.as_str();
    for error in [
        "error parsing regexp: missing closing ): `^(?:()$` (line 6: route.routes[0].matchers)",
        "missing to address in email config (line 17: receivers[1].email_configs[0])",
        "line 12: field colour not found in type config.plain",
        "part.yml\": one of url or url_file must be configured (line 5: receivers[0].webhook_configs[0])",
        "a route of a part must have matchers, or it would take the alerts of others (line 2: routes[0])",
        "undefined receiver \"z\" used in route",
        "group_interval cannot be zero (line 7: route.routes[0].group_interval)",
        "no Slack API URL nor App token set either inline or in a file (line 14: receivers[0].slack_configs[0])",
        "notification config name \"r\" is not unique (line 15: receivers[1].name)",
        "undefined receiver \"y\" used in route (line 5: route.routes[0].receiver)",
        "undefined receiver \"x\" used in route (line 3: route.receiver)",
        "undefined time interval \"nix\" used in route (line 9: route.routes[1].mute_time_intervals[0])",
    ] {
        let at = rest.find(error).unwrap_or_else(|| panic!("{error} does not follow in\n{stdout}"));
        rest = &rest[at + error.len()..];
    }
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

#[test]
fn every_template_that_fails_is_named_with_file_line_and_field() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).expect("written");
        file.to_str().expect("a name").to_owned()
    };
    let yaml = "\
route: {receiver: r}
receivers:
- name: r
  slack_configs:
  - api_url: http://x/
    channel: c
    title: '{{ .Nothing }}'
    text: '{{ .CommonLabels.a.b }}'
";
    let file = write("alertmanager.yml", yaml);
    let (code, stdout, _) = ferula(&["check-config", &file]);
    // Alertmanager takes the file, so these are warnings.
    assert_eq!(code, 0, "{stdout}");
    for (line, field) in [(7, "title"), (8, "text")] {
        let expected =
            format!(" - warning: {file}:{line}: receivers[0].slack_configs[0].{field}: template: :1:");
        assert!(stdout.contains(&expected), "{expected} is not in\n{stdout}");
    }
    write("a.tmpl", "{{ define");
    write("b.tmpl", "{{ unknown }}");
    let file = write("alertmanager.yml", &format!("{yaml}templates: ['*.tmpl']\n"));
    let (code, stdout, _) = ferula(&["check-config", &file]);
    assert_eq!((code, stdout.matches("  FAILED: ").count()), (1, 2), "{stdout}");
    assert!(stdout.contains("a.tmpl") && stdout.contains("b.tmpl"), "{stdout}");
}

#[test]
fn routes_are_tested_at_a_time_and_against_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).expect("written");
        file.to_str().expect("a name").to_owned()
    };
    let config = write(
        "alertmanager.yml",
        "route: {receiver: r, routes: [{matchers: [team=x], receiver: x, mute_time_intervals: [night], continue: true}, {matchers: [team=x], receiver: log}]}
receivers: [{name: r}, {name: x}, {name: log}]
time_intervals: [{name: night, time_intervals: [{times: [{start_time: '00:00', end_time: '06:00'}]}]}]
",
    );
    let config = format!("--config.file={config}");
    let at = |time: &str| ferula(&["config", "routes", "test", &config, &format!("--at={time}"), "team=x"]);
    assert_eq!(at("2026-11-30T12:00:00Z"), (0, "x,log\n".to_owned(), String::new()));
    assert_eq!(at("2026-11-30T02:00:00Z").1, "x,log\nx is muted by night until 2026-11-30T06:00:00Z\n");
    let good = "\
- labels: {team: x}
  receivers: [x, log]
  at: '2026-11-30T02:00:00Z'
  muted: [x]
- labels: {team: z, n: 1}
  receivers: [r]
";
    for (text, code, expected) in [
        (good.to_owned(), 0, "2 of 2 expectations are met\n".to_owned()),
        (
            good.replace("[r]", "[log]").replace("T02", "T12"),
            1,
            "FAILED: FILE: expectation 1 (team=x): muted receivers are [], expected [x]\n\
             FAILED: FILE: expectation 2 (n=1 team=z): receivers are [r], expected [log]\n\
             0 of 2 expectations are met\n"
                .to_owned(),
        ),
    ] {
        let file = write("expected.yml", &text);
        let (found, stdout, stderr) =
            ferula(&["config", "routes", "test", &config, &format!("--expectations={file}")]);
        assert_eq!((found, stdout.replace(&file, "FILE")), (code, expected), "{stderr}");
    }
    let file = write("expected.yml", "- {lables: {a: b}}\n");
    let (code, _, stderr) = ferula(&["config", "routes", "test", &config, &format!("--expectations={file}")]);
    assert!(code == 1 && stderr.contains("expectation 1: unknown key lables"), "{stderr}");
}

//! Alertmanager's configuration: what it refuses is refused in its words, what it accepts is printed as it prints it.
//!
//! The texts in `testdata/alertmanager` were recorded from Alertmanager 0.33.1. Where the real `amtool` is at hand
//! (`FERULA_PEERS`), it is asked again, about the project's own cases and about those that others wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use ferula_config::ConfigError;
use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};
use ferula_testkit::shared;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/alertmanager").join(name)
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The text without the place that is added to it.
fn cause(error: &ConfigError) -> String {
    let text = error.to_string();
    match error.place() {
        Some(place) => {
            let added = format!(" (line {}: {})", place.line, place.path);
            text.strip_suffix(&added).expect("the place ends the text").to_owned()
        }
        None => text,
    }
}

/// What `amtool check-config` says about a file: its error, or nothing when it accepts the file.
fn amtool(file: &Path) -> Option<Result<(), String>> {
    let amtool = shared::peer("amtool")?;
    let out = Command::new(amtool).arg("check-config").arg(file).output().expect("amtool starts");
    let stdout = String::from_utf8(out.stdout).expect("amtool prints text");
    let failed = stdout.lines().next().is_some_and(|line| line.contains("  FAILED: "));
    Some(match stdout.split_once("  FAILED: ").filter(|_| failed) {
        Some((_, text)) => Err(text.trim_end().to_owned()),
        None => Ok(()),
    })
}

/// Compares line by line, so that a failure shows the first line that differs.
fn assert_same_lines(found: &str, expected: &str) {
    for (index, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", index + 1);
    }
    assert_eq!(found, expected);
}

struct Case {
    error: String,
    yaml: String,
}

fn refused_cases() -> Vec<Case> {
    let text = read(&testdata("refused.txt"));
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(error) = line.strip_prefix("=== ") {
            cases.push(Case { error: error.replace("\\n", "\n"), yaml: String::new() });
        } else if let Some(case) = cases.last_mut() {
            case.yaml += if line == "%R" { "receivers: [{name: r}]" } else { line };
            case.yaml.push('\n');
        }
    }
    cases
}

#[test]
fn what_alertmanager_refuses_is_refused_in_its_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("alertmanager.yml");
    let cases = refused_cases();
    assert!(cases.len() > 120, "only {} cases were read", cases.len());
    for case in cases {
        let error = AlertmanagerConfig::parse(&case.yaml, MatcherSyntax::Fallback)
            .map(|_| ())
            .expect_err(&format!("accepted:\n{}", case.yaml));
        assert_eq!(cause(&error), case.error, "{}", case.yaml);
        std::fs::write(&file, &case.yaml).expect("written");
        if let Some(found) = amtool(&file) {
            assert_eq!(found, Err(case.error), "the real one, about\n{}", case.yaml);
        }
    }
}

/// Six kinds of files crash the real program with a nil pointer; here they are refused with an error.
#[test]
fn null_items_are_refused_in_words() {
    let receiver = |key: &str| format!("route: {{receiver: r}}\nreceivers: [{{name: r, {key}: [null]}}]\n");
    for (yaml, expected) in [
        (receiver("slack_configs"), "missing slack config (line 2: receivers[0].slack_configs[0])"),
        (receiver("opsgenie_configs"), "missing opsgenie config (line 2: receivers[0].opsgenie_configs[0])"),
        (receiver("wechat_configs"), "missing wechat config (line 2: receivers[0].wechat_configs[0])"),
        (
            receiver("rocketchat_configs"),
            "missing rocketchat config (line 2: receivers[0].rocketchat_configs[0])",
        ),
        (
            "route: {receiver: r, routes: [null]}\nreceivers: [{name: r}]\n".to_owned(),
            "empty or null route (line 1: route.routes[0])",
        ),
        (
            "route: {receiver: r}\nreceivers: [{name: r}]\nglobal: {slack_app_token: a, slack_api_url_file: f}\n"
                .to_owned(),
            "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured \
             (line 3: global.slack_app_token)",
        ),
    ] {
        let error = AlertmanagerConfig::parse(&yaml, MatcherSyntax::Fallback).expect_err(&yaml);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn the_effective_configuration_is_printed_as_alertmanager_prints_it() {
    let file = testdata("every_receiver.yml");
    let config = AlertmanagerConfig::parse(&read(&file), MatcherSyntax::Fallback).expect("a good file");
    let printed = config.to_yaml();
    assert_same_lines(&printed, &read(&testdata("every_receiver.printed.yml")));
    for secret in ["hunter2", "xoxb-1", "12:token", "hooks.slack.com/services", "proxy.example.org:password"]
    {
        assert!(!printed.contains(secret), "{secret} is shown");
        assert!(!format!("{config:?}").contains(secret), "{secret} is in the debug output");
    }
}

/// A token for Slack's bots becomes credentials and an address when it is filled in, which the file itself may not
/// have together; Alertmanager does not load its own printed form then either.
#[test]
fn what_is_printed_is_judged_as_by_amtool() {
    let file = testdata("every_receiver.printed.yml");
    let printed = read(&file);
    let error =
        AlertmanagerConfig::parse(&printed, MatcherSyntax::Fallback).expect_err("a token and an address");
    let text = "at most one of api_url/api_url_file & app_token/app_token_file must be configured";
    assert_eq!(cause(&error), text);
    assert!(amtool(&file).is_none_or(|real| real == Err(text.to_owned())));
    let without_bot = printed.replace("    app_token: <secret>\n", "");
    AlertmanagerConfig::parse(&without_bot, MatcherSyntax::Fallback).expect("the rest loads");
}

#[test]
fn the_cases_that_others_wrote_are_judged_as_by_amtool() {
    let Some(directory) = shared::directory("cases/alertmanager") else { return };
    let mut files: Vec<PathBuf> = ["config", "cli"]
        .iter()
        .flat_map(|part| std::fs::read_dir(directory.join(part)).expect("a directory of cases"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    assert!(files.len() > 40, "only {} files", files.len());
    let mut compared = 0;
    for file in files {
        let found = AlertmanagerConfig::load(&file, MatcherSyntax::Fallback);
        let Some(real) = amtool(&file) else { continue };
        compared += 1;
        let found = found.map(|_| ()).map_err(|error| cause(&error));
        assert_eq!(found, real, "{}", file.display());
    }
    println!("{compared} files compared with amtool");
}

//! Rule files that Prometheus tests itself with.

use std::path::Path;

use ferula_config::rules::{LoadedRules, RuleFileOptions, load_rules, parse_rules};
use ferula_model::labels::NameScheme;
use ferula_promql_syntax::ParserOptions;
use ferula_testkit::shared::{self, workspace_root};

fn load(file: &Path, names: NameScheme) -> Result<LoadedRules, Vec<String>> {
    let options = RuleFileOptions {
        names,
        ignore_unknown_fields: false,
        parser: ParserOptions::default(),
        check_template: &|_, _| Ok(()),
    };
    load_rules(file, &options).map_err(|errors| errors.texts().collect())
}

/// The name of each bad file with what Prometheus says about it.
const REFUSED: [(&str, &str); 11] = [
    ("duplicate_grp", r#"groupname: "yolo" is repeated in the same file"#),
    (
        "bad_expr",
        r#"5:15: group "yolo", rule 1, "yolo": could not parse expression: 1:6: parse error: expected type range vector in call to function "rate", got instant vector"#,
    ),
    (
        "record_and_alert",
        r#"4:17: 5:16: group "yolo", rule 1, "Hello": only one of 'record' and 'alert' must be set"#,
    ),
    ("no_rec_alert", r#"group "yolo", rule 1, "": one of 'record' or 'alert' must be set"#),
    ("noexpr", r#"group "yolo", rule 1, "ylo": field 'expr' must be set in rule"#),
    (
        "invalid_record_name",
        r#"4:17: group "yolo", rule 1, "strawberry{flavor=\"sweet\"}": braces present in the recording rule name; should it be in expr?: strawberry{flavor="sweet"}"#,
    ),
    ("bad_field", "yaml: unmarshal errors:\n  line 8: field annotation not found in type rulefmt.Rule"),
    ("invalid_label_name", r#"group "yolo", rule 1, "hola": invalid label name: __name__"#),
    ("record_and_for", r#"4:17: group "yolo", rule 1, "Hello": invalid field 'for' in recording rule"#),
    (
        "record_and_keep_firing_for",
        r#"4:17: group "yolo", rule 1, "Hello": invalid field 'keep_firing_for' in recording rule"#,
    ),
    ("legacy_validation_annotation", "invalid annotation name: ins-tance"),
];

#[test]
fn every_rule_file_is_refused_or_loaded_as_by_prometheus() {
    let Some(directory) = shared::directory("cases/rulefmt") else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        let names = if name.starts_with("legacy") { NameScheme::Legacy } else { NameScheme::Utf8 };
        let result = load(&file, names);
        count += 1;
        match name.strip_suffix(".bad.yaml") {
            None => assert!(result.is_ok(), "{name}: {result:?}"),
            Some(stem) => {
                let (_, expected) = REFUSED.iter().find(|(name, _)| *name == stem).expect("a known case");
                let errors = result.expect_err(name);
                assert!(errors[0].contains(expected), "{name}: {errors:?}");
                assert!(errors[0].starts_with(&format!("{}: ", file.display())));
            }
        }
    }
    shared::ran("cases/rulefmt", count);
}

/// `testdata/config/refused_rules.txt` has what promtool prints. Where it shows `0:0` for something that is missing, the
/// rule's first text is shown instead.
#[test]
fn every_case_is_refused_with_promtools_words() {
    let path = workspace_root().join("testdata/config/refused_rules.txt");
    let text = std::fs::read_to_string(path).expect("the file of cases");
    let options = RuleFileOptions {
        names: NameScheme::Utf8,
        ignore_unknown_fields: false,
        parser: ParserOptions::default(),
        check_template: &|_, _| Ok(()),
    };
    let (mut cases, mut wrong) = (0, Vec::new());
    for case in text.split("\n== ").skip(1) {
        let (name, rest) = case.split_once('\n').expect("a name on a line of its own");
        let (yaml, expected) = rest.split_once("\n=> ").expect("errors behind an arrow");
        let found = match parse_rules(&format!("{yaml}\n"), &options) {
            Ok(_) => "nothing: it loads".to_owned(),
            Err(errors) => errors.to_string(),
        };
        cases += 1;
        let expected = expected.trim_end_matches('\n').replace("\n   ", "\n");
        let same = found.lines().count() == expected.lines().count()
            && found.lines().zip(expected.lines()).all(|(found, expected)| same_line(found, expected));
        if !same {
            wrong.push(format!("{name}:\n{found}\n  instead of\n{expected}\n"));
        }
    }
    assert!(cases >= 35, "{cases} cases");
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Equal but for places that promtool does not know, and the place that we add at the end.
fn same_line(found: &str, expected: &str) -> bool {
    let unplaced = expected.split("0:0: ").last().unwrap_or_default();
    let known = if unplaced.len() < expected.len() { unplaced } else { expected };
    let own = match found.rsplit_once(" (line ") {
        Some((text, place)) if place.ends_with(')') && !expected.ends_with(')') => text,
        _ => found,
    };
    if known.len() < expected.len() { own.ends_with(known) } else { own == known }
}

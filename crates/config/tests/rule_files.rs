//! Rule files that Prometheus tests itself with.

use std::path::Path;

use ferula_config::rules::{LoadedRules, RuleFileOptions, load_rules};
use ferula_model::labels::NameScheme;
use ferula_promql_syntax::ParserOptions;
use ferula_testkit::shared;

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
    let Some(folder) = shared::folder("cases/rulefmt") else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
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

//! Rule files: groups of recording and alerting rules, read by go-yaml v3's rules and checked as Prometheus does.
//!
//! Here: reading one. Below: the sections (`file`), their checks (`check`), and what can be wrong (`error`).

mod check;
mod error;
mod file;

use std::path::Path;

use self::check::check_groups;
pub use self::error::{FileFault, Position, RuleFault, RuleFileError, RuleFileErrors, TemplateFault};
pub use self::file::{Positioned, Rule, RuleFile, RuleFileOptions, RuleGroup};
use crate::error::ConfigError;
use crate::yaml::decode::decode_tree;
use crate::yaml::dialect::Dialect;
use crate::yaml::tree::Tree;

/// A rule file that was read, and what callers should tell its author.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadedRules {
    /// The groups.
    pub groups: Vec<RuleGroup>,
    /// Whether the file has further YAML documents, which are not read.
    pub more_documents: bool,
}

/// Reads and checks the text of a rule file.
///
/// # Errors
/// Everything that is wrong, each as Prometheus prints it: `line:column: group "g", rule N, "name": …`. Where
/// Prometheus shows `0:0` for something that is missing, the place of what surrounds it is shown.
pub fn parse_rules(text: &str, options: &RuleFileOptions<'_>) -> Result<LoadedRules, RuleFileErrors> {
    let tree = Tree::parse(text.as_bytes()).map_err(|error| ConfigError::bare(error.to_string()))?;
    let Some(tree) = tree else { return Ok(LoadedRules::default()) };
    let dialect = Dialect::V3 { strict: !options.ignore_unknown_fields };
    let mut file = RuleFile::default();
    decode_tree(&tree, dialect, &mut file)?;
    let faults = check_groups(&file.groups, options);
    if faults.is_empty() {
        Ok(LoadedRules { groups: file.groups, more_documents: tree.more_documents })
    } else {
        Err(RuleFileErrors::new(faults))
    }
}

/// Reads and checks a rule file; the errors start with its name.
///
/// # Errors
/// As [`parse_rules`], or why the file cannot be read.
pub fn load_rules(file: &Path, options: &RuleFileOptions<'_>) -> Result<LoadedRules, RuleFileErrors> {
    let loaded = crate::files::read_file(file).map_err(RuleFileErrors::from);
    loaded.and_then(|text| parse_rules(&text, options)).map_err(|errors| errors.in_file(file))
}

#[cfg(test)]
mod tests {
    use ferula_model::labels::NameScheme;
    use ferula_promql_syntax::ParserOptions;

    use super::*;

    fn read(text: &str) -> Result<LoadedRules, Vec<String>> {
        let refuse_ends = |_: &str, text: &str| match text.contains("{{end}}") {
            true => Err(TemplateFault("template: unexpected {{end}}".to_owned())),
            false => Ok(()),
        };
        let options = RuleFileOptions {
            names: NameScheme::Utf8,
            ignore_unknown_fields: false,
            parser: ParserOptions::default(),
            check_template: &refuse_ends,
        };
        parse_rules(text, &options).map_err(|errors| errors.texts().collect())
    }

    #[test]
    fn places_are_those_of_the_texts_and_of_aliases() {
        let errors = read(
            "groups:\n- name: g\n  rules:\n  - alert: &n A\n    expr: &e rate(x)\n  - record: *n\n    expr: *e\n    for: 1m\n",
        )
        .unwrap_err();
        let rate =
            r#"parse error: expected type range vector in call to function "rate", got instant vector"#;
        assert_eq!(
            errors,
            [
                format!("5:11: group \"g\", rule 1, \"A\": could not parse expression: 1:6: {rate}"),
                format!("7:11: group \"g\", rule 2, \"A\": could not parse expression: 1:6: {rate}"),
                "6:13: group \"g\", rule 2, \"A\": invalid field 'for' in recording rule".to_owned(),
            ]
        );
    }

    #[test]
    fn own_keys_win_over_merged_ones_and_repeated_ones_are_refused() {
        let loaded = read(
            "groups:\n- name: g\n  rules:\n  - &a {alert: A, expr: up, labels: {x: '1', y: '2'}}\n  - alert: B\n    <<: *a\n    labels: {x: '3'}\n",
        )
        .unwrap();
        let rule = &loaded.groups[0].rules[1];
        assert_eq!((rule.name(), &*rule.expr, rule.labels.len()), ("B", "up", 1));
        let errors = read("groups:\n- name: g\n  name: h\n").unwrap_err();
        assert_eq!(
            errors,
            ["yaml: unmarshal errors:\n  line 3: mapping key \"name\" already defined at line 2"]
        );
        let errors = read("groups:\n- name: g\n  rulez: []\n").unwrap_err();
        assert_eq!(
            errors,
            ["yaml: unmarshal errors:\n  line 3: field rulez not found in type rulefmt.RuleGroup"]
        );
    }

    /// The real promtool loads all of these, with as many rules.
    #[test]
    fn null_items_and_keys_are_passed_over() {
        for (text, rules) in [
            ("groups: [null]\n", 0),
            ("groups:\n- name: g\n  rules:\n  - {record: a, expr: up}\n  -\n", 1),
            ("groups:\n- name: g\n  rules: [~]\n  labels: {a: null}\n", 0),
            (
                "groups:\n-\n- name: yes\n  limit: ~\n  interval: null\n  rules: [{record: a, expr: up, labels: {~: x}}]\n",
                1,
            ),
            ("groups:\n- name: g\n  limit: -.Inf\n  rules: [&n ~, *n]\n", 0),
            ("~: 1\n", 0),
        ] {
            let loaded = read(text).expect(text);
            assert_eq!(loaded.groups.iter().map(|group| group.rules.len()).sum::<usize>(), rules, "{text}");
        }
        let names: Vec<String> = read("groups: [{name: yes}, {name: -.Inf}, {name: \"it\\'s\"}]")
            .unwrap()
            .groups
            .iter()
            .map(|group| group.name.to_string())
            .collect();
        assert_eq!(names, ["yes", "-.Inf", "it's"]);
        assert_eq!(
            read("groups: [{name: !!bool yes}]"),
            Err(vec!["yaml: cannot decode !!str `yes` as a !!bool (line 1: groups[0].name)".to_owned()])
        );
    }

    #[test]
    fn templates_are_checked_with_their_rule() {
        let errors =
            read("groups:\n- name: g\n  rules:\n  - {alert: A, expr: up, annotations: {x: '{{end}}'}}\n");
        assert_eq!(
            errors,
            Err(vec![
                "group \"g\", rule 1, \"A\": annotation \"x\": template: unexpected {{end}}".to_owned()
            ])
        );
        assert!(read("").unwrap().groups.is_empty());
        assert!(read("groups: []\n---\ngroups: []\n").unwrap().more_documents);
    }
}

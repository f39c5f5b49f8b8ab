//! Rule files: groups of recording and alerting rules, read by go-yaml v3's rules and checked as Prometheus does.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use ferula_go::quote::go_quote;
use ferula_model::labels::{METRIC_NAME, NameScheme};
use ferula_promql_syntax::{ParserOptions, parse};

use crate::error::Problem;
use crate::section::section;
use crate::yaml::decode::{Decoder, Dialect, Value, decode_tree};
use crate::yaml::emit::Out;
use crate::yaml::tree::{NodeId, Tree};

section! {
    /// The groups of one file.
    pub struct RuleFile as "rulefmt.RuleGroups" {
        keep groups: Vec<RuleGroup>;
    }
}

section! {
    /// Rules that are evaluated together, in order.
    pub struct RuleGroup as "rulefmt.RuleGroup" {
        keep name: Positioned;
        /// 0: the global evaluation interval.
        omit interval: Duration;
        omit query_offset: Option<Duration>;
        /// 0: no limit.
        omit limit: i64;
        keep rules: Vec<Rule>;
        /// Labels of every rule; a rule's own label of the same name wins.
        omit labels: BTreeMap<String, String>;
    }
}

section! {
    /// One rule: `record` or `alert`, never both.
    pub struct Rule as "rulefmt.Rule" {
        omit record: Positioned;
        omit alert: Positioned;
        keep expr: Positioned;
        omit hold as "for": Duration;
        omit keep_firing_for: Duration;
        omit labels: BTreeMap<String, String>;
        omit annotations: BTreeMap<String, String>;
    }
}

impl Rule {
    /// The name of the alert, or of the series that is recorded.
    pub fn name(&self) -> &str {
        if self.alert.is_empty() { &self.record } else { &self.alert }
    }

    /// Whether this is an alerting rule.
    pub fn is_alert(&self) -> bool {
        !self.alert.is_empty()
    }
}

/// A text with the place where it was written.
#[derive(Clone, Debug, Default)]
pub struct Positioned {
    text: String,
    line: u32,
    column: u32,
}

impl Positioned {
    /// A text that was not read from a file.
    pub fn new(text: impl Into<String>) -> Self {
        Positioned { text: text.into(), line: 0, column: 0 }
    }

    /// The line it was written on, from 1; 0 when it was not written.
    pub fn line(&self) -> u32 {
        self.line
    }
}

/// Where a text stands does not matter to whether a rule has changed.
impl PartialEq for Positioned {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl std::ops::Deref for Positioned {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Positioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Value for Positioned {
    fn zero() -> Self {
        Positioned::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        let mark = d.mark(id);
        (self.line, self.column) = (mark.line, mark.column);
        self.text.decode(id, d)
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        self.text.is_empty()
    }

    fn print(&self) -> Out {
        Out::Text(self.text.clone())
    }
}

/// How a rule file is read.
pub struct RuleFileOptions<'a> {
    /// Which names labels and metrics may have.
    pub names: NameScheme,
    /// Whether unknown keys are passed over.
    pub ignore_unknown_fields: bool,
    /// Which experimental parts of the language expressions may use.
    pub parser: ParserOptions,
    /// Says whether a template parses, given its name and text; the error is shown to the user.
    pub check_template: &'a dyn Fn(&str, &str) -> Result<(), String>,
}

/// A rule file that was read, with what its reader should be told.
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
pub fn parse_rules(text: &str, options: &RuleFileOptions<'_>) -> Result<LoadedRules, Vec<String>> {
    let Some(tree) = Tree::parse(text.as_bytes()).map_err(|error| vec![error.to_string()])? else {
        return Ok(LoadedRules::default());
    };
    let dialect = Dialect::V3 { strict: !options.ignore_unknown_fields };
    let mut file = RuleFile::default();
    decode_tree(&tree, dialect, &mut file).map_err(|error| vec![error.to_string()])?;
    let errors = check_groups(&file.groups, options);
    if errors.is_empty() {
        Ok(LoadedRules { groups: file.groups, more_documents: tree.more_documents })
    } else {
        Err(errors)
    }
}

/// Reads and checks a rule file; the errors start with its name.
///
/// # Errors
/// As [`parse_rules`], or why the file cannot be read.
pub fn load_rules(file: &Path, options: &RuleFileOptions<'_>) -> Result<LoadedRules, Vec<String>> {
    let text =
        crate::config::read_file(file).map_err(|error| vec![format!("{}: {error}", file.display())])?;
    parse_rules(&text, options)
        .map_err(|errors| errors.into_iter().map(|error| format!("{}: {error}", file.display())).collect())
}

fn check_groups(groups: &[RuleGroup], options: &RuleFileOptions<'_>) -> Vec<String> {
    let mut errors = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let (line, column) = (group.name.line, group.name.column);
        if group.name.is_empty() {
            errors.push(format!("{line}:{column}: Groupname must not be empty"));
        }
        if groups[..index].iter().any(|earlier| earlier.name == group.name) {
            let text = format!("groupname: \"{}\" is repeated in the same file", group.name);
            errors.push(format!("{line}:{column}: {text}"));
        }
        errors.extend(group.labels.keys().filter_map(|name| check_label_name(name, options.names)));
        for (index, rule) in group.rules.iter().enumerate() {
            for (place, text) in check_rule(rule, options) {
                let (number, name) = (index + 1, go_quote(rule.name()));
                errors.push(format!("{place}group {}, rule {number}, {name}: {text}", go_quote(&group.name)));
            }
        }
    }
    errors
}

fn check_label_name(name: &str, names: NameScheme) -> Option<String> {
    let holds = names.is_label_name(name) && name != METRIC_NAME;
    (!holds).then(|| format!("invalid label name: {name}"))
}

/// What is wrong with a rule: the place as it is printed in front, and the text.
fn check_rule(rule: &Rule, options: &RuleFileOptions<'_>) -> Vec<(String, String)> {
    let mut errors = Vec::new();
    let written = [&rule.record, &rule.alert, &rule.expr].into_iter().find(|text| text.line > 0);
    // What is missing has no place; the rule's first text stands in for it.
    let at = |text: &Positioned| {
        let shown = if text.line > 0 { text } else { written.unwrap_or(text) };
        format!("{}:{}: ", shown.line, shown.column)
    };
    let both = || at(&rule.record) + &at(&rule.alert);
    match (rule.record.is_empty(), rule.alert.is_empty()) {
        (false, false) => errors.push((both(), "only one of 'record' and 'alert' must be set".to_owned())),
        (true, true) => errors.push((both(), "one of 'record' or 'alert' must be set".to_owned())),
        _ => {}
    }
    if rule.expr.is_empty() {
        errors.push((at(&rule.expr), "field 'expr' must be set in rule".to_owned()));
    } else if let Err(error) = parse(&rule.expr, &options.parser) {
        errors.push((at(&rule.expr), format!("could not parse expression: {error}")));
    }
    if !rule.record.is_empty() {
        errors.extend(check_recording(rule, options.names).into_iter().map(|text| (at(&rule.record), text)));
    }
    for name in rule.labels.keys() {
        errors.extend(check_label_name(name, options.names).map(|text| (String::new(), text)));
    }
    for name in rule.annotations.keys() {
        if !options.names.is_label_name(name) {
            errors.push((String::new(), format!("invalid annotation name: {name}")));
        }
    }
    errors.extend(check_templates(rule, options).into_iter().map(|text| (String::new(), text)));
    errors
}

fn check_recording(rule: &Rule, names: NameScheme) -> Vec<String> {
    let mut errors = Vec::new();
    for (given, field) in [
        (!rule.annotations.is_empty(), "annotations"),
        (!rule.hold.is_zero(), "for"),
        (!rule.keep_firing_for.is_zero(), "keep_firing_for"),
    ] {
        if given {
            errors.push(format!("invalid field '{field}' in recording rule"));
        }
    }
    if !names.is_metric_name(&rule.record) {
        errors.push(format!("invalid recording rule name: {}", rule.record));
    }
    // Allowed characters, but most likely an expression that was put on the wrong line.
    if rule.record.contains(['{', '}']) {
        errors.push(format!(
            "braces present in the recording rule name; should it be in expr?: {}",
            rule.record
        ));
    }
    errors
}

fn check_templates(rule: &Rule, options: &RuleFileOptions<'_>) -> Vec<String> {
    if !rule.is_alert() {
        return Vec::new();
    }
    let name = format!("__alert_{}", rule.alert);
    let labels = rule.labels.iter().map(|entry| ("label", entry));
    let annotations = rule.annotations.iter().map(|entry| ("annotation", entry));
    labels
        .chain(annotations)
        .filter_map(|(what, (key, text))| {
            let error = (options.check_template)(&name, text).err()?;
            Some(format!("{what} {}: {error}", go_quote(key)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LoadedRules, Vec<String>> {
        let refuse_ends = |_: &str, text: &str| match text.contains("{{end}}") {
            true => Err("template: unexpected {{end}}".to_owned()),
            false => Ok(()),
        };
        parse_rules(
            text,
            &RuleFileOptions {
                names: NameScheme::Utf8,
                ignore_unknown_fields: false,
                parser: ParserOptions::default(),
                check_template: &refuse_ends,
            },
        )
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

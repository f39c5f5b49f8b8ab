//! Relabel rules: rewrite, keep and drop label sets.
//!
//! Here: the definition, validation and application of a rule. Elsewhere: the YAML that rules come from
//! (`ferula-config`), and which rules run when (targets and samples in `ferula-scraper`, alerts in `ferula-notifier`).
//! Semantics and texts are those of `model/relabel/relabel.go`.

use std::sync::LazyLock;

use md5::{Digest, Md5};

use crate::labels::{LabelSetBuilder, NameScheme};
use crate::regex::LabelRegex;
use ferula_go::quote::go_quote;
use ferula_go::regexp::SyntaxError;
use ferula_go::unicode;

/// The regex of a rule that does not set one.
pub const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REPLACEMENT: &str = "$1";

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sets `target_label` to the expanded replacement if the regex matches.
    #[default]
    Replace,
    /// Drops the whole set unless the regex matches.
    Keep,
    /// Drops the whole set if the regex matches.
    Drop,
    /// Drops the whole set unless `target_label` has the joined value.
    KeepEqual,
    /// Drops the whole set if `target_label` has the joined value.
    DropEqual,
    /// Sets `target_label` to a hash of the joined value, modulo `modulus`.
    HashMod,
    /// Copies the value of every label whose name matches to the expanded name.
    LabelMap,
    /// Removes every label whose name matches.
    LabelDrop,
    /// Removes every label whose name does not match.
    LabelKeep,
    /// Sets `target_label` to the joined value in lower case.
    Lowercase,
    /// Sets `target_label` to the joined value in upper case.
    Uppercase,
}

impl Action {
    const ALL: [Action; 11] = [
        Action::Replace,
        Action::Keep,
        Action::Drop,
        Action::KeepEqual,
        Action::DropEqual,
        Action::HashMod,
        Action::LabelMap,
        Action::LabelDrop,
        Action::LabelKeep,
        Action::Lowercase,
        Action::Uppercase,
    ];

    /// Parses an action's name, ignoring case.
    pub fn parse(name: &str) -> Result<Self, RelabelError> {
        let lower = unicode::lower(name);
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == lower)
            .ok_or_else(|| RelabelError::UnknownAction(name.to_owned()))
    }

    /// The name as the configuration file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Replace => "replace",
            Action::Keep => "keep",
            Action::Drop => "drop",
            Action::KeepEqual => "keepequal",
            Action::DropEqual => "dropequal",
            Action::HashMod => "hashmod",
            Action::LabelMap => "labelmap",
            Action::LabelDrop => "labeldrop",
            Action::LabelKeep => "labelkeep",
            Action::Lowercase => "lowercase",
            Action::Uppercase => "uppercase",
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a rule was refused; the texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelabelError {
    /// The action is present but empty.
    #[error("relabel action cannot be empty")]
    NoAction,
    /// The regex is invalid.
    #[error(transparent)]
    Regex(#[from] SyntaxError),
    #[error("unknown relabel action {}", go_quote(.0))]
    UnknownAction(String),
    /// `hashmod` without a modulus.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    ZeroModulus,
    /// The action writes to a label but none is named.
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    MissingTargetLabel(Action),
    /// The target label can never be a valid label name.
    #[error("{} is invalid 'target_label' for {action} action", go_quote(.label))]
    InvalidTargetLabel {
        /// The invalid name.
        label: String,
        /// The rule's action.
        action: Action,
    },
    /// The action does not use a replacement.
    #[error("'replacement' can not be set for {0} action")]
    ReplacementNotAllowed(Action),
    /// `labelmap` would create invalid names.
    #[error("{} is invalid 'replacement' for {action} action", go_quote(.replacement))]
    InvalidReplacement {
        /// The invalid replacement.
        replacement: String,
        /// The rule's action.
        action: Action,
    },
    /// `keepequal` and `dropequal` accept two fields.
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlySourceAndTarget(Action),
    /// `labeldrop` and `labelkeep` accept one field.
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(Action),
}

/// One relabel rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Labels whose values are joined.
    pub source_labels: Vec<String>,
    /// Placed between the joined values.
    pub separator: String,
    /// Matched against the joined value, or against label names by the `label…` actions.
    pub regex: LabelRegex,
    /// Modulus of `hashmod`.
    pub modulus: u64,
    /// The label to write; `replace` expands groups of the regex in it.
    pub target_label: String,
    /// The result; groups of the regex are expanded.
    pub replacement: String,
    /// What the rule does.
    pub action: Action,
    /// Which names the rule may write.
    pub scheme: NameScheme,
}

static DEFAULT_RULE: LazyLock<Rule> = LazyLock::new(|| Rule {
    source_labels: Vec::new(),
    separator: DEFAULT_SEPARATOR.to_owned(),
    regex: LabelRegex::new(DEFAULT_REGEX).expect("the default regex is valid"),
    modulus: 0,
    target_label: String::new(),
    replacement: DEFAULT_REPLACEMENT.to_owned(),
    action: Action::Replace,
    scheme: NameScheme::Utf8,
});

/// The rule with no field set.
impl Default for Rule {
    fn default() -> Self {
        DEFAULT_RULE.clone()
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        let parts = |rule: &Self| {
            (rule.modulus, rule.action, rule.scheme, rule.regex.pattern().to_owned(), rule.separator.clone())
        };
        self.source_labels == other.source_labels
            && self.target_label == other.target_label
            && self.replacement == other.replacement
            && parts(self) == parts(other)
    }
}

impl Eq for Rule {}

impl Rule {
    /// Checks whether the fields fit the action.
    ///
    /// # Errors
    /// The first of Prometheus' checks that fails, in its order.
    pub fn validate(&self) -> Result<(), RelabelError> {
        use Action::{
            DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase,
        };
        let action = self.action;
        if action == HashMod && self.modulus == 0 {
            return Err(RelabelError::ZeroModulus);
        }
        let writes = matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if writes && self.target_label.is_empty() {
            return Err(RelabelError::MissingTargetLabel(action));
        }
        if writes && !self.is_possible_target() {
            return Err(RelabelError::InvalidTargetLabel { label: self.target_label.clone(), action });
        }
        let plain = matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual);
        if plain && self.replacement != DEFAULT_REPLACEMENT {
            return Err(RelabelError::ReplacementNotAllowed(action));
        }
        if action == LabelMap && !self.is_possible_name(&self.replacement) {
            let replacement = self.replacement.clone();
            return Err(RelabelError::InvalidReplacement { replacement, action });
        }
        let defaults = self.modulus == 0
            && self.separator == DEFAULT_SEPARATOR
            && self.replacement == DEFAULT_REPLACEMENT;
        if matches!(action, KeepEqual | DropEqual) && !(defaults && self.has_default_regex()) {
            return Err(RelabelError::OnlySourceAndTarget(action));
        }
        let bare = defaults && self.source_labels.is_empty() && self.target_label.is_empty();
        if matches!(action, LabelDrop | LabelKeep) && !bare {
            return Err(RelabelError::OnlyRegex(action));
        }
        Ok(())
    }

    /// Whether the expanded target label can be a valid label name.
    fn is_possible_target(&self) -> bool {
        if self.action == Action::Replace && has_variable(&self.target_label) {
            self.is_possible_name(&self.target_label)
        } else {
            self.scheme.is_label_name(&self.target_label)
        }
    }

    /// Whether a text with `$variables` can expand to a valid label name.
    fn is_possible_name(&self, template: &str) -> bool {
        static LEGACY_TEMPLATE: LazyLock<regex::Regex> = LazyLock::new(|| {
            regex::Regex::new(r"^(?:(?:[a-zA-Z_]|\$(?:\{[0-9A-Za-z_]+\}|[0-9A-Za-z_]+))+[0-9A-Za-z_]*)+$")
                .expect("the pattern is valid")
        });
        match self.scheme {
            NameScheme::Utf8 => self.scheme.is_label_name(template),
            NameScheme::Legacy => LEGACY_TEMPLATE.is_match(template),
        }
    }

    fn has_default_regex(&self) -> bool {
        self.regex.pattern() == DEFAULT_REGEX
    }

    /// Applies the rule. Returns `false` if the whole set is dropped.
    pub fn apply(&self, labels: &mut LabelSetBuilder) -> bool {
        let joined = self.joined(labels);
        match self.action {
            Action::Keep => return self.regex.is_match(&joined),
            Action::Drop => return !self.regex.is_match(&joined),
            Action::KeepEqual => return labels.value(&self.target_label) == joined,
            Action::DropEqual => return labels.value(&self.target_label) != joined,
            Action::Replace => self.replace(labels, &joined),
            Action::HashMod => {
                labels.set(&self.target_label, &self.hash(&joined).to_string());
            }
            Action::Lowercase => {
                labels.set(&self.target_label, &unicode::lower(&joined));
            }
            Action::Uppercase => {
                labels.set(&self.target_label, &unicode::upper(&joined));
            }
            Action::LabelMap => self.map_names(labels),
            Action::LabelDrop => {
                labels.retain(|name| !self.regex.is_match(name));
            }
            Action::LabelKeep => {
                labels.retain(|name| self.regex.is_match(name));
            }
        }
        true
    }

    /// At most so many bytes are made by applying the rule to these labels. For rules that come from outside: each of them
    /// can make its labels many times as long.
    pub fn growth_bytes_max(&self, labels: &LabelSetBuilder) -> usize {
        let values: usize = self.source_labels.iter().map(|name| labels.value(name).len()).sum();
        let joined = values.saturating_add(self.separator.len().saturating_mul(self.source_labels.len()));
        let expanded = |template: &str, value: usize| {
            let variables = template.bytes().filter(|byte| *byte == b'$').count();
            variables.saturating_mul(value).saturating_add(template.len())
        };
        match self.action {
            Action::Replace => joined
                .saturating_add(expanded(&self.target_label, joined))
                .saturating_add(expanded(&self.replacement, joined)),
            Action::LabelMap => labels
                .iter()
                .map(|(name, value)| expanded(&self.replacement, name.len()).saturating_add(value.len()))
                .fold(0, usize::saturating_add),
            // Another case may take three times the bytes.
            Action::Lowercase | Action::Uppercase => joined.saturating_mul(4),
            _ => joined,
        }
    }

    fn joined(&self, labels: &LabelSetBuilder) -> String {
        let mut joined = String::new();
        for (index, name) in self.source_labels.iter().enumerate() {
            if index > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.value(name));
        }
        joined
    }

    fn replace(&self, labels: &mut LabelSetBuilder, joined: &str) {
        let constant = !has_variable(&self.target_label) && !has_variable(&self.replacement);
        if joined.is_empty() && constant && self.has_default_regex() {
            labels.set(&self.target_label, &self.replacement);
            return;
        }
        let Some(target) = self.regex.expand(joined, &self.target_label) else { return };
        if !self.scheme.is_label_name(&target) {
            return;
        }
        let value = self.regex.expand(joined, &self.replacement).unwrap_or_default();
        labels.set(&target, &value);
    }

    /// The last eight bytes of the MD5, as in every version of Prometheus: targets of a sharded setup
    /// must not move between shards.
    fn hash(&self, joined: &str) -> u64 {
        let digest = Md5::digest(joined.as_bytes());
        let tail = digest[8..].try_into().expect("an MD5 has sixteen bytes");
        u64::from_be_bytes(tail) % self.modulus.max(1)
    }

    fn map_names(&self, labels: &mut LabelSetBuilder) {
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(name, value)| Some((self.regex.expand(name, &self.replacement)?, value.to_owned())))
            .collect();
        for (name, value) in mapped {
            labels.set(&name, &value);
        }
    }
}

/// Applies rules in order. Returns `false` if one of them dropped the set; the labels are then as they were
/// before that rule.
pub fn process(rules: &[Rule], labels: &mut LabelSetBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

fn has_variable(template: &str) -> bool {
    template.contains('$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LabelSet;

    /// Builds a rule from `field=value` parts separated by ` | `; the labels of `source` are separated by commas.
    fn rule(text: &str) -> Rule {
        let mut rule = Rule::default();
        for part in text.split(" | ") {
            let (field, value) = part.split_once('=').expect("field=value");
            match field {
                "source" => rule.source_labels = value.split(',').map(str::to_owned).collect(),
                "separator" => rule.separator = value.to_owned(),
                "regex" => rule.regex = LabelRegex::new(value).expect("test regexes are valid"),
                "modulus" => rule.modulus = value.parse().expect("a number"),
                "target" => rule.target_label = value.to_owned(),
                "replacement" => rule.replacement = value.to_owned(),
                "action" => rule.action = Action::parse(value).expect("an action"),
                "scheme" => rule.scheme = NameScheme::Legacy,
                _ => panic!("unknown field {field}"),
            }
        }
        rule
    }

    fn labels(text: &str) -> LabelSet {
        LabelSet::from_pairs(text.split_whitespace().map(|pair| pair.split_once('=').expect("name=value")))
    }

    const DROPPED: &str = "dropped=!";

    #[test]
    fn rules_behave_as_in_prometheus() {
        let cases: &[(&str, &[&str], &str)] = &[
            (
                "a=foo",
                &["source=a | regex=f(.*) | target=d | replacement=ch${1}-ch${1}"],
                "a=foo d=choo-choo",
            ),
            (
                "a=foo b=bar c=baz",
                &[
                    "source=a,b | regex=f(.*);(.*)r | target=a | replacement=b${1}${2}m",
                    "source=c,a | regex=(b).*b(.*)ba(.*) | target=d | replacement=$1$2$2$3",
                ],
                "a=boobam b=bar c=baz d=boooom",
            ),
            ("a=foo", &["source=a | regex=.*o.* | action=drop", "source=a | target=d"], DROPPED),
            ("a=foo", &["source=a | regex=f|o | action=drop"], "a=foo"),
            ("a=foo", &["source=a | regex=no-match | action=keep"], DROPPED),
            ("a=foo", &["source=a | regex=f.* | action=KEEP"], "a=foo"),
            ("a=boo", &["source=a | regex=f | target=b | replacement=bar"], "a=boo"),
            ("a=foo f=baz", &["source=a | regex=(f).* | target=$1 | replacement=$2"], "a=foo"),
            (
                "a=some-name-0",
                &["source=a | regex=some-([^-]+)-(.+) | target=${3} | replacement=${1}"],
                "a=some-name-0",
            ),
            ("c=baz", &["source=c | target=d | modulus=1000 | action=hashmod"], "c=baz d=976"),
            (
                "a=foo b1=bar b2=baz",
                &["regex=(b.*) | replacement=bar_${1} | action=labelmap"],
                "a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz",
            ),
            // Two labels mapped to one name: the last in order of names wins, even over an existing label.
            ("x1=1 x2=2 y=old", &["regex=x. | replacement=y | action=labelmap"], "x1=1 x2=2 y=2"),
            ("a=foo b1=bar b2=baz", &["regex=(b.*) | action=labelkeep"], "b1=bar b2=baz"),
            ("a=foo b1=bar b2=baz", &["regex=(b.*) | action=labeldrop"], "a=foo"),
            (
                "f=bAr123Foo",
                &["source=f | action=uppercase | target=u", "source=f | action=lowercase | target=l"],
                "f=bAr123Foo u=BAR123FOO l=bar123foo",
            ),
            // Go maps letter by letter: no SS for ß, no final ς, one character for İ.
            (
                "f=Straße-ΟΔΟΣ-İıﬁ",
                &["source=f | action=uppercase | target=u", "source=f | action=lowercase | target=l"],
                "f=Straße-ΟΔΟΣ-İıﬁ u=STRAßE-ΟΔΟΣ-İIﬁ l=straße-οδοσ-iıﬁ",
            ),
            ("t=1234 p=1234", &["source=t | action=keepequal | target=p"], "t=1234 p=1234"),
            ("t=1234 p=1234", &["source=t | action=dropequal | target=p"], DROPPED),
            ("t=1234 p=5678", &["source=t | action=dropequal | target=p"], "t=1234 p=5678"),
            ("t=1234 p=5678", &["source=t | action=keepequal | target=p"], DROPPED),
            ("a=x", &["source=a | regex=(x) | target=utf-8.${1} | replacement=y"], "a=x utf-8.x=y"),
            // A target that turns out to be invalid only after expansion is left alone.
            ("a=-", &["source=a | regex=(.) | target=n_${1} | replacement=y | scheme=legacy"], "a=-"),
            // $1x is the group named "1x", which does not exist; ${1}x is the first group and an x.
            (
                "a=v",
                &["source=a | target=b | replacement=$1x", "source=a | target=c | replacement=${1}x"],
                "a=v c=vx",
            ),
            ("a=v", &["source=a | target=b | replacement=$$1"], "a=v b=$1"),
            // A constant without sources is written although nothing was read.
            ("a=v", &["target=b | replacement=constant"], "a=v b=constant"),
            ("a=v b=old", &["target=b | replacement="], "a=v"),
            ("a=v", &["source=gone | regex= | target=b | replacement=empty"], "a=v b=empty"),
        ];
        for (input, rules, expected) in cases {
            let rules: Vec<Rule> = rules.iter().map(|text| rule(text)).collect();
            for rule in &rules {
                assert_eq!(rule.validate(), Ok(()), "{rule:?}");
            }
            let mut builder = labels(input).to_builder();
            let kept = process(&rules, &mut builder);
            let result = if kept { builder.finish() } else { labels(DROPPED) };
            assert_eq!(result, labels(expected), "{input} by {rules:?}");
        }
    }

    #[test]
    fn the_dot_matches_newlines_and_the_hash_covers_them() {
        let mut builder = LabelSet::from_pairs([("a", "foo\nbar")]).to_builder();
        let rules = [
            rule("source=a | target=b | modulus=1000 | action=hashmod"),
            rule("source=a | regex=foo.bar | target=c | replacement=m"),
        ];
        assert!(process(&rules, &mut builder));
        assert_eq!((builder.value("b"), builder.value("c")), ("734", "m"));
    }

    #[test]
    fn invalid_combinations_of_fields_are_refused_with_prometheus_texts() {
        for (text, expected) in [
            ("action=hashmod | target=d", "relabel configuration for hashmod requires non-zero modulus"),
            (
                "action=hashmod | modulus=8",
                "relabel configuration for hashmod action requires 'target_label' value",
            ),
            ("source=a", "relabel configuration for replace action requires 'target_label' value"),
            ("action=lowercase", "relabel configuration for lowercase action requires 'target_label' value"),
            ("scheme=legacy | target=a.b", "\"a.b\" is invalid 'target_label' for replace action"),
            ("scheme=legacy | target=$1-x", "\"$1-x\" is invalid 'target_label' for replace action"),
            (
                "scheme=legacy | action=lowercase | target=${3}",
                "\"${3}\" is invalid 'target_label' for lowercase action",
            ),
            (
                "action=lowercase | target=a | replacement=b",
                "'replacement' can not be set for lowercase action",
            ),
            ("action=labelmap | replacement=", "\"\" is invalid 'replacement' for labelmap action"),
            (
                "scheme=legacy | action=labelmap | replacement=a-b",
                "\"a-b\" is invalid 'replacement' for labelmap action",
            ),
            (
                "action=dropequal | source=a | target=b | regex=x",
                "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
            ),
            ("action=labeldrop | source=a", "labeldrop action requires only 'regex', and no other fields"),
        ] {
            let error = rule(text).validate().expect_err(text);
            assert_eq!(error.to_string(), expected, "{text}");
        }
        assert_eq!(rule("scheme=legacy | target=a_${1}_$x").validate(), Ok(()));
        let error = Action::parse("nope").expect_err("not an action");
        assert_eq!(error.to_string(), "unknown relabel action \"nope\"");
    }

    #[test]
    fn what_a_rule_makes_is_known_before_it_is_applied() {
        let labels = || {
            let mut labels = LabelSetBuilder::new();
            labels.set("a", "İxyz").set("bb", "v");
            labels
        };
        let size = |labels: &LabelSetBuilder| labels.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        let default = Rule { source_labels: vec!["a".to_owned(); 3], ..Rule::default() };
        for (rule, most) in [
            (
                Rule { target_label: "c".to_owned(), replacement: "$1$1$1$1".to_owned(), ..default.clone() },
                200,
            ),
            (Rule { target_label: "c$1".to_owned(), ..default.clone() }, 200),
            (Rule { action: Action::Lowercase, target_label: "c".to_owned(), ..default.clone() }, 200),
            (Rule { action: Action::LabelMap, replacement: "x${1}y$1".to_owned(), ..default.clone() }, 200),
            (Rule { action: Action::Drop, ..default }, 40),
        ] {
            let mut applied = labels();
            let (before, bound) = (size(&applied), rule.growth_bytes_max(&applied));
            rule.apply(&mut applied);
            assert!(size(&applied) - before <= bound && bound <= most, "{rule:?} {bound}");
        }
    }
}

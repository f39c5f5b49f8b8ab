//! Rules of `metric_relabel_configs` that drop metrics by name, and their replay over the stored series.

use std::collections::HashSet;

use ferula_config::relabel::parse_rules;
use ferula_go::regexp::quote_meta;
use ferula_model::LabelSet;
use ferula_model::labels::NameScheme;
use ferula_model::relabel::{self, Rule};

use crate::error::{ApiError, ErrorKind};

/// A rule has about as long a pattern, so that people can read it and the regex stays small.
const PATTERN_BYTES: usize = 2_000;

/// The rules as text.
pub struct DropRules {
    yaml: String,
}

impl DropRules {
    /// Rules that drop these metrics and nothing else. They contain no names of labels, so they may be added to any job.
    pub fn new(names: &[&str]) -> Self {
        let mut yaml = String::new();
        let mut pattern = String::new();
        for name in names {
            if !pattern.is_empty() {
                if pattern.len() + name.len() > PATTERN_BYTES {
                    push_rule(&mut yaml, &pattern);
                    pattern.clear();
                } else {
                    pattern.push('|');
                }
            }
            pattern.push_str(&quote_meta(name));
        }
        if !pattern.is_empty() {
            push_rule(&mut yaml, &pattern);
        }
        DropRules { yaml }
    }

    /// A list of rules, "" for none.
    pub fn yaml(&self) -> &str {
        &self.yaml
    }
}

fn push_rule(yaml: &mut String, pattern: &str) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '|');
    let has_letter = pattern.starts_with(|c: char| c.is_ascii_alphabetic());
    // A JSON string is a YAML string, too. A name alone could be a word with a meaning of its own, such as `on`.
    let text = match pattern {
        plain if has_letter && plain.contains('_') && plain.chars().all(is_plain) => plain.to_owned(),
        other => serde_json::Value::from(other).to_string(),
    };
    yaml.push_str("- source_labels: [__name__]\n  regex: ");
    yaml.push_str(&text);
    yaml.push_str("\n  action: drop\n");
}

/// Applies the rules to every stored series: those of the metrics to drop must go, and all others must stay as they are.
pub struct Replay<'a> {
    rules: Vec<Rule>,
    dropped_names: HashSet<&'a str>,
    pub counts: ReplayCounts,
}

/// The outcome of a replay, in series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    pub all: u64,
    pub dropped: u64,
    /// Dropped or changed although they should not be, or the other way round.
    pub wrong: u64,
}

impl<'a> Replay<'a> {
    /// Reads the rules from their text, as a server would.
    pub fn new(rules: &DropRules, names: &[&'a str]) -> Result<Self, ApiError> {
        let rules = match rules.yaml() {
            "" => Vec::new(),
            yaml => parse_rules(yaml, NameScheme::Utf8).map_err(|error| {
                ApiError::new(ErrorKind::Internal, format!("the generated rules are invalid: {error}"))
            })?,
        };
        let dropped_names = names.iter().copied().collect();
        Ok(Replay { rules, dropped_names, counts: ReplayCounts::default() })
    }

    /// Whether a metric is one of those to drop.
    pub fn drops(&self, name: &str) -> bool {
        self.dropped_names.contains(name)
    }

    /// Applies the rules to a series.
    pub fn add(&mut self, labels: &LabelSet) {
        let mut builder = labels.to_builder();
        let is_kept = relabel::process(&self.rules, &mut builder);
        let is_right = match is_kept {
            true => !self.drops(labels.metric_name()) && builder.iter().eq(labels.iter()),
            false => self.drops(labels.metric_name()),
        };
        self.counts.all += 1;
        self.counts.dropped += u64::from(!is_kept);
        self.counts.wrong += u64::from(!is_right);
    }
}

//! From the labels on a page to the labels that are stored.
//!
//! Order: conflicts with the target's labels, then `metric_relabel_configs`, then the checks. Runs once
//! for every new series of a target, never for a known one.

use std::fmt::Write;

use ferula_exposition::LabelScratch;
use ferula_model::labels::{METRIC_NAME, NameScheme, TYPE_LABEL, UNIT_LABEL};
use ferula_model::relabel::{self, Rule};
use ferula_model::{LabelSet, LabelSetBuilder, MetricType};

use crate::error::ScrapeError;

/// Prefixes the name of a scraped label that conflicts with a target label.
const EXPORTED_PREFIX: &str = "exported_";

/// Limits of a sample's labels; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelLimits {
    /// The number of labels, including the name and those of the target.
    pub labels: u64,
    /// Bytes of a label's name.
    pub name_bytes: u64,
    /// Bytes of a label's value.
    pub value_bytes: u64,
}

/// The type and unit that the page states for a sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatedMetadata<'a> {
    /// From the last `# TYPE`.
    pub kind: MetricType,
    /// From the last `# UNIT`; may be empty.
    pub unit: &'a str,
}

/// What a job does to the labels of its samples.
#[derive(Clone, Debug, Default)]
pub struct LabelOptions {
    /// Scraped labels take precedence over the target's.
    pub honor_labels: bool,
    /// `metric_relabel_configs`
    pub rules: Vec<Rule>,
    /// Whether the stated type and unit become the labels `__type__` and `__unit__` (`type-and-unit-labels`).
    pub type_and_unit: bool,
    pub scheme: NameScheme,
    pub limits: LabelLimits,
}

impl LabelOptions {
    /// The label set under which a sample is stored; `None` if a rule drops it.
    pub fn stored(
        &self,
        scraped: &LabelScratch,
        stated: StatedMetadata<'_>,
        target: &LabelSet,
    ) -> Result<Option<LabelSet>, ScrapeError> {
        let mut labels = LabelSetBuilder::new();
        for (name, value) in scraped.iter() {
            labels.set(name, value);
        }
        if self.type_and_unit {
            // A stated type or unit overrides labels of the page; without one they are left alone.
            if stated.kind != MetricType::Unknown {
                labels.set(TYPE_LABEL, stated.kind.as_str());
            }
            if !stated.unit.is_empty() {
                labels.set(UNIT_LABEL, stated.unit);
            }
        }
        if self.honor_labels {
            for (name, value) in target.iter() {
                // A label that the page sets to the empty value is honoured as well: the series lacks it.
                if labels.value(name).is_empty() && !scraped.iter().any(|(scraped, _)| scraped == name) {
                    labels.set(name, value);
                }
            }
        } else {
            override_with_target(&mut labels, target);
        }
        if !relabel::process(&self.rules, &mut labels) {
            return Ok(None);
        }
        let labels = labels.finish();
        if labels.is_empty() {
            return Ok(None);
        }
        if let Some(name) = scraped.duplicate_name() {
            return Err(ScrapeError::DuplicateLabel(name.to_owned()));
        }
        self.check(&labels)?;
        Ok(Some(labels))
    }

    fn check(&self, labels: &LabelSet) -> Result<(), ScrapeError> {
        let metric = labels.get(METRIC_NAME).ok_or(ScrapeError::MissingName)?;
        let valid = |name: &str| name == METRIC_NAME || self.scheme.is_label_name(name);
        if !self.scheme.is_metric_name(metric) || !labels.iter().all(|(name, _)| valid(name)) {
            return Err(ScrapeError::InvalidNames(labels.to_string()));
        }
        self.limits.check(labels, metric).map_err(ScrapeError::LabelLimit)
    }
}

/// Sets the target's labels; conflicting scraped labels are renamed.
fn override_with_target(labels: &mut LabelSetBuilder, target: &LabelSet) {
    let mut conflicts: Vec<(&str, String)> = Vec::new();
    for (name, value) in target.iter() {
        let scraped = labels.value(name);
        if !scraped.is_empty() {
            conflicts.push((name, scraped.to_owned()));
        }
        labels.set(name, value);
    }
    // Shortest first, so that `exported_a` from a page makes room for `a`.
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, value) in conflicts {
        let mut free = format!("{EXPORTED_PREFIX}{name}");
        while !labels.value(&free).is_empty() {
            free.insert_str(0, EXPORTED_PREFIX);
        }
        labels.set(&free, &value);
    }
}

impl LabelLimits {
    fn check(&self, labels: &LabelSet, metric: &str) -> Result<(), String> {
        let metric = shortened(metric);
        let count = labels.len() as u64;
        if self.labels > 0 && count > self.labels {
            return Err(format!(
                "label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {})",
                self.labels
            ));
        }
        for (name, value) in labels.iter() {
            let (name_bytes, value_bytes) = (name.len() as u64, value.len() as u64);
            if self.name_bytes > 0 && name_bytes > self.name_bytes {
                return Err(format!(
                    "label_name_length_limit exceeded (metric: {metric}, label name: {}, length: {name_bytes}, limit: {})",
                    shortened(name),
                    self.name_bytes
                ));
            }
            if self.value_bytes > 0 && value_bytes > self.value_bytes {
                let mut text = format!(
                    "label_value_length_limit exceeded (metric: {metric}, label name: {}, ",
                    shortened(name)
                );
                let quoted = ferula_go::quote::go_quote(&shortened(value));
                write!(text, "value: {quoted}, length: {value_bytes}, limit: {})", self.value_bytes)
                    .expect("writing to a String cannot fail");
                return Err(text);
            }
        }
        Ok(())
    }
}

/// The first fifty characters, as with Go's `%.50s`.
fn shortened(text: &str) -> String {
    text.chars().take(50).collect()
}

#[cfg(test)]
mod tests {
    use ferula_exposition::key::decode;
    use ferula_model::regex::LabelRegex;
    use ferula_model::relabel::Action;

    use super::*;

    fn scratch(key: &str) -> LabelScratch {
        let mut scratch = LabelScratch::new();
        decode(key.as_bytes(), MetricType::Unknown, &mut scratch).expect("a key");
        scratch
    }

    fn target() -> LabelSet {
        LabelSet::from_pairs([("instance", "h:1"), ("job", "j")])
    }

    #[test]
    fn conflicting_labels_are_renamed_or_honored() {
        for (honor, key, expected) in [
            (false, "m", r#"{__name__="m", instance="h:1", job="j"}"#),
            (false, r#"m{job="own"}"#, r#"{__name__="m", exported_job="own", instance="h:1", job="j"}"#),
            (
                false,
                r#"m{job="own",exported_job="x"}"#,
                r#"{__name__="m", exported_exported_job="own", exported_job="x", instance="h:1", job="j"}"#,
            ),
            (false, r#"m{job=""}"#, r#"{__name__="m", instance="h:1", job="j"}"#),
            (true, r#"m{job="own"}"#, r#"{__name__="m", instance="h:1", job="own"}"#),
            (true, r#"m{job=""}"#, r#"{__name__="m", instance="h:1"}"#),
        ] {
            let options = LabelOptions { honor_labels: honor, ..LabelOptions::default() };
            let stored = options
                .stored(&scratch(key), StatedMetadata::default(), &target())
                .expect("valid")
                .expect("kept");
            assert_eq!(stored.to_string(), expected, "{key} honor={honor}");
        }
    }

    #[test]
    fn the_stated_type_and_unit_become_labels() {
        let stated = |key, kind, unit| {
            let options = LabelOptions { type_and_unit: true, ..LabelOptions::default() };
            let labels = options.stored(&scratch(key), StatedMetadata { kind, unit }, &LabelSet::empty());
            labels.expect("good labels").expect("kept").to_string()
        };
        assert_eq!(
            stated("m_seconds", MetricType::Counter, "seconds"),
            r#"{__name__="m_seconds", __type__="counter", __unit__="seconds"}"#
        );
        assert_eq!(
            stated(r#"m{__type__="gauge"}"#, MetricType::Unknown, ""),
            r#"{__name__="m", __type__="gauge"}"#
        );
        assert_eq!(
            stated(r#"m{__type__="gauge"}"#, MetricType::Summary, ""),
            r#"{__name__="m", __type__="summary"}"#
        );
    }

    #[test]
    fn of_several_conflicts_the_shortest_name_is_resolved_first() {
        let target = LabelSet::from_pairs([("a", "1"), ("exported_a", "2")]);
        let options = LabelOptions::default();
        let stored = options
            .stored(&scratch(r#"m{a="x",exported_a="y"}"#), StatedMetadata::default(), &target)
            .expect("valid")
            .expect("kept");
        assert_eq!(
            stored.to_string(),
            r#"{__name__="m", a="1", exported_a="2", exported_exported_a="x", exported_exported_exported_a="y"}"#
        );
    }

    fn rule(action: Action, regex: &str, target_label: &str, replacement: &str) -> Rule {
        Rule {
            source_labels: vec![METRIC_NAME.to_owned()],
            regex: LabelRegex::new(regex).expect("a regex"),
            action,
            target_label: target_label.to_owned(),
            replacement: replacement.to_owned(),
            ..Rule::default()
        }
    }

    #[test]
    fn rules_see_target_labels_and_can_drop_or_invalidate_a_sample() {
        let with = |rule: Rule| LabelOptions { rules: vec![rule], ..LabelOptions::default() };
        let drop = with(rule(Action::Drop, "go_.*", "", "$1"));
        assert_eq!(drop.stored(&scratch("go_threads"), StatedMetadata::default(), &target()), Ok(None));
        assert!(drop.stored(&scratch("up2"), StatedMetadata::default(), &target()).expect("valid").is_some());
        let unnamed = with(rule(Action::Replace, ".*", METRIC_NAME, ""));
        assert_eq!(
            unnamed.stored(&scratch("m"), StatedMetadata::default(), &target()),
            Err(ScrapeError::MissingName)
        );
    }

    #[test]
    fn names_and_limits_are_checked() {
        let legacy = LabelOptions { scheme: NameScheme::Legacy, ..LabelOptions::default() };
        let error = legacy
            .stored(&scratch(r#"{"a.b"}"#), StatedMetadata::default(), &LabelSet::empty())
            .expect_err("not a legacy name");
        assert_eq!(error.to_string(), r#"invalid metric name or label names: {__name__="a.b"}"#);
        let twice = LabelOptions::default().stored(
            &scratch(r#"m{a="1",a="2"}"#),
            StatedMetadata::default(),
            &target(),
        );
        assert_eq!(twice.expect_err("twice").to_string(), r#"label name "a" is not unique: invalid sample"#);
        for (limits, expected) in [
            (
                LabelLimits { labels: 2, ..LabelLimits::default() },
                "label_limit exceeded (metric: m, number of labels: 3, limit: 2)",
            ),
            (
                LabelLimits { name_bytes: 7, ..LabelLimits::default() },
                "label_name_length_limit exceeded (metric: m, label name: __name__, length: 8, limit: 7)",
            ),
            (
                LabelLimits { value_bytes: 2, ..LabelLimits::default() },
                "label_value_length_limit exceeded (metric: m, label name: instance, value: \"h:1\", length: 3, limit: 2)",
            ),
        ] {
            let options = LabelOptions { limits, ..LabelOptions::default() };
            let error = options
                .stored(&scratch("m"), StatedMetadata::default(), &target())
                .expect_err("over the limit");
            assert_eq!(error.to_string(), expected);
        }
    }
}

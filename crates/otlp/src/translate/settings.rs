//! How metrics become series: what the section `otlp` and flags say.

use std::collections::BTreeSet;

use ferula_config::tracing::OtlpConfig;

use crate::name::Naming;

/// How metrics become series: the section `otlp`, and flags.
#[derive(Clone, Debug)]
pub struct Settings {
    pub naming: Naming,
    pub(super) promotes: Promotion,
    pub(super) keeps_identifying: bool,
    pub(super) custom_buckets: bool,
    pub(super) promotes_scope: bool,
    pub stores_deltas: bool,
    pub type_and_unit_labels: bool,
    pub lookback_ms: i64,
}

/// Which attributes of a resource become labels of its series.
#[derive(Clone, Debug)]
pub(super) enum Promotion {
    These(BTreeSet<String>),
    AllBut(BTreeSet<String>),
}

impl Settings {
    /// Those of a section.
    pub fn of(section: &OtlpConfig) -> Self {
        let strategy = section.translation_strategy.as_str();
        let set = |names: &[String]| names.iter().cloned().collect();
        Settings {
            naming: Naming {
                suffixes: !matches!(strategy, "NoTranslation" | "UnderscoreEscapingWithoutSuffixes"),
                escapes: !matches!(strategy, "NoTranslation" | "NoUTF8EscapingWithSuffixes"),
                sanitizes_underscores: section.label_name_underscore_sanitization,
                keeps_underscores: section.label_name_preserve_multiple_underscores,
            },
            promotes: match section.promote_all_resource_attributes {
                true => Promotion::AllBut(set(&section.ignore_resource_attributes)),
                false => Promotion::These(set(&section.promote_resource_attributes)),
            },
            keeps_identifying: section.keep_identifying_resource_attributes,
            custom_buckets: section.convert_histograms_to_nhcb,
            promotes_scope: section.promote_scope_metadata,
            stores_deltas: false,
            type_and_unit_labels: false,
            lookback_ms: 0,
        }
    }
}

impl Promotion {
    pub(super) fn includes(&self, name: &str) -> bool {
        match self {
            Promotion::These(names) => names.contains(name),
            Promotion::AllBut(names) => !names.contains(name),
        }
    }
}

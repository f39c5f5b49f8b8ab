//! Groups of targets, and their labels.

use std::collections::BTreeMap;

use ferula_model::LabelSet;
use serde::Deserialize;

use crate::json::{self, JsonError};

/// The label that holds a target's address.
pub const ADDRESS_LABEL: &str = "__address__";

/// Targets and the labels that they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Unique within its provider.
    pub source: String,
    /// Labels of each target, including its address.
    pub targets: Vec<LabelSet>,
    /// Labels of all targets; a target's own label of the same name takes precedence.
    pub labels: LabelSet,
}

impl TargetGroup {
    /// A group whose targets share no labels.
    pub(crate) fn of_targets(source: impl Into<String>, targets: Vec<LabelSet>) -> Self {
        TargetGroup { source: source.into(), targets, labels: LabelSet::empty() }
    }

    /// A group as written in files and in the configuration.
    pub fn new(source: String, addresses: &[String], labels: &BTreeMap<String, String>) -> Self {
        let target = |address: &String| LabelSet::from_pairs([(ADDRESS_LABEL, address)]);
        TargetGroup {
            source,
            targets: addresses.iter().map(target).collect(),
            labels: LabelSet::from_pairs(labels),
        }
    }

    /// Sets a label on all targets.
    pub(crate) fn set_label(&mut self, name: &str, value: &str) {
        let mut labels = self.labels.to_builder();
        labels.set(name, value);
        self.labels = labels.finish();
    }
}

/// The labels of a target under construction. A label with an empty value counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels(BTreeMap<String, String>);

impl Labels {
    pub(crate) fn of<V: Into<String>>(pairs: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        Labels(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Sets a label whose name contains a key of the service; invalid characters become `_`.
    pub(crate) fn set_key(&mut self, prefix: &str, key: &str, value: impl Into<String>) {
        self.0.insert(format!("{prefix}{}", sanitized(key)), value.into());
    }

    pub(crate) fn set_keys<'a>(
        &mut self,
        prefix: &str,
        pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) {
        for (key, value) in pairs {
            self.set_key(prefix, key, value);
        }
    }

    /// Adds labels, replacing existing ones.
    pub(crate) fn extend(&mut self, other: &Labels) {
        self.0.extend(other.0.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    pub(crate) fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(crate) fn to_set(&self) -> LabelSet {
        LabelSet::from_pairs(&self.0)
    }
}

/// Converts a service's key to a label name.
pub(crate) fn sanitized(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Joins values into one label, with separators at both ends too, so that a regular expression can match an
/// element in any position.
pub(crate) fn joined<S: AsRef<str>>(values: &[S], separator: &str) -> String {
    let mut out = separator.to_owned();
    for value in values {
        out.push_str(value.as_ref());
        out.push_str(separator);
    }
    // Go joins no values to "", which leaves the two outer separators.
    if values.is_empty() {
        out.push_str(separator);
    }
    out
}

/// Why a text is not a list of target groups.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// It is not JSON, or has the wrong structure.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// A `null` in place of a group.
    #[error("nil target group item found")]
    Null,
    /// A series with such a label would prevent Prometheus from opening the data directory.
    #[error("\"\" is not a valid label name")]
    EmptyLabelName,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct JsonGroup {
    targets: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// Parses `[{"targets": ["host:1"], "labels": {"name": "value"}}]`, the format of files and HTTP servers. The
/// groups are numbered below `source`.
pub(crate) fn groups_from_json(source: &str, content: &[u8]) -> Result<Vec<TargetGroup>, GroupsError> {
    let groups: Vec<Option<JsonGroup>> = json::from_slice(content)?;
    let numbered = groups.into_iter().enumerate();
    numbered
        .map(|(index, group)| {
            let group = group.ok_or(GroupsError::Null)?;
            if group.labels.contains_key("") {
                return Err(GroupsError::EmptyLabelName);
            }
            Ok(TargetGroup::new(format!("{source}:{index}"), &group.targets, &group.labels))
        })
        .collect()
}

//! Targets that were found together.

use std::collections::BTreeMap;

use ferula_model::LabelSet;
use serde::Deserialize;

use crate::json::{self, JsonError};

/// The label of a target's address.
pub const ADDRESS_LABEL: &str = "__address__";

/// Some targets and the labels they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Unique within its provider.
    pub source: String,
    /// Labels of each target, its address among them.
    pub targets: Vec<LabelSet>,
    /// Labels of all targets; a target's own label of the same name wins.
    pub labels: LabelSet,
}

impl TargetGroup {
    /// A group as files and the configuration write it.
    pub fn new(source: String, addresses: &[String], labels: &BTreeMap<String, String>) -> Self {
        let target = |address: &String| LabelSet::from_pairs([(ADDRESS_LABEL, address)]);
        TargetGroup {
            source,
            targets: addresses.iter().map(target).collect(),
            labels: LabelSet::from_pairs(labels),
        }
    }

    /// Gives all targets a label.
    pub(crate) fn set_label(&mut self, name: &str, value: &str) {
        let mut labels = self.labels.to_builder();
        labels.set(name, value);
        self.labels = labels.finish();
    }
}

/// Why a text is not a list of target groups.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// It is not JSON, or not of that shape.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// A `null` where a group should be.
    #[error("nil target group item found")]
    Null,
    /// Series with such a label would stop Prometheus from opening the data directory.
    #[error("\"\" is not a valid label name")]
    EmptyLabelName,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct JsonGroup {
    targets: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// Reads `[{"targets": ["host:1"], "labels": {"name": "value"}}]`, as files and HTTP servers write it. The groups
/// are numbered below `source`.
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

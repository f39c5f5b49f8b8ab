//! Targets that were found together.

use std::collections::BTreeMap;

use ferula_model::LabelSet;

/// The label of a target's address.
pub const ADDRESS_LABEL: &str = "__address__";

/// Some targets and the labels they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Where the group comes from; unique within its provider.
    pub source: String,
    /// Labels of each target, its address among them.
    pub targets: Vec<LabelSet>,
    /// Labels of all targets; a target's own label of the same name goes first.
    pub labels: LabelSet,
}

impl TargetGroup {
    /// A group from addresses and labels, as files and the configuration write it.
    pub fn new(source: String, addresses: &[String], labels: &BTreeMap<String, String>) -> Self {
        let target = |address: &String| LabelSet::from_pairs([(ADDRESS_LABEL, address)]);
        TargetGroup {
            source,
            targets: addresses.iter().map(target).collect(),
            labels: LabelSet::from_pairs(labels),
        }
    }
}

//! Which group a series belongs to.

use std::collections::HashMap;

use ferula_model::LabelSet;
use ferula_model::labels::METRIC_NAME;

use crate::exec::series::SeriesTable;
use crate::plan::node::AggregateNode;

/// Numbers the groups of an aggregation and remembers the group of each series.
pub(super) struct Grouping<'q> {
    node: &'q AggregateNode,
    by_key: HashMap<Vec<u8>, usize>,
    /// Room for a key.
    key: Vec<u8>,
    /// Labels of each group.
    pub labels: Vec<LabelSet>,
    of_series: Vec<Option<usize>>,
}

impl<'q> Grouping<'q> {
    pub(super) fn new(node: &'q AggregateNode) -> Self {
        Grouping { node, by_key: HashMap::new(), key: Vec::new(), labels: Vec::new(), of_series: Vec::new() }
    }

    /// The group of a series. Groups are numbered in the order in which their first series comes here, and only
    /// series with samples should.
    pub(super) fn of(&mut self, series: usize, table: &SeriesTable) -> usize {
        if self.of_series.len() <= series {
            self.of_series.resize(table.len().max(series + 1), None);
        }
        if let Some(group) = self.of_series[series] {
            return group;
        }
        let (labels, grouping, without) = (table.labels(series), &self.node.grouping, self.node.without);
        put_key(labels, grouping, without, &mut self.key);
        let group = match self.by_key.get(&self.key) {
            Some(&group) => group,
            None => {
                self.labels.push(group_labels(labels, grouping, without));
                self.by_key.insert(self.key.clone(), self.labels.len() - 1);
                self.labels.len() - 1
            }
        };
        self.of_series[series] = Some(group);
        group
    }
}

/// Writes to `key` what distinguishes the group of a series from the others, in fewer bytes than the group's labels.
/// A longer list is not walked for every series.
const GROUPING_SHORT: usize = 16;

fn put_key(labels: &LabelSet, grouping: &[String], without: bool, key: &mut Vec<u8>) {
    // No text in UTF-8 has it.
    const END: u8 = 0xff;
    key.clear();
    let mut put = |text: &str| {
        key.extend_from_slice(text.as_bytes());
        key.push(END);
    };
    if without {
        for (name, value) in labels.iter().filter(|(name, _)| !is_left_out(name, grouping)) {
            put(name);
            put(value);
        }
    } else if grouping.len() > GROUPING_SHORT {
        // Most of a long list is in no series. What a series lacks is as good as empty, so its own labels decide.
        for (name, value) in labels.iter().filter(|(name, _)| is_listed(name, grouping)) {
            put(name);
            put(value);
        }
    } else {
        grouping.iter().for_each(|name| put(labels.value(name)));
    }
}

fn is_listed(name: &str, grouping: &[String]) -> bool {
    grouping.binary_search_by(|label| label.as_str().cmp(name)).is_ok()
}

fn is_left_out(name: &str, grouping: &[String]) -> bool {
    name == METRIC_NAME || is_listed(name, grouping)
}

/// The labels that a series shares with its group. `grouping` is sorted.
pub(super) fn group_labels(labels: &LabelSet, grouping: &[String], without: bool) -> LabelSet {
    let listed = |name: &str| is_listed(name, grouping);
    if without {
        labels.retain(|name| !is_left_out(name, grouping))
    } else if grouping.is_empty() {
        LabelSet::empty()
    } else {
        labels.retain(listed)
    }
}

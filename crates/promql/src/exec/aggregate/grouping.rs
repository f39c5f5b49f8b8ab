//! Which group a series belongs to.

use std::collections::HashMap;

use ferula_model::LabelSet;
use ferula_model::labels::METRIC_NAME;

use crate::exec::series::SeriesTable;
use crate::plan::node::AggregateNode;

/// Numbers the groups of an aggregation and remembers the group of each series.
pub(super) struct Grouping<'q> {
    node: &'q AggregateNode,
    by_labels: HashMap<LabelSet, usize>,
    /// Labels of each group.
    pub labels: Vec<LabelSet>,
    of_series: Vec<Option<usize>>,
}

impl<'q> Grouping<'q> {
    pub(super) fn new(node: &'q AggregateNode) -> Self {
        Grouping { node, by_labels: HashMap::new(), labels: Vec::new(), of_series: Vec::new() }
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
        let labels = group_labels(table.labels(series), &self.node.grouping, self.node.without);
        let group = match self.by_labels.get(&labels) {
            Some(&group) => group,
            None => {
                self.labels.push(labels.clone());
                self.by_labels.insert(labels, self.labels.len() - 1);
                self.labels.len() - 1
            }
        };
        self.of_series[series] = Some(group);
        group
    }
}

/// The labels that a series shares with its group. `grouping` is sorted.
pub(super) fn group_labels(labels: &LabelSet, grouping: &[String], without: bool) -> LabelSet {
    let listed = |name: &str| grouping.binary_search_by(|label| label.as_str().cmp(name)).is_ok();
    if without {
        labels.retain(|name| name != METRIC_NAME && !listed(name))
    } else if grouping.is_empty() {
        LabelSet::empty()
    } else {
        labels.retain(listed)
    }
}

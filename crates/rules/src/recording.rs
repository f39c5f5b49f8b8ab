//! Recording rules: the result of a query under another name.

use std::collections::HashSet;

use ferula_model::labels::METRIC_NAME;
use ferula_promql::InstantSample;

use crate::RuleError;
use crate::rule::Rule;

/// Puts the rule's name and labels on the result; a label with an empty value takes that label away.
pub(crate) fn record(
    rule: &Rule,
    mut vector: Vec<InstantSample>,
    limit: usize,
) -> Result<Vec<InstantSample>, RuleError> {
    let mut seen = HashSet::with_capacity(vector.len());
    for sample in &mut vector {
        let mut labels = sample.labels.to_builder();
        labels.set(METRIC_NAME, &rule.name);
        for (name, value) in &rule.labels {
            labels.set(name, value);
        }
        sample.labels = labels.finish();
        if !seen.insert(sample.labels.clone()) {
            return Err(RuleError::SameRecordedLabels);
        }
    }
    if limit > 0 && vector.len() > limit {
        return Err(RuleError::Limit { limit, count: vector.len(), what: "series" });
    }
    Ok(vector)
}

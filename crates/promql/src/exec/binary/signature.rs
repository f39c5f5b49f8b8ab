//! Which series of the two sides belong together: equal values of the matching labels.

use std::collections::HashMap;

use ferula_model::LabelSet;
use ferula_model::labels::METRIC_NAME;
use ferula_promql_syntax::ast::VectorMatching;

use crate::QueryError;
use crate::exec::context::QueryContext;
use crate::exec::series::labels_bytes;

/// What an entry of the map takes beside its labels.
const ENTRY_BYTES: usize = 32;

/// Numbers signatures: series with equal matching labels have the same number.
pub(crate) struct Signatures<'m> {
    matching: &'m VectorMatching,
    numbers: HashMap<LabelSet, usize>,
}

impl<'m> Signatures<'m> {
    pub(crate) fn new(matching: &'m VectorMatching) -> Self {
        Signatures { matching, numbers: HashMap::new() }
    }

    /// The number of a series' signature.
    pub(crate) fn of(&mut self, labels: &LabelSet, query: &QueryContext<'_>) -> Result<usize, QueryError> {
        query.work(8 + 4 * labels.len())?;
        let next = self.numbers.len();
        let signature = match_labels(self.matching, labels);
        if let Some(&number) = self.numbers.get(&signature) {
            return Ok(number);
        }
        query.account.charge(labels_bytes(&signature) + ENTRY_BYTES)?;
        self.numbers.insert(signature, next);
        Ok(next)
    }

    /// How many signatures there are.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

/// The labels by which a series is matched.
pub(crate) fn match_labels(matching: &VectorMatching, labels: &LabelSet) -> LabelSet {
    let listed = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.retain(listed)
    } else {
        labels.retain(|name| name != METRIC_NAME && !listed(name))
    }
}

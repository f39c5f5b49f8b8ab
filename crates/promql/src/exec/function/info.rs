//! `info`: adds labels of info series, such as `target_info`, to the series of its argument.

use ferula_model::labels::METRIC_NAME;
use ferula_model::{MatchOp, Matcher};

use crate::plan::lower::regex_matcher;

/// The conditions on the names of info series. Without any it is `target_info`; with negative ones alone, anything
/// that ends in `_info`.
pub(crate) fn effective_name_matchers(mut names: Vec<Matcher>) -> Vec<Matcher> {
    if names.iter().any(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex)) {
        return names;
    }
    if names.is_empty() {
        return vec![Matcher::equal(METRIC_NAME, "target_info")];
    }
    names.insert(0, regex_matcher(METRIC_NAME, ".+_info"));
    names
}

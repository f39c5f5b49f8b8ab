//! The handlers, a file per family of endpoints. Each extracts, calls one thing below, and writes the answer.

pub mod admin;
pub mod exemplars;
pub mod features;
pub mod federate;
pub mod ferula;
pub mod labels;
pub mod management;
pub mod metadata;
pub mod pages;
pub mod parse;
pub mod query;
pub mod rules;
pub mod scrape_pools;
pub mod self_metrics;
pub mod series;
pub mod status;
pub mod targets;
pub mod write;

use ferula_model::{Matcher, TimeRange};
use ferula_promql_syntax::parse_metric_selectors;

use crate::error::ApiError;
use crate::params::{MAX_TIME_MILLIS, MIN_TIME_MILLIS, Params};

/// `start` and `end`, all of time by default.
pub(crate) fn optional_range(params: &Params) -> Result<TimeRange, ApiError> {
    let start = params.time_or("start", MIN_TIME_MILLIS)?;
    let end = params.time_or("end", MAX_TIME_MILLIS)?;
    Ok(TimeRange::from_millis(start, end))
}

/// All `match[]`, each of which must exclude something.
pub(crate) fn matcher_sets(params: &Params) -> Result<Vec<Vec<Matcher>>, String> {
    let sets = parse_metric_selectors(params.all("match[]")).map_err(|error| error.to_string())?;
    if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) {
        return Err("match[] must contain at least one non-empty matcher".to_owned());
    }
    Ok(sets)
}

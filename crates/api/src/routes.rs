//! The handlers, one file per family of endpoints. Each extracts parameters, calls one function below, and writes the
//! answer.

pub mod admin;
pub mod exemplars;
pub mod features;
pub mod federate;
pub mod ferula;
pub mod labels;
pub mod management;
pub mod metadata;
pub mod notifications;
pub mod pages;
pub mod parse;
pub mod query;
pub mod read;
pub mod rules;
pub mod scrape_pools;
pub mod search;
pub mod self_metrics;
pub mod series;
pub mod status;
pub mod targets;
pub mod write;

use std::collections::HashSet;

use ferula_model::{Matcher, TimeRange};
use ferula_promql_syntax::{ParseErrors, parse_metric_selectors};

use crate::error::ApiError;
use crate::params::{MAX_TIME_MILLIS, MIN_TIME_MILLIS, Params};

/// `start` and `end`; without them, all of time.
pub(crate) fn optional_range(params: &Params) -> Result<TimeRange, ApiError> {
    let start = params.time_or("start", MIN_TIME_MILLIS)?;
    let end = params.time_or("end", MAX_TIME_MILLIS)?;
    Ok(TimeRange::from_millis(start, end))
}

/// Why selectors are refused, in Prometheus' words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MatcherSetsError {
    #[error(transparent)]
    Syntax(#[from] ParseErrors),
    #[error("match[] must contain at least one non-empty matcher")]
    Empty,
}

/// All `match[]` selectors, each of which must exclude something.
pub(crate) fn matcher_sets(params: &Params) -> Result<Vec<Vec<Matcher>>, MatcherSetsError> {
    let sets = parse_metric_selectors(params.all("match[]"))?;
    if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) {
        return Err(MatcherSetsError::Empty);
    }
    Ok(distinct(sets))
}

/// Removes duplicate selectors: a client may repeat one many times in a request.
pub(crate) fn distinct(sets: Vec<Vec<Matcher>>) -> Vec<Vec<Matcher>> {
    let mut seen = HashSet::new();
    let written = |set: &[Matcher]| -> Vec<String> {
        let mut texts: Vec<String> = set.iter().map(Matcher::to_string).collect();
        texts.sort_unstable();
        texts
    };
    sets.into_iter().filter(|set| seen.insert(written(set))).collect()
}

//! Which series of an index satisfy matchers.
//!
//! A series without a label has the value "" for it. So a matcher that "" satisfies cannot be answered from the
//! values that are in the index; it takes away the series whose value does not satisfy it.

use ferula_model::{MatchOp, Matcher};

use super::BlockError;
use super::index::IndexReader;
use crate::postings::{self, Compare};

/// Numbers of the series that satisfy all matchers, rising. No matcher means every series.
pub fn postings_for_matchers(index: &IndexReader, matchers: &[Matcher]) -> Result<Vec<u32>, BlockError> {
    postings_by(index, matchers, &Matcher::matches)
}

/// [`postings_for_matchers`] by another way to compare a value with a matcher.
pub(crate) fn postings_by(
    index: &IndexReader,
    matchers: &[Matcher],
    matches: &Compare<'_>,
) -> Result<Vec<u32>, BlockError> {
    let mut selected: Option<Vec<u32>> = None;
    let (subtracting, mut intersecting): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|matcher| matcher.matches_empty());
    // Equalities first: they are cheap, and when one has no series the others need not be looked at.
    intersecting.sort_by_key(|matcher| matcher.op != MatchOp::Equal);
    for matcher in intersecting {
        let list = if matcher.op == MatchOp::Equal {
            index.postings(&matcher.name, &matcher.value)?
        } else {
            index.postings_where(&matcher.name, |value| matches(matcher, value))?
        };
        let both = match selected {
            Some(selected) => postings::intersect(&selected, &list),
            None => list,
        };
        if both.is_empty() {
            return Ok(both);
        }
        selected = Some(both);
    }
    let mut selected = match selected {
        Some(selected) => selected,
        None => index.all_postings()?,
    };
    for matcher in subtracting {
        let list = if matcher.op == MatchOp::NotEqual {
            index.postings(&matcher.name, &matcher.value)?
        } else {
            index.postings_where(&matcher.name, |value| !matches(matcher, value))?
        };
        postings::subtract(&mut selected, &list);
    }
    Ok(selected)
}

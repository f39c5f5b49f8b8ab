//! `series`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::Method;
use ferula_model::{LabelSet, Matcher, TimeRange};
use ferula_query::Lookup;
use ferula_storage::{Hints, Purpose, StorageError};

use super::{matcher_sets, optional_range};
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::request::Request;

/// Memory per entry of the answer besides the labels, which belong to the store or were already accounted for.
const ENTRY_BYTES: usize = 3 * size_of::<LabelSet>();

/// `/api/v1/series`
pub fn series(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    if request.method == Method::DELETE {
        // Prometheus has the route, but it deletes nothing.
        return Err(ApiError::internal("not implemented"));
    }
    request.check_form()?;
    if request.params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = request.params.limit()?;
    let range = optional_range(&request.params)?;
    let sets = matcher_sets(&request.params).map_err(|why| ApiError::parameter("match[]", why))?;
    // One more than requested, to tell whether there is more. A series may match several selectors.
    let wanted = if limit == 0 { usize::MAX } else { limit.saturating_add(1) };
    let mut warnings = Vec::new();
    let mut found: Vec<LabelSet> = match sets.as_slice() {
        [one] => {
            let mut found = Vec::new();
            warnings = select(api, &lookup, range, one, false, |labels| {
                found.push(labels);
                (found.len() < wanted).then_some(ENTRY_BYTES)
            })?;
            found
        }
        several => {
            let mut found = BTreeSet::new();
            for set in several {
                let more = select(api, &lookup, range, set, true, |labels| {
                    Some(if found.insert(labels) { ENTRY_BYTES } else { 0 })
                })?;
                warnings.extend(more.into_iter().filter(|text| !warnings.contains(text)).collect::<Vec<_>>());
            }
            found.into_iter().take(wanted).collect()
        }
    };
    let cut = limit > 0 && found.len() > limit;
    if cut {
        found.truncate(limit);
    }
    let answer = Answer::json(move |json| {
        // The series count as memory until they are written, however slowly the client reads.
        let _held = lookup;
        json.begin_array();
        for labels in &found {
            json.labels(labels);
        }
        json.end_array();
    });
    Ok(answer.with_annotations(warnings, Vec::new()).truncated_if(cut))
}

/// Passes each matching series to `take`, which returns how many bytes it keeps, or `None` to end. Each
/// selector has its own snapshot, so only one selection is in memory at a time. Returns the warnings of sources beside the
/// store.
fn select(
    api: &Api,
    lookup: &Lookup,
    range: TimeRange,
    matchers: &[Matcher],
    sorted: bool,
    mut take: impl FnMut(LabelSet) -> Option<usize>,
) -> Result<Vec<String>, ApiError> {
    let store_error = |error: StorageError| ApiError::storage(&error, ErrorKind::Execution);
    let mut snapshot = api.store.queryable.snapshot(range).map_err(store_error)?;
    // Not the name of a function; it informs sources that the samples are not read.
    let purpose = Some(Arc::new(Purpose { function: "series".to_owned(), ..Purpose::default() }));
    let hints = Hints { range: Some(range), sorted, labels_only: true, purpose, ..lookup.hints() };
    let selection = snapshot.select(matchers, &hints).map_err(store_error)?;
    snapshot.freeze().map_err(store_error)?;
    for row in 0..snapshot.series_count(selection) {
        if row.is_multiple_of(1024) && lookup.is_ended() {
            return Err(store_error(StorageError::Stopped));
        }
        match take(snapshot.labels(selection, row)) {
            Some(bytes) => lookup.charge(bytes)?,
            None => break,
        }
    }
    Ok(snapshot.warnings())
}

//! `series`.

use std::collections::BTreeSet;

use ferula_model::LabelSet;
use ferula_storage::{Hints, StorageError};

use super::{matcher_sets, optional_range};
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::request::Request;

/// `/api/v1/series`
pub fn series(api: &Api, request: &Request) -> Handled {
    request.check_form()?;
    if request.params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = request.params.limit()?;
    let range = optional_range(&request.params)?;
    let sets = matcher_sets(&request.params).map_err(|why| ApiError::parameter("match[]", why))?;
    let store_error = |error: StorageError| ApiError::storage(&error, ErrorKind::Execution);
    let mut snapshot = api.store.queryable.snapshot(range).map_err(store_error)?;
    let several = sets.len() > 1;
    let hints = Hints { range: Some(range), sorted: several, labels_only: true, ..Hints::default() };
    let mut selections = Vec::with_capacity(sets.len());
    for set in &sets {
        selections.push(snapshot.select(set, &hints).map_err(store_error)?);
    }
    snapshot.freeze().map_err(store_error)?;
    // One more than asked for, to know whether there is more. A series may match several selectors.
    let wanted = if limit == 0 { usize::MAX } else { limit.saturating_add(1) };
    let rows = selections.iter().flat_map(|selection| {
        (0..snapshot.series_count(*selection)).map(|row| snapshot.labels(*selection, row))
    });
    let mut found: Vec<LabelSet> = if several {
        rows.collect::<BTreeSet<_>>().into_iter().take(wanted).collect()
    } else {
        rows.take(wanted).collect()
    };
    let cut = limit > 0 && found.len() > limit;
    if cut {
        found.truncate(limit);
    }
    let answer = Answer::json(move |json| {
        json.begin_array();
        for labels in &found {
            json.labels(labels);
        }
        json.end_array();
    });
    Ok(answer.truncated_if(cut))
}

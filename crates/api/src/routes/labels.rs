//! `labels` and `label/:name/values`.

use std::collections::BTreeSet;

use ferula_exposition::name_escaping::unescape_name;
use ferula_go::quote::go_quote;
use ferula_model::Matcher;
use ferula_query::Lookup;
use ferula_storage::{Hints, Snapshot, StorageError};

use super::{matcher_sets, optional_range};
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::request::Request;

/// `/api/v1/labels`
pub fn names(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    gather(api, request, lookup, |snapshot, matchers, limit, hints| {
        snapshot.label_names(matchers, limit, hints)
    })
}

/// `/api/v1/label/:name/values`
pub fn values(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    let name = unescape_name(&request.path_param);
    if name.is_empty() || name.contains('\u{fffd}') {
        return Err(ApiError::bad_data(format!("invalid label name: {}", go_quote(&name))));
    }
    gather(api, request, lookup, |snapshot, matchers, limit, hints| {
        snapshot.label_values(&name, matchers, limit, hints)
    })
}

/// Looks up each `match[]` (or everything, without one) and merges the results, sorted.
fn gather(
    api: &Api,
    request: &Request,
    lookup: Lookup,
    ask: impl Fn(&dyn Snapshot, &[Matcher], usize, &Hints) -> Result<Vec<String>, StorageError>,
) -> Handled {
    let limit = request.params.limit()?;
    let range = optional_range(&request.params)?;
    let sets = matcher_sets(&request.params).map_err(|error| ApiError::bad_data(error.to_string()))?;
    let store_error = |error: StorageError| ApiError::storage(&error, ErrorKind::Execution);
    let snapshot = api.store.queryable.snapshot(range).map_err(store_error)?;
    // One more than requested, to tell whether there is more.
    let ask_limit = if limit == 0 { 0 } else { limit.saturating_add(1) };
    let hints = lookup.hints();
    let ask = |set: &[Matcher]| ask(&*snapshot, set, ask_limit, &hints).map_err(store_error);
    let mut texts = match sets.as_slice() {
        [] => ask(&[])?,
        [one] => ask(one)?,
        many => {
            let mut all = BTreeSet::new();
            for set in many {
                all.extend(ask(set)?);
            }
            all.into_iter().collect()
        }
    };
    let cut = limit > 0 && texts.len() > limit;
    if cut {
        texts.truncate(limit);
    }
    let warnings = snapshot.warnings();
    let answer = Answer::json(move |json| {
        // The texts count as memory until they are written, however slowly the client reads.
        let _held = lookup;
        json.strings(texts);
    });
    Ok(answer.with_annotations(warnings, Vec::new()).truncated_if(cut))
}

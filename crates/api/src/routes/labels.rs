//! `labels` and `label/:name/values`.

use std::collections::BTreeSet;

use ferula_query::Lookup;
use ferula_storage::{Hints, Snapshot, StorageError};

use super::{matcher_sets, optional_range};
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::request::Request;
use ferula_go::quote::go_quote;
use ferula_model::Matcher;

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

/// `/api/v1/search/*`, behind a feature flag in Prometheus. This build does not have it.
pub fn search(_: &Api, _: &Request) -> Handled {
    Err(ApiError::new(ErrorKind::Unavailable, "search API disabled"))
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
    let sets = matcher_sets(&request.params).map_err(ApiError::bad_data)?;
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
    let answer = Answer::json(move |json| {
        // The texts count as memory until they are written, however slowly the client reads.
        let _held = lookup;
        json.strings(texts);
    });
    Ok(answer.truncated_if(cut))
}

/// Reverses `U__`: `__` is an underscore, `_2e_` the character with that code. Anything else stays unchanged.
fn unescape_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let decoded = rest.split_once('_').filter(|(hex, _)| !hex.is_empty() && hex.len() <= 6).and_then(
            |(hex, after)| {
                let code = u32::from_str_radix(hex, 16).ok()?;
                Some((char::from_u32(code)?, after))
            },
        );
        let Some((character, after)) = decoded else { return name.to_owned() };
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_unescaped_and_invalid_ones_stay() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__http_2e_status__code", "http.status_code"),
            ("U___e9_", "é"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_110000_", "U__a_110000_"),
            ("U__", ""),
        ] {
            assert_eq!(unescape_name(escaped), name);
        }
    }
}

//! `ferula/metrics`: metrics whose name or help text matches, the best first, with their metadata.
//!
//! Names rank as in the editor's completion; metrics found by their help text alone follow. Unlike `search/metric_names`
//! it needs no flag, and it searches help texts.

use std::collections::HashMap;

use ferula_go::number::atoi;
use ferula_go::sync::MutexExt;
use ferula_go::unicode;
use ferula_model::MetricMetadata;
use ferula_query::Lookup;

use super::editor::{EditorData, rank};
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;

const LIMIT_DEFAULT: i64 = 200;
const LIMIT_MAX: i64 = 2_000;
const SEARCH_BYTES_MAX: usize = 1_000;
/// How many targets of a pool are searched for help texts: targets of one pool mostly have the same metrics.
const TARGETS_OF_POOL_MAX: usize = 4;

/// `/api/v1/ferula/metrics`
pub fn metrics(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    let params = &request.params;
    let search = params.first("search").trim();
    if search.len() > SEARCH_BYTES_MAX {
        return Err(ApiError::parameter(
            "search",
            format!("more than {SEARCH_BYTES_MAX} bytes are not looked for"),
        ));
    }
    let limit = match params.first("limit") {
        "" => LIMIT_DEFAULT,
        text => atoi(text).map_err(|why| ApiError::parameter("limit", why))?,
    };
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::parameter("limit", format!("must be a number from 1 to {LIMIT_MAX}")));
    }
    let limit = usize::try_from(limit).unwrap_or(1);
    let data = EditorData::new(api, params, lookup)?;
    let names = data.metric_names()?;
    let words: Vec<String> = search.split_whitespace().map(str::to_lowercase).collect();
    let mut found = ranked(&words, &names, limit);
    let by_name = found.len();
    if !words.is_empty() && found.len() < limit {
        let helps = helps(api);
        let fits = |name: &str| {
            let help = unicode::lower(help_of(&helps, name).unwrap_or_default());
            words.iter().all(|word| help.contains(word) || unicode::lower(name).contains(word))
        };
        let known: std::collections::HashSet<&str> = found.iter().copied().collect();
        let more: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| !known.contains(name) && fits(name)).collect();
        found.extend(more.into_iter().take(limit - by_name));
    }
    let rows: Vec<(String, Option<MetricMetadata>)> =
        found.iter().map(|name| ((*name).to_owned(), data.metadata(name))).collect();
    let total = names.len();
    Ok(Answer::json(move |json| {
        // Names count as memory until they are written.
        let _held = names;
        json.begin_object();
        json.key("total");
        json.uint(total as u64);
        json.key("metrics");
        json.begin_array();
        for (name, about) in &rows {
            json.begin_object();
            json.field("name", name);
            if let Some(about) = about {
                json.field("type", about.kind.as_str());
                json.field("help", &about.help);
                json.field("unit", &about.unit);
            }
            json.end_object();
        }
        json.end_array();
        json.end_object();
    }))
}

/// Names that match every word, ranked by their worst match.
fn ranked<'a>(words: &[String], names: &'a [String], limit: usize) -> Vec<&'a str> {
    match words {
        [] => names.iter().take(limit).map(String::as_str).collect(),
        [first, others @ ..] => {
            let fits =
                |name: &&str| others.iter().all(|word| rank::fit(word, name).is_some_and(|fit| fit > 1));
            rank::ranked(first, names.iter().map(String::as_str).filter(fits), limit)
        }
    }
}

/// Help texts by family, from a few targets of each pool.
fn helps(api: &Api) -> HashMap<String, String> {
    let mut helps = HashMap::new();
    for pool in &api.targets.targets().pools {
        for target in pool.active.iter().take(TARGETS_OF_POOL_MAX) {
            let Some(cache) = target.metadata() else { continue };
            let cache = cache.locked();
            for (family, about) in cache.list() {
                helps.entry(family).or_insert(about.help);
            }
        }
    }
    helps
}

fn help_of<'a>(helps: &'a HashMap<String, String>, name: &str) -> Option<&'a str> {
    let family = ["_total", "_bucket", "_sum", "_count"].into_iter().filter_map(|end| name.strip_suffix(end));
    std::iter::once(name).chain(family).find_map(|family| helps.get(family)).map(String::as_str)
}

//! `search/metric_names`, `search/label_names` and `search/label_values`: names ranked by how well they match, a line of JSON
//! for each batch, then one with the result. Enabled by `--enable-feature=search-api`, as in Prometheus.

mod score;

use std::collections::{BTreeSet, HashMap};

use ferula_go::json::{format_number, push_iterator_html_string};
use ferula_go::number::{atoi, parse_bool};
use ferula_go::quote::go_quote;
use ferula_go::sync::MutexExt;
use ferula_model::labels::METRIC_NAME;
use ferula_model::{Matcher, MetricMetadata, TimeRange};
use ferula_query::Lookup;
use ferula_storage::StorageError;

use self::score::Filter;
use super::matcher_sets;
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::params::{Params, parse_time};
use crate::request::Request;

const RANGE_MS_DEFAULT: i64 = 3_600_000;
const LIMIT_DEFAULT: usize = 100;
const BATCH_SIZE_DEFAULT: usize = 100;
/// Each term costs time for each value.
const TERMS_MAX: usize = 32;
/// Memory per result without its text, which the look-up has already accounted for.
const RESULT_BYTES: usize = size_of::<Hit>();

/// The values of `fuzz_alg`.
const FUZZ_ALGORITHMS: [&str; 2] = ["subsequence", "jarowinkler"];

/// `/api/v1/search/metric_names`
pub fn metric_names(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    let search = Search::of(api, request, "metric_names")?;
    let with_metadata = flag(&request.params, "include_metadata", false)?;
    let found = search.find(api, &lookup, Some(METRIC_NAME))?;
    let metadata = match with_metadata {
        true => metadata_of(api, &found.hits, &lookup),
        false => HashMap::new(),
    };
    Ok(search.answer(found, "name", metadata, lookup))
}

/// `/api/v1/search/label_names`
pub fn label_names(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    let search = Search::of(api, request, "label_names")?;
    let found = search.find(api, &lookup, None)?;
    Ok(search.answer(found, "name", HashMap::new(), lookup))
}

/// `/api/v1/search/label_values`
pub fn label_values(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    let search = Search::of(api, request, "label_values")?;
    let label = request.params.first("label");
    if label.is_empty() {
        return Err(ApiError::bad_data("missing required parameter \"label\""));
    }
    let found = search.find(api, &lookup, Some(label))?;
    Ok(search.answer(found, "value", HashMap::new(), lookup))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Rising,
    Falling,
    /// The best first, equal ones in ascending order.
    Score,
}

/// A checked request.
struct Search {
    range: TimeRange,
    matcher_sets: Vec<Vec<Matcher>>,
    filter: Option<Filter>,
    order: Order,
    with_score: bool,
    limit: usize,
    batch_size: usize,
}

struct Hit {
    text: String,
    score: f64,
}

struct SearchHits {
    hits: Vec<Hit>,
    has_more: bool,
}

impl Search {
    /// Parameters are checked in Prometheus' order, so the same one of several mistakes is reported.
    fn of(api: &Api, request: &Request, endpoint: &str) -> Result<Search, ApiError> {
        let settings = &api.site.settings;
        if !settings.search_api {
            return Err(ApiError::new(ErrorKind::Unavailable, "search API disabled"));
        }
        if settings.agent {
            return Err(ApiError::not_for_agents());
        }
        request.check_form()?;
        let params = &request.params;
        let now = api.site.clock.now().millis();
        let start = time(params, "start", now - RANGE_MS_DEFAULT)?;
        let end = time(params, "end", now)?;
        if end < start {
            return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
        }
        let matcher_sets = matcher_sets(params).map_err(|error| ApiError::bad_data(error.to_string()))?;
        let terms: Vec<&str> = params.all("search[]").collect();
        if terms.len() > TERMS_MAX {
            let why = format!("too many search[] terms: got {}, maximum is {TERMS_MAX}", terms.len());
            return Err(ApiError::bad_data(why));
        }
        let threshold = threshold(params)?;
        let likeness = algorithm(params)?;
        let case_sensitive = flag(params, "case_sensitive", true)?;
        let with_score = flag(params, "include_score", false)?;
        let falling = check_sort_dir(params, terms.is_empty())?;
        let limit = limit(params, settings.search_limit_max)?;
        let batch_size = positive(params, "batch_size")?.unwrap_or(BATCH_SIZE_DEFAULT);
        let order = match params.first("sort_by") {
            "score" => Order::Score,
            "alpha" if falling => Order::Falling,
            "" | "alpha" => Order::Rising,
            other => {
                let other = go_quote(other);
                let why = format!("invalid sort_by {other} for {endpoint}: must be \"alpha\" or \"score\"");
                return Err(ApiError::bad_data(why));
            }
        };
        let filter = Filter::new(&terms, likeness, threshold, !case_sensitive);
        let range = TimeRange::from_millis(start, end);
        Ok(Search { range, matcher_sets, filter, order, with_score, limit, batch_size })
    }

    /// Matching values of a label, or without one, matching label names.
    fn find(&self, api: &Api, lookup: &Lookup, label: Option<&str>) -> Result<SearchHits, ApiError> {
        let failed = |error: StorageError| ApiError::storage(&error, ErrorKind::Execution);
        let snapshot = api.store.queryable.snapshot(self.range).map_err(failed)?;
        let hints = lookup.hints();
        // One more than requested, to know whether there are more. The store can only limit results in its own order.
        let wanted = self.limit.saturating_add(1);
        let limit = if self.filter.is_none() && self.order == Order::Rising { wanted } else { 0 };
        let ask = |matchers: &[Matcher]| match label {
            Some(label) => snapshot.label_values(label, matchers, limit, &hints).map_err(failed),
            None => snapshot.label_names(matchers, limit, &hints).map_err(failed),
        };
        let texts = match self.matcher_sets.as_slice() {
            [] => ask(&[])?,
            [one] => ask(one)?,
            several => {
                let mut all = BTreeSet::new();
                for set in several {
                    all.extend(ask(set)?);
                }
                all.into_iter().collect()
            }
        };
        let mut hits = self.fitting(texts, wanted, lookup)?;
        if lookup.is_ended() {
            return Err(failed(StorageError::Stopped));
        }
        let by_score = |a: &Hit, b: &Hit| b.score.total_cmp(&a.score).then_with(|| a.text.cmp(&b.text));
        if self.order == Order::Score {
            if hits.len() > wanted {
                hits.select_nth_unstable_by(wanted, by_score);
                hits.truncate(wanted);
            }
            hits.sort_unstable_by(by_score);
        }
        let has_more = hits.len() > self.limit;
        hits.truncate(self.limit);
        Ok(SearchHits { hits, has_more })
    }

    /// The matching ones; only as many as requested, if their order does not depend on the others.
    fn fitting(&self, texts: Vec<String>, wanted: usize, lookup: &Lookup) -> Result<Vec<Hit>, ApiError> {
        let ordered: Box<dyn Iterator<Item = String>> = match self.order {
            Order::Falling => Box::new(texts.into_iter().rev()),
            Order::Rising | Order::Score => Box::new(texts.into_iter()),
        };
        let ended = || lookup.is_ended();
        let mut hits = Vec::new();
        for text in ordered {
            let score = match &self.filter {
                None => 1.0,
                Some(filter) => match filter.score(&text, &ended) {
                    Some(score) => score,
                    None => continue,
                },
            };
            lookup.charge(RESULT_BYTES)?;
            hits.push(Hit { text, score });
            if self.order != Order::Score && hits.len() >= wanted {
                break;
            }
        }
        Ok(hits)
    }

    /// The lines. The names count as memory until they are written, however slowly the client reads.
    fn answer(
        self,
        found: SearchHits,
        field: &'static str,
        metadata: HashMap<String, MetricMetadata>,
        lookup: Lookup,
    ) -> Answer {
        Answer::body("application/x-ndjson; charset=utf-8", move |sink| {
            let _held = lookup;
            let no_hit: &[Hit] = &[];
            // The first batch is sent even if it is empty.
            let batches = found.hits.chunks(self.batch_size);
            for batch in batches.chain(found.hits.is_empty().then_some(no_hit)) {
                let mut line = String::from("{\"results\":[");
                for (at, hit) in batch.iter().enumerate() {
                    line.push_str(if at > 0 { ",{" } else { "{" });
                    line.push_str(&format!("\"{field}\":"));
                    push_iterator_html_string(&mut line, &hit.text);
                    if self.with_score {
                        line.push_str(",\"score\":");
                        line.push_str(&format_number(hit.score).unwrap_or_default());
                    }
                    if let Some(about) = metadata.get(&hit.text) {
                        push_metadata(&mut line, about);
                    }
                    line.push('}');
                }
                line.push_str("]}\n");
                if !sink(line.into_bytes()) {
                    return;
                }
            }
            let last = format!("{{\"status\":\"success\",\"has_more\":{}}}\n", found.has_more);
            sink(last.into_bytes());
        })
    }
}

/// Empty fields are omitted.
fn push_metadata(line: &mut String, about: &MetricMetadata) {
    for (name, text) in [("type", about.kind.as_str()), ("help", &about.help), ("unit", &about.unit)] {
        if !text.is_empty() {
            line.push_str(&format!(",\"{name}\":"));
            push_iterator_html_string(line, text);
        }
    }
}

/// The metadata from the first target that has the metric.
fn metadata_of(api: &Api, hits: &[Hit], lookup: &Lookup) -> HashMap<String, MetricMetadata> {
    let mut wanted: Vec<&str> = hits.iter().map(|hit| hit.text.as_str()).collect();
    let mut found = HashMap::new();
    let pools = api.targets.targets().pools;
    for target in pools.iter().flat_map(|pool| &pool.active) {
        if wanted.is_empty() || lookup.is_ended() {
            break;
        }
        let Some(cache) = target.metadata() else { continue };
        let cache = cache.locked();
        wanted.retain(|name| match cache.get(name) {
            Some(about) => found.insert((*name).to_owned(), about.clone()).is_some(),
            None => true,
        });
    }
    found
}

fn time(params: &Params, name: &str, default: i64) -> Result<i64, ApiError> {
    match params.first(name) {
        "" => Ok(default),
        text => parse_time(text)
            .map_err(|why| ApiError::bad_data(format!("invalid time value for '{name}': {why}"))),
    }
}

fn flag(params: &Params, name: &str, default: bool) -> Result<bool, ApiError> {
    match params.first(name) {
        "" => Ok(default),
        text => parse_bool(text)
            .map_err(|_| ApiError::bad_data(format!("invalid {name} {}: must be boolean", go_quote(text)))),
    }
}

/// `None` without the parameter.
fn positive(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    let text = params.first(name);
    if text.is_empty() {
        return Ok(None);
    }
    let number = atoi(text).ok().filter(|number| *number > 0).and_then(|number| usize::try_from(number).ok());
    number.map(Some).ok_or_else(|| {
        ApiError::bad_data(format!("invalid {name} {}: must be a positive integer", go_quote(text)))
    })
}

/// The default is never above the operator's limit; 0 means no limit.
fn limit(params: &Params, bound: usize) -> Result<usize, ApiError> {
    let bound = if bound == 0 { usize::MAX } else { bound };
    match positive(params, "limit")? {
        None => Ok(LIMIT_DEFAULT.min(bound)),
        Some(limit) if limit > bound => Err(ApiError::bad_data(format!(
            "limit {limit} exceeds the configured maximum ({bound}, see --web.search.max-limit)"
        ))),
        Some(limit) => Ok(limit),
    }
}

/// From 0 to 100.
fn threshold(params: &Params) -> Result<u32, ApiError> {
    let text = params.first("fuzz_threshold");
    if text.is_empty() {
        return Ok(0);
    }
    let number = atoi(text).ok().filter(|number| (0..=100).contains(number));
    number.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| {
        ApiError::bad_data(format!("invalid fuzz_threshold {}: must be 0-100", go_quote(text)))
    })
}

/// Whether similarity counts instead of letters in order.
fn algorithm(params: &Params) -> Result<bool, ApiError> {
    match params.first("fuzz_alg") {
        "" | "subsequence" => Ok(false),
        "jarowinkler" => Ok(true),
        other => Err(ApiError::bad_data(format!(
            "unsupported fuzz_alg {}: must be one of [{}]",
            go_quote(other),
            FUZZ_ALGORITHMS.join(" ")
        ))),
    }
}

/// Whether the order is descending.
fn check_sort_dir(params: &Params, no_terms: bool) -> Result<bool, ApiError> {
    let (by, dir) = (params.first("sort_by"), params.first("sort_dir"));
    let refused = match (by, dir) {
        ("", dir) if !dir.is_empty() => "sort_dir is only valid when sort_by is set".to_owned(),
        ("score", dir) if !dir.is_empty() => "sort_dir is not supported for sort_by=score".to_owned(),
        (_, dir) if !["", "asc", "dsc"].contains(&dir) => {
            format!("invalid sort_dir {}: must be \"asc\" or \"dsc\"", go_quote(dir))
        }
        ("score", _) if no_terms => "sort_by=score requires search[] to be set".to_owned(),
        (_, dir) => return Ok(dir == "dsc"),
    };
    Err(ApiError::bad_data(refused))
}

//! `metadata` and `targets/metadata`.

use std::collections::BTreeMap;

use ferula_go::number::atoi;
use ferula_go::sync::MutexExt;
use ferula_model::{LabelSet, MetricMetadata};
use ferula_promql_syntax::parse_metric_selector;

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::json::JsonWriter;
use crate::params::Params;
use crate::request::Request;

/// A limit in the older style: any number; negative or missing means "none".
fn older_limit(params: &Params, name: &str) -> Result<i64, ApiError> {
    match params.first(name) {
        "" => Ok(-1),
        text => atoi(text).map_err(|_| ApiError::bad_data(format!("{name} must be a number"))),
    }
}

fn asked_metric(params: &Params) -> Option<&str> {
    Some(params.first("metric")).filter(|metric| !metric.is_empty())
}

/// One metric family of one target.
struct TargetMetadata {
    target: LabelSet,
    family: String,
    metadata: MetricMetadata,
}

/// Metadata of one metric, or of all metrics, for every active target.
fn metadata_of_targets(api: &Api, metric: Option<&str>) -> Vec<TargetMetadata> {
    let pools = api.targets.targets().pools;
    let mut all = Vec::new();
    for target in pools.iter().flat_map(|pool| &pool.active) {
        let Some(cache) = target.metadata() else { continue };
        let cache = cache.locked();
        let found = match metric {
            None => cache.list(),
            Some(name) => {
                cache.get(name).map(|metadata| (name.to_owned(), metadata.clone())).into_iter().collect()
            }
        };
        all.extend(found.into_iter().map(|(family, metadata)| TargetMetadata {
            target: target.public_labels.clone(),
            family,
            metadata,
        }));
    }
    all
}

fn write_metadata(json: &mut JsonWriter<'_>, metadata: &MetricMetadata) {
    json.field("type", metadata.kind.as_str());
}

/// `/api/v1/metadata`
pub fn of_metrics(api: &Api, request: &Request) -> Handled {
    let limit = older_limit(&request.params, "limit")?;
    let per_metric = older_limit(&request.params, "limit_per_metric")?;
    let mut by_family: BTreeMap<String, Vec<MetricMetadata>> = BTreeMap::new();
    for entry in metadata_of_targets(api, asked_metric(&request.params)) {
        let seen = by_family.entry(entry.family).or_default();
        let full = per_metric > 0 && seen.len() as i64 >= per_metric;
        if !full && !seen.contains(&entry.metadata) {
            seen.push(entry.metadata);
        }
    }
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(Answer::json(move |json| {
        json.begin_object();
        for (family, all) in by_family.iter().take(shown) {
            json.key(family);
            json.begin_array();
            for metadata in all {
                json.begin_object();
                write_metadata(json, metadata);
                json.field("unit", &metadata.unit);
                json.field("help", &metadata.help);
                json.end_object();
            }
            json.end_array();
        }
        json.end_object();
    }))
}

/// `/api/v1/targets/metadata`
pub fn of_targets(api: &Api, request: &Request) -> Handled {
    let limit = older_limit(&request.params, "limit")?;
    let matchers = match request.params.first("match_target") {
        "" => Vec::new(),
        text => parse_metric_selector(text).map_err(|error| ApiError::parameter("match_target", error))?,
    };
    let metric = asked_metric(&request.params);
    let named = metric.is_none();
    let matches = |entry: &TargetMetadata| {
        matchers.iter().all(|matcher| matcher.matches(entry.target.value(&matcher.name)))
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found: Vec<TargetMetadata> = Vec::new();
    for entry in metadata_of_targets(api, metric).into_iter().filter(matches) {
        // The limit is only checked between targets: a target's metadata is never split.
        if found.len() >= limit && found.last().is_none_or(|last| last.target != entry.target) {
            break;
        }
        found.push(entry);
    }
    Ok(Answer::json(move |json| {
        json.begin_array();
        for entry in &found {
            json.begin_object();
            json.key("target");
            json.labels(&entry.target);
            if named {
                json.field("metric", &entry.family);
            }
            write_metadata(json, &entry.metadata);
            json.field("help", &entry.metadata.help);
            json.field("unit", &entry.metadata.unit);
            json.end_object();
        }
        json.end_array();
    }))
}

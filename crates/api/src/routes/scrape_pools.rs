//! `scrape_pools/config` and `targets/relabel_steps`: a scrape job's effective configuration, and what its
//! rules do to labels.

use std::collections::BTreeMap;

use ferula_config::scrape::ScrapeConfig;
use ferula_go::quote::go_quote;
use ferula_model::LabelSet;
use ferula_model::labels::LabelSetBuilder;
use ferula_model::relabel::Rule;

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::json::JsonWriter;
use crate::request::Request;

/// Maximum total size of all steps in an answer. A single rule can multiply the length of labels.
const STEPS_BYTES_MAX: usize = 16 << 20;

/// The job of the requested pool.
pub(super) fn job(api: &Api, pool: &str) -> Result<ScrapeConfig, ApiError> {
    let unknown = || {
        let pool = go_quote(pool);
        ApiError::bad_data(format!("error retrieving scrape config: scrape pool {pool} not found"))
    };
    if !api.targets.targets().pools.iter().any(|running| running.name == pool) {
        return Err(unknown());
    }
    let loaded = api.loaded();
    loaded.jobs.iter().find(|job| job.job_name == pool).cloned().ok_or_else(unknown)
}

pub(super) fn asked_pool(request: &Request) -> Result<&str, ApiError> {
    match request.params.first("scrapePool") {
        "" => Err(ApiError::bad_data("no scrapePool parameter provided")),
        pool => Ok(pool),
    }
}

/// The label set in the request, a JSON object.
pub(super) fn asked_labels(request: &Request) -> Result<BTreeMap<String, String>, ApiError> {
    match request.params.first("labels") {
        "" => Err(ApiError::bad_data("no labels parameter provided")),
        text => ferula_go::json_reader::from_slice(text.as_bytes())
            .map_err(|error| ApiError::bad_data(format!("error parsing labels: {error}"))),
    }
}

/// `/api/v1/scrape_pools/config`
pub fn config(api: &Api, request: &Request) -> Handled {
    let yaml = job(api, asked_pool(request)?)?.to_yaml();
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.field("yaml", &yaml);
        json.end_object();
    }))
}

/// `/api/v1/targets/relabel_steps`
pub fn relabel_steps(api: &Api, request: &Request) -> Handled {
    let pool = asked_pool(request)?;
    let labels = asked_labels(request)?;
    let rules = job(api, pool)?.target_rules();
    steps(rules, &labels)
}

/// Returns the labels after each rule.
pub(super) fn steps(rules: Vec<Rule>, labels: &BTreeMap<String, String>) -> Handled {
    let mut builder = LabelSetBuilder::new();
    for (name, value) in labels {
        builder.set(name, value);
    }
    let mut keep = true;
    let mut steps: Vec<(Rule, LabelSet, bool)> = Vec::with_capacity(rules.len());
    let mut bytes = 0usize;
    for (index, rule) in rules.into_iter().enumerate() {
        if keep {
            let held: usize = builder.iter().map(|(name, value)| name.len() + value.len()).sum();
            bytes = bytes.saturating_add(held).saturating_add(rule.growth_bytes_max(&builder));
            if bytes > STEPS_BYTES_MAX {
                let why = format!(
                    "rule {} and the previous ones produce more than {STEPS_BYTES_MAX} bytes",
                    index + 1
                );
                return Err(ApiError::parameter("rules", why));
            }
        }
        keep = keep && rule.apply(&mut builder);
        let output = if keep { builder.finish() } else { LabelSet::default() };
        steps.push((rule, output, keep));
    }
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("steps");
        json.begin_array();
        for (rule, output, keep) in &steps {
            json.begin_object();
            json.key("rule");
            write_rule(json, rule);
            json.key("output");
            json.labels(output);
            json.key("keep");
            json.bool(*keep);
            json.end_object();
        }
        json.end_array();
        json.end_object();
    }))
}

fn write_rule(json: &mut JsonWriter<'_>, rule: &Rule) {
    json.begin_object();
    if !rule.source_labels.is_empty() {
        json.key("source_labels");
        json.strings(&rule.source_labels);
    }
    json.field("separator", &rule.separator);
    json.field("regex", rule.regex.pattern());
    if rule.modulus != 0 {
        json.key("modulus");
        json.uint(rule.modulus);
    }
    if !rule.target_label.is_empty() {
        json.field("target_label", &rule.target_label);
    }
    json.field("replacement", &rule.replacement);
    json.field("action", rule.action.as_str());
    json.end_object();
}

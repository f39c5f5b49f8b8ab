//! `targets` and `scrape_pools`.

use std::sync::Arc;

use ferula_go::unicode;
use ferula_model::UnixNanos;
use ferula_model::alert::ZERO_TIME;
use ferula_scraper::{DroppedTarget, PoolSnapshot, Target};

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::global_url::global_url;
use crate::json::JsonWriter;
use crate::request::Request;

/// `/api/v1/scrape_pools`
pub fn scrape_pools(api: &Api, _: &Request) -> Handled {
    let pools = api.targets.targets().pools;
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("scrapePools");
        json.strings(pools.into_iter().map(|pool| pool.name));
        json.end_object();
    }))
}

/// `/api/v1/targets`
pub fn targets(api: &Api, request: &Request) -> Handled {
    let wanted_pool = request.params.first_in_url("scrapePool").to_owned();
    let state = unicode::lower(request.params.first_in_url("state"));
    let wants = |kind| state.is_empty() || state == "any" || state == kind;
    let (with_active, with_dropped) = (wants("active"), wants("dropped"));
    let (site, pools) = (api.site.clone(), api.targets.targets().pools);
    Ok(Answer::json(move |json| {
        let wanted = || pools.iter().filter(|pool| wanted_pool.is_empty() || pool.name == wanted_pool);
        json.begin_object();
        json.key("activeTargets");
        json.begin_array();
        for pool in wanted().filter(|_| with_active) {
            for target in &pool.active {
                let (settings, url) = (&site.settings, &target.url);
                let external = &settings.external_url;
                let global = global_url(url, &settings.listen_address, &external.scheme, &external.host);
                write_active(json, pool, target, &global);
            }
        }
        json.end_array();
        json.key("droppedTargets");
        json.begin_array();
        for pool in wanted().filter(|_| with_dropped) {
            for dropped in &pool.dropped {
                write_dropped(json, pool, dropped);
            }
        }
        json.end_array();
        json.key("droppedTargetCounts");
        if with_dropped {
            json.begin_object();
            // Of all pools, even if only one is requested.
            for pool in &pools {
                json.key(&pool.name);
                json.uint(pool.dropped_count as u64);
            }
            json.end_object();
        } else {
            json.null();
        }
        json.end_object();
    }))
}

fn write_active(json: &mut JsonWriter<'_>, pool: &PoolSnapshot, target: &Arc<Target>, global: &str) {
    let last = target.last_scrape();
    json.begin_object();
    json.key("discoveredLabels");
    json.labels(&target.discovered_labels());
    json.key("labels");
    json.labels(&target.public_labels);
    json.field("scrapePool", &pool.name);
    json.field("scrapeUrl", &target.url);
    json.field("globalUrl", global);
    json.field("lastError", &last.error);
    let at = last.at_unix_nanos.map_or_else(|| ZERO_TIME.to_owned(), |at| UnixNanos(at).rfc3339_nanos());
    json.field("lastScrape", &at);
    json.key("lastScrapeDuration");
    json.number(last.took.as_secs_f64());
    json.field("health", last.health.as_str());
    json.field("scrapeInterval", target.labels.value("__scrape_interval__"));
    json.field("scrapeTimeout", target.labels.value("__scrape_timeout__"));
    json.end_object();
}

/// In addition to Prometheus' fields, `droppedByRule` is the index of the `relabel_configs` rule, from 0.
fn write_dropped(json: &mut JsonWriter<'_>, pool: &PoolSnapshot, dropped: &DroppedTarget) {
    json.begin_object();
    json.key("discoveredLabels");
    json.labels(&dropped.discovered_labels);
    json.field("scrapePool", &pool.name);
    if let Some(rule) = dropped.rule {
        json.key("droppedByRule");
        json.uint(rule as u64);
    }
    json.end_object();
}

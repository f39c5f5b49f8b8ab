//! `targets` and `scrape_pools`.

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::json::JsonWriter;
use crate::json::time::rfc3339_nanos;
use crate::request::Request;
use crate::targets::{ActiveTarget, DroppedTarget, global_url};

/// `/api/v1/scrape_pools`
pub fn scrape_pools(api: &Api, _: &Request) -> Handled {
    let pools = api.targets.pools();
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("scrapePools");
        json.strings(pools);
        json.end_object();
    }))
}

/// `/api/v1/targets`
pub fn targets(api: &Api, request: &Request) -> Handled {
    let pool = request.params.first_in_url("scrapePool").to_owned();
    let state = request.params.first_in_url("state").to_lowercase();
    let wants = |kind| state.is_empty() || state == "any" || state == kind;
    let in_pool = |name: &str| pool.is_empty() || pool == name;
    let active = if wants("active") { api.targets.active() } else { Vec::new() };
    let dropped = wants("dropped").then(|| (api.targets.dropped(), api.targets.dropped_counts()));
    let active: Vec<(ActiveTarget, String)> = active
        .into_iter()
        .filter(|target| in_pool(&target.pool))
        .map(|target| {
            let external = &api.settings.external_url;
            let global =
                global_url(&target.url, &api.settings.listen_address, &external.scheme, &external.host);
            (target, global)
        })
        .collect();
    let (dropped, counts) = match dropped {
        Some((dropped, counts)) => {
            (dropped.into_iter().filter(|target| in_pool(&target.pool)).collect(), Some(counts))
        }
        None => (Vec::new(), None),
    };
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("activeTargets");
        json.begin_array();
        for (target, global) in &active {
            write_active(json, target, global);
        }
        json.end_array();
        json.key("droppedTargets");
        json.begin_array();
        for target in &dropped {
            write_dropped(json, target);
        }
        json.end_array();
        json.key("droppedTargetCounts");
        match counts {
            Some(counts) => {
                json.begin_object();
                for (pool, count) in counts {
                    json.key(&pool);
                    json.uint(count);
                }
                json.end_object();
            }
            None => json.null(),
        }
        json.end_object();
    }))
}

fn write_active(json: &mut JsonWriter<'_>, target: &ActiveTarget, global: &str) {
    json.begin_object();
    json.key("discoveredLabels");
    json.labels(&target.discovered_labels);
    json.key("labels");
    json.labels(&target.labels);
    json.field("scrapePool", &target.pool);
    json.field("scrapeUrl", &target.url);
    json.field("globalUrl", global);
    json.field("lastError", &target.last_error);
    json.field("lastScrape", &rfc3339_nanos(target.last_scrape));
    json.key("lastScrapeDuration");
    json.number(target.last_duration_seconds);
    json.field("health", target.health.as_str());
    json.field("scrapeInterval", &target.interval);
    json.field("scrapeTimeout", &target.timeout);
    json.end_object();
}

fn write_dropped(json: &mut JsonWriter<'_>, target: &DroppedTarget) {
    json.begin_object();
    json.key("discoveredLabels");
    json.labels(&target.discovered_labels);
    json.field("scrapePool", &target.pool);
    json.end_object();
}

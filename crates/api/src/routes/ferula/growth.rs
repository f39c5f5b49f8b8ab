//! `ferula/growth`: which jobs, metrics and labels get new series, while limits on series are set.

use ferula_model::UnixNanos;
use ferula_scraper::growth::{Bound, Growth, GrowthOf};

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::json::JsonWriter;
use crate::request::Request;

/// `/api/v1/ferula/growth`: the limits, this minute and the one before. `enabled` is false, and the rest is missing, without
/// limits.
pub fn growth(api: &Api, _: &Request) -> Handled {
    let guard = api.store.growth.clone();
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("enabled");
        json.bool(guard.is_some());
        if let Some(guard) = guard {
            let limits = guard.limits();
            json.key("limits");
            json.begin_object();
            for (name, bound) in [
                ("head", limits.head),
                ("job", limits.job),
                ("target", limits.target),
                ("metric", limits.metric),
            ] {
                json.key(name);
                write_bound(json, bound);
            }
            json.end_object();
            let [now, last] = guard.growth();
            for (name, minute) in [("thisMinute", now), ("lastMinute", last)] {
                json.key(name);
                write_minute(json, &minute);
            }
        }
        json.end_object();
    }))
}

fn write_bound(json: &mut JsonWriter<'_>, bound: Bound) {
    json.begin_object();
    json.key("series");
    json.uint(bound.series_max);
    json.key("newPerMinute");
    json.uint(bound.new_per_minute_max);
    json.end_object();
}

fn write_minute(json: &mut JsonWriter<'_>, minute: &Growth) {
    json.begin_object();
    json.field("start", &UnixNanos::from_millis(minute.begun_at_ms).rfc3339_nanos());
    for (name, all) in [("jobs", &minute.jobs), ("metrics", &minute.metrics)] {
        json.key(name);
        json.begin_array();
        all.iter().for_each(|one| write_one(json, one));
        json.end_array();
    }
    json.end_object();
}

fn write_one(json: &mut JsonWriter<'_>, one: &GrowthOf) {
    json.begin_object();
    json.field("name", &one.name);
    for (name, count) in [("series", one.series), ("new", one.new), ("refused", one.refused)] {
        json.key(name);
        json.uint(count);
    }
    if !one.labels.is_empty() {
        json.key("labels");
        json.begin_array();
        for label in &one.labels {
            json.begin_object();
            json.field("name", &label.name);
            json.key("newValues");
            json.uint(label.values as u64);
            json.end_object();
        }
        json.end_array();
    }
    json.end_object();
}

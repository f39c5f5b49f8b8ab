//! `status/active_queries` and `status/top_queries` in VictoriaMetrics' format, and `ferula/queries/stop`.

use std::time::Duration;

use ferula_go::number::atoi;
use ferula_model::duration::{format_millis, parse_millis};
use ferula_query::{Origin, RecentQueries, RunningQuery, TopQuery};
use serde_json::{Value, json};

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::request::Request;

/// Default length of a list of queries.
const TOP_DEFAULT: i64 = 20;
const TOP_MAX: i64 = 1_000;
/// By default, how long ago a query may have ended.
const LIFETIME_DEFAULT_MS: i64 = 600_000;

/// An answer without the API's envelope.
fn bare_json(value: &Value) -> Answer {
    let text = value.to_string();
    Answer::body("application/json", move |sink| {
        sink(text.into_bytes());
    })
}

/// `/api/v1/status/active_queries`: includes the queries of rules.
pub fn active(api: &Api, _: &Request) -> Handled {
    let data: Vec<Value> = api.queries.running().iter().map(active_json).collect();
    Ok(bare_json(&json!({ "status": "ok", "data": data })))
}

fn active_json(query: &RunningQuery) -> Value {
    let (start, end, step) = query.request.time.start_end_step_ms();
    let (client, origin) = match &query.request.origin {
        Some(Origin::Http { client, path, .. }) => (client.as_str(), path.clone()),
        Some(Origin::RuleGroup { file, name }) => ("", format!("rule group {name} of {file}")),
        None => ("", String::new()),
    };
    json!({
        "duration": format!("{:.3}s", query.age.as_secs_f64()),
        "id": format!("{:016X}", query.id),
        "remote_addr": client,
        "query": query.request.query,
        "start": start,
        "end": end,
        "step": step,
        // These fields are not in VictoriaMetrics' answer.
        "origin": origin,
    })
}

/// `/api/v1/status/top_queries`
pub fn top(api: &Api, request: &Request) -> Handled {
    let count = match request.params.first("topN") {
        "" => TOP_DEFAULT,
        text => atoi(text).map_err(|why| ApiError::parameter("topN", why))?,
    };
    if !(1..=TOP_MAX).contains(&count) {
        return Err(ApiError::parameter("topN", format!("must be a number from 1 to {TOP_MAX}")));
    }
    let lifetime_ms = match request.params.first("maxLifetime") {
        "" => LIFETIME_DEFAULT_MS,
        text => parse_millis(text).map_err(|why| ApiError::parameter("maxLifetime", why))?,
    };
    let lifetime = Duration::from_millis(u64::try_from(lifetime_ms).unwrap_or(0));
    let top = api.queries.top(usize::try_from(count).unwrap_or(usize::MAX), lifetime);
    let list = |queries: &[TopQuery], add: fn(&mut Value, &TopQuery)| -> Vec<Value> {
        queries.iter().map(|query| top_json(query, add)).collect()
    };
    let (records, shortest) = RecentQueries::LIMITS;
    Ok(bare_json(&json!({
        "topN": count.to_string(),
        "maxLifetime": format_millis(lifetime_ms),
        "search.queryStats.lastQueriesCount": records,
        "search.queryStats.minQueryDuration": format_millis(i64::try_from(shortest.as_millis()).unwrap_or(0)),
        "search.queryStats.minQueryMemoryUsage": "0",
        "topByCount": list(&top.by_count, |_, _| {}),
        "topByAvgDuration": list(&top.by_mean_duration, |entry, query| {
            entry["avgDurationSeconds"] = seconds(query.mean_duration());
        }),
        "topBySumDuration": list(&top.by_duration, |entry, query| {
            entry["sumDurationSeconds"] = seconds(query.took);
        }),
        "topByAvgMemoryUsage": list(&top.by_mean_memory, |entry, query| {
            entry["avgMemoryBytes"] = query.mean_memory_bytes().into();
        }),
    })))
}

fn top_json(query: &TopQuery, add: fn(&mut Value, &TopQuery)) -> Value {
    let mut entry =
        json!({ "query": &*query.query, "timeRangeSeconds": query.range_seconds, "count": query.count });
    add(&mut entry, query);
    entry
}

/// Seconds with millisecond precision.
fn seconds(duration: Duration) -> Value {
    ((duration.as_secs_f64() * 1000.0).round() / 1000.0).into()
}

/// `/api/v1/ferula/queries/stop`: stops the query with this `id` in the list.
pub fn stop(api: &Api, request: &Request) -> Handled {
    let id = u64::from_str_radix(request.params.first("id"), 16)
        .map_err(|_| ApiError::parameter("id", "must be the id of a running query"))?;
    if !api.queries.stop(id) {
        return Err(ApiError::new(ErrorKind::NotFound, "there is no running query with this id"));
    }
    Ok(Answer::json(|json| {
        json.begin_object();
        json.key("stopped");
        json.bool(true);
        json.end_object();
    }))
}

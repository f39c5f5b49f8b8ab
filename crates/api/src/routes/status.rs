//! `status/*`.

use ferula_go::number::atoi;
use ferula_model::{MetricValue, TimeRange};
use ferula_query::Lookup;
use ferula_telemetry::Registry;
use time::OffsetDateTime;

use super::ferula::cardinality::{self, Cardinality};
use super::matcher_sets;
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::json::JsonWriter;
use crate::json::time::rfc3339_nanos;
use crate::request::Request;
use crate::settings::BuildInfo;
use crate::site::Site;

/// `/api/v1/status/config`
pub fn config(api: &Api, _: &Request) -> Handled {
    let loaded = api.loaded();
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.field("yaml", &loaded.yaml);
        json.end_object();
    }))
}

/// `/api/v1/status/flags`
pub fn flags(api: &Api, _: &Request) -> Handled {
    let mut flags = api.site.settings.flags.clone();
    flags.sort();
    Ok(Answer::json(move |json| {
        json.begin_object();
        for (name, value) in &flags {
            json.field(name, value);
        }
        json.end_object();
    }))
}

/// `/api/v1/ferula/changed_flags`: names of the flags whose values are not their defaults.
pub fn changed_flags(api: &Api, _: &Request) -> Handled {
    let changed = api.site.settings.changed_flags.clone();
    Ok(Answer::json(move |json| json.strings(changed)))
}

/// The fields of build information, as an object.
pub(crate) fn write_build_info(json: &mut JsonWriter<'_>, build: &BuildInfo) {
    json.begin_object();
    json.field("version", &build.version);
    json.field("revision", &build.revision);
    json.field("branch", &build.branch);
    json.field("buildUser", &build.build_user);
    json.field("buildDate", &build.build_date);
    json.field("goVersion", &build.go_version);
    json.end_object();
}

/// `/api/v1/status/buildinfo`
pub fn build_info(api: &Api, _: &Request) -> Handled {
    let build = api.site.settings.build.clone();
    Ok(Answer::json(move |json| write_build_info(json, &build)))
}

/// The value of one of the server's own metrics without labels. Reads no other metrics where possible,
/// because some of them iterate over all targets.
pub(super) fn own_metric(registry: &Registry, name: &str) -> f64 {
    let of_collectors = || registry.gather().into_iter().find(|family| family.name == name);
    let family = registry.gather_one(name).or_else(of_collectors);
    let metric = family.and_then(|family| family.metrics.into_iter().next());
    match metric.map(|metric| metric.value) {
        Some(MetricValue::Single(value)) => value,
        _ => 0.0,
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "localhost".to_owned())
}

/// `/api/v1/status/runtimeinfo`. Values that only exist in Go are reported as "not set"; tasks stand in for goroutines.
pub fn runtime_info(api: &Api, _: &Request) -> Handled {
    let started = api.site.settings.started;
    let cwd = std::env::current_dir().map_or_else(
        |_| "<error retrieving current working directory>".to_owned(),
        |dir| dir.display().to_string(),
    );
    let tasks = tokio::runtime::Handle::try_current().map_or(0, |handle| handle.metrics().num_alive_tasks());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let reloaded = own_metric(&api.site.registry, "prometheus_config_last_reload_success_timestamp_seconds");
    let reload_time = OffsetDateTime::from_unix_timestamp(reloaded as i64).ok();
    let reload_ok = own_metric(&api.site.registry, "prometheus_config_last_reload_successful") != 0.0;
    let corruptions = own_metric(&api.site.registry, "prometheus_tsdb_wal_corruptions_total") as i64;
    let now = OffsetDateTime::from_unix_timestamp_nanos(i128::from(api.site.clock.unix_nanos())).ok();
    let retention = api.loaded().retention.clone();
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.field("startTime", &rfc3339_nanos(Some(started)));
        json.field("CWD", &cwd);
        json.field("hostname", &hostname());
        json.field("serverTime", &rfc3339_nanos(now));
        json.key("reloadConfigSuccess");
        json.bool(reload_ok);
        json.field("lastConfigTime", &rfc3339_nanos(reload_time));
        json.key("corruptionCount");
        json.int(corruptions);
        json.key("goroutineCount");
        json.uint(tasks as u64);
        json.key("GOMAXPROCS");
        json.uint(threads as u64);
        json.key("GOMEMLIMIT");
        json.int(i64::MAX);
        json.field("GOGC", "");
        json.field("GODEBUG", "");
        json.field("storageRetention", &retention);
        json.end_object();
    }))
}

fn write_counts(json: &mut JsonWriter<'_>, key: &str, counts: &[(String, u64)]) {
    json.key(key);
    json.begin_array();
    for (name, value) in counts {
        json.begin_object();
        json.field("name", name);
        json.key("value");
        json.uint(*value);
        json.end_object();
    }
    json.end_array();
}

/// The statistics of selected series. The first four lists are those of Prometheus, the others those of
/// VictoriaMetrics.
fn write_chosen(json: &mut JsonWriter<'_>, chosen: &Cardinality) {
    write_counts(json, "seriesCountByMetricName", &chosen.series_by_metric_name);
    write_counts(json, "labelValueCountByLabelName", &chosen.values_by_label_name);
    write_counts(json, "memoryInBytesByLabelName", &chosen.value_bytes_by_label_name);
    write_counts(json, "seriesCountByLabelValuePair", &chosen.series_by_label_pair);
    write_counts(json, "seriesCountByLabelName", &chosen.series_by_label_name);
    write_counts(json, "seriesCountByFocusLabelValue", &chosen.series_by_focus_value);
    for (key, count) in [("totalSeries", chosen.series), ("totalLabelValuePairs", chosen.label_pairs)] {
        json.key(key);
        json.uint(count);
    }
}

/// `/api/v1/status/tsdb`
pub fn tsdb(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    const LIMIT_MAX: i64 = 10_000;
    let limit = match request.params.first("limit") {
        "" => 10,
        text => atoi(text)
            .ok()
            .filter(|limit| *limit >= 1)
            .ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?,
    };
    if limit > LIMIT_MAX {
        return Err(ApiError::bad_data(format!("limit must not exceed {LIMIT_MAX}")));
    }
    let stats = api.store.admin.stats(limit as usize);
    let focus = request.params.first("focusLabel");
    let chosen = if !focus.is_empty() || request.params.all("match[]").next().is_some() {
        let sets = matcher_sets(&request.params).map_err(|why| ApiError::parameter("match[]", why))?;
        // Without a range, these are the statistics of the head.
        let start = request.params.time_or("start", stats.min_time)?;
        let end = request.params.time_or("end", stats.max_time)?;
        let range = TimeRange::from_millis(start.min(end), end);
        Some(cardinality::count(api, range, &sets, focus, limit as usize, &lookup)?)
    } else {
        None
    };
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("headStats");
        json.begin_object();
        json.key("numSeries");
        json.uint(stats.series);
        json.key("numLabelPairs");
        json.uint(stats.label_pairs);
        json.key("chunkCount");
        json.int(stats.chunks);
        json.key("minTime");
        json.int(stats.min_time);
        json.key("maxTime");
        json.int(stats.max_time);
        json.end_object();
        if let Some(chosen) = &chosen {
            write_chosen(json, chosen);
        } else {
            write_counts(json, "seriesCountByMetricName", &stats.series_by_metric_name);
            write_counts(json, "labelValueCountByLabelName", &stats.values_by_label_name);
            write_counts(json, "memoryInBytesByLabelName", &stats.bytes_by_label_name);
            write_counts(json, "seriesCountByLabelValuePair", &stats.series_by_label_pair);
        }
        json.end_object();
    }))
}

/// `/api/v1/status/tsdb/blocks`
pub fn tsdb_blocks(api: &Api, _: &Request) -> Handled {
    let metas = api.store.admin.block_metas();
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("blocks");
        json.begin_array();
        for meta in &metas {
            json.raw(meta);
        }
        json.end_array();
        json.end_object();
    }))
}

/// `/api/v1/status/walreplay`
pub fn wal_replay(site: &Site, _: &Request) -> Handled {
    let progress = site.wal_replay();
    Ok(Answer::json(move |json| {
        json.begin_object();
        for (key, segment) in [("min", progress.min), ("max", progress.max), ("current", progress.current)] {
            json.key(key);
            json.uint(segment);
        }
        json.end_object();
    }))
}

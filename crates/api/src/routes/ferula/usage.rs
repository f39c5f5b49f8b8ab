//! `ferula/usage`: metrics that are stored but were not read for a while, and relabelling rules that drop them.
//!
//! ```text
//! reads of queries, rules, federation, remote read ┐
//! rules of this server                             ├─▶ KnownReads ─▶ unread metrics ─▶ series, bytes, jobs
//! selectors of the request (dashboards, files)     ┘                      └─▶ rules, replayed over all stored series
//! ```

mod drop_rules;
mod known_reads;
mod stored;

use ferula_go::number::parse_float;
use ferula_model::{Matcher, TimeRange, UnixNanos};
use ferula_promql_syntax::parse_metric_selector;
use ferula_query::Lookup;

use self::drop_rules::{DropRules, Replay, ReplayCounts};
use self::known_reads::{BroadSelector, KnownReads};
use self::stored::{StoredMetric, UnreadMetric};
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::json::JsonWriter;
use crate::request::Request;

const DAYS_DEFAULT: f64 = 30.0;
/// Far longer than anything is stored.
const DAYS_MAX: f64 = 36_500.0;
/// Maximum number of selectors in a request.
const SELECTORS_MAX: usize = 20_000;

/// What a request asks about.
struct UsageQuery {
    /// Reads and samples from this time on count.
    range: TimeRange,
    /// Selectors that are read elsewhere.
    read_elsewhere: Vec<Vec<Matcher>>,
    /// Whether selectors without a metric's name count as reads.
    counts_broad_selectors: bool,
}

/// The answer.
struct Usage {
    range: TimeRange,
    complete_from_ms: i64,
    metrics: usize,
    unread: Vec<UnreadMetric>,
    /// Unread results of this server's recording rules, each with its rule group.
    unread_rules: Vec<(StoredMetric, String)>,
    broad: Vec<BroadSelector>,
    rules: DropRules,
    replay: ReplayCounts,
}

/// `/api/v1/ferula/usage`
pub fn usage(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    let query = UsageQuery::read(api, request)?;
    let usage = find(api, &query, &lookup)?;
    let incomplete = usage.complete_from_ms > usage.range.start.millis();
    let complete_from = UnixNanos::from_millis(usage.complete_from_ms).rfc3339_nanos();
    let sends_elsewhere = !api.loaded().config.remote_write.is_empty();
    let mut answer = Answer::json(move |json| usage.write(json));
    if incomplete {
        answer = answer.with_warning(format!("reads before {complete_from} are not known"));
    }
    if sends_elsewhere {
        answer =
            answer.with_warning("samples are also sent by remote_write; what reads them there is not known");
    }
    Ok(answer)
}

impl UsageQuery {
    fn read(api: &Api, request: &Request) -> Result<Self, ApiError> {
        let params = &request.params;
        let days = match params.first("days") {
            "" => DAYS_DEFAULT,
            text => parse_float(text).unwrap_or(f64::NAN),
        };
        if !(days > 0.0 && days <= DAYS_MAX) {
            return Err(ApiError::parameter("days", format!("must be a number above 0, at most {DAYS_MAX}")));
        }
        let now = api.site.clock.now();
        let range = TimeRange::new(now.saturating_add_millis(-(days * 86_400_000.0) as i64), now);
        let texts: Vec<&str> = params.all("read[]").collect();
        if texts.len() > SELECTORS_MAX {
            return Err(ApiError::parameter("read[]", format!("more than {SELECTORS_MAX} selectors")));
        }
        let parse =
            |text: &str| parse_metric_selector(text).map_err(|why| ApiError::parameter("read[]", why));
        Ok(UsageQuery {
            range,
            read_elsewhere: texts.into_iter().map(parse).collect::<Result<_, _>>()?,
            counts_broad_selectors: match params.first("broad_selectors") {
                "" | "count" => true,
                "ignore" => false,
                _ => return Err(ApiError::parameter("broad_selectors", "must be count or ignore")),
            },
        })
    }
}

fn find(api: &Api, query: &UsageQuery, lookup: &Lookup) -> Result<Usage, ApiError> {
    let store = &*api.store.local;
    let names = stored::metric_names(store, query.range, lookup)?;
    let mut reads = KnownReads::new(api.queries.reads().tables(), query.range.start.millis());
    reads.add_rules(&api.alerting.groups(), &api.site.settings.parser, &names);
    query.read_elsewhere.iter().for_each(|matchers| reads.add(matchers));
    let counts = query.counts_broad_selectors;
    let broad = reads.resolve_selectors(store, query.range, counts, &names, lookup)?;
    let unread: Vec<&str> = names.iter().map(String::as_str).filter(|name| !reads.is_read(name)).collect();
    let (recorded, droppable): (Vec<&str>, Vec<&str>) =
        unread.into_iter().partition(|name| reads.recording_group(name).is_some());
    let rules = DropRules::new(&droppable);
    let mut replay = Replay::new(&rules, &droppable)?;
    let metrics = stored::tally(store, query.range, lookup, &recorded, &mut replay)?;
    let (recorded, droppable): (Vec<StoredMetric>, Vec<StoredMetric>) =
        metrics.into_iter().partition(|metric| reads.recording_group(&metric.name).is_some());
    let mut unread = Vec::with_capacity(droppable.len());
    for metric in droppable {
        let bytes = stored::bytes(store, query.range, lookup, &metric)?;
        let last_read = reads.last_read(&metric.name);
        unread.push(UnreadMetric { metric, bytes, last_read });
    }
    unread.sort_by(|a, b| (b.metric.series, &a.metric.name).cmp(&(a.metric.series, &b.metric.name)));
    let group = |metric: StoredMetric| {
        let group = reads.recording_group(&metric.name).unwrap_or_default().to_owned();
        (metric, group)
    };
    Ok(Usage {
        range: query.range,
        complete_from_ms: reads.complete_from_ms(),
        metrics: names.len(),
        unread,
        unread_rules: recorded.into_iter().map(group).collect(),
        broad,
        rules,
        replay: replay.counts,
    })
}

impl Usage {
    fn write(&self, json: &mut JsonWriter<'_>) {
        let time = |ms: i64| UnixNanos::from_millis(ms).rfc3339_nanos();
        json.begin_object();
        json.field("from", &time(self.range.start.millis()));
        json.field("completeFrom", &time(self.complete_from_ms));
        json.key("metrics");
        json.uint(self.metrics as u64);
        json.key("series");
        json.uint(self.replay.all);
        json.key("unread");
        json.begin_array();
        for unread in &self.unread {
            json.begin_object();
            write_metric(json, &unread.metric);
            json.key("bytes");
            json.uint(unread.bytes.bytes);
            json.key("bytesAreEstimated");
            json.bool(unread.bytes.is_estimated);
            if unread.last_read.newest_ms() > 0 {
                json.field("lastRead", &time(unread.last_read.newest_ms()));
            }
            json.end_object();
        }
        json.end_array();
        json.key("unreadRules");
        json.begin_array();
        for (metric, group) in &self.unread_rules {
            json.begin_object();
            write_metric(json, metric);
            json.field("group", group);
            json.end_object();
        }
        json.end_array();
        json.key("broadSelectors");
        json.begin_array();
        for broad in &self.broad {
            json.begin_object();
            json.field("selector", &broad.text);
            json.key("metrics");
            json.uint(broad.metrics as u64);
            json.key("onlyReadSo");
            json.uint(broad.only_read_so as u64);
            json.end_object();
        }
        json.end_array();
        json.field("metricRelabelConfigs", self.rules.yaml());
        json.key("replay");
        json.begin_object();
        for (name, count) in
            [("series", self.replay.all), ("dropped", self.replay.dropped), ("wrong", self.replay.wrong)]
        {
            json.key(name);
            json.uint(count);
        }
        json.end_object();
        json.end_object();
    }
}

fn write_metric(json: &mut JsonWriter<'_>, metric: &StoredMetric) {
    json.field("name", &metric.name);
    json.key("series");
    json.uint(metric.series);
    json.key("jobs");
    json.strings(&metric.jobs);
}

#[cfg(test)]
mod tests;

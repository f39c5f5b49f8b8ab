//! The list of queries, and their answers in a comparable form.

use crate::common::{Server, escape};
use serde_json::Value;

/// Selects everything that the rounds ingest, except what was in flight when a server was killed.
const QUIET: &str = "{__name__=~\"m|h_.+|mixed|churn|late\"}";

/// The same without the series of which samples were deleted. A range that cuts a chunk of such a series
/// confuses Prometheus 3.5: it adds the cut to the series' deleted ranges, in memory that later queries use,
/// and sometimes panics over that ("index out of range" in `tombstones.Intervals.Add`).
const WHOLE: &str = "{__name__=~\"m|h_.+|mixed|churn|late\",n!=\"1\"}";

/// The parameters of the queries.
pub struct Questions {
    /// First timestamp of all samples, in milliseconds.
    pub begin: i64,
    /// Last timestamp, in milliseconds.
    pub end: i64,
    /// Exemplars are queried from here on: older ones may or may not still be in the log.
    pub exemplars_from: i64,
    /// Whether to query what was in flight too. Only servers that see the same files can agree on it.
    pub with_noise: bool,
    /// Whether the servers support start timestamps.
    pub with_starts: bool,
}

/// A request and its answer.
pub type Answers = Vec<(String, Value)>;

const RANGES: [&str; 17] = [
    "m",
    "sum by (n) (rate(m[5m]))",
    "count({__name__=~\".+\"}) by (__name__)",
    "max_over_time(m{n=\"3\"}[1h])",
    "count_over_time(m[1h])",
    "count_over_time(h_integer[1h])",
    "changes(m[30m]) + resets(m[30m])",
    "absent_over_time(m{n=\"4\"}[10m])",
    "histogram_quantile(0.9, rate(h_integer[10m]))",
    "histogram_quantile(0.5, sum(h_custom))",
    "histogram_sum(rate(h_float[20m]))",
    "histogram_count(h_custom_float) - histogram_avg(h_gauge)",
    "histogram_fraction(0, 2, h_integer)",
    "sum(h_custom_float)",
    "last_over_time(mixed[10m])",
    "sum_over_time(h_gauge[20m])",
    "sum by (turn) (churn)",
];

/// Queries for servers that support start timestamps.
const STARTS: [&str; 4] = [
    "start_timestamp(m)",
    "start_timestamp(h_integer)",
    "start_timestamp(h_custom_float)",
    "sum by (n) (increase(m[30m]))",
];

impl Questions {
    /// Runs all queries.
    pub fn ask(&self, server: &Server) -> Answers {
        let requests = self.requests();
        requests.into_iter().map(|request| (request.clone(), ask(server, &request))).collect()
    }

    fn requests(&self) -> Vec<String> {
        let seconds = |millis: i64| format!("{}.{:03}", millis / 1000, millis % 1000);
        let (begin, end) = (seconds(self.begin), seconds(self.end));
        let starts = if self.with_starts { &STARTS[..] } else { &[] };
        let mut all: Vec<String> = RANGES
            .iter()
            .chain(starts)
            .filter(|query| self.with_noise || !query.contains(".+\"})"))
            .map(|query| format!("query_range?query={}&start={begin}&end={end}&step=431", escape(query)))
            .collect();
        let hours = (self.end - self.begin) / 3_600_000 + 2;
        let mut instants = vec![
            format!("{WHOLE}[7h]"),
            format!("{WHOLE}[90m] offset {}m", hours * 30),
            format!("last_over_time({QUIET}[{hours}h])"),
            format!("sum by (n) (sum_over_time(m[{hours}h]))"),
        ];
        for name in
            ["m", "h_integer", "h_float", "h_custom", "h_custom_float", "h_gauge", "mixed", "churn", "late"]
        {
            instants.push(format!("count_over_time({name}[{hours}h])"));
        }
        let selector = if self.with_noise {
            instants.push("{__name__=~\"noise.*\"}[10m]".to_owned());
            "{__name__=~\".+\"}"
        } else {
            QUIET
        };
        // Selectors for a range that cuts no chunk, and for one that does.
        all.extend(instants.iter().map(|query| format!("query?query={}&time={end}", escape(query))));
        let (from, to) = (seconds(self.begin + 7_000_000), seconds(self.begin + 9_000_000));
        for (from, to, selector) in [(&begin, &end, selector), (&from, &to, WHOLE)] {
            let range = format!("start={from}&end={to}&match[]={}", escape(selector));
            all.push(format!("series?{range}"));
            all.push(format!("labels?{range}"));
            for name in ["__name__", "n", "part"] {
                all.push(format!("label/{name}/values?{range}"));
            }
        }
        let from = seconds(self.exemplars_from);
        all.push(format!("query_exemplars?query=m&start={from}&end={end}"));
        all
    }
}

fn ask(server: &Server, request: &str) -> Value {
    let (status, body) = server.get(&format!("/api/v1/{request}"));
    assert_eq!(status, 200, "{request}: {body}\n{}", server.log());
    let mut answer: Value = serde_json::from_str(&body).expect("JSON");
    // Infos name positions in the query and are compared elsewhere; the order of vectors and series is
    // undefined.
    let data = answer["data"].take();
    sorted(data)
}

fn sorted(mut data: Value) -> Value {
    let list = if data.is_array() { Some(&mut data) } else { data.get_mut("result") };
    if let Some(Value::Array(list)) = list {
        list.sort_by_cached_key(|item| match item.get("metric").or_else(|| item.get("seriesLabels")) {
            Some(labels) => labels.to_string(),
            None => item.to_string(),
        });
    }
    data
}

/// Compares answers and reports the first difference.
pub fn assert_same(what: &str, theirs: &Answers, ours: &Answers) {
    assert_eq!(theirs.len(), ours.len());
    let differing: Vec<String> = theirs
        .iter()
        .zip(ours)
        .filter(|((request, theirs), (other, ours))| {
            assert_eq!(request, other);
            theirs != ours
        })
        .map(|((request, theirs), (_, ours))| format!("{request}\n    {}", difference(theirs, ours, "")))
        .collect();
    assert!(differing.is_empty(), "{what}: {} differ:\n{}", differing.len(), differing.join("\n"));
    let empty = theirs.iter().filter(|(_, data)| {
        let list = data.get("result").unwrap_or(data);
        list.as_array().is_some_and(Vec::is_empty)
    });
    let empty: Vec<&str> = empty.map(|(request, _)| request.as_str()).collect();
    assert!(empty.is_empty(), "{what}: nothing to compare in {empty:?}");
}

/// The first position at which two values differ.
fn difference(theirs: &Value, ours: &Value, at: &str) -> String {
    match (theirs, ours) {
        (Value::Array(a), Value::Array(b)) => {
            let place = a.iter().zip(b).position(|(a, b)| a != b);
            match place {
                Some(n) => difference(&a[n], &b[n], &format!("{at}[{n}]")),
                None => {
                    let longer = if a.len() > b.len() { a } else { b };
                    let extra = &longer[a.len().min(b.len())];
                    format!("{at}: {} and {} items; the first extra {}", a.len(), b.len(), short(extra))
                }
            }
        }
        (Value::Object(a), Value::Object(b)) => {
            let key = a.keys().chain(b.keys()).find(|key| a.get(*key) != b.get(*key));
            let key = key.map(String::as_str).unwrap_or_default();
            let metric = a.get("metric").map(Value::to_string).unwrap_or_default();
            let null = Value::Null;
            let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
            difference(a, b, &format!("{at}{metric}.{key}"))
        }
        _ => format!("{at}: theirs {}, ours {}", short(theirs), short(ours)),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}

//! The query log: one JSON line per query, written to the file in `global.query_log_file`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Mutex;

use ferula_go::sync::MutexExt;
use ferula_model::UnixNanos;
use serde_json::{Map, Value, json};

use crate::completed::CompletedQuery;
use crate::request::Origin;

pub(crate) struct QueryLog {
    path: String,
    file: Mutex<File>,
}

impl QueryLog {
    /// Opens the file for appending.
    pub(crate) fn open(path: &str) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(QueryLog { path: path.to_owned(), file: Mutex::new(file) })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn write(&self, line: &LogLine<'_>) -> io::Result<()> {
        let mut text = line.to_json().to_string();
        text.push('\n');
        // One write per line, so that lines of concurrent queries do not mix.
        self.file.locked().write_all(text.as_bytes())
    }
}

/// One line, in Prometheus' format.
pub(crate) struct LogLine<'a> {
    pub(crate) now: UnixNanos,
    pub(crate) completed: &'a CompletedQuery,
}

impl LogLine<'_> {
    fn to_json(&self) -> Value {
        let request = &self.completed.request;
        let (start, end, step_ms) = request.time.start_end_step_ms();
        let date = |millis| UnixNanos::from_millis(millis).rfc3339_millis();
        let mut line = Map::new();
        line.insert("time".into(), self.now.rfc3339_nanos().into());
        line.insert("level".into(), "INFO".into());
        line.insert("source".into(), concat!("log.rs:", line!()).into());
        line.insert("msg".into(), "promql query logged".into());
        line.insert(
            "params".into(),
            json!({ "end": date(end), "query": request.query, "start": date(start), "step": step_ms / 1000 }),
        );
        if let Err(error) = &self.completed.outcome.result {
            line.insert("error".into(), error.to_string().into());
        }
        line.insert("stats".into(), self.stats_json());
        // There is no tracing here; Prometheus writes zeros in that case.
        line.insert("spanID".into(), "0".repeat(16).into());
        line.insert("traceID".into(), "0".repeat(32).into());
        match &request.origin {
            Some(Origin::Http { client, method, path }) => {
                line.insert(
                    "httpRequest".into(),
                    json!({ "clientIP": client, "method": method, "path": path }),
                );
            }
            Some(Origin::RuleGroup { file, name }) => {
                line.insert("ruleGroup".into(), json!({ "file": file, "name": name }));
            }
            None => {}
        }
        Value::Object(line)
    }

    fn stats_json(&self) -> Value {
        let stats = &self.completed.outcome.stats;
        let timings = &stats.timings;
        json!({
            "timings": {
                "evalTotalTime": timings.eval_total_seconds,
                "resultSortTime": timings.result_sort_seconds,
                "queryPreparationTime": timings.query_preparation_seconds,
                "innerEvalTime": timings.inner_eval_seconds,
                "execQueueTime": self.completed.queue_time.as_secs_f64(),
                "execTotalTime": self.completed.total_time.as_secs_f64(),
            },
            "samples": {
                "totalQueryableSamples": stats.samples_total,
                "samplesRead": stats.samples_read,
                "peakSamples": stats.samples_peak,
            },
        })
    }
}

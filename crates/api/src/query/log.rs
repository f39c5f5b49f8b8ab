//! The query log: one JSON line per query, in the file that `global.query_log_file` names.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Mutex;

use ferula_promql::QueryStats;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::runner::{Asked, When};

/// The open file.
pub struct QueryLog {
    path: String,
    file: Mutex<File>,
}

impl QueryLog {
    /// Opens the file to append to it.
    pub fn open(path: &str) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(QueryLog { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// The file's name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Writes one query down.
    pub fn write(&self, line: &Line<'_>) -> io::Result<()> {
        let mut text = line.to_json().to_string();
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(text.as_bytes())
    }
}

/// What is written about one query.
pub struct Line<'a> {
    /// When it ended.
    pub now: OffsetDateTime,
    /// What was asked.
    pub asked: &'a Asked,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// What it cost.
    pub stats: &'a QueryStats,
    /// Seconds in the queue.
    pub queue_seconds: f64,
    /// Seconds in all.
    pub total_seconds: f64,
}

impl Line<'_> {
    fn to_json(&self) -> Value {
        let (start, end, step) = match self.asked.when {
            When::Instant(at) => (at.millis(), at.millis(), 0),
            When::Range(grid) => (grid.start_ms, grid.end_ms, grid.step_ms / 1000),
        };
        let mut line = Map::new();
        line.insert("time".into(), self.now.format(&Rfc3339).unwrap_or_default().into());
        line.insert("level".into(), "INFO".into());
        line.insert("source".into(), concat!("log.rs:", line!()).into());
        line.insert("msg".into(), "promql query logged".into());
        line.insert(
            "params".into(),
            json!({ "end": date(end), "query": self.asked.query, "start": date(start), "step": step }),
        );
        if let Some(error) = &self.error {
            line.insert("error".into(), error.as_str().into());
        }
        line.insert("stats".into(), self.stats_json());
        // Nothing traces here; Prometheus then writes zeros.
        line.insert("spanID".into(), "0".repeat(16).into());
        line.insert("traceID".into(), "0".repeat(32).into());
        if let Some(origin) = &self.asked.origin {
            let (client, method, path) = (&origin.client, &origin.method, &origin.path);
            line.insert("httpRequest".into(), json!({ "clientIP": client, "method": method, "path": path }));
        }
        Value::Object(line)
    }

    fn stats_json(&self) -> Value {
        let timings = &self.stats.timings;
        json!({
            "timings": {
                "evalTotalTime": timings.eval_total_seconds,
                "resultSortTime": timings.result_sort_seconds,
                "queryPreparationTime": timings.query_preparation_seconds,
                "innerEvalTime": timings.inner_eval_seconds,
                "execQueueTime": self.queue_seconds,
                "execTotalTime": self.total_seconds,
            },
            "samples": {
                "totalQueryableSamples": self.stats.samples_total,
                "samplesRead": self.stats.samples_read,
                "peakSamples": self.stats.samples_peak,
            },
        })
    }
}

/// `2006-01-02T15:04:05.000Z`
fn date(millis: i64) -> String {
    let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000) else {
        return millis.to_string();
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

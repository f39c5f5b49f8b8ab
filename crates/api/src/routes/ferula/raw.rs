//! `ferula/raw`: samples as stored, including staleness markers, which queries never return.
//!
//! ```text
//! {"total": 2, "series": [{"metric": {…}, "values": [[1.5,"1"],…], "histograms": [[3,{…}],…], "stale": [4.5,…], "more": false}]}
//! ```
//! `total` counts all series of the selector in the range; `more` is set if a series has further samples.

use std::ops::ControlFlow;

use ferula_model::value::is_stale;
use ferula_model::{FloatHistogram, LabelSet, TimeRange};
use ferula_promql_syntax::parse_metric_selector;
use ferula_query::Lookup;
use ferula_storage::{Hints, SeriesSamples, StorageError};

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::json::JsonWriter;
use crate::json::result::write_histogram_point;
use crate::request::Request;

const SERIES_MAX: usize = 200;
/// Samples of one series.
const SAMPLES_MAX: usize = 20_000;
/// Approximate memory of a float, and of a histogram without its buckets.
const FLOAT_BYTES: usize = 16;
const HISTOGRAM_BYTES: usize = 512;

/// The samples of one series.
struct Stored {
    labels: LabelSet,
    floats: Vec<(i64, f64)>,
    histograms: Vec<(i64, FloatHistogram)>,
    stale: Vec<i64>,
    more: bool,
}

/// `/api/v1/ferula/raw`
pub fn raw(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    request.check_form()?;
    let params = &request.params;
    let matchers =
        parse_metric_selector(params.first("match[]")).map_err(|why| ApiError::parameter("match[]", why))?;
    let (start, end) = (params.time("start")?, params.time("end")?);
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let range = TimeRange::from_millis(start, end);
    let failed = |error: StorageError| ApiError::storage(&error, ErrorKind::Execution);
    let mut snapshot = api.store.local.snapshot(range).map_err(failed)?;
    let hints = Hints { range: Some(range), sorted: true, ..lookup.hints() };
    let selection = snapshot.select(&matchers, &hints).map_err(failed)?;
    snapshot.freeze().map_err(failed)?;
    let total = snapshot.series_count(selection);
    let mut all = Vec::new();
    for row in 0..total.min(SERIES_MAX) {
        if lookup.is_ended() {
            return Err(failed(StorageError::Stopped));
        }
        let mut stored = Stored {
            labels: snapshot.labels(selection, row),
            floats: Vec::new(),
            histograms: Vec::new(),
            stale: Vec::new(),
            more: false,
        };
        let mut charged = Ok(());
        let mut take = |_: usize, samples: &SeriesSamples| {
            charged = stored.take(samples, &lookup);
            if charged.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        snapshot.read(selection, row..row + 1, range, &mut take).map_err(failed)?;
        charged?;
        all.push(stored);
    }
    Ok(Answer::json(move |json| {
        // The samples count as memory until they are written, however slowly the client reads.
        let _held = lookup;
        json.begin_object();
        json.key("total");
        json.uint(total as u64);
        json.key("series");
        json.begin_array();
        for stored in &all {
            stored.write(json);
        }
        json.end_array();
        json.end_object();
    }))
}

impl Stored {
    fn take(&mut self, samples: &SeriesSamples, lookup: &Lookup) -> Result<(), ApiError> {
        let floats = samples.floats.timestamps.len().min(SAMPLES_MAX);
        let histograms = samples.histograms.timestamps.len().min(SAMPLES_MAX);
        lookup.charge(floats * FLOAT_BYTES + histograms * HISTOGRAM_BYTES)?;
        self.more =
            samples.floats.timestamps.len() > floats || samples.histograms.timestamps.len() > histograms;
        for (at, value) in samples.floats.timestamps.iter().zip(&samples.floats.values).take(floats) {
            if is_stale(*value) {
                self.stale.push(*at);
            } else {
                self.floats.push((*at, *value));
            }
        }
        for (at, value) in
            samples.histograms.timestamps.iter().zip(&samples.histograms.values).take(histograms)
        {
            if is_stale(value.sum) {
                self.stale.push(*at);
            } else {
                self.histograms.push((*at, (**value).clone()));
            }
        }
        self.stale.sort_unstable();
        Ok(())
    }

    fn write(&self, json: &mut JsonWriter<'_>) {
        json.begin_object();
        json.key("metric");
        json.labels(&self.labels);
        json.key("values");
        json.begin_array();
        json.float_points(&self.floats);
        json.end_array();
        json.key("histograms");
        json.begin_array();
        for (at, histogram) in &self.histograms {
            write_histogram_point(json, *at, histogram);
        }
        json.end_array();
        json.key("stale");
        json.begin_array();
        for at in &self.stale {
            json.timestamp(*at);
        }
        json.end_array();
        json.key("more");
        json.bool(self.more);
        json.end_object();
    }
}

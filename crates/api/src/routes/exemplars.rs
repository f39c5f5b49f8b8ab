//! `query_exemplars`.

use ferula_model::{Exemplar, Matcher};
use ferula_promql_syntax::parse;
use ferula_query::reads::{ReaderKind, RecordingStore};
use ferula_storage::Queryable;

use super::optional_range;
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::json::JsonWriter;
use crate::request::Request;

/// `/api/v1/query_exemplars`
pub fn query_exemplars(api: &Api, request: &Request) -> Handled {
    let range = optional_range(&request.params)?;
    if range.end < range.start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr = parse(request.params.first("query"), &api.site.settings.parser)
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let selectors: Vec<Vec<Matcher>> = expr.selectors().into_iter().map(<[Matcher]>::to_vec).collect();
    if selectors.is_empty() {
        return Ok(Answer::no_content());
    }
    let store_error = |error| ApiError::storage(&error, ErrorKind::Execution);
    let store = RecordingStore::new(&*api.store.queryable, api.queries.reads(), ReaderKind::Client);
    let found = store.exemplars(range, &selectors).map_err(store_error)?;
    Ok(Answer::json(move |json| {
        json.begin_array();
        for (labels, exemplars) in &found {
            json.begin_object();
            json.key("seriesLabels");
            json.labels(labels);
            json.key("exemplars");
            json.begin_array();
            for exemplar in exemplars {
                write_exemplar(json, exemplar);
            }
            json.end_array();
            json.end_object();
        }
        json.end_array();
    }))
}

fn write_exemplar(json: &mut JsonWriter<'_>, exemplar: &Exemplar) {
    json.begin_object();
    json.key("labels");
    json.labels(&exemplar.labels);
    json.key("value");
    json.sample_value(exemplar.value);
    json.key("timestamp");
    json.timestamp(exemplar.timestamp.millis());
    json.end_object();
}

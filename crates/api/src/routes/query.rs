//! `query` and `query_range`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use ferula_go::quote::go_quote;
use ferula_model::Timestamp;
use ferula_promql::{Grid, QueryError, QueryOptions, QueryValue};
use ferula_query::{CompletedQuery, EvaluationTime, Origin, QueryRequest};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::answer::{self, Answer, Handled};
use crate::api::Api;
use crate::compression::Encoding;
use crate::error::{ApiError, ErrorKind};
use crate::json::result::{write_stats, write_value};
use crate::params::Params;
use crate::request::Request;

/// The limit on steps, so that no query returns a million points per series.
const STEPS_MAX: i128 = 11_000;
/// The limit on warnings, and separately on infos, in one answer.
pub(super) const ANNOTATIONS_MAX: usize = 10;

/// `/api/v1/query`
pub fn instant(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    let time = |params: &Params, now: i64| {
        let at = params.query_time_or("time", now)?;
        Ok(EvaluationTime::Instant(Timestamp::from_millis(at)))
    };
    run(api, request, time, Shape::read, execute).boxed()
}

/// `/api/v1/query_range`
pub fn range(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    run(api, request, |params, _| grid(params).map(EvaluationTime::Range), Shape::read, execute).boxed()
}

/// Parses `start`, `end` and `step`, checked in Prometheus' order.
pub(super) fn grid(params: &Params) -> Result<Grid, ApiError> {
    const STEP_NOT_POSITIVE: &str =
        "zero or negative query resolution step widths are not accepted. Try a positive integer";
    let start_ms = params.query_time("start")?;
    let end_ms = params.query_time("end")?;
    // The times as the client meant them, before they wrap around. NaN has no such meaning.
    let meant = |name: &str, wrapped| params.time(name).unwrap_or(wrapped);
    let (meant_start, meant_end) = (meant("start", start_ms), meant("end", end_ms));
    if meant_end < meant_start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step_nanos = crate::params::parse_duration_nanos(params.first("step"))
        .map_err(|why| ApiError::parameter("step", why))?;
    if step_nanos <= 0 {
        return Err(ApiError::parameter("step", STEP_NOT_POSITIVE));
    }
    // Go's durations are limited to 64-bit nanoseconds.
    let span = (i128::from(meant_end) - i128::from(meant_start)) * 1_000_000;
    if span.min(i128::from(i64::MAX)) / i128::from(step_nanos) > STEPS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    match step_nanos / 1_000_000 {
        // Below the resolution of timestamps.
        0 => Err(ApiError::parameter("step", STEP_NOT_POSITIVE)),
        step_ms => Ok(Grid { start_ms, end_ms, step_ms }),
    }
}

/// Runs a query: a small one right here, any other on a thread that may block. `shape` parses the parameters that affect
/// the answer but not the query; `execute` builds the answer.
pub(super) async fn run<S: Send + 'static>(
    api: Arc<Api>,
    request: Request,
    time: impl FnOnce(&Params, i64) -> Result<EvaluationTime, ApiError>,
    shape: fn(&Params) -> Result<S, ApiError>,
    execute: fn(CompletedQuery, S) -> Handled,
) -> Response<Body> {
    let encoding = Encoding::of_request(&request.headers);
    let what = format!("{}?query={}", request.path, request.params.first("query"));
    // As in Prometheus, an invalid limit is reported before an invalid query.
    let prepared =
        shape(&request.params).and_then(|shape| prepare(&api, &request, time).map(|query| (query, shape)));
    let admitted = match prepared {
        Ok((query, shape)) => {
            api.queries.admit(query).await.map(|admitted| (admitted, shape)).map_err(ApiError::from)
        }
        Err(error) => Err(error),
    };
    match admitted {
        Ok(((admitted, guard), shape)) => match admitted.run_if_small() {
            Ok(completed) if completed.weight() <= WEIGHT_AT_ONCE_MAX => {
                answer::answer_now(encoding, &what, || execute(completed, shape))
            }
            Ok(completed) => {
                let write = move || execute(completed, shape);
                answer::answer_in_time(guard, encoding, &what, write).await
            }
            Err(admitted) => {
                let work = move || execute(admitted.run(), shape);
                answer::answer_in_time(guard, encoding, &what, work).await
            }
        },
        Err(error) => answer::answer(encoding, &what, move || Err(error)).await,
    }
}

/// A larger result, in floats, is written on a thread that may block.
const WEIGHT_AT_ONCE_MAX: usize = 2_000;

/// Parameters that affect the answer but not the query.
struct Shape {
    limit: usize,
    stats: String,
}

impl Shape {
    fn read(params: &Params) -> Result<Shape, ApiError> {
        Ok(Shape { limit: params.limit()?, stats: params.first("stats").to_owned() })
    }
}

fn prepare(
    api: &Api,
    request: &Request,
    time: impl FnOnce(&Params, i64) -> Result<EvaluationTime, ApiError>,
) -> Result<QueryRequest, ApiError> {
    let params = &request.params;
    let time = time(params, api.site.clock.now().millis())?;
    let timeout = params.duration_nanos("timeout").map_err(|why| ApiError::parameter("timeout", why))?;
    let lookback = params
        .duration_nanos("lookback_delta")
        .map_err(|why| ApiError::bad_data(format!("error parsing lookback delta duration: {why}")))?;
    Ok(QueryRequest {
        query: params.first("query").to_owned(),
        time,
        options: QueryOptions {
            // A delta below one millisecond contains nothing; it does not mean "no delta".
            lookback_delta_ms: lookback.filter(|nanos| *nanos > 0).map(|nanos| nanos / 1_000_000),
            per_step_stats: params.first("stats") == "all",
        },
        timeout: timeout.map(|nanos| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))),
        origin: Some(Origin::Http {
            client: request.client.map(|client| client.to_string()).unwrap_or_default(),
            method: request.method.to_string(),
            path: request.path.clone(),
        }),
    })
}

fn execute(completed: CompletedQuery, shape: Shape) -> Handled {
    let CompletedQuery { request, outcome, queue_time, total_time } = completed;
    let (mut warnings, infos) = outcome.annotations.render(&request.query, ANNOTATIONS_MAX);
    let mut value = outcome.result.map_err(api_error)?;
    if truncate(&mut value, shape.limit) {
        warnings.push("results truncated due to limit".to_owned());
    }
    if !matches!(shape.stats.as_str(), "" | "true" | "all") {
        warnings.push(format!(
            "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"",
            go_quote(&shape.stats)
        ));
    }
    let (stats, held) = (outcome.stats, outcome.held);
    let answer = Answer::json(move |json| {
        // The value counts as memory until it is written, however slowly the client reads.
        let _held = held;
        json.begin_object();
        write_value(json, &value);
        if !shape.stats.is_empty() {
            json.key("stats");
            write_stats(json, &stats, queue_time.as_secs_f64(), total_time.as_secs_f64());
        }
        json.end_object();
    });
    Ok(answer.with_annotations(warnings, infos))
}

/// Truncates the result to `limit` series; 0 means no limit.
fn truncate(value: &mut QueryValue, limit: usize) -> bool {
    let length = match value {
        QueryValue::Vector(samples) => samples.len(),
        QueryValue::Matrix(series) => series.len(),
        QueryValue::Scalar { .. } | QueryValue::String { .. } => 0,
    };
    if limit == 0 || length <= limit {
        return false;
    }
    match value {
        QueryValue::Vector(samples) => samples.truncate(limit),
        QueryValue::Matrix(series) => series.truncate(limit),
        QueryValue::Scalar { .. } | QueryValue::String { .. } => {}
    }
    true
}

pub(super) fn api_error(error: QueryError) -> ApiError {
    let text = error.to_string();
    let kind = match &error {
        QueryError::Parse(_) => return ApiError::parameter("query", text),
        QueryError::Timeout(_) => ErrorKind::Timeout,
        QueryError::Canceled(_) => ErrorKind::Canceled,
        QueryError::Storage(error) => return ApiError::storage(error, ErrorKind::Internal),
        QueryError::OutOfMemory(_) => ErrorKind::Overloaded,
        QueryError::TooManySamples | QueryError::Execution(_) => ErrorKind::Execution,
    };
    ApiError::new(kind, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid_of(url: &str) -> Result<Grid, String> {
        grid(&Params::new(url, b"")).map_err(|error| error.text)
    }

    #[test]
    fn at_most_eleven_thousand_and_one_points_are_allowed() {
        assert_eq!(grid_of("start=0&end=11000&step=1").map(|grid| grid.steps()), Ok(11_001));
        assert_eq!(grid_of("start=0&end=11000.9&step=1").map(|grid| grid.steps()), Ok(11_001));
        assert!(grid_of("start=0&end=11001&step=1").is_err_and(|text| text.starts_with("exceeded maximum")));
    }

    #[test]
    fn errors_name_the_invalid_parameter() {
        for (url, start) in [
            ("", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
            ("start=1", "invalid parameter \"end\": cannot parse \"\" to a valid timestamp"),
            ("start=2&end=1", "invalid parameter \"end\": end timestamp must not be before start time"),
            ("start=1&end=2", "invalid parameter \"step\": cannot parse \"\" to a valid duration"),
            ("start=1&end=2&step=0", "invalid parameter \"step\": zero or negative"),
            ("start=1&end=2&step=0.0005", "invalid parameter \"step\": zero or negative"),
        ] {
            let text = grid_of(url).expect_err(url);
            assert!(text.starts_with(start), "{text}");
        }
    }
}

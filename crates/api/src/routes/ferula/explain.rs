//! `ferula/explain`: the engine's plan of a query, one line per node, without running it.

use ferula_promql::Grid;

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;
use crate::routes::query::{api_error, grid};

const QUERY_BYTES_MAX: usize = 64 << 10;
const INDENT: usize = 2;

/// `/api/v1/ferula/explain`: with `step` for a range query, otherwise for an instant query at `time`.
pub fn explain(api: &Api, request: &Request) -> Handled {
    let params = &request.params;
    let query = params.first("query");
    if query.len() > QUERY_BYTES_MAX {
        return Err(ApiError::parameter(
            "query",
            format!("more than {QUERY_BYTES_MAX} bytes are not explained"),
        ));
    }
    let grid = match params.first("step") {
        "" => Grid::instant(params.query_time_or("time", api.site.clock.now().millis())?),
        _ => grid(params)?,
    };
    let plan = api.queries.engine().explain(query, grid).map_err(api_error)?;
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("plan");
        json.begin_array();
        // The first line is the grid, which the client knows from its request.
        for line in plan.lines().skip(1) {
            let text = line.trim_start_matches(' ');
            json.begin_object();
            json.key("depth");
            json.uint(((line.len() - text.len()) / INDENT) as u64);
            json.field("text", text);
            json.end_object();
        }
        json.end_array();
        json.end_object();
    }))
}

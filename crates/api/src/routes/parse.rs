//! `format_query` and `parse_query`: endpoints that need the language but no data.

use ferula_promql_syntax::{Expr, parse};

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;

fn parsed(api: &Api, request: &Request) -> Result<Expr, ApiError> {
    parse(request.params.first("query"), &api.site.settings.parser)
        .map_err(|error| ApiError::parameter("query", error))
}

/// `/api/v1/format_query`
pub fn format_query(api: &Api, request: &Request) -> Handled {
    let pretty = parsed(api, request)?.pretty().map_err(no_room)?;
    Ok(Answer::json(move |json| json.string(&pretty)))
}

/// `/api/v1/parse_query`
pub fn parse_query(api: &Api, request: &Request) -> Handled {
    let tree = parsed(api, request)?.to_json().map_err(no_room)?;
    Ok(Answer::json(move |json| json.raw(&tree)))
}

/// A deep expression needs a separate thread, which the system refused to create.
fn no_room(error: std::io::Error) -> ApiError {
    ApiError::internal(format!("cannot create a thread for a deeply nested query: {error}"))
}

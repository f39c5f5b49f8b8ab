//! `ferula/tree`: evaluates each part of an expression, and returns a line of JSON per part: number of
//! series, labels with their number of values, samples, time, error. The series themselves are not sent.
//!
//! The parts are evaluated one after the other, each as a separate query with its own admission, time limit,
//! and entry in the list of running queries. When the client disconnects, the running part is stopped and no
//! other follows.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use ferula_model::{LabelSet, Timestamp};
use ferula_promql::{QueryOptions, QueryValue};
use ferula_promql_syntax::{Expr, ExprKind, ValueType, parse, stack};
use ferula_query::{AdmittedQuery, CompletedQuery, EvaluationTime, Origin, QueryRequest};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use serde_json::{Map, Value, json};

use crate::answer::{self, ok};
use crate::api::Api;
use crate::compression::Encoding;
use crate::error::ApiError;
use crate::request::Request;
use crate::routes::ferula::utf16::Utf16;
use crate::routes::query::api_error;

/// Maximum number of evaluated parts. If an expression has more, the first line says so.
const NODES_MAX: usize = 200;
/// Maximum length of the query, since every part is sent with its text.
const QUERY_BYTES_MAX: usize = 64 << 10;
/// Maximum number of label names per part, those with the most values first.
const NAMES_MAX: usize = 10;
/// Maximum number of example values per label.
const EXAMPLES_MAX: usize = 5;
/// Maximum number of values to count per label.
const VALUES_MAX: usize = 10_000;

/// `/api/v1/ferula/tree`
pub fn tree(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        match prepare(&api, &request) {
            Ok(plan) => lines(api, plan),
            Err(error) => {
                let encoding = Encoding::of_request(&request.headers);
                answer::answer(encoding, &request.path, move || Err(error)).await
            }
        }
    }
    .boxed()
}

/// The parsed request.
struct Plan {
    nodes: Vec<Node>,
    /// Number of parts in the expression.
    total: usize,
    at: Timestamp,
    origin: Origin,
}

struct Node {
    parent: Option<usize>,
    from: usize,
    to: usize,
    kind: &'static str,
    value_type: ValueType,
    text: String,
}

fn prepare(api: &Api, request: &Request) -> Result<Plan, ApiError> {
    let query = request.params.first("query");
    if query.len() > QUERY_BYTES_MAX {
        return Err(ApiError::parameter("query", format!("must not be longer than {QUERY_BYTES_MAX} bytes")));
    }
    let at = request.params.query_time_or("time", api.site.clock.now().millis())?;
    let expr = parse(query, &api.site.settings.parser).map_err(|why| ApiError::parameter("query", why))?;
    let offsets = Utf16::of(query);
    let mut nodes = Vec::new();
    let mut total = 0;
    let collect = || collect(&expr, None, &offsets, &mut nodes, &mut total);
    stack::with_room(&expr, collect).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(Plan {
        nodes,
        total,
        at: Timestamp::from_millis(at),
        origin: Origin::Http {
            client: request.client.map(|client| client.to_string()).unwrap_or_default(),
            method: request.method.to_string(),
            path: request.path.clone(),
        },
    })
}

/// Collects parents before children.
fn collect(expr: &Expr, parent: Option<usize>, offsets: &Utf16, nodes: &mut Vec<Node>, total: &mut usize) {
    *total += 1;
    let mut index = parent;
    if nodes.len() < NODES_MAX {
        index = Some(nodes.len());
        nodes.push(Node {
            parent,
            from: offsets.at(expr.span.start),
            to: offsets.at(expr.span.end),
            kind: kind(expr),
            value_type: expr.value_type(),
            text: expr.to_string(),
        });
    }
    for child in expr.children() {
        collect(child, index, offsets, nodes, total);
    }
}

/// The names that `parse_query` uses for nodes.
pub(super) fn kind(expr: &Expr) -> &'static str {
    match &expr.kind {
        ExprKind::Number(_) => "numberLiteral",
        ExprKind::String(_) => "stringLiteral",
        ExprKind::VectorSelector(_) => "vectorSelector",
        ExprKind::MatrixSelector(_) => "matrixSelector",
        ExprKind::Subquery(_) => "subquery",
        ExprKind::Call(_) => "call",
        ExprKind::Aggregate(_) => "aggregation",
        ExprKind::Binary(_) => "binaryExpr",
        ExprKind::Unary(..) => "unaryExpr",
        ExprKind::Paren(_) => "parenExpr",
    }
}

/// The body: each line is produced when the previous one has been taken.
fn lines(api: Arc<Api>, plan: Plan) -> Response<Body> {
    let body = stream::unfold((api, plan, 0), |(api, plan, index)| async move {
        let line = line(&api, &plan, index).await?;
        Some((Ok::<_, Infallible>(Bytes::from(line)), (api, plan, index + 1)))
    });
    let mut response = ok(Body::from_stream(body));
    let ndjson = HeaderValue::from_static("application/x-ndjson; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    response
}

async fn line(api: &Arc<Api>, plan: &Plan, index: usize) -> Option<String> {
    let node = plan.nodes.get(index)?;
    let mut line = json!({
        "id": index, "parent": node.parent, "from": node.from, "to": node.to,
        "type": node.kind, "valueType": node.value_type.as_str(),
    });
    if index == 0 && plan.total > plan.nodes.len() {
        line["nodes"] = plan.total.into();
    }
    // The value of a literal is in its text.
    if !matches!(node.kind, "numberLiteral" | "stringLiteral") {
        let query = QueryRequest {
            query: node.text.clone(),
            time: EvaluationTime::Instant(plan.at),
            options: QueryOptions::default(),
            timeout: None,
            origin: Some(plan.origin.clone()),
        };
        let result = match api.queries.admit(query).await {
            Ok((admitted, guard)) => {
                let work = tokio::task::spawn_blocking(move || describe(admitted));
                guard.watch(work).await.unwrap_or_else(|_| failed(&ApiError::internal("internal error")))
            }
            Err(error) => failed(&error.into()),
        };
        if let Value::Object(line) = &mut line {
            line.extend(result);
        }
    }
    Some(format!("{line}\n"))
}

fn failed(error: &ApiError) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("error".into(), error.text.clone().into());
    fields.insert("errorType".into(), error.kind.as_str().into());
    fields
}

/// Runs a part and summarizes its result.
fn describe(admitted: AdmittedQuery) -> Map<String, Value> {
    let CompletedQuery { outcome, total_time, queue_time, .. } = admitted.run();
    let value = match outcome.result {
        Ok(value) => value,
        Err(error) => return failed(&api_error(error)),
    };
    let mut fields = Map::new();
    match &value {
        QueryValue::Scalar { value, .. } => {
            // A string, because JSON has neither NaN nor infinities.
            fields.insert("scalar".into(), ferula_go::float::format_g(*value).into());
        }
        QueryValue::String { .. } => {}
        QueryValue::Vector(samples) => {
            fields.insert("series".into(), samples.len().into());
            fields.insert("labels".into(), labels(samples.iter().map(|sample| &sample.labels)));
        }
        QueryValue::Matrix(series) => {
            fields.insert("series".into(), series.len().into());
            fields.insert("labels".into(), labels(series.iter().map(|series| &series.labels)));
        }
    }
    fields.insert("samples".into(), outcome.stats.samples_total.into());
    fields.insert("bytes".into(), outcome.stats.memory_peak_bytes.into());
    fields.insert("ms".into(), (total_time.saturating_sub(queue_time).as_secs_f64() * 1000.0).into());
    fields
}

/// Label names with the number of their values and a few examples.
fn labels<'a>(sets: impl Iterator<Item = &'a LabelSet>) -> Value {
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for set in sets {
        for (name, value) in set.iter() {
            let values = names.entry(name).or_default();
            if values.len() < VALUES_MAX {
                values.insert(value);
            }
        }
    }
    let mut sorted: Vec<_> = names.into_iter().collect();
    sorted.sort_by_key(|(_, values)| std::cmp::Reverse(values.len()));
    let label = |(name, values): &(&str, BTreeSet<&str>)| {
        let examples: Vec<&str> = values.iter().take(EXAMPLES_MAX).copied().collect();
        json!({ "name": name, "values": values.len(), "examples": examples })
    };
    sorted.iter().take(NAMES_MAX).map(label).collect()
}

//! A client of Prometheus' HTTP API.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use ferula_go::float::format_f;
use ferula_go::url::encode_query;
use ferula_http_client::{Method, Url};
use ferula_model::UnixNanos;
use serde_json::Value as Json;

use super::value::Value;
use crate::tools::args::Args;
use crate::tools::http::{Answer, Server};
use crate::tools::moment::seconds;

const TIMEOUT: Duration = Duration::from_secs(120);

/// A server's API.
pub struct Api(Server);

/// Why a request failed, in the words of Prometheus' client library.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    /// `bad_data: …`
    text: String,
    /// Further text from the server.
    pub detail: String,
}

impl ApiError {
    fn new(text: impl Into<String>) -> Self {
        ApiError { text: text.into(), detail: String::new() }
    }
}

/// An answer's data, and its warnings.
struct Data {
    data: Json,
    warnings: Vec<String>,
}

impl Api {
    /// The API of the server at `address`.
    ///
    /// # Errors
    /// See [`Server::new`].
    pub fn new(args: &Args, address: &str, headers: &BTreeMap<&str, &str>) -> Result<Self> {
        Server::new(args, address, headers).map(Api)
    }

    /// Evaluates an expression at one time.
    pub fn query(&self, expr: &str, time: UnixNanos) -> Result<Value, ApiError> {
        let form = [("query", expr.to_owned()), ("time", seconds(time))];
        value_of(self.post("api/v1/query", &form)?.data)
    }

    /// Evaluates an expression at every step of a range.
    pub fn query_range(
        &self,
        expr: &str,
        start: UnixNanos,
        end: UnixNanos,
        step_nanos: i64,
    ) -> Result<Value, ApiError> {
        value_of(self.range_data(expr, start, end, step_nanos)?.data)
    }

    /// Like `query_range`, with the warnings of the answer.
    pub fn query_range_with_warnings(
        &self,
        expr: &str,
        start: UnixNanos,
        end: UnixNanos,
        step_nanos: i64,
    ) -> Result<(Value, Vec<String>), ApiError> {
        let answer = self.range_data(expr, start, end, step_nanos)?;
        Ok((value_of(answer.data)?, answer.warnings))
    }

    fn range_data(&self, expr: &str, start: UnixNanos, end: UnixNanos, step: i64) -> Result<Data, ApiError> {
        let form = [
            ("end", seconds(end)),
            ("query", expr.to_owned()),
            ("start", seconds(start)),
            ("step", format_f(step as f64 / 1e9)),
        ];
        self.post("api/v1/query_range", &form)
    }

    /// Label sets of the matching series.
    pub fn series(&self, matchers: &[&str], start: UnixNanos, end: UnixNanos) -> Result<Vec<Json>, ApiError> {
        let mut form = vec![("start", seconds(start)), ("end", seconds(end))];
        form.extend(matchers.iter().map(|matcher| ("match[]", (*matcher).to_owned())));
        list(self.post("api/v1/series", &form)?.data)
    }

    /// Values of a label; warnings go to standard error.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[&str],
        start: UnixNanos,
        end: UnixNanos,
    ) -> Result<Vec<Json>, ApiError> {
        let (start, end) = (seconds(start), seconds(end));
        let mut form = vec![("end", end.as_str())];
        form.extend(matchers.iter().map(|matcher| ("match[]", *matcher)));
        form.push(("start", &start));
        let mut url = self.0.at(&format!("api/v1/label/{name}/values"));
        url.set_raw_query(&encode_query(form));
        let answer = self.send(Method::GET, &url, &[], Vec::new())?;
        let answer = read(answer)?;
        answer.warnings.iter().for_each(|warning| eprintln!("query warning: {warning}"));
        list(answer.data)
    }

    /// Which metrics nothing reads, and the warnings of the answer. Only ferula has this endpoint.
    pub fn usage(&self, form: &[(&str, String)]) -> Result<(Json, Vec<String>), ApiError> {
        self.post("api/v1/ferula/usage", form).map(|answer| (answer.data, answer.warnings))
    }

    /// Sends parameters in the body, or in the URL if the server does not accept a body.
    fn post(&self, path: &str, form: &[(&str, String)]) -> Result<Data, ApiError> {
        let mut url = self.0.at(path);
        let form = encode_query(form.iter().map(|(name, value)| (*name, value.as_str())));
        let body = form.clone().into_bytes();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let mut answer = self.send(Method::POST, &url, &headers, body)?;
        if matches!(answer.code, 403 | 405 | 501) {
            url.set_raw_query(&form);
            answer = self.send(Method::GET, &url, &[], Vec::new())?;
        }
        read(answer)
    }

    fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, ApiError> {
        self.0.call(method, url, headers, body, TIMEOUT).map_err(|error| ApiError::new(format!("{error:#}")))
    }
}

fn read(answer: Answer) -> Result<Data, ApiError> {
    let of_api = matches!(answer.code, 400 | 422);
    if answer.code / 100 != 2 && !of_api {
        let text = match answer.code / 100 {
            4 => format!("client_error: client error: {}", answer.code),
            5 => format!("server_error: server error: {}", answer.code),
            _ => format!("bad_response: bad response code {}", answer.code),
        };
        return Err(ApiError { text, detail: String::from_utf8_lossy(&answer.body).into_owned() });
    }
    let mut body: Json = serde_json::from_slice(&answer.body)
        .map_err(|error| ApiError::new(format!("bad_response: {error}")))?;
    let text = |key: &str| body.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    if text("status") == "error" {
        return Err(ApiError::new(format!("{}: {}", text("errorType"), text("error"))));
    }
    if of_api && text("status") == "success" {
        return Err(ApiError::new("bad_response: inconsistent body for response code"));
    }
    let warnings = body.get("warnings").and_then(Json::as_array).into_iter().flatten();
    let warnings = warnings.filter_map(|warning| warning.as_str().map(str::to_owned)).collect();
    Ok(Data { data: body.get_mut("data").map(Json::take).unwrap_or_default(), warnings })
}

fn value_of(data: Json) -> Result<Value, ApiError> {
    Value::read(data).map_err(|what| ApiError::new(format!("bad_response: {what}")))
}

fn list(data: Json) -> Result<Vec<Json>, ApiError> {
    match data {
        Json::Array(items) => Ok(items),
        Json::Null => Ok(Vec::new()),
        _ => Err(ApiError::new("bad_response: expected a list")),
    }
}

//! `ferula query …`: queries a server over Prometheus' API. Output and exit codes are promtool's.

mod analyze;
pub mod api;
pub mod value;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::anyhow;
use ferula_model::UnixNanos;
use serde_json::Value as Json;

use self::analyze::MATCH;
use self::api::{Api, ApiError};
use self::value::Value;
use super::args::{Args, Argument, Command, Flag, ValueKind, argument, flag};
use super::moment::MomentError;
use super::output::{finish, print};
use super::{http, moment};

const FORMAT: Flag =
    flag("format", ValueKind::Word(&["promql", "json"]), "The output format.").short('o').default("promql");
const HEADER: Flag =
    flag("header", ValueKind::Pairs, "A header of the request, as NAME=VALUE. May be repeated.");
const SERVER: Argument = argument("server", ValueKind::Url, "The server to query.").required();
const EXPR: Argument = argument("expr", ValueKind::Text, "The PromQL expression.").required();
const LABEL_NAME: Argument = argument("name", ValueKind::Text, "The label whose values to list.").required();
const TIME: Flag =
    flag("time", ValueKind::Text, "The evaluation time (RFC 3339, or seconds since 1970); now by default.");
const START: Flag = flag("start", ValueKind::Text, "The start time (RFC 3339, or seconds since 1970).");
const END: Flag = flag("end", ValueKind::Text, "The end time (RFC 3339, or seconds since 1970).");
const STEP: Flag =
    flag("step", ValueKind::Duration, "The time between two results; by default, a 250th of the range.");

/// `query`
pub const COMMAND: Command = Command {
    name: "query",
    help: "Query a server.",
    flags: &[FORMAT, http::CONFIG_FILE],
    arguments: &[],
    commands: &[
        Command::new("instant", "Evaluate an expression at one time.", |args| finish_query(instant(args)))
            .flags(&[TIME, HEADER])
            .arguments(&[SERVER, EXPR]),
        Command::new(
            "range",
            "Evaluate an expression at every step of a range; by default, the last five minutes.",
            |args| finish_query(range(args)),
        )
        .flags(&[HEADER, START, END, STEP])
        .arguments(&[SERVER, EXPR]),
        Command::new("series", "List the matching series.", |args| finish_query(series(args)))
            .flags(&[MATCH.required(), START, END])
            .arguments(&[SERVER]),
        Command::new("labels", "List the values of a label.", |args| finish_query(labels(args)))
            .flags(&[START, END, MATCH])
            .arguments(&[SERVER, LABEL_NAME]),
        analyze::COMMAND,
    ],
    run: None,
    is_ours: false,
    is_default: false,
};

/// Why a query has no result.
enum QueryError {
    /// The arguments or a configuration are invalid.
    Arguments(anyhow::Error),
    /// The server refused the request or could not be reached.
    Server(ApiError),
}

impl From<anyhow::Error> for QueryError {
    fn from(error: anyhow::Error) -> Self {
        QueryError::Arguments(error)
    }
}

impl From<MomentError> for QueryError {
    fn from(error: MomentError) -> Self {
        QueryError::Arguments(error.into())
    }
}

impl From<ApiError> for QueryError {
    fn from(error: ApiError) -> Self {
        QueryError::Server(error)
    }
}

/// Prints the result of a query, or its error.
fn finish_query(result: Result<String, QueryError>) -> ExitCode {
    match result {
        Ok(text) => finish(print(&text)),
        Err(QueryError::Arguments(error)) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        Err(QueryError::Server(error)) => {
            match error.detail.trim() {
                "" => eprintln!("query error: {error}"),
                detail => eprintln!("query error: {error} (detail: {detail})"),
            }
            ExitCode::FAILURE
        }
    }
}

/// The server's API. Only some commands have a flag for headers.
fn api(args: &Args, headers: &BTreeMap<&str, &str>) -> Result<Api, anyhow::Error> {
    Api::new(args, args.required(SERVER), headers)
}

/// A result in the selected format.
fn shown(args: &Args, value: &Value) -> String {
    match args.text(FORMAT) {
        "json" => format!("{}\n", value.json()),
        _ => format!("{value}\n"),
    }
}

/// One item per line.
fn lines(items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!("{item}\n")).collect()
}

fn instant(args: &Args) -> Result<String, QueryError> {
    let api = api(args, &args.pairs(HEADER))?;
    let time = moment::given(args.last(TIME), "evaluation")?.unwrap_or_else(moment::now);
    Ok(shown(args, &api.query(args.required(EXPR), time)?))
}

fn range(args: &Args) -> Result<String, QueryError> {
    const FIVE_MINUTES: i64 = 300_000_000_000;
    const NANOS: i64 = 1_000_000_000;
    let api = api(args, &args.pairs(HEADER))?;
    let end = moment::given(args.last(END), "end")?.unwrap_or_else(moment::now);
    let start = moment::given(args.last(START), "start")?.unwrap_or(UnixNanos(end.0 - FIVE_MINUTES));
    if start >= end {
        return Err(anyhow!("start time is not before end time").into());
    }
    let step = match args.nanos(STEP) {
        // 250 points, at least a second apart.
        None | Some(0) => ((end.0 - start.0) / NANOS / 250).max(1) * NANOS,
        Some(step) => step,
    };
    let expr = args.required(EXPR);
    Ok(shown(args, &api.query_range(expr, start, end, step)?))
}

fn series(args: &Args) -> Result<String, QueryError> {
    let api = api(args, &BTreeMap::new())?;
    let (start, end) = moment::wide_range(args.last(START), args.last(END))?;
    let found = api.series(&args.all(MATCH), start, end)?;
    Ok(match args.text(FORMAT) {
        "json" => format!("{}\n", value::go_json(&Json::Array(found))),
        _ => lines(found.iter().map(value::label_set)),
    })
}

fn labels(args: &Args) -> Result<String, QueryError> {
    let api = api(args, &BTreeMap::new())?;
    let (start, end) = moment::wide_range(args.last(START), args.last(END))?;
    let name = args.required(LABEL_NAME);
    let found = api.label_values(name, &args.all(MATCH), start, end)?;
    Ok(match args.text(FORMAT) {
        "json" => format!("{}\n", value::go_json(&Json::Array(found))),
        _ => lines(found.iter().map(|value| value.as_str().unwrap_or_default().to_owned())),
    })
}

//! `ferula query …`: asks a server that speaks Prometheus' API. Output and exit codes are promtool's.

mod analyze;
pub mod api;
pub mod value;

use std::process::ExitCode;

use ferula_model::UnixNanos;
use serde_json::Value as Json;

use self::api::{Api, ApiError};
use self::value::Value;
use super::args::{Args, Argument, Command, Flag, Kind, argument, flag};
use super::{http, moment};

const HEADER: Flag = flag("header", Kind::Pairs, "Extra headers to send to server.");
const SERVER: Argument = argument("server", Kind::Url, "Prometheus server to query.").required();
const START: Flag = flag("start", Kind::Text, "Start time (RFC3339 or Unix timestamp).");
const END: Flag = flag("end", Kind::Text, "End time (RFC3339 or Unix timestamp).");
const MATCH: Flag = flag("match", Kind::Texts, "Series selector. Can be specified multiple times.");
const EXPR: Argument = argument("expr", Kind::Text, "PromQL query expression.").required();

/// `query`
pub const COMMAND: Command = Command {
    name: "query",
    help: "Run query against a Prometheus server.",
    flags: &[
        flag("format", Kind::Word(&["promql", "json"]), "Output format of the query.")
            .short('o')
            .default("promql"),
        http::CONFIG_FILE,
    ],
    arguments: &[],
    commands: &[
        Command::new("instant", "Run instant query.", |args| told(instant(args)))
            .flags(&[flag("time", Kind::Text, "Query evaluation time (RFC3339 or Unix timestamp)."), HEADER])
            .arguments(&[SERVER, EXPR]),
        Command::new("range", "Run range query.", |args| told(range(args)))
            .flags(&[
                HEADER,
                flag("start", Kind::Text, "Query range start time (RFC3339 or Unix timestamp)."),
                flag("end", Kind::Text, "Query range end time (RFC3339 or Unix timestamp)."),
                flag("step", Kind::Duration, "Query step size (duration)."),
            ])
            .arguments(&[SERVER, EXPR]),
        Command::new("series", "Run series query.", |args| told(series(args)))
            .flags(&[MATCH.required(), START, END])
            .arguments(&[SERVER]),
        Command::new("labels", "Run labels query.", |args| told(labels(args)))
            .flags(&[START, END, MATCH])
            .arguments(&[
                SERVER,
                argument("name", Kind::Text, "Label name to provide label values for.").required(),
            ]),
        Command::new(
            "analyze",
            "Run queries against your Prometheus to analyze the usage pattern of certain metrics.",
            |args| super::finish(analyze::run(args)),
        )
        .flags(&[
            flag("server", Kind::Url, "Prometheus server to query.").required(),
            flag("type", Kind::Text, "Type of metric: histogram.").required(),
            flag("duration", Kind::Duration, "Time frame to analyze.").default("1h"),
            flag("time", Kind::Text, "Query time (RFC3339 or Unix timestamp), defaults to now."),
            MATCH.required(),
        ]),
    ],
    run: None,
    ours: false,
};

/// Why a query came to nothing.
enum Trouble {
    /// Told as it is.
    Given(String),
    /// The server, or the way to it.
    Query(ApiError),
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Trouble::Given(text)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Trouble::Given(format!("{error:#}"))
    }
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Trouble::Query(error)
    }
}

/// Prints what came of a query.
fn told(result: Result<String, Trouble>) -> ExitCode {
    match result {
        Ok(text) => super::finish(super::print(&text)),
        Err(Trouble::Given(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
        Err(Trouble::Query(error)) => {
            match error.detail.trim() {
                "" => eprintln!("query error: {error}"),
                detail => eprintln!("query error: {error} (detail: {detail})"),
            }
            ExitCode::FAILURE
        }
    }
}

fn api(args: &Args) -> Result<Api, anyhow::Error> {
    Api::new(args, args.argument("server").unwrap_or_default(), &args.pairs("header"))
}

/// A result in the form that was asked for.
fn shown(args: &Args, value: &Value) -> String {
    match args.text("format") {
        "json" => format!("{}\n", value.json()),
        _ => format!("{value}\n"),
    }
}

/// One line each.
fn lines(items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!("{item}\n")).collect()
}

fn instant(args: &Args) -> Result<String, Trouble> {
    let api = api(args)?;
    let time = moment::given(args.last("time"), "evaluation")?.unwrap_or_else(moment::now);
    Ok(shown(args, &api.query(args.argument("expr").unwrap_or_default(), time)?))
}

fn range(args: &Args) -> Result<String, Trouble> {
    const FIVE_MINUTES: i64 = 300_000_000_000;
    const NANOS: i64 = 1_000_000_000;
    let api = api(args)?;
    let end = moment::given(args.last("end"), "end")?.unwrap_or_else(moment::now);
    let start = moment::given(args.last("start"), "start")?.unwrap_or(UnixNanos(end.0 - FIVE_MINUTES));
    if start >= end {
        return Err("start time is not before end time".to_owned().into());
    }
    let step = match args.nanos("step") {
        // 250 points, each at least a second after the other.
        0 => ((end.0 - start.0) / NANOS / 250).max(1) * NANOS,
        step => step,
    };
    let expr = args.argument("expr").unwrap_or_default();
    Ok(shown(args, &api.query_range(expr, start, end, step)?))
}

fn series(args: &Args) -> Result<String, Trouble> {
    let api = api(args)?;
    let (start, end) = moment::wide_range(args.last("start"), args.last("end"))?;
    let found = api.series(&args.all("match"), start, end)?;
    Ok(match args.text("format") {
        "json" => format!("{}\n", value::go_json(&Json::Array(found))),
        _ => lines(found.iter().map(value::label_set)),
    })
}

fn labels(args: &Args) -> Result<String, Trouble> {
    let api = api(args)?;
    let (start, end) = moment::wide_range(args.last("start"), args.last("end"))?;
    let name = args.argument("name").unwrap_or_default();
    let found = api.label_values(name, &args.all("match"), start, end)?;
    Ok(match args.text("format") {
        "json" => format!("{}\n", value::go_json(&Json::Array(found))),
        _ => lines(found.iter().map(|value| value.as_str().unwrap_or_default().to_owned())),
    })
}

//! `amtool alert`: lists and sends alerts.

use std::process::ExitCode;

use anyhow::{Result, bail};
use ferula_alertmanager::Time;
use ferula_config::alertmanager::MatchOp;
use serde_json::{Map, Value, json};

use super::client::{Client, matcher_texts, matchers};
use super::output::{self, Format, Table};
use super::settings::finish;
use crate::tools::args::{Args, Argument, Command, Flag, ValueKind, argument, flag, group};

const INHIBITED: Flag = flag("inhibited", ValueKind::Switch, "Show inhibited alerts.").short('i');
const SILENCED: Flag = flag("silenced", ValueKind::Switch, "Show silenced alerts.").short('s');
const ACTIVE: Flag = flag("active", ValueKind::Switch, "Show active alerts.").short('a');
const UNPROCESSED: Flag = flag("unprocessed", ValueKind::Switch, "Show unprocessed alerts.").short('u');
const RECEIVER: Flag =
    flag("receiver", ValueKind::Text, "Only alerts of receivers that match this expression.")
        .short('r')
        .default("");
const MATCHERS: Argument = argument(
    "matcher-groups",
    ValueKind::Texts,
    "Matchers; if the first word is not a matcher, it is an alert's name.",
);
const LABELS: Argument = argument(
    "labels",
    ValueKind::Texts,
    "Labels as NAME=VALUE; if the first word has no =, it is the alert's name.",
);
const GENERATOR: Flag =
    flag("generator-url", ValueKind::Text, "A link to the source of the alert.").default("");
const START: Flag =
    flag("start", ValueKind::Text, "When the alert starts: 2006-01-02T15:04:05-07:00.").default("");
const END: Flag = flag("end", ValueKind::Text, "When it ends.").default("");
const ANNOTATION: Flag =
    flag("annotation", ValueKind::Texts, "An annotation as NAME=VALUE; may be repeated.");

/// `alert`
pub const COMMAND: Command = group(
    "alert",
    "List alerts, or send one.",
    &[
        Command::new("query", "List alerts; active ones unless flags say otherwise.", |args| {
            finish(args, query(args))
        })
        .flags(&[INHIBITED, SILENCED, ACTIVE, UNPROCESSED, RECEIVER])
        .arguments(&[MATCHERS])
        .default()
        .ours(),
        Command::new("add", "Send an alert.", |args| finish(args, add(args)))
            .flags(&[GENERATOR, START, END, ANNOTATION])
            .arguments(&[LABELS])
            .ours(),
    ],
)
.ours();

fn query(args: &Args) -> Result<ExitCode> {
    let filters = matcher_texts(args, &args.arguments(MATCHERS));
    let none_given = ![INHIBITED, SILENCED, ACTIVE, UNPROCESSED].into_iter().any(|flag| args.has(flag));
    let show = |on: bool| if on { "true" } else { "false" };
    let mut params = vec![
        ("active", show(args.has(ACTIVE) || none_given)),
        ("inhibited", show(args.has(INHIBITED))),
        ("silenced", show(args.has(SILENCED))),
        ("unprocessed", show(args.has(UNPROCESSED))),
    ];
    if !args.text(RECEIVER).is_empty() {
        params.push(("receiver", args.text(RECEIVER)));
    }
    params.extend(filters.iter().map(|filter| ("filter", filter.as_str())));
    let mut alerts = output::items(Client::new(args)?.get("alerts", &params)?)?;
    match output::format(args) {
        Format::Json => output::print_json(&Value::Array(alerts)),
        Format::Simple => {
            output::sort_by_time(&mut alerts, "startsAt");
            let mut table = Table::new(&["Alertname", "Starts At", "Summary", "State"]);
            for alert in &alerts {
                table.row(vec![
                    output::text(&alert["labels"], "alertname"),
                    output::date(args, &alert["startsAt"]),
                    output::text(&alert["annotations"], "summary"),
                    output::text(&alert["status"], "state"),
                ]);
            }
            print!("{}", table.draw());
        }
        Format::Extended => {
            output::sort_by_time(&mut alerts, "startsAt");
            let head = ["Labels", "Annotations", "Starts At", "Ends At", "Generator URL", "State"];
            let mut table = Table::new(&head);
            for alert in &alerts {
                table.row(vec![
                    pairs(&alert["labels"]),
                    pairs(&alert["annotations"]),
                    output::date(args, &alert["startsAt"]),
                    output::date(args, &alert["endsAt"]),
                    output::text(alert, "generatorURL"),
                    output::text(&alert["status"], "state"),
                ]);
            }
            print!("{}", table.draw());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `a="b" c="d"`
fn pairs(object: &Value) -> String {
    let pairs = object.as_object().into_iter().flatten();
    let mut shown: Vec<String> =
        pairs.map(|(name, value)| format!("{name}=\"{}\"", value.as_str().unwrap_or_default())).collect();
    shown.sort();
    shown.join(" ")
}

fn add(args: &Args) -> Result<ExitCode> {
    let labels = equal_pairs(args, &args.arguments(LABELS), "labels", true)?;
    let annotations = equal_pairs(args, &args.all(ANNOTATION), "annotations", false)?;
    let mut alert = json!({"annotations": annotations, "labels": labels});
    for (key, flag) in [("startsAt", START), ("endsAt", END)] {
        if !args.text(flag).is_empty() {
            alert[key] = Value::String(parse_time(args.text(flag))?.rfc3339_millis());
        }
    }
    if !args.text(GENERATOR).is_empty() {
        alert["generatorURL"] = Value::String(args.text(GENERATOR).to_owned());
    }
    Client::new(args)?.post_alerts(&Value::Array(vec![alert]))?;
    Ok(ExitCode::SUCCESS)
}

/// Parses a time on the command line; the error is Go's.
pub fn parse_time(text: &str) -> Result<Time> {
    let Some(time) = Time::parse_rfc3339(text) else {
        let quoted = ferula_go::quote::go_quote(text);
        bail!("parsing time {quoted} as \"2006-01-02T15:04:05Z07:00\": cannot parse {quoted} as \"2006\"");
    };
    Ok(time)
}

/// Pairs given as matchers with `=`.
pub fn equal_pairs(
    args: &Args,
    given: &[&str],
    what: &str,
    may_begin_with_name: bool,
) -> Result<Map<String, Value>> {
    let given: Vec<String> = match may_begin_with_name {
        true => matcher_texts(args, given),
        false => given.iter().map(|text| (*text).to_owned()).collect(),
    };
    let mut pairs = Map::new();
    for text in given {
        let matcher = ferula_config::alertmanager::parse_matcher(&text, super::settings::syntax(args))?.value;
        if matcher.op() != MatchOp::Equal {
            bail!("{what} must be specified as key=value pairs");
        }
        pairs.insert(matcher.name().to_owned(), Value::String(matcher.value().to_owned()));
    }
    Ok(pairs)
}

/// The alerts that match the command line's matchers, whatever their state.
pub fn matching(args: &Args, client: &Client, given: &[&str]) -> Result<Vec<Value>> {
    let filters: Vec<String> = matchers(args, given)?.iter().map(ToString::to_string).collect();
    let params: Vec<(&str, &str)> = filters.iter().map(|filter| ("filter", filter.as_str())).collect();
    output::items(client.get("alerts", &params)?)
}

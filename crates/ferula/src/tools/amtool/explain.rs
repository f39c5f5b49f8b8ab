//! `amtool explain`: why alerts are notified or not, when and to whom next, and recent decisions.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Value;

use super::alert::matching;
use super::client::Client;
use super::output::{self, Format};
use super::settings::finish;
use crate::tools::args::{Args, Argument, Command, Flag, ValueKind, argument, flag};

const MATCHERS: Argument = argument(
    "matcher-groups",
    ValueKind::Texts,
    "Matchers; if the first word is not a matcher, it is an alert's name.",
)
.required();

const AT: Flag = flag(
    "at",
    ValueKind::Text,
    "The moment to explain, in RFC 3339; alerts that fire now are assumed to fire then. By default now.",
)
.default("");
const CONTENT: Flag =
    flag("content", ValueKind::Switch, "Print the next notifications as they would be sent.");

/// `explain`
pub const COMMAND: Command = Command::new(
    "explain",
    "Explain why alerts are notified or not, when next, and recent decisions. Ferula only.",
    |args| finish(args, explain(args)),
)
.flags(&[AT, CONTENT])
.arguments(&[MATCHERS])
.ours();

fn explain(args: &Args) -> Result<ExitCode> {
    let client = Client::new(args)?;
    let alerts = matching(args, &client, &args.arguments(MATCHERS))?;
    if alerts.is_empty() {
        bail!("no firing alert matches");
    }
    for alert in &alerts {
        let path = format!("alerts/{}/explain", output::text(alert, "fingerprint"));
        let mut query = vec![("content", if args.has(CONTENT) { "true" } else { "" })];
        if !args.text(AT).is_empty() {
            query.push(("at", args.text(AT)));
        }
        let explained = client.get_own(&path, &query)?;
        match output::format(args) {
            Format::Json => output::print_json(&explained),
            Format::Simple | Format::Extended => print!("{}", in_words(args, &explained)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(args: &Args, explained: &Value) -> String {
    let labels = explained["alert"]["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> =
        labels.map(|(name, value)| format!("{name}=\"{}\"", value.as_str().unwrap_or_default())).collect();
    let mut out = format!("{{{}}}\n", labels.join(", "));
    let status = &explained["alert"]["status"];
    for silence in explained["silences"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "  silenced until {} by {} ({}: {})\n",
            output::date(args, &silence["endsAt"]),
            output::text(silence, "id"),
            output::text(silence, "createdBy"),
            output::text(silence, "comment")
        ));
    }
    for id in status["inhibitedBy"].as_array().into_iter().flatten() {
        out.push_str(&format!("  inhibited by alert {}\n", id.as_str().unwrap_or_default()));
    }
    write_tree(&mut out, &explained["tree"], 1);
    for route in explained["routes"].as_array().into_iter().flatten() {
        write_route(&mut out, args, route);
    }
    for event in explained["events"].as_array().into_iter().flatten() {
        write_event(&mut out, args, event);
    }
    out
}

/// A route that takes the alert: what mutes it, its group, and when each integration notifies.
fn write_route(out: &mut String, args: &Args, route: &Value) {
    out.push_str(&format!(
        "  route {} to {}\n",
        output::text(route, "route"),
        output::text(route, "receiver")
    ));
    for name in route["mutedBy"].as_array().into_iter().flatten() {
        let until = match route.get("mutedUntil") {
            Some(until) => format!(" until {}", output::date(args, until)),
            None => String::new(),
        };
        out.push_str(&format!("    muted by time interval {}{until}\n", name.as_str().unwrap_or_default()));
    }
    let Some(group) = route.get("group") else {
        out.push_str("    in no group: its resolution was notified\n");
        return;
    };
    let (key, alerts) = (output::text(group, "key"), &group["alerts"]);
    out.push_str(&format!(
        "    group {key} of {alerts} alerts, next flush {}\n",
        output::date(args, &group["nextFlush"])
    ));
    for integration in route["integrations"].as_array().into_iter().flatten() {
        write_integration(out, args, integration);
    }
}

/// When an integration notified last, and when it will next.
fn write_integration(out: &mut String, args: &Args, integration: &Value) {
    let last = match integration.get("last") {
        Some(last) => format!(
            "last notified {} ({} firing, {} resolved)",
            output::date(args, &last["at"]),
            last["firing"],
            last["resolved"]
        ),
        None => "not notified yet".to_owned(),
    };
    let next = match integration.get("next").filter(|next| !next.is_null()) {
        Some(next) => format!(
            "next {} ({}, {} alerts)",
            output::date(args, &next["at"]),
            output::text(next, "reason"),
            next["alerts"]
        ),
        None => "nothing follows soon".to_owned(),
    };
    out.push_str(&format!("    {}: {last}; {next}\n", output::text(integration, "name")));
    write_content(out, integration);
}

/// A decision about a notification of the alert, with the attempts to send it.
fn write_event(out: &mut String, args: &Args, event: &Value) {
    let faults = event["templateErrors"].as_array().into_iter().flatten();
    let faults: Vec<String> = faults
        .map(|fault| {
            format!("template of {} failed: {}", output::text(fault, "field"), output::text(fault, "error"))
        })
        .collect();
    let more =
        ["reason", "error"].map(|key| output::text(event, key)).into_iter().filter(|text| !text.is_empty());
    let more: Vec<String> = more.collect();
    let to = format!("{}/{}", output::text(event, "receiver"), output::text(event, "integration"));
    let (at, outcome) = (output::date(args, &event["at"]), output::text(event, "outcome"));
    out.push_str(&format!("  {at} {} {outcome}: {}\n", to.trim_end_matches('/'), more.join(": ")));
    faults.iter().for_each(|fault| out.push_str(&format!("    {fault}\n")));
    for attempt in event["latestAttempts"].as_array().into_iter().flatten() {
        let first_line = output::text(attempt, "result");
        let first_line = first_line.lines().next().unwrap_or_default();
        out.push_str(&format!("    attempt {}: {first_line}\n", output::date(args, &attempt["at"])));
    }
}

/// The tree, one line per node: whether it matches the alert, and if not, which matcher does not match.
fn write_tree(out: &mut String, node: &Value, depth: usize) {
    let verdict = match output::text(node, "verdict").as_str() {
        "failed" => format!(
            "does not match: {} (it is \"{}\")",
            output::text(node, "failedMatcher"),
            output::text(node, "value")
        ),
        "not reached" => "not reached: a route before it took the alert".to_owned(),
        _ => "matches".to_owned(),
    };
    let indent = "  ".repeat(depth);
    out.push_str(&format!(
        "{indent}{} -> {}: {verdict}\n",
        output::text(node, "route"),
        output::text(node, "receiver")
    ));
    for child in node["children"].as_array().into_iter().flatten() {
        write_tree(out, child, depth + 1);
    }
}

/// Requests that would be sent.
fn write_content(out: &mut String, integration: &Value) {
    for request in integration["content"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "      {} {}\n",
            output::text(request, "method"),
            output::text(request, "url")
        ));
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            out.push_str(&format!("      {name}: {}\n", value.as_str().unwrap_or_default()));
        }
        for line in output::text(request, "body").lines() {
            out.push_str(&format!("      {line}\n"));
        }
    }
}

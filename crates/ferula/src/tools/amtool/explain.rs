//! `amtool explain`: why alerts are notified or not, when and to whom next, and recent decisions.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Value;

use super::alert::matching;
use super::client::Client;
use super::output::{self, Format};
use super::settings::finish;
use crate::tools::args::{Args, Argument, Command, Kind, argument};

const MATCHERS: Argument = argument(
    "matcher-groups",
    Kind::Texts,
    "Matchers; if the first word is not a matcher, it is an alert's name.",
)
.required();

/// `explain`
pub const COMMAND: Command = Command::new(
    "explain",
    "Explain why alerts are notified or not, when next, and recent decisions. Ferula only.",
    |args| finish(args, explain(args)),
)
.arguments(&[MATCHERS])
.ours();

fn explain(args: &Args) -> Result<ExitCode> {
    let client = Client::new(args)?;
    let alerts = matching(args, &client, &args.arguments(MATCHERS))?;
    if alerts.is_empty() {
        bail!("no firing alert matches");
    }
    for alert in &alerts {
        let explained = client.get_own(&format!("alerts/{}/explain", output::text(alert, "fingerprint")))?;
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
    for (key, what) in [("silencedBy", "silenced by"), ("inhibitedBy", "inhibited by alert")] {
        for id in status[key].as_array().into_iter().flatten() {
            out.push_str(&format!("  {what} {}\n", id.as_str().unwrap_or_default()));
        }
    }
    for route in explained["routes"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "  route {} to {}\n",
            output::text(route, "route"),
            output::text(route, "receiver")
        ));
        for name in route["mutedBy"].as_array().into_iter().flatten() {
            out.push_str(&format!("    muted by time interval {}\n", name.as_str().unwrap_or_default()));
        }
        let Some(group) = route.get("group") else {
            out.push_str("    in no group: its resolution was notified\n");
            continue;
        };
        let (key, alerts) = (output::text(group, "key"), &group["alerts"]);
        out.push_str(&format!(
            "    group {key} of {alerts} alerts, next flush {}\n",
            output::date(args, &group["nextFlush"])
        ));
        for integration in route["integrations"].as_array().into_iter().flatten() {
            let last = match integration.get("last") {
                Some(last) => format!(
                    "last notified {} ({} firing, {} resolved)",
                    output::date(args, &last["at"]),
                    last["firing"],
                    last["resolved"]
                ),
                None => "never told".to_owned(),
            };
            let next = output::text(integration, "nextReason");
            out.push_str(&format!(
                "    {}: {last}; at the next flush: {next}\n",
                output::text(integration, "name")
            ));
        }
    }
    for event in explained["events"].as_array().into_iter().flatten() {
        let more = ["reason", "error"]
            .map(|key| output::text(event, key))
            .into_iter()
            .filter(|text| !text.is_empty());
        let more: Vec<String> = more.collect();
        let to = format!("{}/{}", output::text(event, "receiver"), output::text(event, "integration"));
        let (at, outcome) = (output::date(args, &event["at"]), output::text(event, "outcome"));
        out.push_str(&format!("  {at} {} {outcome}: {}\n", to.trim_end_matches('/'), more.join(": ")));
    }
    out
}

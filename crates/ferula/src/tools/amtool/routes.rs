//! `ferula amtool config routes show|test`: the routing tree, and the route of an alert.

mod expectations;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use ferula_alertmanager::{Labels, Route, Time, TimeIntervals};
use ferula_config::alertmanager::{AlertmanagerConfig, MatchOp, parse_matcher};
use ferula_model::UnixNanos;

use super::alert::parse_time;
use super::client::Client;
use super::output;
use super::settings::{self, finish, syntax};
use crate::tools::args::{Args, Argument, Command, Flag, ValueKind, argument, flag, group};

const CONFIG: Flag =
    flag("config.file", ValueKind::File, "The configuration to read, instead of a server's.");
const EXPECTED: Flag = flag(
    "verify.receivers",
    ValueKind::Text,
    "Receivers that the alert should reach, separated by commas. The exit code is 1 if it reaches others.",
);
const TREE: Flag = flag("tree", ValueKind::Switch, "Show the routes that match.");
const AT: Flag =
    flag("at", ValueKind::Text, "A moment in RFC 3339: also print which routes are muted then. Ferula only.")
        .default("");
const EXPECTATIONS: Flag = flag(
    "expectations",
    ValueKind::Text,
    "A file of expectations to check instead of one alert; the exit code is 1 if any is not met. Ferula only.",
)
.default("");
const LABELS: Argument = argument("labels", ValueKind::Texts, "Labels of the alert, as NAME=VALUE.");

/// `config`
pub const COMMAND: Command = group(
    "config",
    "Show a configuration.",
    &[
        Command::new("show", "Print a server's current configuration.", |args| {
            finish(args, show_config(args))
        })
        .default()
        .ours(),
        Command {
        flags: &[CONFIG, settings::EXPAND_ENV],
        ..group(
            "routes",
            "Show the routing tree.",
            &[
                Command::new("show", "Print the routing tree.", |args| finish(args, show(args))).default().ours(),
                Command::new(
                    "test",
                    "Print the receivers that an alert with these labels goes to, in the order of the tree.",
                    |args| finish(args, test(args)),
                )
                .flags(&[EXPECTED, TREE, AT, EXPECTATIONS])
                .arguments(&[LABELS])
                .ours(),
            ],
        )
        .ours()
    }],
)
.ours();

fn load(args: &Args) -> Result<(AlertmanagerConfig, Route)> {
    let url = settings::value(args, settings::URL);
    let config = match (args.last(CONFIG), url) {
        (Some(file), url) => {
            if url.is_some() {
                eprintln!("Warning: --config.file flag overrides the --alertmanager.url.");
            }
            AlertmanagerConfig::load_with(Path::new(file), settings::load_options(args))?
        }
        (None, Some(_)) => {
            let status = Client::new(args)?.get("status", &[])?;
            let text = status["config"]["original"].as_str().unwrap_or_default();
            AlertmanagerConfig::parse(text, syntax(args))?
        }
        (None, None) => bail!("You have to specify one of --config.file or --alertmanager.url flags."),
    };
    let root = Route::tree(config.root_route());
    Ok((config, root))
}

fn show_config(args: &Args) -> Result<ExitCode> {
    let status = Client::new(args)?.get("status", &[])?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    match output::format(args) {
        output::Format::Json => output::print_json(&status),
        output::Format::Simple => println!("{}", text(&status["config"]["original"])),
        output::Format::Extended => {
            println!("{}", text(&status["config"]["original"]));
            for key in ["buildUser", "goVersion", "revision", "version", "branch", "buildDate"] {
                println!("{key} {}", text(&status["versionInfo"][key]));
            }
            println!("uptime {}", text(&status["uptime"]));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &Args) -> Result<ExitCode> {
    let tree = Branch::whole(&load(args)?.1);
    println!("Routing tree:\n{}", tree.draw());
    Ok(ExitCode::SUCCESS)
}

fn test(args: &Args) -> Result<ExitCode> {
    let (config, root) = load(args)?;
    if !args.text(EXPECTATIONS).is_empty() {
        return expectations::check(&config, &root, args.text(EXPECTATIONS));
    }
    let labels = labels(args)?;
    if args.has(TREE) {
        println!("Matching routes:\n{}\n", Branch::matching(&root, &labels).draw());
    }
    let receivers: Vec<&str> = root.matching(&labels).iter().map(|route| route.receiver.as_str()).collect();
    let receivers = receivers.join(",");
    println!("{receivers}");
    if !args.text(AT).is_empty() {
        let at = UnixNanos(parse_time(args.text(AT))?.unix_nanos());
        let intervals = TimeIntervals::new(&config);
        for route in root.matching(&labels) {
            let (active, mute) = (&route.active_time_intervals, &route.mute_time_intervals);
            let muted_by = intervals.muting(active, mute, at);
            if muted_by.is_empty() {
                continue;
            }
            let until = intervals.muted_until(active, mute, at).map_or_else(
                || "for more than a week".to_owned(),
                |until| format!("until {}", Time::from_unix_nanos(until.0).rfc3339_nanos()),
            );
            println!("{} is muted by {} {until}", route.receiver, muted_by.join(", "));
        }
    }
    let expected = args.last(EXPECTED).unwrap_or_default();
    if expected.is_empty() || expected == receivers {
        return Ok(ExitCode::SUCCESS);
    }
    println!("WARNING: Expected receivers did not match resolved receivers.");
    Ok(ExitCode::FAILURE)
}

fn labels(args: &Args) -> Result<Labels> {
    let mut labels = Labels::new();
    for pair in args.arguments(LABELS) {
        let matcher =
            parse_matcher(pair, syntax(args)).map_err(|error| anyhow!("Failed to parse labels: {error}"))?;
        let matcher = matcher.value;
        if matcher.op() != MatchOp::Equal {
            bail!("Labels must be specified as key=value pairs");
        }
        labels.insert(matcher.name().to_owned(), matcher.value().to_owned());
    }
    Ok(labels)
}

/// A line of the drawn tree and its children.
struct Branch {
    text: String,
    below: Vec<Branch>,
}

impl Branch {
    fn whole(route: &Route) -> Self {
        let continues = if route.continues { "  continue: true" } else { "" };
        let text = format!("{}{continues}  receiver: {}", name(route), route.receiver);
        Branch { text, below: route.children.iter().map(Branch::whole).collect() }
    }

    /// Only the nodes that an alert passes through; the receiver is shown where it ends.
    fn matching(route: &Route, labels: &Labels) -> Self {
        let mut below = Vec::new();
        for child in route.children.iter().filter(|child| child.takes(labels)) {
            below.push(Branch::matching(child, labels));
            if !child.continues {
                break;
            }
        }
        let text = match below.is_empty() {
            true => format!("{}  receiver: {}", name(route), route.receiver),
            false => name(route),
        };
        Branch { text, below }
    }

    fn draw(&self) -> String {
        let mut out = String::from(".\n");
        self.draw_below("", true, &mut out);
        out
    }

    fn draw_below(&self, indent: &str, is_last: bool, out: &mut String) {
        let (corner, next) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        out.push_str(&format!("{indent}{corner}{}\n", self.text));
        let indent = format!("{indent}{next}");
        for (index, branch) in self.below.iter().enumerate() {
            branch.draw_below(&indent, index + 1 == self.below.len(), out);
        }
    }
}

fn name(route: &Route) -> String {
    match route.matchers.is_empty() {
        true => "default-route".to_owned(),
        false => route.matchers.to_string(),
    }
}

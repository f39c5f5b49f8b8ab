//! `amtool silence`: lists, adds, changes, expires and imports silences.

use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use ferula_alertmanager::Time;
use ferula_alertmanager::silence::{self, END_WHEN_RESOLVED};
use ferula_config::alertmanager::{MatchOp, Matcher};
use ferula_model::duration::parse_millis;
use serde_json::{Value, json};

use super::alert::{equal_pairs, parse_time};
use super::client::{Client, NotDone, matcher_texts, matchers};
use super::output::{self, Format, Table};
use super::settings::{self, finish};
use crate::tools::args::{Args, Argument, Command, Flag, ValueKind, argument, flag, group};

const MATCHERS: Argument = argument(
    "matcher-groups",
    ValueKind::Texts,
    "Matchers; if the first word is not a matcher, it is an alert's name.",
);
const EXPIRED: Flag = flag("expired", ValueKind::Switch, "Show expired silences instead of the others.");
const QUIET: Flag = flag("quiet", ValueKind::Switch, "Print identifiers only.").short('q');
const CREATED_BY: Flag = flag("created-by", ValueKind::Text, "Only silences of this creator.").default("");
const ID: Flag = flag("id", ValueKind::Text, "Only the silence with this identifier.").default("");
const WITHIN: Flag =
    flag("within", ValueKind::Duration, "Only silences that end, or ended, within this time.");
const AUTHOR: Flag = flag("author", ValueKind::Text, "The creator of the silence.").short('a');
const REQUIRE_COMMENT: Flag =
    flag("require-comment", ValueKind::Switch, "Whether a comment is required.").default("true").hidden();
const DURATION: Flag =
    flag("duration", ValueKind::Text, "How long the silence lasts.").short('d').default("1h");
const NEW_DURATION: Flag =
    flag("duration", ValueKind::Text, "How long the silence lasts.").short('d').default("");
const START: Flag = flag("start", ValueKind::Text, "When it begins: 2006-01-02T15:04:05-07:00.").default("");
const END: Flag = flag("end", ValueKind::Text, "When it ends; takes precedence over --duration.").default("");
const COMMENT: Flag = flag("comment", ValueKind::Text, "The reason for the silence.").short('c').default("");
const ANNOTATION: Flag =
    flag("annotation", ValueKind::Texts, "An annotation as NAME=VALUE; may be repeated.");
const UNTIL_RESOLVED: Flag = flag(
    "until-resolved",
    ValueKind::Switch,
    "End the silence when the alerts that it covers are resolved, or at its end. Ferula only.",
);
const REMIND_BEFORE: Flag = flag(
    "remind-before",
    ValueKind::Text,
    "Notify so long before the end of the silence if its alerts still fire. Ferula only.",
)
.default("");
const REPEAT_IN: Flag = flag(
    "repeat-in",
    ValueKind::Text,
    "A time interval of the configuration: the silence holds only within it. Ferula only.",
)
.default("");
const DAYS: Flag = flag("days", ValueKind::Number, "How many days to look back.").default("7");
const IDS: Argument = argument("silence-ids", ValueKind::Texts, "Identifiers of silences.");
const FORCE: Flag =
    flag("force", ValueKind::Switch, "Create new silences even if they already exist.").short('f');
const WORKERS: Flag =
    flag("worker", ValueKind::Number, "Accepted for compatibility.").short('w').default("8");
const FILE: Argument = argument(
    "input-file",
    ValueKind::File,
    "Silences as `silence query -o json` prints them; by default standard input.",
);

/// `silence`
pub const COMMAND: Command = group(
    "silence",
    "List or change silences.",
    &[
        Command::new("add", "Add a silence.", |args| finish(args, add(args)))
            .flags(&[
                AUTHOR,
                REQUIRE_COMMENT,
                DURATION,
                START,
                END,
                COMMENT,
                ANNOTATION,
                UNTIL_RESOLVED,
                REMIND_BEFORE,
                REPEAT_IN,
            ])
            .arguments(&[MATCHERS])
            .ours(),
        Command::new("expire", "End silences.", |args| finish(args, expire(args))).arguments(&[IDS]).ours(),
        Command::new("history", "Show who changed a silence, and when. Ferula only.", |args| {
            finish(args, history(args))
        })
        .arguments(&[IDS])
        .ours(),
        Command::new(
            "preview",
            "Show the alerts that a silence would cover now, and would have covered lately. Ferula only.",
            |args| finish(args, preview(args)),
        )
        .flags(&[DAYS])
        .arguments(&[MATCHERS])
        .ours(),
        Command::new("import", "Add or change silences from JSON.", |args| finish(args, import(args)))
            .flags(&[FORCE, WORKERS])
            .arguments(&[FILE])
            .ours(),
        Command::new("query", "List silences.", |args| finish(args, query(args)))
            .flags(&[EXPIRED, QUIET, CREATED_BY, ID, WITHIN])
            .arguments(&[MATCHERS])
            .default()
            .ours(),
        Command::new("update", "Change silences.", |args| finish(args, update(args)))
            .flags(&[QUIET, NEW_DURATION, START, END, COMMENT])
            .arguments(&[IDS])
            .ours(),
    ],
)
.ours();

fn now() -> Time {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Time::from_unix_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

fn add(args: &Args) -> Result<ExitCode> {
    let matchers = matchers(args, &args.arguments(MATCHERS))?;
    if matchers.is_empty() {
        bail!("no matchers specified");
    }
    let starts_at = if args.text(START).is_empty() { now() } else { parse_time(args.text(START))? };
    let ends_at = match args.text(END) {
        "" => starts_at.plus(lasting(args.text(DURATION))?),
        end => parse_time(end)?,
    };
    if starts_at > ends_at {
        bail!("silence cannot start after it ends");
    }
    let requires_comment = settings::value(args, REQUIRE_COMMENT).as_deref() != Some("false");
    if requires_comment && args.text(COMMENT).is_empty() {
        bail!("comment required by config");
    }
    let author = settings::value(args, AUTHOR).unwrap_or_else(user_name);
    let mut silence = json!({
        "comment": args.text(COMMENT),
        "createdBy": author,
        "endsAt": ends_at.rfc3339_millis(),
        "matchers": matchers.iter().map(matcher_json).collect::<Vec<_>>(),
        "startsAt": starts_at.rfc3339_millis(),
    });
    let mut annotations = equal_pairs(args, &args.all(ANNOTATION), "annotations", false)?;
    if args.has(UNTIL_RESOLVED) {
        annotations.insert(END_WHEN_RESOLVED.to_owned(), Value::from("true"));
    }
    for (flag, name) in [(REMIND_BEFORE, silence::REMIND_BEFORE), (REPEAT_IN, silence::REPEAT_IN)] {
        if !args.text(flag).is_empty() {
            annotations.insert(name.to_owned(), Value::from(args.text(flag)));
        }
    }
    if !annotations.is_empty() || args.given(ANNOTATION) {
        silence["annotations"] = Value::Object(annotations);
    }
    println!("{}", Client::new(args)?.post_silence(&silence)?);
    Ok(ExitCode::SUCCESS)
}

fn history(args: &Args) -> Result<ExitCode> {
    let ids = args.arguments(IDS);
    if ids.is_empty() {
        bail!("no silence IDs specified");
    }
    let client = Client::new(args)?;
    for id in ids {
        let changes = client.get_own(&format!("silence/{id}/history"), &[])?;
        if output::format(args) == Format::Json {
            output::print_json(&changes);
            continue;
        }
        let mut table = Table::new(&["At", "Action", "By", "Silence"]);
        for change in changes.as_array().into_iter().flatten() {
            table.row(vec![
                output::date(args, &change["at"]),
                output::text(change, "action"),
                output::text(change, "by"),
                output::text(change, "after"),
            ]);
        }
        print!("{}", table.draw());
    }
    Ok(ExitCode::SUCCESS)
}

fn preview(args: &Args) -> Result<ExitCode> {
    let matchers = matchers(args, &args.arguments(MATCHERS))?;
    if matchers.is_empty() {
        bail!("no matchers specified");
    }
    let asked = json!({
        "matchers": matchers.iter().map(matcher_json).collect::<Vec<_>>(),
        "days": args.number(DAYS),
    });
    let preview = Client::new(args)?.post_own("silences/preview", &asked)?;
    if output::format(args) == Format::Json {
        output::print_json(&preview);
        return Ok(ExitCode::SUCCESS);
    }
    let labels = |alert: &Value| {
        let pairs = alert["labels"].as_object().into_iter().flatten();
        let pairs: Vec<String> =
            pairs.map(|(name, value)| format!("{name}=\"{}\"", value.as_str().unwrap_or_default())).collect();
        pairs.join(" ")
    };
    let mut table = Table::new(&["Labels", "Starts At", "Ends At"]);
    for alert in preview["now"].as_array().into_iter().flatten() {
        table.row(vec![labels(alert), output::date(args, &alert["startsAt"]), "fires now".to_owned()]);
    }
    for alert in preview["past"].as_array().into_iter().flatten() {
        let dates = ["startsAt", "endsAt"].map(|key| output::date(args, &alert[key]));
        table.row(vec![labels(alert), dates[0].clone(), dates[1].clone()]);
    }
    print!("{}", table.draw());
    Ok(ExitCode::SUCCESS)
}

/// The name of the user who runs the program.
fn user_name() -> String {
    // SAFETY: `getuid` cannot fail and touches no memory of ours.
    let id = unsafe { libc::getuid() };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let own = lines.find(|fields| fields.get(2).is_some_and(|field| *field == id.to_string()));
    own.and_then(|fields| fields.first().map(|name| (*name).to_owned())).unwrap_or_default()
}

fn lasting(text: &str) -> Result<Duration> {
    let millis = parse_millis(text).map_err(|error| anyhow!("{error}"))?;
    match u64::try_from(millis) {
        Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => bail!("silence duration must be greater than 0"),
    }
}

fn matcher_json(matcher: &Matcher) -> Value {
    let (is_equal, is_regex) = match matcher.op() {
        MatchOp::Equal => (true, false),
        MatchOp::NotEqual => (false, false),
        MatchOp::Regexp => (true, true),
        MatchOp::NotRegexp => (false, true),
    };
    json!({"isEqual": is_equal, "isRegex": is_regex, "name": matcher.name(), "value": matcher.value()})
}

fn expire(args: &Args) -> Result<ExitCode> {
    let ids = args.arguments(IDS);
    if ids.is_empty() {
        bail!("no silence IDs specified");
    }
    let client = Client::new(args)?;
    ids.iter().try_for_each(|id| client.expire(id))?;
    Ok(ExitCode::SUCCESS)
}

fn query(args: &Args) -> Result<ExitCode> {
    let filters = matcher_texts(args, &args.arguments(MATCHERS));
    let params: Vec<(&str, &str)> = filters.iter().map(|filter| ("filter", filter.as_str())).collect();
    let mut silences = output::items(Client::new(args)?.get("silences", &params)?)?;
    let (now, expired) = (now().unix_nanos(), args.has(EXPIRED));
    let within = args.nanos(WITHIN).filter(|nanos| *nanos > 0);
    silences.retain(|silence| {
        let ends_at = silence["endsAt"].as_str().and_then(Time::parse_rfc3339).map_or(0, Time::unix_nanos);
        let left = ends_at.saturating_sub(now);
        let in_time = match expired {
            true => left <= 0 && within.is_none_or(|within| -left <= within),
            false => left >= 0 && within.is_none_or(|within| left <= within),
        };
        let equals = |flag: Flag, key: &str| args.text(flag).is_empty() || silence[key] == args.text(flag);
        in_time && equals(CREATED_BY, "createdBy") && equals(ID, "id")
    });
    show(args, silences);
    Ok(ExitCode::SUCCESS)
}

fn show(args: &Args, mut silences: Vec<Value>) {
    if args.has(QUIET) {
        silences.iter().for_each(|silence| println!("{}", output::text(silence, "id")));
        return;
    }
    match output::format(args) {
        Format::Json => output::print_json(&Value::Array(silences)),
        Format::Simple => {
            output::sort_by_time(&mut silences, "endsAt");
            let mut table = Table::new(&["ID", "Matchers", "Ends At", "Created By", "Comment"]);
            for silence in &silences {
                table.row(vec![
                    output::text(silence, "id"),
                    shown_matchers(silence).join(" "),
                    output::date(args, &silence["endsAt"]),
                    output::text(silence, "createdBy"),
                    output::text(silence, "comment"),
                ]);
            }
            print!("{}", table.draw());
        }
        Format::Extended => {
            output::sort_by_time(&mut silences, "endsAt");
            let head = ["ID", "Matchers", "Starts At", "Ends At", "Updated At", "Created By", "Comment"];
            let mut table = Table::new(&head);
            for silence in &silences {
                table.row(vec![
                    output::text(silence, "id"),
                    format!("{{{}}}", shown_matchers(silence).join(",")),
                    output::date(args, &silence["startsAt"]),
                    output::date(args, &silence["endsAt"]),
                    output::date(args, &silence["updatedAt"]),
                    output::text(silence, "createdBy"),
                    output::text(silence, "comment"),
                ]);
            }
            print!("{}", table.draw());
        }
    }
}

fn shown_matchers(silence: &Value) -> Vec<String> {
    let matchers = silence["matchers"].as_array().into_iter().flatten();
    let show = |matcher: &Value| {
        let op = match (
            matcher["isEqual"].as_bool().unwrap_or(true),
            matcher["isRegex"].as_bool().unwrap_or(false),
        ) {
            (true, false) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regexp,
            (false, true) => MatchOp::NotRegexp,
        };
        let (name, value) = (output::text(matcher, "name"), output::text(matcher, "value"));
        match Matcher::new(name.as_str(), op, value.as_str()) {
            Ok(matcher) => matcher.to_string(),
            Err(_) => format!("{name}{}\"{value}\"", op.as_str()),
        }
    };
    matchers.map(show).collect()
}

fn update(args: &Args) -> Result<ExitCode> {
    let ids = args.arguments(IDS);
    if ids.is_empty() {
        bail!("no silence IDs specified");
    }
    let client = Client::new(args)?;
    let mut updated = Vec::new();
    for id in ids {
        let mut silence = client.silence(id)?;
        if !args.text(START).is_empty() {
            silence["startsAt"] = Value::String(parse_time(args.text(START))?.rfc3339_millis());
        }
        let starts_at = silence["startsAt"].as_str().and_then(Time::parse_rfc3339);
        let starts_at = starts_at.ok_or_else(|| anyhow!("the silence has no start"))?;
        if !args.text(END).is_empty() {
            silence["endsAt"] = Value::String(parse_time(args.text(END))?.rfc3339_millis());
        } else if !args.text(NEW_DURATION).is_empty() {
            let ends_at = starts_at.plus(lasting(args.text(NEW_DURATION))?);
            silence["endsAt"] = Value::String(ends_at.rfc3339_millis());
        }
        if silence["endsAt"].as_str().and_then(Time::parse_rfc3339).is_some_and(|end| starts_at > end) {
            bail!("silence cannot start after it ends");
        }
        if !args.text(COMMENT).is_empty() {
            silence["comment"] = Value::String(args.text(COMMENT).to_owned());
        }
        silence["id"] = Value::String(client.post_silence(&silence)?);
        updated.push(silence);
    }
    show(args, updated);
    Ok(ExitCode::SUCCESS)
}

fn import(args: &Args) -> Result<ExitCode> {
    let text = match args.argument(FILE) {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("open {file}"))?,
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
    };
    let silences: Vec<Value> = serde_json::from_str(&text).map_err(|error| {
        let why = match text.trim_start().chars().next() {
            None => "EOF".to_owned(),
            Some('[') => error.to_string(),
            Some(first) => format!("invalid character '{first}' looking for beginning of value"),
        };
        anyhow!("couldn't unmarshal input data, is it JSON?: {why}")
    })?;
    let client = Client::new(args)?;
    let (count, mut failed) = (silences.len(), 0);
    for mut silence in silences {
        let id = output::text(&silence, "id");
        if args.has(FORCE) {
            silence["id"] = Value::String(String::new());
        }
        let added = client.post_silence(&silence).or_else(|error| {
            let is_unknown = error.downcast_ref::<NotDone>().is_some_and(|error| error.code == 404);
            match is_unknown {
                true => {
                    silence["id"] = Value::String(String::new());
                    client.post_silence(&silence)
                }
                false => Err(error),
            }
        });
        match added {
            Ok(new) => println!("{new}"),
            Err(error) => {
                eprintln!("Error adding silence id='{id}': {error:#}");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("couldn't import {failed} out of {count} silences");
    }
    Ok(ExitCode::SUCCESS)
}

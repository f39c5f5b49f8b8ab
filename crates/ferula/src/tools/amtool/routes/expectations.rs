//! Expectations about routes, from a file: which receivers alerts go to, and which of them are muted at a moment.
//!
//! ```yaml
//! - labels: {team: x, severity: page}
//!   receivers: [x-pager, archive]
//!   at: 2026-12-24T03:00:00Z     # with `muted`
//!   muted: [archive]
//! ```

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use ferula_alertmanager::{Labels, Route, TimeIntervals};
use ferula_config::alertmanager::{AlertmanagerConfig, AnyValue};
use ferula_model::UnixNanos;

use crate::tools::amtool::alert::parse_time;

struct Expectation {
    labels: Labels,
    receivers: Option<Vec<String>>,
    at: Option<UnixNanos>,
    muted: Option<Vec<String>>,
}

/// Checks the expectations of a file and prints those that are not met.
pub fn check(config: &AlertmanagerConfig, root: &Route, file: &str) -> Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("open {file}"))?;
    let expectations = read(&text).with_context(|| file.to_owned())?;
    let intervals = TimeIntervals::new(config);
    let mut failed = 0;
    for (at, expectation) in expectations.iter().enumerate() {
        let problems = problems(expectation, root, &intervals);
        failed += usize::from(!problems.is_empty());
        let labels: Vec<String> =
            expectation.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for problem in problems {
            println!("FAILED: {file}: expectation {} ({}): {problem}", at + 1, labels.join(" "));
        }
    }
    println!("{} of {} expectations are met", expectations.len() - failed, expectations.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn problems(expectation: &Expectation, root: &Route, intervals: &TimeIntervals) -> Vec<String> {
    let routes = root.matching(&expectation.labels);
    let mut problems = Vec::new();
    let mut compare = |what: &str, expected: &Option<Vec<String>>, found: Vec<&str>| {
        if let Some(expected) = expected
            && *expected != found
        {
            problems.push(format!("{what} are [{}], expected [{}]", found.join(", "), expected.join(", ")));
        }
    };
    let receivers = routes.iter().map(|route| route.receiver.as_str()).collect();
    compare("receivers", &expectation.receivers, receivers);
    if let Some(at) = expectation.at {
        let is_muted = |route: &&&Route| {
            !intervals.muting(&route.active_time_intervals, &route.mute_time_intervals, at).is_empty()
        };
        let muted = routes.iter().filter(is_muted).map(|route| route.receiver.as_str()).collect();
        compare("muted receivers", &expectation.muted, muted);
    }
    problems
}

fn read(text: &str) -> Result<Vec<Expectation>> {
    let AnyValue::List(items) = AnyValue::parse(text).ok_or_else(|| anyhow!("this is no YAML"))? else {
        bail!("this is no list of expectations");
    };
    let read =
        |(at, item): (usize, &AnyValue)| expectation(item).with_context(|| format!("expectation {}", at + 1));
    items.iter().enumerate().map(read).collect()
}

fn expectation(item: &AnyValue) -> Result<Expectation> {
    let AnyValue::Map(map) = item else { bail!("this is no mapping") };
    let mut expectation = Expectation { labels: Labels::new(), receivers: None, at: None, muted: None };
    for (key, value) in map {
        match (key.as_str(), value) {
            ("labels", AnyValue::Map(labels)) => {
                for (name, value) in labels {
                    expectation.labels.insert(name.clone(), scalar(value)?);
                }
            }
            ("receivers", AnyValue::List(names)) => {
                expectation.receivers = Some(names.iter().map(scalar).collect::<Result<_>>()?);
            }
            ("muted", AnyValue::List(names)) => {
                expectation.muted = Some(names.iter().map(scalar).collect::<Result<_>>()?);
            }
            ("at", AnyValue::Text(text)) => expectation.at = Some(UnixNanos(parse_time(text)?.unix_nanos())),
            ("labels" | "receivers" | "muted" | "at", _) => bail!("{key} has the wrong type"),
            _ => bail!("unknown key {key}"),
        }
    }
    if expectation.muted.is_some() && expectation.at.is_none() {
        bail!("muted needs at");
    }
    Ok(expectation)
}

fn scalar(value: &AnyValue) -> Result<String> {
    match value {
        AnyValue::Text(text) => Ok(text.clone()),
        AnyValue::Bool(value) => Ok(value.to_string()),
        AnyValue::Int(value) => Ok(value.to_string()),
        AnyValue::Float(value) => Ok(value.to_string()),
        AnyValue::Null | AnyValue::List(_) | AnyValue::Map(_) => bail!("a text was expected"),
    }
}

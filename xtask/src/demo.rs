//! `cargo xtask demo`: services that misbehave, ferula with the shipped rules and its Alertmanager, and an inbox for what
//! people would receive. Durations in rules and routes are divided, so that nobody waits minutes.
//!
//! Here: the tour, and the check that each scenario tells whom it should and nobody else. Elsewhere: services, scenarios
//! and the inbox (`demo/`); starting it all (`demo/running.rs`); dividing durations (`demo/shorten.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ferula_demo::condition::Condition;
use ferula_demo::inbox::{Channel, Message};
use ferula_demo::scenario::{Scenario, scenarios};
use ferula_free_port::free_port;

use self::running::RunningDemo;
use crate::run::build_ferula;

mod dashboards;
mod running;
mod shorten;

const HELP: &str = "\
cargo xtask demo [--scenario=NAME] [--factor=N] [--port=N] [--check] [--list]

  --scenario=NAME  only this one; with --check, check only this one
  --factor=N       divide all durations of rules and routes by N (15; with --check 30)
  --port=N         where ferula listens (9090)
  --check          run all scenarios side by side, fail if somebody is not told who should be, or is told who should not;
                   then every query of the dashboards in config/grafana: all must show something
  --list           list the scenarios";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
struct DemoArguments {
    scenario: Option<String>,
    factor: Option<u64>,
    port: Option<u16>,
    check: bool,
    list: bool,
}

impl DemoArguments {
    fn read(words: &[&str]) -> Result<DemoArguments> {
        let mut wishes = DemoArguments::default();
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("--scenario", name) => wishes.scenario = Some(name.to_owned()),
                ("--factor", number) => {
                    let factor = number.parse().ok().filter(|factor| (1..=30).contains(factor));
                    wishes.factor = Some(factor.context("--factor takes a number from 1 to 30")?);
                }
                ("--port", number) => wishes.port = Some(number.parse().context("--port takes a number")?),
                ("--check", "") => wishes.check = true,
                ("--list", "") => wishes.list = true,
                _ => bail!("no such option: {word}\n\n{HELP}"),
            }
        }
        Ok(wishes)
    }
}

pub fn demo(words: &[&str]) -> Result<()> {
    let wishes = DemoArguments::read(words)?;
    let mut chosen = scenarios();
    if wishes.list {
        chosen.iter().for_each(|one| println!("{:<18}{}", one.name, one.story));
        return Ok(());
    }
    if let Some(name) = &wishes.scenario {
        chosen.retain(|one| one.name == name);
        ensure!(!chosen.is_empty(), "there is no scenario {name}; --list names them");
    }
    if wishes.check {
        return check(&chosen, wishes.factor.unwrap_or(30));
    }
    tour(&chosen, wishes.factor.unwrap_or(15), wishes.port.unwrap_or(9090))
}

/// How long, in a demonstration that nobody has to wait for, a scenario lasts at the most. It is divided like all durations.
const LONGEST: Duration = Duration::from_secs(45 * 60);
/// Quiet traffic before anything goes wrong, so that windows are filled.
const QUIET: Duration = Duration::from_secs(6 * 60);

/// Shows the scenarios one after the other, until it is stopped.
fn tour(scenarios: &[Scenario], factor: u64, port: u16) -> Result<()> {
    let ferula = build_ferula(true)?;
    let directory = std::env::temp_dir().join(format!("ferula-demo-{}", std::process::id()));
    let show = RunningDemo::start(&ferula, directory, factor, port, 1)?;
    println!("\nferula      http://127.0.0.1:{port}");
    println!(
        "Inbox       http://{}   what Slack, Discord, PagerDuty and mail would get",
        show.stage.inbox_address
    );
    println!("Data, log   {}", show.directory.display());
    println!("Durations of rules and routes are divided by {factor}. Ctrl+C ends it.\n");
    let divided = |duration: Duration| duration / u32::try_from(factor).unwrap_or(1);
    loop {
        for scenario in scenarios {
            std::thread::sleep(divided(QUIET));
            println!("{}: {}", scenario.name, scenario.story);
            for (place, what) in scenario.look_at {
                println!("  {what}\n    {}", link(port, place));
            }
            let before = show.stage.inbox.messages().len();
            show.stage.services.set_condition(scenario.condition);
            let told = |messages: &[Message]| {
                missing(scenario, messages.get(before..).unwrap_or(&[]), false).is_empty()
                    && !scenario.expected.is_empty()
            };
            if show.stage.inbox.await_messages(divided(LONGEST), told) {
                for (alert, channels) in scenario.expected {
                    let names: Vec<&str> = channels.iter().map(|channel| channel.name()).collect();
                    println!("  {alert} has reached {}", names.join(", "));
                }
            }
            println!("  and now it is mended\n");
            show.stage.services.set_condition(Condition::default());
        }
    }
}

/// The address of a page, or of a query on the page for queries.
fn link(port: u16, place: &str) -> String {
    match place.starts_with('/') {
        true => format!("http://127.0.0.1:{port}{place}"),
        false => {
            let query = crate::peer::percent_encode(place);
            format!("http://127.0.0.1:{port}/query?g0.expr={query}&g0.tab=graph&g0.range_input=15m")
        }
    }
}

/// Runs scenarios side by side, each with a server of its own.
fn check(scenarios: &[Scenario], factor: u64) -> Result<()> {
    let ferula = build_ferula(false)?;
    let work = std::env::temp_dir().join(format!("ferula-demo-check-{}", std::process::id()));
    let results: Vec<(&str, Result<String>)> = std::thread::scope(|scope| {
        let running: Vec<_> = scenarios
            .iter()
            .enumerate()
            .map(|(seed, scenario)| {
                let (ferula, directory) = (&ferula, work.join(scenario.name));
                (
                    scenario.name,
                    scope.spawn(move || check_one(scenario, ferula, directory, factor, seed as u64)),
                )
            })
            .collect();
        let ended = |thread: std::thread::ScopedJoinHandle<'_, Result<String>>| {
            thread.join().unwrap_or_else(|_| bail!("it panicked"))
        };
        running.into_iter().map(|(name, thread)| (name, ended(thread))).collect()
    });
    let mut failed = 0;
    let panels = (scenarios.len() > 1)
        .then(|| ("dashboards", dashboards::check(&ferula, work.join("dashboards"), factor)));
    for (name, result) in results.into_iter().chain(panels) {
        match result {
            Ok(text) => println!("{name:<18}{text}"),
            Err(error) => {
                failed += 1;
                println!("{name:<18}FAILED: {error:#}");
            }
        }
    }
    ensure!(failed == 0, "{failed} scenarios failed; their files are in {}", work.display());
    std::fs::remove_dir_all(&work).context("removing the work directory")
}

fn check_one(
    scenario: &Scenario,
    ferula: &Path,
    directory: PathBuf,
    factor: u64,
    seed: u64,
) -> Result<String> {
    let divided = |duration: Duration| duration / u32::try_from(factor).unwrap_or(1);
    let show = RunningDemo::start(ferula, directory, factor, free_port()?, seed)?;
    let start = Instant::now();
    // Nobody is told anything while all is well, nor in a scenario that only looks bad: that takes time to show.
    std::thread::sleep(divided(2 * QUIET));
    show.stage.services.set_condition(scenario.condition);
    if scenario.expected.is_empty() {
        std::thread::sleep(divided(2 * QUIET));
    }
    // A busy machine may take much longer than the rules do.
    let patience = divided(LONGEST) + Duration::from_secs(90);
    for is_resolved in [false, true] {
        let done = |messages: &[Message]| missing(scenario, messages, is_resolved).is_empty();
        if !show.stage.inbox.await_messages(patience, done) {
            let missing = missing(scenario, &show.stage.inbox.messages(), is_resolved);
            let what = if is_resolved { "the end was not told" } else { "not told" };
            bail!("{what}: {}", missing.into_iter().collect::<Vec<_>>().join(", "));
        }
        show.stage.services.set_condition(Condition::default());
    }
    let messages = show.stage.inbox.messages();
    let surplus: Vec<String> = messages
        .iter()
        .filter(|message| !is_expected(scenario, message))
        .map(|message| format!("{} to {}", message.title, message.channel.name()))
        .collect();
    ensure!(surplus.is_empty(), "told without reason: {}", surplus.join("; "));
    Ok(format!(
        "{} messages in {:.0} s, all as they should be",
        messages.len(),
        start.elapsed().as_secs_f64()
    ))
}

/// Which alerts have not reached which channels, of those that should: their beginning or their end.
fn missing(scenario: &Scenario, messages: &[Message], is_resolved: bool) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for (alert, channels) in scenario.expected {
        for channel in *channels {
            let came = messages.iter().any(|message| {
                message.channel == *channel && message.is_resolved == is_resolved && message.is_about(alert)
            });
            if !came {
                missing.insert(format!("{alert} to {}", channel.name()));
            }
        }
    }
    missing
}

fn is_expected(scenario: &Scenario, message: &Message) -> bool {
    let goes_to = |channels: &[Channel]| channels.contains(&message.channel);
    scenario.expected.iter().any(|(alert, channels)| message.is_about(alert) && goes_to(channels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused() {
        let wishes = DemoArguments::read(&["--check", "--scenario=burst", "--factor=20"]).expect("valid");
        let expected = DemoArguments {
            scenario: Some("burst".to_owned()),
            factor: Some(20),
            check: true,
            ..DemoArguments::default()
        };
        assert_eq!(wishes, expected);
        for wrong in ["--factor=0", "--factor=99", "--port=x", "--checks", "--check=1"] {
            assert!(DemoArguments::read(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_check_notices_what_is_missing_and_what_is_too_much() {
        let scenarios = scenarios();
        let scenario = scenarios.iter().find(|one| one.name == "login-attack").expect("it exists");
        let message = |channel, title: &str| Message {
            channel,
            title: title.to_owned(),
            text: String::new(),
            is_resolved: title.contains("RESOLVED"),
        };
        let told = [
            message(Channel::Slack, "FIRING LoginFailures (auth)"),
            message(Channel::Mail, "[FIRING:1] LoginFailures auth (warning)"),
            message(Channel::Discord, "[RESOLVED] LoginFailures auth (warning)"),
        ];
        assert_eq!(missing(scenario, &told, false), BTreeSet::from(["LoginFailures to Discord".to_owned()]));
        assert_eq!(missing(scenario, &told, true).len(), 2);
        assert!(told.iter().all(|message| is_expected(scenario, message)));
        assert!(!is_expected(scenario, &message(Channel::PagerDuty, "[FIRING:1] LoginFailures")));
        assert!(!is_expected(scenario, &message(Channel::Slack, "FIRING HighErrorRatio (shop)")));
    }
}

//! `ferula-demo`: the demonstration's services and inbox by themselves, for a stack of containers.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ferula_demo::run::Stage;
use ferula_demo::scenario::scenarios;

const HELP: &str = "\
ferula-demo [--port=N] [--scenario=NAME] [--list]

Serves the metrics of six services on consecutive ports (9201: shop, 9202: shop, 9203: auth, 9204: a machine,
9205: a worker on it, 9206: a Kubernetes cluster), an inbox for notifications (9207) and a mail server (9208).

  --port=N         the first of these ports (9201)
  --address=IP     where to listen (0.0.0.0)
  --scenario=NAME  what goes wrong, for ever; without it, all scenarios take turns: ten minutes each, which is long
                   enough for the shipped rules, with ten quiet minutes between them
  --list           lists the scenarios
";

const TURN: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (mut port, mut address, mut chosen) = (9201, Ipv4Addr::UNSPECIFIED, None);
    for arg in std::env::args().skip(1) {
        match arg.split_once('=').unwrap_or((&arg, "")) {
            ("--port", value) => port = value.parse().context("--port takes a number")?,
            ("--address", value) => address = value.parse().context("--address takes an IPv4 address")?,
            ("--scenario", value) => chosen = Some(value.to_owned()),
            ("--list", _) => {
                scenarios().iter().for_each(|one| println!("{:<18}{}", one.name, one.story));
                return Ok(());
            }
            ("--help" | "-h", _) => {
                print!("{HELP}");
                return Ok(());
            }
            _ => bail!("unknown argument {arg}\n\n{HELP}"),
        }
    }
    let scenarios = scenarios();
    let chosen = match chosen {
        Some(name) => match scenarios.iter().find(|one| one.name == name) {
            Some(scenario) => Some(scenario),
            None => bail!("there is no scenario {name}; --list names them"),
        },
        None => None,
    };
    let stage = Stage::start(address, port, 1)?;
    println!("The inbox is http://{}", stage.inbox_address);
    if let Some(scenario) = chosen {
        println!("{}: {}", scenario.name, scenario.story);
        stage.services.set_condition(scenario.condition);
        loop {
            std::thread::park();
        }
    }
    for scenario in scenarios.iter().cycle() {
        std::thread::sleep(TURN);
        println!("{}: {}", scenario.name, scenario.story);
        stage.services.set_condition(scenario.condition);
        std::thread::sleep(TURN);
        stage.services.set_condition(scenarios[0].condition);
    }
    Ok(())
}

//! Development tasks: `cargo xtask <chore>`. Nothing needs to be installed.
//!
//! Here: the list of chores. Elsewhere: the rules of `tidy` (`tidy.rs`), chores that run commands (`run.rs`),
//! comparisons with the real programs (`compare*.rs`, `peer.rs`), the demonstration (`demo.rs`), attacks on the real
//! binary (`torture.rs`), what is published with a version (`release.rs`).

mod compare;
mod compare_alertmanager;
mod compare_query;
mod compare_rules;
mod compare_store;
mod demo;
mod figures;
mod generated;
mod page_server;
mod peer;
mod release;
mod root;
mod run;
mod tidy;
mod torture;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask <chore>

  check                  format, lints, docs, tidy and tests: what CI runs, without the dependency rules
  tidy                   what a compiler cannot see: arrows between crates, unused dependencies, dead links and citations,
                         circles of files, and more
  tidy shrink            remove what xtask/allowances.txt no longer needs
  golden                 run the tests and rewrite their expected files (read the diff before committing)
  conformance [FILE…]    run the PromQL scripts of the shared directory, or those named
  bench [NAME]           one micro bench of benches/, or all
  compare scrape PEERS [MINUTES]
                         ferula (release build) and Prometheus scrape one node_exporter: answers, CPU, memory;
                         PEERS is a directory with the programs prometheus and node_exporter
  compare ingest|restart|disk --peers PEERS [--short]
                         ferula, Prometheus and VictoriaMetrics get the same samples by remote write, one after the other:
                         CPU, rate, memory, bytes on disk and written; times to ready after kill -9, samples lost; blocks
  compare query --peers PEERS [--short]
                         each of them holds a day of samples and answers the same 42 queries: times, CPU, memory, ratios
  compare query --peers PEERS --clients N
                         dashboards of N clients beside the ingestion of 200,000 series
  compare scrape --peers PEERS [SECONDS]
                         each of them scrapes 100,000 series every second: the same figures
  compare rules --peers PEERS [MINUTES]
                         2,000 recording rules over 100,000 series every 15 s in both: CPU, memory, missed iterations
  compare alertmanager --peers PEERS [--short]
                         the same alerts, silences and rules to ferula and to Alertmanager: CPU, memory, times
  compare ui [URL…]      what the pages cost in a browser: bytes, first paint, pictures, longest main-thread task, heap,
                         pointer, keys, long lists; of other pages, by their address, what they load and hold
                         (release build; needs Chromium, see crates/ferula/tests/browser)
  pictures               docs/pictures: what the README shows, taken from the real pages in a browser
  demo [--scenario=NAME] [--check]
                         services that misbehave, ferula with the shipped rules and its Alertmanager, and an inbox for what
                         people would receive; --check runs every scenario and fails if the wrong people are told
  release [--program FILE] [--out DIRECTORY]
                         the static program with its manual, completions, licences, bill of materials and checksums
  torture [--secs N] [--seed N] [--part kills|damage|disk|memory|targets|clients]
                         the real binary under kills, damage, full disks, short memory, hostile targets and clients
  fuzz [NAME [SECONDS]]  one fuzz target, or all, for 60 seconds each unless said otherwise
";

fn main() -> ExitCode {
    match chore() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("{}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn chore() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check"] => run::check(),
        ["tidy"] => tidy::tidy(),
        ["tidy", "shrink"] => tidy::shrink(),
        ["golden"] => run::golden(),
        ["conformance", files @ ..] => run::conformance(files),
        ["bench"] => run::bench(None),
        ["bench", name] => run::bench(Some(name)),
        ["compare", "ingest", "--peers", peers] => compare_store::ingest(Path::new(peers), false),
        ["compare", "ingest", "--peers", peers, "--short"] => compare_store::ingest(Path::new(peers), true),
        ["compare", "restart", "--peers", peers] => compare_store::restart(Path::new(peers), false),
        ["compare", "restart", "--peers", peers, "--short"] => compare_store::restart(Path::new(peers), true),
        ["compare", "query", "--peers", peers] => compare_query::query(Path::new(peers), false),
        ["compare", "query", "--peers", peers, "--short"] => compare_query::query(Path::new(peers), true),
        ["compare", "query", "--peers", peers, "--clients", clients] => {
            compare_query::clients::clients(Path::new(peers), clients.parse()?)
        }
        ["compare", "disk", "--peers", peers] => compare_store::disk(Path::new(peers), false),
        ["compare", "disk", "--peers", peers, "--short"] => compare_store::disk(Path::new(peers), true),
        ["compare", "scrape", "--peers", peers] => compare_store::scrape(Path::new(peers), 30),
        ["compare", "scrape", "--peers", peers, seconds] => {
            compare_store::scrape(Path::new(peers), seconds.parse()?)
        }
        ["compare", "scrape", peers] => compare::scrape(Path::new(peers), 10),
        ["compare", "scrape", peers, minutes] => compare::scrape(Path::new(peers), minutes.parse()?),
        ["compare", "alertmanager", "--peers", peers] => {
            compare_alertmanager::alertmanager(Path::new(peers), false)
        }
        ["compare", "alertmanager", "--peers", peers, "--short"] => {
            compare_alertmanager::alertmanager(Path::new(peers), true)
        }
        ["compare", "rules", "--peers", peers] => compare_rules::rules(Path::new(peers), 5),
        ["compare", "rules", "--peers", peers, minutes] => {
            compare_rules::rules(Path::new(peers), minutes.parse()?)
        }
        ["compare", "ui", addresses @ ..] => run::measure_ui(addresses),
        ["pictures"] => run::take_pictures(),
        ["demo", words @ ..] => demo::demo(words),
        ["release", words @ ..] => release::release(words),
        ["torture", args @ ..] => torture::torture(args),
        ["fuzz"] => run::fuzz(None, 60),
        ["fuzz", name] => run::fuzz(Some(name), 60),
        ["fuzz", name, seconds] => run::fuzz(Some(name), seconds.parse()?),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("no such chore: {}\n\n{HELP}", other.join(" ")),
    }
}

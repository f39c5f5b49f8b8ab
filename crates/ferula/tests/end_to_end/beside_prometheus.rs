//! Inputs that once had another outcome than in Prometheus, each with the right one. Where the real program is at hand
//! (`FERULA_PEERS`), it gets the same inputs and must come to the same.
//!
//! Here: how a run is set up and compared. Below: the inputs.

mod files;
pub mod played;
mod requests;
mod scrapes;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::circle::peer;
use crate::common::{PATIENCE, Server, escape};
use played::Played;
use scrapes::{Aspect, CASES};

/// Runs a test with the real program, if there is one, and then with ferula.
fn with_each(test: impl Fn(&str, &dyn Fn(&Path, &[&str]) -> Server)) {
    if let Some(prometheus) = peer("prometheus") {
        test("Prometheus", &|directory, arguments| {
            // Packages have other defaults.
            let files = ["--config.file=prometheus.yml", "--storage.tsdb.path=data"];
            Server::start_prometheus(&prometheus, directory, &[&files, arguments].concat())
        });
    }
    test("ferula", &|directory, arguments| Server::start(directory, arguments));
}

fn json(server: &Server, path: &str) -> Value {
    let (_, body) = server.get(path);
    serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"))
}

/// Series of an instant vector, one a line, in order.
fn series(server: &Server, expression: &str) -> String {
    let answer = json(server, &format!("/api/v1/query?query={}", escape(expression)));
    let lines = answer["data"]["result"].as_array().into_iter().flatten().map(|series| {
        let labels = series["metric"].as_object().expect("labels");
        let pairs = labels.iter().filter(|(name, _)| *name != "job");
        let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
        format!("{{{}}} {}", pairs.join(", "), series["value"][1].as_str().expect("a value"))
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.join("\n")
}

/// Errors of last scrapes, by job; absent before the first scrape.
fn errors(server: &Server) -> BTreeMap<String, String> {
    let answer = json(server, "/api/v1/targets?state=active");
    let targets = answer["data"]["activeTargets"].as_array().expect("a list").iter();
    let scraped = targets.filter(|target| target["health"] != "unknown");
    scraped
        .map(|target| {
            let text = |key: &str| target[key].as_str().expect("a text").to_owned();
            (text("scrapePool"), text("lastError"))
        })
        .collect()
}

#[test]
fn odd_targets_are_scraped_with_the_same_outcome() {
    with_each(|program, start| {
        let directory = tempfile::tempdir().expect("a directory");
        let played: Vec<Played> = CASES.iter().map(|case| Played::start(case.answer)).collect();
        let mut config = "global: {scrape_interval: 2s, scrape_timeout: 2s}\nscrape_configs:\n".to_owned();
        for (case, played) in CASES.iter().zip(&played) {
            let targets = match case.keys.contains("static_configs") {
                true => "",
                false => ", static_configs: [{targets: ['127.0.0.1:PORT']}]",
            };
            let keys = if case.keys.is_empty() { String::new() } else { format!(", {}", case.keys) };
            let job = format!("- {{job_name: {}{keys}{targets}}}\n", case.job);
            config.push_str(&job.replace("PORT", &played.port.to_string()));
        }
        std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
        let server = start(directory.path(), &[]);
        let outcome = |at: usize, errors: &BTreeMap<String, String>| {
            let (case, port) = (&CASES[at], played[at].port.to_string());
            let text = match case.show {
                Aspect::Series(expression) => {
                    let selector = format!("job=\"{}\"", case.job);
                    series(&server, &expression.replace("JOB", &selector))
                }
                Aspect::Error => errors.get(case.job).cloned().unwrap_or_else(|| "not scraped".to_owned()),
                Aspect::Head => played[at].first_head().unwrap_or_else(|| "no request".to_owned()),
            };
            text.replace(&port, "PORT")
        };
        let deadline = Instant::now() + PATIENCE;
        let mut open: Vec<usize> = (0..CASES.len()).collect();
        while !open.is_empty() && Instant::now() < deadline {
            let errors = errors(&server);
            open.retain(|at| {
                let (found, expected) = (outcome(*at, &errors), CASES[*at].expected);
                let begins = matches!(CASES[*at].show, Aspect::Error) && found.starts_with(expected);
                found != expected && !begins
            });
            std::thread::yield_now();
        }
        let errors = errors(&server);
        let wrong = open.iter().map(|at| {
            format!(
                "{}:\n  {:?}\n  expected\n  {:?}",
                CASES[*at].job,
                outcome(*at, &errors),
                CASES[*at].expected
            )
        });
        let wrong: Vec<String> = wrong.collect();
        assert!(wrong.is_empty(), "{program}:\n{}", wrong.join("\n"));
    });
}

//! The real binary is killed repeatedly during ingestion, and must still have every sample that a query has
//! returned. These samples are recorded here, outside of the process.

use std::collections::BTreeMap;

use crate::circle::wire::{Series, Version, body};
use crate::common::{Random, Server, Target, escape};

/// Timestamp and value of every returned sample, by series.
type ShownSamples = BTreeMap<String, BTreeMap<String, String>>;

const ROUNDS: u64 = 12;
const SERIES: u64 = 20;

/// Queries all samples of the fixture. `None` if the server is gone.
fn ask(server: &Server) -> Option<ShownSamples> {
    let (status, body) =
        server.try_get(&format!("/api/v1/query?query={}", escape("fixture_total[1h]"))).ok()?;
    assert_eq!(status, 200, "{body}\n{}", server.log());
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let mut shown = ShownSamples::new();
    for series in answer["data"]["result"].as_array().expect("a list") {
        let samples = shown.entry(series["metric"].to_string()).or_default();
        for sample in series["values"].as_array().expect("a list") {
            samples.insert(sample[0].to_string(), sample[1].to_string());
        }
    }
    Some(shown)
}

/// Asserts that every sample of `kept` is in `now`.
fn nothing_is_missing(kept: &ShownSamples, now: &ShownSamples, round: u64, log: &str) {
    for (series, samples) in kept {
        for (at, value) in samples {
            let found = now.get(series).and_then(|samples| samples.get(at));
            assert_eq!(
                found,
                Some(value),
                "round {round}: {series} at {at} was shown before the kill\n{log}"
            );
        }
    }
}

#[test]
fn what_a_query_returned_survives_kill_9() {
    let mut random = Random::new();
    let directory = tempfile::tempdir().expect("a directory for the test");
    let target = Target::start(|n| {
        let lines =
            (0..SERIES).map(|series| format!("fixture_total{{series=\"{series}\"}} {}\n", n * series));
        // A series that is new in every scrape, so that series records are in flight too.
        lines.chain([format!("fixture_total{{scrape=\"{n}\"}} {n}\n")]).collect()
    });
    let config = format!(
        "scrape_configs:\n- job_name: fixture\n  scrape_interval: 20ms\n  scrape_timeout: 20ms\n  static_configs:\n  - targets: ['{}']\n",
        target.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let mut kept = ShownSamples::new();
    for round in 0..ROUNDS {
        let server = Server::start(directory.path(), &[]);
        let first = ask(&server).expect("the server answers");
        nothing_is_missing(&kept, &first, round, &server.log());
        // Query until a random number of new scrapes is visible, then kill immediately.
        let goal = target.scrapes() + 1 + random.below(25);
        while target.scrapes() < goal {
            if let Some(shown) = ask(&server) {
                for (series, samples) in shown {
                    kept.entry(series).or_default().extend(samples);
                }
            }
        }
        server.kill();
    }
    let server = Server::start(directory.path(), &[]);
    let last = ask(&server).expect("the server answers");
    nothing_is_missing(&kept, &last, ROUNDS, &server.log());
    let samples: usize = kept.values().map(BTreeMap::len).sum();
    assert!(samples as u64 > ROUNDS * SERIES, "only {samples} samples were shown");
    eprintln!("{samples} samples of {} series shown before {ROUNDS} kills, all found", kept.len());
}

/// Found by the circle test: space for exemplars was allocated only after the log had been read.
#[test]
fn exemplars_survive_kill_9() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("prometheus.yml"), "").expect("written");
    let flags = ["--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage"];
    let server = Server::start(directory.path(), &flags);
    let labels = vec![("__name__".to_owned(), "m".to_owned())];
    let exemplar = Some((1_700_000_000_000, 1.5, "abc".to_owned()));
    let series = Series { labels, float: Some((1_700_000_000_000, 1.0)), exemplar, ..Series::default() };
    let sent =
        server.request("POST", "/api/v1/write", Version::One.headers(), &body(Version::One, &[series]));
    assert_eq!(sent.expect("answered").0, 204);
    let query = "/api/v1/query_exemplars?query=m&start=1699999999&end=1700000001";
    let before = server.get(query);
    assert!(before.1.contains("abc"), "{before:?}");
    server.kill();
    assert_eq!(Server::start(directory.path(), &flags).get(query), before);
}

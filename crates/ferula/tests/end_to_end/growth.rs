//! Limits on the growth of series, in the real binary: known series continue over a restart, what grows is named.

use serde_json::Value;

use crate::common::{Server, Target};

const FLAGS: [&str; 2] = ["--storage.ferula.max-series-per-job=60", "--storage.ferula.max-new-series=1000"];

/// Forty series that stay, and more with every scrape.
fn wild(scrape: u64) -> String {
    let old: String = (0..40).map(|number| format!("requests{{user=\"u{number}\"}} 1\n")).collect();
    let new: String = (0..30).map(|number| format!("requests{{user=\"s{scrape}n{number}\"}} 1\n")).collect();
    old + &new
}

fn count(server: &Server, query: &str) -> f64 {
    let result = server.try_query(query).expect("answered");
    result[0]["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

#[test]
fn a_job_at_its_limit_keeps_its_series_and_the_other_job_grows() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let calm_page: String = (0..55).map(|number| format!("steady{{n=\"{number}\"}} 1\n")).collect();
    let (wild, calm) = (Target::start(wild), Target::start(move |_| calm_page.clone()));
    let config = format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs:\n\
         - {{job_name: wild, static_configs: [{{targets: ['{}']}}]}}\n\
         - {{job_name: calm, static_configs: [{{targets: ['{}']}}]}}\n",
        wild.address, calm.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    for start in 0..2 {
        let server = Server::start(directory.path(), &FLAGS);
        let until = wild.scrapes() + 8;
        server.await_query("up{job=\"wild\"}", |_| (wild.scrapes() >= until).then_some(()));
        server.await_query("count(steady)", |result| (result[0]["value"][1] == "55").then_some(()));
        assert_eq!(
            count(&server, "count(requests{user=~\"u.*\"})"),
            40.0,
            "start {start}: known series continue"
        );
        // `up` and the four others about its scrapes count for the job, too.
        let all = count(&server, "count(last_over_time({job=\"wild\"}[1h]))");
        assert!(all <= 65.0, "start {start}: {all}");
        let (_, body) = server.get("/api/v1/ferula/growth");
        let growth: Value = serde_json::from_str(&body).expect("JSON");
        let minutes = [&growth["data"]["thisMinute"], &growth["data"]["lastMinute"]];
        let named = minutes.iter().any(|minute| {
            let (job, metric) = (&minute["jobs"][0], &minute["metrics"][0]);
            job["name"] == "wild"
                && job["refused"].as_u64() > Some(0)
                && metric["name"] == "requests"
                && metric["labels"][0]["name"] == "user"
        });
        assert!(named, "start {start}: {body}");
        let metrics = server.get("/metrics").1;
        assert!(metrics.contains("ferula_refused_series_total{job=\"wild\",limit=\"job\"}"), "{metrics}");
        let targets = server.get("/api/v1/targets").1;
        assert!(targets.contains("job \\\"wild\\\" is at its limit of 60 series"), "{targets}");
        server.kill();
    }
}

#[test]
fn without_limits_nothing_is_guarded() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("prometheus.yml"), "global: {}\n").expect("written");
    let server = Server::start(directory.path(), &[]);
    assert_eq!(
        server.get("/api/v1/ferula/growth").1,
        "{\"status\":\"success\",\"data\":{\"enabled\":false}}"
    );
    assert!(!server.get("/metrics").1.contains("ferula_refused_series_total"));
}

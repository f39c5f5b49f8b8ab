//! The parts of a configuration are independent: a bad one is named, and the others are taken.

use std::path::Path;
use std::time::Instant;

use crate::common::{PATIENCE, Server, Target};

/// One invalid part each: the addition to the configuration, and the text in the log.
const BAD_SCRAPING: &[(&str, &str)] = &[
    (
        "- {job_name: b1, scheme: https, static_configs: [{targets: [x]}], tls_config: {ca_file: nope.pem}}",
        "error creating HTTP client: unable to read CA cert: unable to read file nope.pem",
    ),
    (
        "- {job_name: b2, scheme: https, static_configs: [{targets: [x]}], tls_config: {cert_file: p.yml, key_file: p.yml}}",
        "unable to use specified client cert (file p.yml) & key (file p.yml)",
    ),
    (
        "- {job_name: b3, static_configs: [{targets: [x]}], proxy_url: 'http://127.0.0.1:1', tls_config: {key_file: nope.pem, cert_file: p.yml}}",
        "unable to read specified client key: unable to read file nope.pem",
    ),
    (
        "- {job_name: b4, http_sd_configs: [{url: 'http://127.0.0.1:1/', tls_config: {ca_file: nope.pem}}]}",
        "Cannot create service discovery",
    ),
];

#[test]
fn one_bad_part_never_stops_the_others() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let target = Target::start(|_| "good 1\n".to_owned());
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    let rules = |name: &str| {
        write(
            "r.yml",
            &format!("groups: [{{name: g, interval: 1s, rules: [{{record: {name}, expr: good}}]}}]"),
        );
    };
    let config = |more: &str| {
        let bad: Vec<&str> = BAD_SCRAPING.iter().map(|(job, _)| *job).collect();
        let good = format!(
            "{{job_name: good, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]}}",
            target.address
        );
        write(
            "p.yml",
            &format!("rule_files: [r.yml]\nscrape_configs:\n{}\n- {good}\n{more}\n", bad.join("\n")),
        );
    };
    rules("first");
    config("");
    let server = Server::start(directory.path(), &["--config.file=p.yml", "--web.enable-lifecycle"]);
    for (_, told) in BAD_SCRAPING {
        server.wait_for_any_line(told);
    }
    let recorded = |name: &str| {
        server.await_query(name, |result| (!result.as_array().expect("a vector").is_empty()).then_some(()));
    };
    recorded("first");
    // At a reload the answer says which part was bad; the new rules are taken all the same.
    rules("second");
    config(
        "alerting: {alertmanagers: [{static_configs: [{targets: [x]}], tls_config: {ca_file: nope.pem}}]}",
    );
    let (status, text) = server.request("POST", "/-/reload", "", b"").expect("answered");
    assert_eq!(status, 500);
    let part = "notify: alertmanagers[0]: unable to read CA cert: unable to read file nope.pem";
    assert!(text.contains(part), "{text}");
    recorded("second");
    // A bad rule file keeps the rules as they were, and nothing else.
    write("r.yml", "groups: [{name: g, rules: [{record: third, expr: 'rate('}]}]");
    config("global: {external_labels: {reloaded: 'yes'}}");
    let (status, text) = server.request("POST", "/-/reload", "", b"").expect("answered");
    assert!(status == 500 && text.contains("r.yml"), "{status} {text}");
    let (_, shown) = server.get("/api/v1/status/config");
    assert!(shown.contains("reloaded"), "{shown}");
    recorded("second");
    // And with all of it mended, the reload is good.
    rules("third");
    write("p.yml", "rule_files: [r.yml]\n");
    let (status, text) = server.request("POST", "/-/reload", "", b"").expect("answered");
    assert_eq!((status, text.as_str()), (200, ""));
}

/// A part of the configuration, as its version `n`, and where that can be seen; and the part as it must be refused, with
/// what the answer to the reload says then.
struct ConfigPart {
    good: &'static str,
    seen_at: &'static str,
    seen_as: &'static str,
    bad: &'static str,
    told: &'static str,
}

/// `N` is the number of the version.
const PARTS: &[ConfigPart] = &[
    ConfigPart {
        good: "global: {external_labels: {version: 'N'}, query_log_file: log-N}\n",
        seen_at: "/api/v1/status/config",
        seen_as: "version: \\\"N\\\"",
        bad: "global: {external_labels: {version: 'N'}, query_log_file: /proc/nowhere/x}\n",
        told: "query_engine: ",
    },
    ConfigPart {
        good: "rule_files: [rules-N.yml]\n",
        seen_at: "/api/v1/rules",
        seen_as: "\"name\":\"rule_N\"",
        bad: "rule_files: [bad-rules.yml]\n",
        told: "bad-rules.yml",
    },
    ConfigPart {
        good: "scrape_configs: [{job_name: job-N, static_configs: [{targets: ['x:1']}]}]\nscrape_config_files: [more-N.yml]\n",
        seen_at: "/api/v1/targets",
        seen_as: "\"scrapePool\":\"more-N\"",
        bad: "scrape_config_files: [bad-scrapes.yml]\n",
        told: "bad-scrapes.yml",
    },
    ConfigPart {
        good: "alerting: {alertmanagers: [{static_configs: [{targets: ['am-N:1']}]}]}\n",
        seen_at: "/api/v1/alertmanagers",
        seen_as: "http://am-N:1/",
        bad: "alerting: {alertmanagers: [{static_configs: [{targets: ['am-N:1']}], tls_config: {ca_file: nope.pem}}]}\n",
        told: "notify: ",
    },
    ConfigPart {
        good: "remote_write: [{url: 'http://127.0.0.1:1/', name: writer-N}]\n",
        seen_at: "/metrics",
        seen_as: "remote_name=\"writer-N\"",
        bad: "remote_write: [{url: 'http://127.0.0.1:1/', tls_config: {ca_file: nope.pem}}]\n",
        told: "remote_storage: ",
    },
];

fn write_versions(directory: &Path, versions: usize) {
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).expect("written");
    write("bad-rules.yml", "groups: [{name: g, rules: [{record: x, expr: 'rate('}]}]");
    write("bad-scrapes.yml", "scrape_configs: [{}]");
    for n in 0..versions {
        write(
            &format!("rules-{n}.yml"),
            &format!("groups: [{{name: g, interval: 1s, rules: [{{record: rule_{n}, expr: vector(1)}}]}}]"),
        );
        write(
            &format!("more-{n}.yml"),
            &format!("scrape_configs: [{{job_name: more-{n}, static_configs: [{{targets: ['x:1']}}]}}]"),
        );
    }
}

#[test]
fn at_a_reload_each_part_can_fail_alone() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    write_versions(directory.path(), PARTS.len() + 2);
    let numbered = |text: &str, n: usize| text.replace('N', &n.to_string());
    let config = |n: usize, bad: Option<usize>| {
        let part = |(at, part): (usize, &ConfigPart)| {
            numbered(if bad == Some(at) { part.bad } else { part.good }, n)
        };
        let text: String = PARTS.iter().enumerate().map(part).collect();
        std::fs::write(directory.path().join("prometheus.yml"), text).expect("written");
    };
    config(0, None);
    let server = Server::start(directory.path(), &["--web.enable-lifecycle"]);
    let await_version = |part: &ConfigPart, n: usize| {
        let (deadline, seen) = (Instant::now() + PATIENCE, numbered(part.seen_as, n));
        while !server.get(part.seen_at).1.contains(&seen) {
            assert!(Instant::now() < deadline, "no {seen} at {}\n{}", part.seen_at, server.log());
            std::thread::yield_now();
        }
    };
    PARTS.iter().for_each(|part| await_version(part, 0));
    for (bad, part) in PARTS.iter().enumerate() {
        let n = bad + 1;
        config(n, Some(bad));
        let (status, text) = server.request("POST", "/-/reload", "", b"").expect("answered");
        assert!(status == 500 && text.contains(part.told), "{}: {status} {text}", part.bad);
        for other in PARTS.iter().filter(|other| !std::ptr::eq(*other, part)) {
            await_version(other, n);
        }
    }
    config(PARTS.len() + 1, None);
    assert_eq!(server.request("POST", "/-/reload", "", b"").expect("answered").0, 200);
    PARTS.iter().for_each(|part| await_version(part, PARTS.len() + 1));
}

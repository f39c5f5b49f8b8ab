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
        bad: "remote_write: [{url: 'http://127.0.0.1:1/', name: writer-N, tls_config: {ca_file: nope.pem}}]\n",
        told: "remote_storage: remote_write[0]: ",
    },
    ConfigPart {
        good: "remote_read: [{url: 'http://127.0.0.1:1/', name: reader-N}]\n",
        seen_at: "/metrics",
        seen_as: "remote_name=\"reader-N\"",
        bad: "remote_read: [{url: 'http://127.0.0.1:1/', name: reader-N, tls_config: {ca_file: nope.pem}}]\n",
        told: "remote_storage: remote_read[0]: ",
    },
    ConfigPart {
        good: "otlp: {promote_resource_attributes: [attribute-N]}\n",
        seen_at: "/api/v1/status/config",
        seen_as: "- attribute-N",
        // A section that is always applied: its faults are those of the whole file.
        bad: "",
        told: "",
    },
];

/// The Alertmanager inside has a file of its own.
const ALERTMANAGER: ConfigPart = ConfigPart {
    good: "route: {receiver: receiver-N}\nreceivers: [{name: receiver-N}]\n",
    seen_at: "/alertmanager/api/v2/receivers",
    seen_as: "receiver-N",
    bad: "route: {receiver: nobody}\nreceivers: [{name: receiver-N}]\n",
    told: "alertmanager: ",
};

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

/// A server whose configuration is written part by part.
struct PartsServer {
    directory: tempfile::TempDir,
    server: Server,
}

fn numbered(text: &str, n: usize) -> String {
    text.replace('N', &n.to_string())
}

fn write_config(directory: &Path, n: usize, bad: Option<usize>) {
    let part =
        |(at, part): (usize, &ConfigPart)| numbered(if bad == Some(at) { part.bad } else { part.good }, n);
    let text: String = PARTS.iter().enumerate().map(part).collect();
    std::fs::write(directory.join("prometheus.yml"), text).expect("written");
    let alertmanager = if bad == Some(PARTS.len()) { ALERTMANAGER.bad } else { ALERTMANAGER.good };
    std::fs::write(directory.join("alertmanager.yml"), numbered(alertmanager, n)).expect("written");
}

impl PartsServer {
    /// Starts a server with version 0, in which a part is bad.
    fn start(bad: Option<usize>) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        write_versions(directory.path(), PARTS.len() + 3);
        write_config(directory.path(), 0, bad);
        let flags = ["--web.enable-lifecycle", "--alertmanager.config.file=alertmanager.yml"];
        let server = Server::start(directory.path(), &flags);
        PartsServer { directory, server }
    }

    /// Waits until a part has this version.
    fn await_version(&self, part: &ConfigPart, n: usize) {
        let (deadline, seen) = (Instant::now() + PATIENCE, numbered(part.seen_as, n));
        while !self.server.get(part.seen_at).1.contains(&seen) {
            assert!(Instant::now() < deadline, "no {seen} at {}\n{}", part.seen_at, self.server.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Waits until all parts have this version, but for the bad one.
    fn await_all(&self, n: usize, bad: Option<usize>) {
        for (at, part) in PARTS.iter().chain([&ALERTMANAGER]).enumerate() {
            if bad != Some(at) {
                self.await_version(part, n);
            }
        }
    }

    fn reload(&self) -> (u16, String) {
        self.server.request("POST", "/-/reload", "", b"").expect("answered")
    }
}

#[test]
fn at_a_reload_each_part_can_fail_alone() {
    let parts = PartsServer::start(None);
    parts.await_all(0, None);
    for (bad, part) in
        PARTS.iter().chain([&ALERTMANAGER]).enumerate().filter(|(_, part)| !part.bad.is_empty())
    {
        let n = bad + 1;
        write_config(parts.directory.path(), n, Some(bad));
        let (status, text) = parts.reload();
        assert!(status == 500 && text.contains(part.told), "{}: {status} {text}", part.bad);
        parts.await_all(n, Some(bad));
    }
    let last = PARTS.len() + 2;
    // A file that cannot be read at all does not concern the Alertmanager, which has its own.
    std::fs::write(parts.directory.path().join("prometheus.yml"), "nonsense: true").expect("written");
    std::fs::write(parts.directory.path().join("alertmanager.yml"), numbered(ALERTMANAGER.good, last))
        .expect("written");
    assert_eq!(parts.reload().0, 500);
    parts.await_version(&ALERTMANAGER, last);
    write_config(parts.directory.path(), last, None);
    assert_eq!(parts.reload().0, 200);
    parts.await_all(last, None);
}

/// What cannot be applied at the start; the other parts run.
#[test]
fn a_part_that_fails_at_the_start_stops_no_other() {
    for bad in [0, 3, 4, 5] {
        let parts = PartsServer::start(Some(bad));
        parts.server.wait_for_any_line(PARTS[bad].told);
        parts.await_all(0, Some(bad));
        let (_, metrics) = parts.server.get("/metrics");
        assert!(metrics.contains("\nprometheus_config_last_reload_successful 0\n"), "{}", PARTS[bad].bad);
        write_config(parts.directory.path(), 1, None);
        assert_eq!(parts.reload().0, 200);
        parts.await_all(1, None);
    }
}

/// Destinations and sources are independent too, and each fault is named.
#[test]
fn each_destination_and_each_source_can_fail_alone() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let config = |n: usize| {
        let bad = "tls_config: {ca_file: nope.pem}";
        let url = "url: 'http://127.0.0.1:1/'";
        let text = format!(
            "remote_write: [{{{url}, name: bad, {bad}}}, {{{url}, name: writer-{n}}}, {{url: 'http://127.0.0.1:2/', {bad}}}]\n\
             remote_read: [{{{url}, name: bad, {bad}}}, {{{url}, name: reader-{n}}}]\n"
        );
        std::fs::write(directory.path().join("prometheus.yml"), text).expect("written");
    };
    config(0);
    let server = Server::start(directory.path(), &["--web.enable-lifecycle"]);
    for n in 0..2 {
        let deadline = Instant::now() + PATIENCE;
        let names = [format!("remote_name=\"writer-{n}\""), format!("remote_name=\"reader-{n}\"")];
        loop {
            let (_, metrics) = server.get("/metrics");
            if names.iter().all(|name| metrics.contains(name)) {
                break;
            }
            assert!(Instant::now() < deadline, "{n}: {}", server.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        config(n + 1);
        let (status, text) = server.request("POST", "/-/reload", "", b"").expect("answered");
        for told in ["remote_write[0]: ", "remote_write[2]: ", "remote_read[0]: "] {
            assert!(status == 500 && text.contains(told), "{status} {text}");
        }
    }
}

/// An agent has the same parts but for rules and alerts.
#[test]
fn an_agent_with_a_bad_destination_scrapes_and_sends_to_the_others() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let config = |n: usize, bad: &str| {
        let text = format!(
            "scrape_configs: [{{job_name: job-{n}, static_configs: [{{targets: ['x:1']}}]}}]\n\
             remote_write: [{{url: 'http://127.0.0.1:1/', name: writer-{n}}}, {{url: 'http://127.0.0.1:2/'{bad}}}]\n"
        );
        std::fs::write(directory.path().join("prometheus.yml"), text).expect("written");
    };
    let bad = ", tls_config: {ca_file: nope.pem}";
    config(0, bad);
    let server = Server::start(directory.path(), &["--agent", "--web.enable-lifecycle"]);
    for n in 0..3 {
        for (at, text) in [
            ("/api/v1/targets", format!("\"scrapePool\":\"job-{n}\"")),
            ("/metrics", format!("remote_name=\"writer-{n}\"")),
        ] {
            let deadline = Instant::now() + PATIENCE;
            while !server.get(at).1.contains(&text) {
                assert!(Instant::now() < deadline, "no {text} at {at}\n{}", server.log());
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        let is_bad = n == 0;
        config(n + 1, if is_bad { bad } else { "" });
        let (status, text) = server.request("POST", "/-/reload", "", b"").expect("answered");
        assert_eq!(status == 500 && text.contains("remote_write[1]: "), is_bad, "{status} {text}");
        assert!(is_bad || status == 200, "{status} {text}");
    }
}

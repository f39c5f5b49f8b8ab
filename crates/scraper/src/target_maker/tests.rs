//! Targets from discovered labels: settings, URLs, refusals, hashes.

use ferula_config::Config;

use super::*;

fn job(yaml: &str) -> ScrapeConfig {
    let config =
        Config::parse(&format!("scrape_configs:\n- job_name: j\n{yaml}")).expect("a good configuration");
    config.scrape_configs[0].clone()
}

fn group(labels: &[(&str, &str)]) -> TargetGroup {
    TargetGroup {
        source: "s".into(),
        targets: Vec::new(),
        labels: LabelSet::from_pairs(labels.iter().copied()),
    }
}

fn make(yaml: &str, target: &[(&str, &str)], labels: &[(&str, &str)]) -> Result<TargetOutcome, TargetError> {
    TargetMaker::new(&job(yaml)).make(&LabelSet::from_pairs(target.iter().copied()), &group(labels))
}

fn target(yaml: &str, address: &str, labels: &[(&str, &str)]) -> Target {
    match make(yaml, &[("__address__", address)], labels) {
        Ok(TargetOutcome::Scraped(target)) => *target,
        other => panic!("not a target: {other:?}"),
    }
}

#[test]
fn a_target_gets_the_jobs_settings_and_its_address_as_instance() {
    let target =
        target("  scrape_interval: 30s\n", "h:1", &[("env", "prod"), ("__meta_x", "y"), ("__tmp", "z")]);
    assert_eq!(target.public_labels.to_string(), r#"{env="prod", instance="h:1", job="j"}"#);
    assert_eq!(target.url, "http://h:1/metrics");
    assert_eq!((target.interval, target.timeout), (Duration::from_secs(30), Duration::from_secs(10)));
    assert_eq!(target.labels.value("__tmp"), "z");
    assert_eq!(target.labels.value("__meta_x"), "");
    assert_eq!(target.discovered_labels().value("__meta_x"), "y");
    assert_eq!(target.discovered_labels().value("__scrape_native_histograms__"), "false");
}

#[test]
fn target_labels_override_group_labels_and_both_override_settings() {
    let made = make(
        "",
        &[("__address__", "h:1"), ("a", "target"), ("__scheme__", "https")],
        &[("a", "group"), ("job", "group-job")],
    );
    let Ok(TargetOutcome::Scraped(target)) = made else { panic!("{made:?}") };
    assert_eq!(target.public_labels.to_string(), r#"{a="target", instance="h:1", job="group-job"}"#);
    assert_eq!(target.url, "https://h:1/metrics");
}

#[test]
fn urls_are_printed_as_in_go() {
    let url = |yaml: &str| target(yaml, "h:1", &[]).url;
    assert_eq!(
        url("  metrics_path: /a b?c\n  params: {z: ['1', '2 3'], a: ['ä&']}\n"),
        "http://h:1/a%20b%3Fc?a=%C3%A4%26&z=1&z=2+3"
    );
    assert_eq!(url("  metrics_path: probe\n"), "http://h:1/probe");
    let relabelled = "  params: {m: [old, second]}\n  relabel_configs: [{target_label: __param_m, replacement: new}, {target_label: __param_t, replacement: x}]\n";
    assert_eq!(url(relabelled), "http://h:1/metrics?m=new&m=second&t=x");
}

#[test]
fn invalid_targets_report_a_reason() {
    for (labels, expected) in [
        (&[("__address__", "")][..], "no address"),
        (&[("__address__", "http://h")], "\"http://h\" is not a valid hostname"),
        (
            &[("__address__", "h"), ("__scrape_interval__", "x")],
            "error parsing scrape interval: not a valid duration string: \"x\"",
        ),
        (&[("__address__", "h"), ("__scrape_interval__", "0s")], "scrape interval cannot be 0"),
        (&[("__address__", "h"), ("__scrape_timeout__", "0")], "scrape timeout cannot be 0"),
        (
            &[("__address__", "h"), ("__scrape_timeout__", "2m")],
            "scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")",
        ),
        (
            &[("__address__", "h"), ("__scrape_native_histograms__", "yes")],
            "error parsing scrape native histograms: strconv.ParseBool: parsing \"yes\": invalid syntax",
        ),
    ] {
        let error = make("", labels, &[]).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn dropped_targets_keep_their_discovered_labels_and_name_the_rule() {
    let made = make(
        "  relabel_configs: [{source_labels: [env], regex: prod, action: keep}]\n",
        &[("__address__", "h")],
        &[],
    );
    let Ok(TargetOutcome::Dropped(dropped)) = made else { panic!("{made:?}") };
    assert_eq!((dropped.discovered_labels.value("job"), dropped.rule), ("j", Some(0)));
    let second = make(
        "  relabel_configs: [{target_label: a, replacement: b}, {source_labels: [a], regex: b, action: drop}]\n",
        &[("__address__", "h")],
        &[],
    );
    let Ok(TargetOutcome::Dropped(dropped)) = second else { panic!("{second:?}") };
    assert_eq!(dropped.rule, Some(1));
}

#[test]
fn relabelling_can_change_how_histograms_are_handled() {
    let job = "  scrape_native_histograms: true\n  relabel_configs:\n  \
               - {target_label: __convert_classic_histograms_to_nhcb__, replacement: 't'}\n  \
               - {target_label: __scrape_native_histograms__, replacement: ''}\n";
    let wanted = HistogramOptions { custom_buckets: true, keep_classic: false, native: true };
    assert_eq!(target(job, "h:1", &[]).histograms, wanted, "a label that is gone is the job's");
    let off = "  scrape_native_histograms: true\n  relabel_configs:\n  \
               - {target_label: __scrape_native_histograms__, replacement: '0'}\n";
    assert_eq!(target(off, "h:1", &[]).histograms, HistogramOptions::default());
}

#[test]
fn the_hash_is_prometheus() {
    assert_eq!(fnv64a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv64a(b"a"), 0xaf63_dc4c_8601_ec8c);
    // A real Prometheus 3.5.3 on a host called localhost, with the external label replica="a" and an interval of
    // ten seconds, scraped these targets 5072, 4516 and 1740 ms after full tens: its timers were some ten ms late.
    let seed = fnv64a(format!("localhost{}", LabelSet::from_pairs([("replica", "a")])).as_bytes());
    for (address, offset_ms) in [("127.0.0.1:29099", 5056), ("127.0.0.1:29098", 4505), ("localhost:1", 1730)]
    {
        let labels = LabelSet::from_pairs([
            ("__address__", address),
            ("__metrics_path__", "/metrics"),
            ("__scheme__", "http"),
            ("__scrape_interval__", "10s"),
            ("__scrape_timeout__", "5s"),
            ("instance", address),
            ("job", "offs"),
        ]);
        let hash = target_hash(&labels, &format!("http://{address}/metrics"));
        assert_eq!((hash ^ seed) % 10_000_000_000 / 1_000_000, offset_ms, "{address}");
    }
    let (a, b) = (target("", "h:1", &[]), target("", "h:2", &[]));
    assert_ne!(a.hash, b.hash);
    assert_eq!(a.hash, target("", "h:1", &[]).hash);
}

//! Relabelling that makes one of two: the log names both.

use crate::common::{Server, Target};

#[test]
fn series_and_targets_that_relabelling_makes_one_are_both_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let page = |_| "a{path=\"/one\"} 1\na{path=\"/two\"} 2\nb 3\n".to_owned();
    let (first, second) = (Target::start(page), Target::start(page));
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - job_name: series\n  metric_relabel_configs: [{{action: labeldrop, regex: path}}]\n  \
         static_configs: [{{targets: ['{0}']}}]\n\
         - job_name: targets\n  relabel_configs: [{{target_label: instance, replacement: same}}]\n  \
         static_configs: [{{targets: ['{0}', '{1}']}}]\n",
        first.address, second.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let server = Server::start(directory.path(), &[]);
    let line = server.wait_for_any_line("Relabelling makes one series of several");
    for text in [r#"path=\"/one\""#, r#"path=\"/two\""#, &first.address, "num_dropped=1"] {
        assert!(line.contains(text), "{text} in {line}");
    }
    let line = server.wait_for_any_line("Two targets have the same labels");
    for text in ["scrape_pool=targets", r#"instance=\"same\""#, &first.address, &second.address] {
        assert!(line.contains(text), "{text} in {line}");
    }
    // Once, and not with every scrape.
    server.await_query("count_over_time(up{job=\"series\"}[1m]) > 3", |result| result.get(0).map(|_| ()));
    let log = server.log();
    for (text, count) in [("Relabelling makes one series", 1), ("Two targets have the same labels", 1)] {
        assert_eq!(log.matches(text).count(), count, "{text} in\n{log}");
    }
    // The first stays.
    server.await_query("a{job=\"series\"}", |result| (result[0]["value"][1] == "1").then_some(()));
}

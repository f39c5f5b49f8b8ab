//! Remote read: the real Prometheus reads what ferula has stored.

use crate::circle::peer;
use crate::common::{Server, Target};

const ALL: &str = "{__name__=~\"n_total|h\",job=\"t\"}[1h]";

#[test]
fn the_real_prometheus_reads_from_ferula_what_ferula_answers_itself() {
    let Some(program) = peer("prometheus") else { return };
    let target = Target::start(|scrape| format!("n_total {scrape}\nh{{a=\"x y\"}} NaN\n"));
    let directory = tempfile::tempdir().expect("a directory for the test");
    let config = format!(
        "global: {{scrape_interval: 50ms, external_labels: {{replica: a}}}}\nscrape_configs:\n\
         - {{job_name: t, static_configs: [{{targets: ['{}']}}]}}\n",
        target.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let mut server = Server::start(directory.path(), &[]);
    server.await_query("up", |_| (target.scrapes() >= 300).then_some(()));
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0), "{}", server.log());
    std::fs::write(directory.path().join("prometheus.yml"), "global: {external_labels: {replica: a}}\n")
        .expect("written");
    let server = Server::start(directory.path(), &[]);
    let stored = server.try_query(ALL).expect("answered");
    assert_eq!(stored.as_array().map(Vec::len), Some(2), "{stored}");

    let reader_directory = tempfile::tempdir().expect("a directory for the test");
    let config =
        format!("remote_read: [{{url: 'http://{}/api/v1/read', read_recent: true}}]\n", server.address);
    std::fs::write(reader_directory.path().join("reader.yml"), config).expect("written");
    let flags = ["--config.file=reader.yml", "--storage.tsdb.path=data"];
    let reader = Server::start_prometheus(&program, reader_directory.path(), &flags);
    let mut read = reader.try_query(ALL).expect("answered");
    for series in read.as_array_mut().expect("a matrix") {
        let replica = series["metric"].as_object_mut().and_then(|labels| labels.remove("replica"));
        assert_eq!(replica, Some("a".into()), "external labels are added");
    }
    assert_eq!(read, stored);
}

//! Those who take too much: a target that keeps exposing new series reaches the head's limit, clients that stop reading hold
//! threads; known series continue, and queries are answered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use serde_json::Value;

use crate::common::{PATIENCE, Server, Target, escape};

/// The sum of a metric on `/metrics` over all its labels.
fn metric(server: &Server, name: &str) -> f64 {
    let (_, page) = server.get("/metrics");
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn a_flood_of_series_is_stopped_and_everything_else_continues() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = Target::start(|n| {
        let bomb = (0..500).map(|m| format!("bomb{{scrape=\"{n}\",m=\"{m}\"}} 1\n"));
        ["known_total ".to_owned(), n.to_string(), "\n".to_owned()].into_iter().chain(bomb).collect()
    });
    let quiet = Target::start(|n| format!("quiet_total {n}\n"));
    let config = format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n\
         - {{job_name: bomb, static_configs: [{{targets: ['{}']}}]}}\n\
         - {{job_name: quiet, static_configs: [{{targets: ['{}']}}]}}\n",
        target.address, quiet.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    // The labels of a page take an estimated half megabyte.
    let server = Server::start(directory.path(), &["--storage.ferula.max-head-memory=2MB"]);
    server.wait_for_line("new series are refused, existing ones continue");
    let series = metric(&server, "prometheus_tsdb_head_series ");
    assert!(series > 500.0 && series < 4000.0, "{series}");
    assert_eq!(metric(&server, "ferula_tsdb_head_limit_bytes "), 2_097_152.0);

    // Three more scrapes of each; all known series are stored.
    for query in ["known_total", "quiet_total"] {
        let value = |result: &Value| result[0]["value"][1].as_str()?.parse::<f64>().ok();
        let seen = server.await_query(query, value);
        server.await_query(query, |result| value(result).filter(|now| *now >= seen + 3.0));
    }
    assert_eq!(metric(&server, "prometheus_tsdb_head_series "), series, "nothing was added");
    assert!(metric(&server, "ferula_target_scrapes_series_refused_total{scrape_job=\"bomb\"}") >= 500.0);
    let (status, targets) = server.get("/api/v1/targets?scrapePool=bomb");
    let targets: Value = serde_json::from_str(&targets).expect("JSON");
    let shown = &targets["data"]["activeTargets"][0];
    assert_eq!((status, &shown["health"]), (200, &Value::from("up")));
    let why = shown["lastError"].as_str().unwrap_or_default();
    assert!(why.contains("more than its share: new ones are refused"), "{shown}");
    assert_eq!(server.get("/-/ready").0, 200);

    // The limit also applies to the start, and the stored data is there.
    let before = server.try_query("count(last_over_time(bomb[1h]))").expect("answered");
    server.kill();
    let server = Server::start(directory.path(), &["--storage.ferula.max-head-series=10"]);
    assert_eq!(
        server.try_query("count(last_over_time(bomb[1h]))").expect("answered")[0]["value"][1],
        before[0]["value"][1]
    );
    server.wait_for_line("head is at its limit of 10 series");
    let (status, _) = server.get(&format!("/api/v1/series?match[]={}", escape("known_total")));
    assert_eq!(status, 200);
}

/// More slow readers than a runtime has threads for blocking work by default.
const SLOW_READERS: usize = 520;

#[test]
fn readers_that_stop_reading_leave_threads_for_everything_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = Target::start(|n| format!("n_total {n}\n"));
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- {{job_name: j, static_configs: [{{targets: ['{}']}}]}}\n",
        target.address
    );
    std::fs::write(directory.path().join("prometheus.yml"), config).expect("written");
    let server = Server::start(directory.path(), &["--web.max-connections=600"]);
    // A million bytes in many pieces: far more than what waits in buffers.
    let series: Vec<String> =
        (0..6).map(|n| format!(r#"label_replace(vector(1),"n","{n}","","")"#)).collect();
    let body = format!("query={}&start=0&end=10999&step=1", escape(&series.join(" or ")));
    let head = format!(
        "POST /api/v1/query_range HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let readers: Vec<TcpStream> = (0..SLOW_READERS)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).expect("connected");
            take_little(&stream);
            stream.set_read_timeout(Some(PATIENCE)).expect("set");
            stream.write_all(head.as_bytes()).expect("sent");
            stream.write_all(body.as_bytes()).expect("sent");
            // Its answer has begun, and goes no further.
            let mut begin = [0; 12];
            stream.read_exact(&mut begin).expect("an answer");
            assert_eq!(&begin, b"HTTP/1.1 200");
            stream
        })
        .collect();
    // Queries are answered, and pages are stored.
    let value = |result: &Value| result[0]["value"][1].as_str()?.parse::<f64>().ok();
    let seen = server.await_query("n_total", value);
    server.await_query("n_total", |result| value(result).filter(|now| *now >= seen + 2.0));
    drop(readers);
}

/// Keeps the receive buffer of a connection as small as the system allows.
fn take_little(stream: &TcpStream) {
    let (bytes, size): (libc::c_int, _) = (4096, std::mem::size_of::<libc::c_int>());
    // SAFETY: the descriptor is open, and the pointer and the size are those of a value that lives on.
    let done = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            std::ptr::from_ref(&bytes).cast(),
            size as libc::socklen_t,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

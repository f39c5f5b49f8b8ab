//! The machine's metrics: scraped without a configuration, and the same series as node_exporter's.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::common::{PATIENCE, Server};

#[test]
fn without_a_configuration_the_machine_is_watched() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let busy = server.await_query("count by (job) (node_cpu_seconds_total{mode=\"idle\"})", |data| {
        Some((data[0]["metric"]["job"].as_str()?.to_owned(), data[0]["value"][1].as_str()?.to_owned()))
    });
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    assert_eq!(busy.0, "node");
    assert!(busy.1.parse::<usize>().is_ok_and(|count| count >= processors), "{busy:?}");

    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &["--no-web.ferula.machine-metrics"]);
    assert_eq!(server.get("/metrics/machine").0, 404);
    let targets = server.await_query("count(up)", |data| Some(data[0]["value"][1].as_str()?.to_owned()));
    assert_eq!(targets, "1");
}

/// Name and labels of every series of a page that begins with one of these.
fn series(page: &str, prefixes: &[&str]) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| prefixes.iter().any(|prefix| line.starts_with(prefix)));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.replace("device_error=\"\",", ""))).collect()
}

/// A program that ends with the test.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn series_are_those_of_node_exporter() {
    let Some(program) = ferula_testkit::shared::peer("node_exporter") else { return };
    let port = ferula_free_port::free_port().expect("a port");
    let child = Command::new(program)
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("node_exporter starts");
    let _exporter = KilledOnDrop(child);
    let deadline = Instant::now() + PATIENCE;
    let theirs = loop {
        match get(port) {
            Ok(page) if page.contains("node_uname_info") => break page,
            other => assert!(Instant::now() < deadline, "node_exporter does not answer: {other:?}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let (status, ours) = server.get("/metrics/machine");
    assert_eq!(status, 200);
    let prefixes = [
        "node_boot_time_seconds",
        "node_context_switches_total",
        "node_cpu_",
        "node_disk_read",
        "node_disk_writ",
        "node_disk_io_",
        "node_filesystem_avail_bytes",
        "node_filesystem_files",
        "node_filesystem_free_bytes",
        "node_filesystem_readonly",
        "node_filesystem_size_bytes",
        "node_forks_total",
        "node_intr_total",
        "node_load",
        "node_memory_",
        "node_network_receive_",
        "node_network_transmit_",
        "node_procs_",
        "node_uname_info",
    ];
    // File systems without a disk are not seen by every process; families of its other collectors are not ours to have.
    let is_stable =
        |series: &String| !series.starts_with("node_filesystem_") || series.contains("device=\"/dev/");
    let ours: BTreeSet<String> = series(&ours, &prefixes).into_iter().filter(is_stable).collect();
    let family = |series: &str| series.split('{').next().unwrap_or_default().to_owned();
    let families: BTreeSet<String> = ours.iter().map(|series| family(series)).collect();
    let theirs: BTreeSet<String> = series(&theirs, &prefixes)
        .into_iter()
        .filter(|series| is_stable(series) && families.contains(&family(series)))
        .collect();
    assert!(families.len() > 60, "{families:?}");
    // Lines of /proc/meminfo that a release of node_exporter does not know are ours alone.
    let only_ours: Vec<&String> =
        ours.difference(&theirs).filter(|series| !series.starts_with("node_memory_")).collect();
    let only_theirs: Vec<&String> = theirs.difference(&ours).collect();
    assert!(only_ours.is_empty() && only_theirs.is_empty(), "ours {only_ours:#?}\ntheirs {only_theirs:#?}");
    assert!(ours.len() > 100, "{}", ours.len());
}

//! A user's first minute: start, exit codes, signals, reload, the page.

use std::io::{BufRead, BufReader};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Output};

use crate::circle::copy_directory;
use crate::common::{PATIENCE, REPLACEMENTS, Server, Target, replace_file};

fn run(arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferula"));
    command.current_dir(directory.path()).args(arguments).output().expect("the binary runs")
}

fn code_and_stderr(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn exit_codes_and_texts_are_those_of_prometheus() {
    for (arguments, code, text) in [
        (
            &["--no-such-flag"][..],
            1,
            "Error parsing command line arguments: unknown long flag '--no-such-flag'",
        ),
        (
            &["--query.timeout=x"],
            2,
            "Error parsing command line arguments: not a valid duration string: \"x\"",
        ),
        (&["extra"], 1, "Error parsing command line arguments: unexpected extra"),
        (&["--query.timeout"], 1, "expected argument for flag '--query.timeout'"),
        (&["--config.file=a", "--config.file=b"], 2, "flag 'config.file' cannot be repeated"),
        (&["--config.file=missing.yml"], 2, "err=\"open missing.yml: no such file or directory\""),
        (&["--agent", "--query.timeout=1m"], 3, "The following flag(s) can not be used in agent mode:"),
        (&["--web.external-url='x"], 2, "URL must not begin or end with quotes"),
        (&["--agent"], 2, "err=\"open prometheus.yml: no such file or directory\""),
    ] {
        let (got, stderr) = code_and_stderr(arguments);
        assert!(got == Some(code) && stderr.contains(text), "{arguments:?}: {got:?}\n{stderr}");
    }
}

/// `testdata/flags/empty.tsv`: the flag, Prometheus' exit code, and the text of its error.
#[test]
fn flags_without_a_value_end_the_start_as_in_prometheus() {
    let recorded = include_str!("../../../../testdata/flags/empty.tsv");
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let [flag, code, text] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}")
        };
        let file = ["--config.file=none.yml"].into_iter().filter(|_| !flag.starts_with("--config.file"));
        let arguments: Vec<&str> = [flag].into_iter().chain(file).collect();
        let (found, stderr) = code_and_stderr(&arguments);
        rows += 1;
        if found != code.parse().ok() || !stderr.contains(text) {
            wrong.push(format!("{flag}: {found:?} {stderr}  instead of {code} {text}"));
        }
    }
    assert!(rows > 100, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_wrong_flag_prints_one_line_that_names_the_right_one() {
    for (argument, meant) in [
        ("--storage.tsdb.pth=x", "'--storage.tsdb.path'"),
        ("--storage-path=x", "'--storage.tsdb.path'"),
        ("chekc", "the command 'check'"),
        ("my.yml", "'--config.file=my.yml'"),
        ("-v", "'--version'"),
    ] {
        let output = run(&[argument]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.stdout.len(), stderr.lines().count()), (0, 1), "{stderr}");
        assert!(stderr.contains(&format!("did you mean {meant}?")), "{stderr}");
    }
}

#[test]
fn version_and_help_go_to_standard_output() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    let text = String::from_utf8_lossy(&version.stdout);
    assert!(text.starts_with("prometheus, version 3.") && text.contains("\nThis is ferula "), "{text}");
    let help = run(&["--help"]);
    assert!(
        help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--storage.tsdb.path=data/")
    );
}

#[test]
fn a_broken_configuration_is_named_with_its_line() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("prometheus.yml"), "global:\n  scrape_interva: 15s\n")
        .expect("written");
    let mut server = Server::spawn(directory.path(), &[]);
    assert_eq!(server.exit_code(), Some(2));
    let line = server.wait_for_line("Error loading config");
    assert!(line.contains("field scrape_interva not found"), "{line}");
}

#[test]
fn without_a_configuration_it_scrapes_itself() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let mut server = Server::spawn(directory.path(), &[]);
    server.wait_for_line("embedded configuration");
    let line = server.wait_for_line("msg=\"Ferula is up\"");
    assert!(line.contains(" data=") && line.contains("/api/v1/query?query=up"), "{line}");
    server.address = line.split_once(" address=").expect("an address").1.trim().to_owned();
    assert_eq!(server.get("/-/ready").0, 200);
    assert_eq!(server.get("/").0, 302);
    let (status, page) = server.get("/query");
    assert!(status == 200 && page.contains("assets/"), "{page}");
    let up = server.await_query("up", |result| Some(result[0]["value"][1].as_str()?.to_owned()));
    assert_eq!(up, "1");
    assert!(directory.path().join("data/wal").is_dir());
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
    server.wait_for_line("See you next time!");
}

/// A pseudo-terminal: the user's side and the program's side.
fn terminal() -> (std::fs::File, OwnedFd) {
    let (mut person, mut program) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: the two numbers are written to, and null pointers ask for no name and default settings.
    let opened = unsafe { libc::openpty(&mut person, &mut program, none, none.cast(), none.cast()) };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both descriptors are open, and nobody else has them.
    unsafe { (std::fs::File::from_raw_fd(person), OwnedFd::from_raw_fd(program)) }
}

#[test]
fn on_a_terminal_the_start_ends_with_a_short_message() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let (person, program) = terminal();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .arg("--web.listen-address=127.0.0.1:0")
        .current_dir(directory.path())
        .stderr(program)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(person).lines().map(|line| line.expect("the terminal is open"));
    lines.find(|line| line.contains("msg=\"Ferula is up\"")).expect("it starts");
    let words: Vec<String> = lines.filter(|line| !line.is_empty()).take(4).collect();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let begins = |line: &String, word: &str| line.starts_with(&format!("  {word} "));
    assert!(
        words.iter().zip(["Look", "Data", "Try", "Stop"]).all(|(line, word)| begins(line, word)),
        "{words:?}"
    );
    assert!(words[0].contains("http://localhost:") && words[1].contains("/data"), "{words:?}");
}

#[test]
fn a_taken_port_names_the_flag() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let mut server = Server::spawn(directory.path(), &[&format!("--web.listen-address={address}")]);
    assert_eq!(server.exit_code(), Some(1));
    assert!(server.wait_for_line("Fatal error").contains("--web.listen-address"));
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let _first = Server::start(directory.path(), &[]);
    let mut second = Server::spawn(directory.path(), &[]);
    assert_eq!(second.exit_code(), Some(1));
    assert!(second.wait_for_line("Fatal error").contains("lock"));
}

#[test]
fn reload_applies_a_valid_configuration_and_otherwise_keeps_the_old_one() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let target = Target::start(|n| format!("fixture {n}\n"));
    let file = directory.path().join("prometheus.yml");
    let config = |job: &str| {
        format!(
            "scrape_configs:\n- job_name: {job}\n  scrape_interval: 50ms\n  scrape_timeout: 50ms\n  static_configs:\n  - targets: ['{}']\n",
            target.address
        )
    };
    std::fs::write(&file, config("first")).expect("written");
    let server = Server::start(directory.path(), &["--web.enable-lifecycle"]);
    server.await_query("fixture{job=\"first\"}", |result| result.get(0).map(|_| ()));

    std::fs::write(&file, "scrape_configs: 7\n").expect("written");
    let (status, body) = server.request("POST", "/-/reload", "", b"").expect("answered");
    assert!(
        status == 500 && body.starts_with("failed to reload config: couldn't load configuration"),
        "{body}"
    );
    assert!(server.get("/api/v1/status/config").1.contains("job_name: first"));
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("\nprometheus_config_last_reload_successful 0\n"));

    std::fs::write(&file, config("second")).expect("written");
    server.signal(libc::SIGHUP);
    server.wait_for_line("Completed loading of configuration file");
    server.await_query("fixture{job=\"second\"}", |result| result.get(0).map(|_| ()));
    // The series of the old job have ended.
    server.await_query("fixture{job=\"first\"}", |result| result.as_array()?.is_empty().then_some(()));
    assert!(server.get("/metrics").1.contains("\nprometheus_config_last_reload_successful 1\n"));
}

#[test]
fn quit_ends_the_program() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let mut server = Server::start(directory.path(), &["--web.enable-lifecycle"]);
    let (status, body) = server.request("PUT", "/-/quit", "", b"").expect("answered");
    assert_eq!((status, body.as_str()), (200, "Requesting termination... Goodbye!"));
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn queries_are_logged_where_the_configuration_says() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("prometheus.yml"), "global:\n  query_log_file: queries.log\n")
        .expect("written");
    let server = Server::start(directory.path(), &[]);
    assert_eq!(server.get("/api/v1/query?query=1%2B1&time=7").0, 200);
    assert_eq!(server.get("/api/v1/query?query=broken%28").0, 400);
    let log = std::fs::read_to_string(directory.path().join("queries.log")).expect("the log is there");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), 1, "what cannot be parsed was never run: {log}");
    let line = &lines[0];
    assert_eq!(line["params"]["query"], "1+1");
    assert_eq!(line["params"]["start"], "1970-01-01T00:00:07.000Z");
    assert_eq!(line["httpRequest"]["path"], "/api/v1/query");
    assert_eq!(line["httpRequest"]["clientIP"], "127.0.0.1");
    assert!(line["stats"]["timings"]["execTotalTime"].is_number());
    // The names and their order are those of Prometheus 3.14.
    let names: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = ["time", "level", "source", "msg", "params", "stats", "spanID", "traceID", "httpRequest"];
    assert_eq!(names, expected);
}

#[test]
fn a_directory_that_cannot_be_created_is_named() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("file"), "").expect("written");
    // Even root cannot create a directory below /proc.
    for path in ["file", "/proc/ferula/data"] {
        let mut server = Server::spawn(directory.path(), &[&format!("--storage.tsdb.path={path}")]);
        assert_eq!(server.exit_code(), Some(1));
        let line = server.wait_for_line("Fatal error");
        assert!(line.contains(path), "{line}");
    }
}

#[test]
fn a_directory_without_rights_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory for the test");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o555)).expect("it is ours");
    if std::fs::write(data.join("probe"), "").is_ok() {
        eprintln!("SKIPPED: this user may write anywhere, so no directory is without rights");
        return;
    }
    let mut server = Server::spawn(directory.path(), &[]);
    assert_eq!(server.exit_code(), Some(1));
    let line = server.wait_for_line("Fatal error");
    assert!(line.contains("data") && line.contains("Permission denied"), "{line}");
}

/// What an operator reads if a block is damaged or lies in the future.
#[test]
fn bad_blocks_are_reported_in_the_log() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tsdb");
    let (damaged, future) = ("01M7X7DXY4M5SDMGGQAFJMF32B", "01M7X7Z3VGEAHD9A8NKJWF5VP6");
    for name in [damaged, future] {
        copy_directory(&blocks.join(name), &directory.path().join("data").join(name));
    }
    let meta = directory.path().join("data").join(future).join("meta.json");
    let text = std::fs::read_to_string(&meta).expect("a meta.json");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["minTime"] = 33_000_000_000_000_i64.into();
    json["maxTime"] = 33_000_007_200_000_i64.into();
    std::fs::write(&meta, json.to_string()).expect("written");
    std::fs::write(directory.path().join("data").join(damaged).join("index"), "none").expect("written");
    let target = Target::start(|n| format!("fixture {n}\n"));
    std::fs::write(
        directory.path().join("prometheus.yml"),
        format!(
            "scrape_configs:\n- job_name: fixture\n  scrape_interval: 50ms\n  scrape_timeout: 50ms\n  static_configs:\n  - targets: ['{}']\n",
            target.address
        ),
    )
    .expect("written");
    let mut server = Server::spawn(directory.path(), &[]);
    let line = server.wait_for_any_line("Damage found in the data directory");
    assert!(line.contains(damaged) && line.contains("index"), "{line}");
    let line = server.wait_for_line("msg=\"Ferula is up\"");
    server.address = line.split_once(" address=").expect("an address").1.trim().to_owned();
    let line = server.wait_for_any_line("The data directory does not fit the clock");
    assert!(line.contains(future), "{line}");
    // Ingestion continues.
    server.await_query("fixture", |result| result.get(0).map(|_| ()));
}

#[test]
fn files_of_equal_size_and_time_are_reloaded_however_they_are_replaced() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let rules = |n: usize| {
        format!("groups: [{{name: g, interval: 1s, rules: [{{record: rule_{n}, expr: vector(1)}}]}}]")
    };
    let scrapes =
        |n: usize| format!("scrape_configs: [{{job_name: job_{n}, static_configs: [{{targets: ['x:1']}}]}}]");
    let server = {
        std::fs::write(directory.path().join("p.yml"), "rule_files: [r.yml]\nscrape_config_files: [s.yml]\n")
            .expect("written");
        replace_file(directory.path(), "r.yml", "in place", &rules(0));
        replace_file(directory.path(), "s.yml", "in place", &scrapes(0));
        let reload = ["--enable-feature=auto-reload-config", "--config.auto-reload-interval=1s"];
        Server::start(directory.path(), &["--config.file=p.yml", reload[0], reload[1]])
    };
    let await_version = |n: usize| {
        let name = format!("rule_{n}");
        server.await_query(&name, |result| (!result.as_array().expect("a vector").is_empty()).then_some(()));
        let job = format!("\"scrapePool\":\"job_{n}\"");
        let deadline = std::time::Instant::now() + PATIENCE;
        while !server.get("/api/v1/targets").1.contains(&job) {
            assert!(std::time::Instant::now() < deadline, "no {job} in\n{}", server.log());
            std::thread::yield_now();
        }
    };
    await_version(0);
    for (n, way) in REPLACEMENTS.into_iter().enumerate() {
        // One of the two after the other, so that either is noticed by itself.
        replace_file(directory.path(), "r.yml", way, &rules(n + 1));
        let name = format!("rule_{}", n + 1);
        server.await_query(&name, |result| (!result.as_array().expect("a vector").is_empty()).then_some(()));
        replace_file(directory.path(), "s.yml", way, &scrapes(n + 1));
        await_version(n + 1);
    }
}

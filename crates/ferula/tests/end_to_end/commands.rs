//! Every command, as the help page lists them: it ends in words when its server is gone or misbehaves, and it creates
//! nothing before it has checked what it was given. So does the start of the server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::beside_prometheus::played::{Played, status};
use crate::common::Server;

/// A command, with arguments that ask a server, if it asks any, and arguments that must be refused.
struct Row {
    command: &'static str,
    asks: &'static [&'static str],
    refused: &'static [&'static [&'static str]],
}

const fn row(
    command: &'static str,
    asks: &'static [&'static str],
    refused: &'static [&'static [&'static str]],
) -> Row {
    Row { command, asks, refused }
}

/// `URL` is the server; `good.yml` a rule file, `page` a page of samples, `am.yml` a configuration of Alertmanager.
const ROWS: &[Row] = &[
    row("check service-discovery", &[], &[&["bad.yml", "j"], &["good.yml", "j"]]),
    row("check config", &[], &[&["bad.yml"], &["none.yml"]]),
    row("check web-config", &[], &[&["bad.yml"], &["none.yml"]]),
    row("check healthy", &["--url=URL"], &[&["--url=:"]]),
    row("check ready", &["--url=URL"], &[&["--url=:"]]),
    row("check rules", &[], &[&["bad.yml"], &["none.yml"]]),
    row("check metrics", &[], &[&["--nope"]]),
    row("query instant", &["URL", "up"], &[&[":", "up"]]),
    row("query range", &["URL", "up"], &[&[":", "up"], &["--start=x", "http://x", "up"]]),
    row("query series", &["--match=up", "URL"], &[&["--match=up", ":"]]),
    row("query labels", &["URL", "job"], &[&[":", "job"]]),
    row(
        "query analyze",
        &["--server=URL", "--type=histogram", "--match=up"],
        &[&["--server=:", "--type=histogram", "--match=up"]],
    ),
    row("debug pprof", &["URL"], &[&[":"], &["http://127.0.0.1:1"]]),
    row("debug metrics", &["URL"], &[&[":"], &["http://127.0.0.1:1"]]),
    row("debug all", &["URL"], &[&[":"], &["http://127.0.0.1:1"]]),
    row("push metrics", &["--timeout=1s", "URL", "page"], &[&[":", "page"], &["http://127.0.0.1:1", "none"]]),
    row("test rules", &[], &[&["none.yml"], &["bad.yml"], &["--junit=out.xml", "none.yml"]]),
    row("test promql", &[], &[&["none"]]),
    row(
        "test alerts",
        &[],
        &[
            &["--from=0", "--config.file=none.yml"],
            &["--from=x", "--config.file=prometheus.yml"],
            &["--from=0", "--config.file=prometheus.yml", "--storage.tsdb.path=none", "--junit=out.xml"],
        ],
    ),
    row(
        "analyze usage",
        &["URL"],
        &[&[":"], &["--dashboards=none.json", "URL"], &["--rules=bad.yml", "URL"], &["--days=x", "URL"]],
    ),
    row("tsdb bench write", &[], &[&["none"], &["--out=kept", "none"]]),
    row("tsdb analyze", &[], &[&["none"], &[]]),
    row("tsdb list", &[], &[&["none"], &[]]),
    row("tsdb dump", &[], &[&["none"], &["--match={"], &[]]),
    row("tsdb dump-openmetrics", &[], &[&["none"], &["--match={"], &[]]),
    row(
        "tsdb create-blocks-from openmetrics",
        &[],
        &[
            &["none", "out"],
            &["bad.yml", "out"],
            &["page-without-times", "out"],
            &["--label=x", "page", "out"],
        ],
    ),
    row(
        "tsdb create-blocks-from rules",
        &["--start=0", "--end=60", "--url=URL", "--output-dir=out", "good.yml"],
        &[
            &["--start=0", "--output-dir=out", "none.yml"],
            &["--start=0", "--output-dir=out", "bad.yml"],
            &["--start=x", "--output-dir=out", "good.yml"],
            &["--start=0", "--url=:", "--output-dir=out", "good.yml"],
            &["--start=0", "--url=http://127.0.0.1:1", "--output-dir=out", "good.yml"],
        ],
    ),
    row("tsdb verify", &[], &[&["none"], &[]]),
    row("tsdb repair", &[], &[&["none"], &[]]),
    row("tsdb drop-future", &[], &[&["none"], &[]]),
    row("promql format", &[], &[&["("]]),
    row("promql label-matchers set", &[], &[&["(", "a", "b"]]),
    row("promql label-matchers delete", &[], &[&["(", "a"]]),
    row("amtool alert query", &["--alertmanager.url=URL"], &[&["--alertmanager.url=:"], &[]]),
    row(
        "amtool alert add",
        &["--alertmanager.url=URL", "a=b"],
        &[&["--alertmanager.url=:", "a=b"], &["a=b"]],
    ),
    row(
        "amtool silence add",
        &["--alertmanager.url=URL", "--comment=c", "--author=a", "a=b"],
        &[&["--comment=c", "a=b"], &["--alertmanager.url=:", "--comment=c", "a=b"]],
    ),
    row("amtool silence expire", &["--alertmanager.url=URL", "x"], &[&["--alertmanager.url=:", "x"], &["x"]]),
    row(
        "amtool silence import",
        &["--alertmanager.url=URL", "silences"],
        &[&["--alertmanager.url=:", "silences"]],
    ),
    row("amtool silence history", &["--alertmanager.url=URL", "x"], &[&["--alertmanager.url=:", "x"], &[]]),
    row(
        "amtool silence preview",
        &["--alertmanager.url=URL", "a=b"],
        &[&["--alertmanager.url=:", "a=b"], &[]],
    ),
    row("amtool silence query", &["--alertmanager.url=URL"], &[&["--alertmanager.url=:"], &[]]),
    row("amtool silence update", &["--alertmanager.url=URL", "x"], &[&["--alertmanager.url=:", "x"], &["x"]]),
    row("amtool check-config", &[], &[&["bad.yml"], &["none.yml"]]),
    row("amtool cluster show", &["--alertmanager.url=URL"], &[&["--alertmanager.url=:"], &[]]),
    row("amtool config show", &["--alertmanager.url=URL"], &[&["--alertmanager.url=:"], &[]]),
    row("amtool config routes show", &["--alertmanager.url=URL"], &[&["--config.file=bad.yml"], &[]]),
    row(
        "amtool config routes test",
        &["--alertmanager.url=URL", "a=b"],
        &[&["--config.file=bad.yml", "a=b"]],
    ),
    row("amtool template render", &[], &[&["--template.glob=x", "--template.text={{"]]),
    row("amtool explain", &["--alertmanager.url=URL", "a=b"], &[&["--alertmanager.url=:", "a=b"], &["a=b"]]),
    row("amtool receivers test", &[], &[&["--config.file=bad.yml"], &["--config.file=none.yml"]]),
    row(
        "alertmanager",
        &[],
        &[
            &["--config.file=none.yml", "--storage.path=out"],
            &["--config.file=bad.yml", "--storage.path=out"],
            &["--config.file=am.yml", "--storage.path=out", "--web.listen-address=x"],
            &["--config.file=am.yml", "--storage.path=out", "--web.listen-address=TAKEN"],
            &["--config.file=am.yml", "--storage.path=out", "--web.config.file=none.yml"],
            &["--config.file=am.yml", "--storage.path=out", "--data.retention=x"],
            &["--config.file=am.yml", "--storage.path=out", "--nope"],
        ],
    ),
    row("slo generate", &[], &[&["none.yml"], &["--out=out", "bad.yml"], &["--out=out", "none.yml"]]),
    row("slo validate", &[], &[&["none.yml"], &["bad.yml"]]),
    row("slo report", &[], &[&["none.yml"], &["bad.yml"], &["--storage.tsdb.path=none", "bad.yml"]]),
];

/// Arguments with which the server must not start.
const STARTS: &[&[&str]] = &[
    &["--nope"],
    &["extra"],
    &["--config.file=none.yml"],
    &["--config.file=bad.yml"],
    &["--config.file=bad-rules.yml"],
    &["--config.file=bad-scrapes.yml"],
    &["--web.config.file=none.yml"],
    &["--web.config.file=bad.yml"],
    &["--web.listen-address=x"],
    &["--web.listen-address=TAKEN"],
    &["--web.external-url='x"],
    &["--web.cors.origin=("],
    &["--query.timeout=x"],
    &["--log.level=x"],
    &["--log.format=x"],
    &["--storage.tsdb.retention.size=x"],
    &["--storage.tsdb.wal-segment-size=1MB"],
    &["--storage.tsdb.max-block-chunk-segment-size=1"],
    &["--rules.max-concurrent-evals=x"],
    &["--auto-gomemlimit.ratio=7"],
    &["--alertmanager.config.file=none.yml"],
    &["--alertmanager.config.file=bad.yml"],
    &["--agent", "--storage.tsdb.path=out"],
    &["--agent", "--config.file=none.yml"],
    &["--agent", "--config.file=bad-rules.yml"],
    &["--agent", "--web.listen-address=TAKEN"],
    &["--agent", "--web.config.file=none.yml"],
    &["--storage.agent.path=out"],
    &["--web.remote-write-receiver.accepted-protobuf-messages=x"],
];

/// A directory with files for commands.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    write("prometheus.yml", "global: {}\n");
    write("bad.yml", "nope: [\n");
    write("bad-rules.yml", "rule_files: ['[']\n");
    write("bad-scrapes.yml", "scrape_config_files: [bad.yml]\n");
    write("good.yml", "groups: [{name: g, rules: [{record: a, expr: b}]}]\n");
    write("am.yml", "{route: {receiver: r}, receivers: [{name: r}]}\n");
    write("page", "a 1 1600000000\n# EOF\n");
    write("page-without-times", "a 1\n# EOF\n");
    write(
        "silences",
        r#"[{"matchers": [{"name": "a", "value": "b", "isRegex": false, "isEqual": true}], "startsAt": "2030-01-01T00:00:00Z", "endsAt": "2030-01-02T00:00:00Z", "createdBy": "c", "comment": "d"}]"#,
    );
    std::fs::create_dir(directory.path().join("kept")).expect("made");
    write("kept/file", "precious\n");
    directory
}

/// Every file and directory below, with sizes.
fn contents(directory: &Path) -> BTreeSet<(PathBuf, u64)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
        let meta = entry.metadata().expect("it is there");
        if meta.is_dir() {
            found.extend(contents(&entry.path()));
            found.insert((entry.path(), 0));
        } else {
            found.insert((entry.path(), meta.len()));
        }
    }
    found
}

/// Exit code and everything printed.
fn run(directory: &Path, arguments: &[String]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .args(arguments)
        .current_dir(directory)
        .env("HOME", directory)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it starts");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), text.concat())
}

fn arguments(command: &str, more: &[&str], from: &str, to: &str) -> Vec<String> {
    let more = more.iter().map(|argument| argument.replace(from, to));
    command.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).chain(more).collect()
}

#[test]
fn every_command_is_in_the_table() {
    let directory = directory();
    let (_, help) = run(directory.path(), &["help".to_owned()]);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands =
        lines.filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase())).map(|line| {
            let words = line.split(' ').take_while(|word| !word.starts_with(['-', '[', '<']));
            words.collect::<Vec<_>>().join(" ")
        });
    let commands: BTreeSet<String> = commands.filter(|command| command != "help").collect();
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.command.to_owned()).collect();
    assert_eq!(commands, rows);
}

#[test]
fn a_server_that_is_gone_or_misbehaves_is_an_error_in_words() {
    let servers = [
        Played::start(|_, _| None),
        Played::start(|_, _| status("500 Internal Server Error", "")),
        Played::start(|_, _| status("200 OK", "")),
        Played::start(|_, _| Some(b"no HTTP\r\n\r\n".to_vec())),
    ];
    let urls = servers.iter().map(|server| format!("http://127.0.0.1:{}", server.port));
    let urls: Vec<String> = urls.chain(["http://127.0.0.1:1".to_owned()]).collect();
    let enough = urls[2].clone();
    std::thread::scope(|scope| {
        for row in ROWS.iter().filter(|row| !row.asks.is_empty()) {
            let (urls, enough) = (&urls, &enough);
            scope.spawn(move || {
                // A push is tried again for a minute and longer, whatever the server does.
                let urls = if row.command == "push metrics" { &urls[4..] } else { &urls[..] };
                for url in urls {
                    let directory = directory();
                    let (code, text) = run(directory.path(), &arguments(row.command, row.asks, "URL", url));
                    // An empty answer with status 200 is enough for some.
                    let is_enough = url == enough || row.command.starts_with("debug ") && code == Some(0);
                    assert!(
                        code == Some(1) || code == Some(0) && is_enough,
                        "{} at {url}: {code:?}\n{text}",
                        row.command
                    );
                    assert!(
                        !text.contains("panicked") && (code == Some(0) || !text.trim().is_empty()),
                        "{} at {url}: {text}",
                        row.command
                    );
                }
            });
        }
    });
}

#[test]
fn nothing_is_created_before_what_was_given_is_checked() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let starts = STARTS.iter().map(|start| ("", *start));
    let commands = ROWS.iter().flat_map(|row| row.refused.iter().map(|refused| (row.command, *refused)));
    let mut wrong = Vec::new();
    for (command, given) in starts.chain(commands) {
        let directory = directory();
        let before = contents(directory.path());
        let (code, text) = run(directory.path(), &arguments(command, given, "TAKEN", &address));
        let named = format!("ferula {command} {}", given.join(" "));
        if code.is_none_or(|code| code == 0 || code > 3) || text.contains("panicked") {
            wrong.push(format!("{named}: {code:?}\n{text}"));
        }
        let after = contents(directory.path());
        if after != before {
            let created: Vec<_> = after.symmetric_difference(&before).collect();
            wrong.push(format!("{named}: changed {created:?}\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_store_in_use_is_left_as_it_is() {
    let directory = directory();
    let _server = Server::start(directory.path(), &[]);
    let named =
        |directory: &Path| contents(directory).into_iter().map(|(path, _)| path).collect::<BTreeSet<_>>();
    let lock = directory.path().join("data/lock");
    let owner = std::fs::read(&lock).expect("the lock");
    let before = named(&directory.path().join("data"));
    let (code, text) = run(directory.path(), &["--web.listen-address=127.0.0.1:0".to_owned()]);
    assert!(code == Some(1) && text.contains("lock"), "{code:?} {text}");
    assert_eq!(std::fs::read(&lock).expect("the lock"), owner, "it names the server that has it");
    assert!(before.is_subset(&named(&directory.path().join("data"))), "files are gone");
}

#[test]
fn a_wrong_address_gets_one_line_that_names_the_right_one() {
    for (address, meant) in [
        ("localhost:9090", "http://localhost:9090"),
        ("127.0.0.1:9090", "http://127.0.0.1:9090"),
        ("htp://prometheus:9090/x", "http://prometheus:9090/x"),
        ("prometheus", "http://prometheus"),
    ] {
        let directory = directory();
        let (code, text) = run(directory.path(), &arguments("query instant", &[address, "up"], "", ""));
        assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.contains(&format!("did you mean '{meant}'?")), "{text}");
    }
}

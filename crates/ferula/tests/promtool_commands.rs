//! Commands of promtool: output, errors and exit codes, compared with the recorded output of the real
//! promtool.
//!
//! `testdata/promtool/commands.json` holds the cases, and `answers.json` the answers of the server that they
//! query. If `FERULA_PEERS` names a directory with the real promtool, that is run too and must print the
//! same; `UPDATE_GOLDEN=1` then records its output. `help.txt` lists the commands, flags, defaults and
//! arguments of promtool 3.14's help pages, without their texts, which are our own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/promtool").join(name)
}

fn read(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(testdata(name)).expect("the file is there");
    serde_json::from_str(&text).expect("it is JSON")
}

/// A server that gives recorded answers.
fn serve(answers: Vec<Value>, seen: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            seen.fetch_add(1, Ordering::Relaxed);
            // It does not matter if a client disconnects early.
            let _ = answer(stream, &answers);
        }
    });
    address
}

fn answer(mut stream: TcpStream, answers: &[Value]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let form: BTreeMap<String, String> = String::from_utf8_lossy(&body)
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let asked = form.get("query").or(form.get("match[]")).cloned().unwrap_or_default();
    let found = answers.iter().find(|answer| answer["path"] == path && answer["asked"] == asked.as_str());
    let (status, body) = match found {
        Some(answer) => {
            (answer["status"].as_u64().unwrap_or(500), answer["body"].as_str().unwrap_or_default())
        }
        None => (400, "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"not written down\"}"),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} Some\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// Decodes a form's `%41+b`.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = || u8::from_str_radix(text.get(at + 1..at + 3)?, 16).ok();
        match (bytes[at], hex()) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Exit code, output and errors, without the server's address.
fn run(program: &Path, case: &Value, directory: &Path, server: &str) -> Value {
    let arguments = case["args"].as_array().expect("a list");
    let arguments = arguments.iter().map(|text| text.as_str().expect("a text").replace("{server}", server));
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("COLUMNS", "80")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("piped");
    // A command that does not read its input may have ended.
    let _ = input.write_all(case["stdin"].as_str().unwrap_or_default().as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace(server, "{server}");
    json!({"code": output.status.code(), "stdout": text(output.stdout), "stderr": text(output.stderr)})
}

#[test]
fn commands_print_what_promtool_prints() {
    let directory = tempfile::tempdir().expect("a directory");
    let promtool = directory.path().join("promtool");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ferula"), &promtool).expect("linked");
    for (name, text) in [
        ("both.yml", "basic_auth: {username: a}\nbearer_token: b\n"),
        ("unknown.yml", "nope: 1\n"),
        ("basic.yml", "basic_auth: {username: a, password: b}\n"),
    ] {
        std::fs::write(directory.path().join(name), text).expect("written");
    }
    let seen = Arc::new(AtomicUsize::new(0));
    let server = serve(read("answers.json"), seen.clone());
    let peer = ferula_testkit::shared::peer("promtool");
    let mut cases = read("commands.json");
    if let Some(peer) = &peer {
        for case in &mut cases {
            let real = run(peer, case, directory.path(), &server);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                case["want"] = real;
            } else {
                assert_eq!(case["want"], real, "promtool itself: {}", case["args"]);
            }
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() && peer.is_some() {
        let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
        std::fs::write(testdata("commands.json"), format!("[\n{}\n]\n", lines.join(",\n"))).expect("written");
    }
    assert!(cases.len() > 100);
    let wrong: Vec<String> = cases
        .iter()
        .map(|case| (case, run(&promtool, case, directory.path(), &server)))
        .filter(|(case, got)| case["want"] != *got)
        .map(|(case, got)| format!("{}\n  want {}\n  got  {got}", case["args"], case["want"]))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(seen.load(Ordering::Relaxed) >= 30, "the server was asked");
}

/// What a command prints about a file, each error once, without the places that are added to promtool's words.
fn judged(program: &Path, command: &str, directory: &Path, yaml: &str) -> String {
    let file = directory.join("f.yml");
    std::fs::write(&file, yaml).expect("written");
    let output = Command::new(program)
        .args(command.split(' '))
        .arg(if command == "check config" { "p.yml" } else { "f.yml" })
        .current_dir(directory)
        .output()
        .expect("the program starts");
    if output.status.success() {
        return "ok".to_owned();
    }
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.split(" (line ").next().unwrap_or_default().trim();
        // The older promtool reads a rule file twice, and has two names for what it found.
        let line = line
            .replace("rulefmt.RuleGroupNode", "rulefmt.RuleGroup")
            .replace("rulefmt.RuleNode", "rulefmt.Rule");
        let line = line.replace(&format!("{}/", directory.display()), "");
        if !line.is_empty() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// Rows in which ferula still differs: a version of TLS that is null should be as if it were absent, and an empty
/// interval has another error.
const DIFFERENT: [(&str, &str); 3] = [
    ("TlsServerConfig.min_version", "null"),
    ("TlsServerConfig.max_version", "null"),
    ("RateLimitConfig.interval", "''"),
];

/// Without positions and without Go's names of types, in which the versions differ; values that may be secret are not
/// shown here.
fn without_places_and_types(text: &str) -> String {
    let is_position = |word: &str| {
        let numbers = word.trim_end_matches(':').split(':');
        word.contains(':')
            && numbers.clone().all(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let lines = text.lines().map(|line| {
        let line = match line.split_once(" into ") {
            Some((value, _)) if line.contains("cannot unmarshal") => value.replace("<secret>", ""),
            _ => line.to_owned(),
        };
        line.split(' ').filter(|word| !is_position(word)).collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn files_with_empty_keys_are_judged_as_by_promtool() {
    let directory = tempfile::tempdir().expect("a directory");
    let promtool = directory.path().join("promtool");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ferula"), &promtool).expect("linked");
    std::fs::write(directory.path().join("p.yml"), "scrape_config_files: [f.yml]\n").expect("written");
    let issued = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).expect("a certificate");
    std::fs::write(directory.path().join("cert.pem"), issued.cert.pem()).expect("written");
    std::fs::write(directory.path().join("key.pem"), issued.signing_key.serialize_pem()).expect("written");
    let recorded = std::fs::read_to_string(testdata("empty_keys.tsv")).expect("the recording");
    let (mut section, mut rows, mut wrong) = (Vec::new(), 0, Vec::new());
    for line in recorded.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let cells: Vec<&str> = line.trim_start_matches("== ").split('\t').collect();
        let &[key, value, outcome] = &cells[..] else {
            section = cells;
            continue;
        };
        let mut keys: Vec<String> =
            section[2].split("; ").filter(|key| !key.is_empty()).map(str::to_owned).collect();
        keys.retain(|required| !required.starts_with(&format!("{key}:")));
        keys.push(format!("{key}: {value}"));
        let yaml = section[1].replace('@', &keys.join(", ")) + "\n";
        let found = judged(&promtool, section[3], directory.path(), &yaml);
        rows += 1;
        let outcome: String = serde_json::from_str(outcome).unwrap_or_else(|_| outcome.to_owned());
        let (found, outcome) = (without_places_and_types(&found), without_places_and_types(&outcome));
        let name = format!("{}.{key}", section[0]);
        if found != outcome && !DIFFERENT.contains(&(name.as_str(), value)) {
            wrong.push(format!("{}.{key} = {value}:\n{found}\ninstead of\n{outcome}", section[0]));
        }
    }
    assert!(rows > 200, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Files of Prometheus' own tests that mean something else to 3.5, which is at hand, than to 3.14: keys and values that it
/// got later, checks of remote write's queue, other words. Its places of rules that lack something are `0:0`.
const READ_OTHERWISE: &[&str] = &[
    "bad-sd-file-format.yml",
    "duplicate_grp.bad.yaml",
    "features.yml",
    "good-sd-file.yml",
    "kubernetes_selectors_pod.bad.yml",
    "kubernetes_selectors_pod.good.yml",
    "metric_name_validation_scheme.bad.yml",
    "no_rec_alert.bad.yaml",
    "noexpr.bad.yaml",
    "prometheus-aws-sd-empty-region.good.yml",
    "regex.bad.yml",
    "remote_write_authorization_header.bad.yml",
    "remote_write_queue_capacity_zero.bad.yml",
    "remote_write_queue_max_backoff_less_than_min.bad.yml",
    "remote_write_queue_max_samples_per_send_zero.bad.yml",
    "remote_write_queue_max_shards_zero.bad.yml",
    "remote_write_queue_min_shards_greater_than_max.bad.yml",
    "remote_write_queue_min_shards_zero.bad.yml",
    "remote_write_wrong_msg.bad.yml",
    "scrape_config_local_infer_escaping.yml",
];

/// Leaves out the place that ferula adds to an error, and its warning about what it cannot do yet.
fn without_additions(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("  WARNING: not supported yet"));
    let lines = lines.map(|line| match line.rfind(" (line ") {
        Some(at) if line.ends_with(')') => &line[..at],
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// `check config`, `check rules` and `check metrics` with every option over all files that Prometheus tests itself with.
#[test]
fn all_files_of_prometheus_are_checked_as_by_promtool() {
    let Some(peer) = ferula_testkit::shared::peer("promtool") else { return };
    let Some(cases) = ferula_testkit::shared::directory("cases") else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let promtool = directory.path().join("promtool");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ferula"), &promtool).expect("linked");
    const CONFIG: &[&str] = &["check config", "check config --syntax-only --agent --lint=all --lint-fatal"];
    const RULES: &[&str] = &["check rules", "check rules --lint=all --lint-fatal"];
    const METRICS: &[&str] = &["check metrics", "check metrics --extended"];
    let mut runs: Vec<(PathBuf, Value)> = Vec::new();
    for (below, ending, commands) in [
        ("config", "yml", CONFIG),
        ("promtool", "yml", CONFIG),
        ("promtool", "yml", RULES),
        ("rulefmt", "yaml", RULES),
        ("promtool", "prom", METRICS),
    ] {
        let mut files: Vec<PathBuf> = std::fs::read_dir(cases.join(below))
            .expect("listed")
            .map(|entry| entry.expect("listed").path())
            .collect();
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|found| found == ending)) {
            let name = file.file_name().expect("a file").to_string_lossy().into_owned();
            if READ_OTHERWISE.contains(&&*name) {
                continue;
            }
            for command in commands {
                let mut args: Vec<&str> = command.split(' ').collect();
                let mut case = json!({});
                if ending == "prom" {
                    case["stdin"] = json!(std::fs::read_to_string(file).expect("read"));
                } else {
                    args.push(&name);
                }
                case["args"] = json!(args);
                runs.push((cases.join(below), case));
            }
        }
    }
    let (mut same, mut newer, mut wrong) = (0, 0, Vec::new());
    for (directory, case) in &runs {
        let theirs = run(&peer, case, directory, "no server");
        if theirs["stderr"].as_str().is_some_and(|text| text.contains("not found in type")) {
            newer += 1;
            continue;
        }
        let mut ours = run(&promtool, case, directory, "no server");
        for stream in ["stdout", "stderr"] {
            ours[stream] = json!(without_additions(ours[stream].as_str().unwrap_or_default()));
        }
        match ours == theirs {
            true => same += 1,
            false => wrong.push(format!("{}\n  want {theirs}\n  got  {ours}", case["args"])),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), runs.len(), wrong.join("\n"));
    println!("{same} runs are the same, {newer} use keys that promtool is too old for");
    assert!(same > 400, "{same}");
}

/// Whether a promtool is 3.14 or newer. Older ones have different flags.
fn is_wanted(promtool: &Path) -> bool {
    let output = Command::new(promtool).arg("--version").output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers =
        text.split_once("version ").map_or("", |(_, rest)| rest).split('.').map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (3, 14))
}

fn help_of(promtool: &Path, command: &str) -> String {
    let output = Command::new(promtool)
        .args(command.split_whitespace())
        .arg("--help")
        .env("COLUMNS", "80")
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{command}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A help page without its texts: usage, then flags with defaults, arguments and commands, in order.
fn skeleton(help: &str) -> String {
    let mut out = String::new();
    let mut section = "";
    for line in help.lines() {
        let body = line.trim_start_matches(' ');
        let indent = line.len() - body.len();
        // Names are at the left edge of their section; everything further right is explanation.
        let name = body.split("  ").next().unwrap_or_default();
        match (section, indent) {
            _ if line.starts_with("usage: ") => out.push_str(&format!("{line}\n")),
            (_, 0) if ["Flags:", "Args:", "Commands:", "Subcommands:"].contains(&line) => {
                section = line;
                out.push_str(&format!("{line}\n"));
            }
            ("Flags:", 2 | 6) if name.starts_with('-') => out.push_str(&format!("  {name}\n")),
            ("Args:", 2) => out.push_str(&format!("  {name}\n")),
            ("Commands:" | "Subcommands:", 0) if !name.is_empty() => out.push_str(&format!("  {name}\n")),
            _ => {}
        }
    }
    out
}

#[test]
fn help_pages_list_what_promtool_lists() {
    let directory = tempfile::tempdir().expect("a directory");
    let promtool = directory.path().join("promtool");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ferula"), &promtool).expect("linked");
    let peer = ferula_testkit::shared::peer("promtool");
    let peer = peer.filter(|peer| is_wanted(peer));
    let mut known = std::fs::read_to_string(testdata("help.txt")).expect("the file is there");
    if let Some(peer) = &peer {
        let mut real = String::new();
        for section in known.split("##### ").skip(1) {
            let command = section.split('\n').next().unwrap_or_default();
            real.push_str(&format!("##### {command}\n{}", skeleton(&help_of(peer, command))));
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(testdata("help.txt"), &real).expect("written");
            known = real;
        } else {
            assert_eq!(known, real, "promtool itself");
        }
    }
    let mut compared = 0;
    for section in known.split("##### ").skip(1) {
        let (command, want) = section.split_once('\n').expect("a line with the command");
        assert_eq!(skeleton(&help_of(&promtool, command)), want, "{command}");
        compared += 1;
    }
    assert_eq!(compared, 38);
}

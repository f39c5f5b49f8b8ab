//! Runs the blocks of the documents.
//!
//! Each document has a directory of its own, and its ports (9090 and the like) are replaced by free ones, so documents
//! and tests can run at the same time.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::blocks::{Block, blocks};

/// Longer than any block takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Ports in the documents. Those that nothing listens on there stay free here.
const PORTS: [&str; 7] = ["9090", "9091", "9093", "9100", "3000", "8000", "50051"];
/// Those of services, which their code names without a colon.
const SERVICE_PORTS: [&str; 2] = ["8000", "50051"];
/// Fewer blocks mean that the documents were not found or not read.
const RUN_MIN: usize = 40;

/// What became of the blocks of all documents.
#[derive(Default)]
struct Counts {
    commands: usize,
    configurations: usize,
    left_out: Vec<String>,
    failures: Vec<String>,
}

/// The place where a document's blocks run.
pub struct Bench {
    name: String,
    directory: tempfile::TempDir,
    path: String,
    ports: BTreeMap<&'static str, u16>,
    servers: Vec<Server>,
}

struct Server {
    child: Child,
    log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bench {
    pub fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let bin = directory.path().join("bin");
        std::fs::create_dir_all(&bin).expect("created");
        for program in ["ferula", "promtool", "amtool", "alertmanager"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ferula"), bin.join(program)).expect("linked");
        }
        std::fs::create_dir(directory.path().join("work")).expect("created");
        // The shipped rules and examples, by the paths that the documents use.
        let config = ferula_testkit::shared::workspace_root().join("config");
        std::os::unix::fs::symlink(config, directory.path().join("work/config")).expect("linked");
        let ports = PORTS.iter().map(|port| (*port, ferula_free_port::free_port().expect("a free port")));
        Bench {
            name: name.to_owned(),
            path: format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()),
            ports: ports.collect(),
            servers: Vec::new(),
            directory,
        }
    }

    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// The text with the documents' ports replaced.
    pub fn with_ports(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (port, free) in &self.ports {
            text = text.replace(&format!(":{port}"), &format!(":{free}"));
        }
        text
    }

    /// The text with the ports of services replaced, also where no colon stands before them.
    pub fn with_bare_ports(&self, text: &str) -> String {
        SERVICE_PORTS
            .iter()
            .fold(text.to_owned(), |text, port| text.replace(port, &self.ports[port].to_string()))
    }

    /// Runs commands; returns whether they succeeded, and their output.
    pub fn shell(&self, script: &str) -> (bool, String) {
        self.shell_in(&self.work(), script, PATIENCE)
    }

    /// Runs commands in a directory for at most `patience`; returns whether they succeeded, and their output.
    pub fn shell_in(&self, directory: &Path, script: &str, patience: Duration) -> (bool, String) {
        let output = self.directory.path().join("output");
        let file = std::fs::File::create(&output).expect("created");
        let mut child = Command::new("/bin/sh")
            .args(["-euc", script])
            .current_dir(directory)
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the same file"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .expect("the shell starts");
        let began = Instant::now();
        let status = loop {
            match child.try_wait().expect("the shell can be asked") {
                Some(status) => break Some(status),
                None if began.elapsed() > patience => break None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        if status.is_none() {
            // SAFETY: `kill` only takes two numbers; the group is that of the child, which was not waited for yet.
            unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
            let _ = child.wait();
        }
        let mut text = std::fs::read_to_string(&output).unwrap_or_default();
        if status.is_none() {
            text.push_str("(it did not end)\n");
        }
        (status.is_some_and(|status| status.success()), text)
    }

    /// Starts a server and waits until it is ready.
    pub fn start(&mut self, command: &str) -> Result<(), String> {
        let is_alertmanager =
            command.starts_with("ferula alertmanager") || command.starts_with("alertmanager");
        let port = self.ports[if is_alertmanager { "9093" } else { "9090" }];
        let address = if command.contains("--web.listen-address") {
            String::new()
        } else {
            format!(" --web.listen-address=127.0.0.1:{port}")
        };
        let log = self.directory.path().join(format!("server{}.log", self.servers.len()));
        let file = std::fs::File::create(&log).expect("created");
        let child = Command::new("/bin/sh")
            .args(["-euc", &format!("exec {command}{address}")])
            .current_dir(self.work())
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the shell starts");
        self.servers.push(Server { child, log });
        let began = Instant::now();
        let server = self.servers.last_mut().expect("it was just added");
        loop {
            // Servers behind TLS are ready when they say so in the log.
            let said = std::fs::read_to_string(&server.log).unwrap_or_default();
            if is_ready(port) || said.contains("Server is ready to receive web requests") {
                return Ok(());
            }
            if server.child.try_wait().expect("it can be asked").is_some() || began.elapsed() > PATIENCE {
                return Err(format!("the server did not start:\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops all servers as Ctrl+C does.
    fn stop(&mut self) -> Result<(), String> {
        for mut server in std::mem::take(&mut self.servers) {
            // SAFETY: `kill` only takes two numbers; the child was not waited for yet, so the number is its own.
            unsafe { libc::kill(server.child.id() as i32, libc::SIGINT) };
            let began = Instant::now();
            while server.child.try_wait().expect("it can be asked").is_none() {
                if began.elapsed() > PATIENCE {
                    return Err("a server did not stop".to_owned());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Runs a block of commands. `expected` is what it must print, if the document shows that.
    fn commands(&mut self, block: &Block, expected: Option<&str>) -> Result<(), String> {
        if block.has("stops") {
            self.stop()?;
        }
        let is_failure = block.has("fails");
        let text = self.with_ports(&block.text);
        let mut script = String::new();
        for command in joined(&text) {
            if !is_server(&command) || is_failure {
                script.push_str(&command);
                script.push('\n');
                continue;
            }
            self.succeed(&std::mem::take(&mut script))?;
            self.start(&command)?;
        }
        let Some(expected) = expected else { return self.succeed(&script) };
        let expected = self.with_ports(expected);
        let began = Instant::now();
        loop {
            let (is_good, output) = self.shell(&script);
            let output = unquoted(&output);
            let missing: Vec<&str> = pieces(&expected).filter(|piece| !output.contains(*piece)).collect();
            if is_good != is_failure && missing.is_empty() {
                return Ok(());
            }
            // What a server shows may need another scrape.
            if is_failure || began.elapsed() > PATIENCE {
                return Err(format!("success: {is_good}, missing {missing:?} in:\n{script}\n{output}"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until the server that was started last has logged this.
    fn wait_for_log(&self, expected: &str) -> Result<(), String> {
        let expected = self.with_ports(expected);
        let server = self.servers.last().ok_or("no server was started")?;
        let began = Instant::now();
        loop {
            let said = unquoted(&std::fs::read_to_string(&server.log).unwrap_or_default());
            let missing: Vec<&str> = pieces(&expected).filter(|piece| !said.contains(*piece)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("the log does not have {missing:?}:\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn succeed(&self, script: &str) -> Result<(), String> {
        if script.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
            return Ok(());
        }
        let (is_good, output) = self.shell(script);
        if is_good { Ok(()) } else { Err(format!("it failed:\n{script}\n{output}")) }
    }

    /// Writes a configuration block to its file, and checks it.
    fn configuration(&self, block: &Block) -> Result<(), String> {
        let name = block.attributes.first().map_or("snippet.yml", String::as_str);
        let file = self.work().join(name);
        std::fs::create_dir_all(file.parent().expect("it is in a directory")).expect("created");
        std::fs::write(&file, self.with_ports(&block.text)).expect("written");
        let options = if block.has("syntax-only") { "--syntax-only " } else { "" };
        self.succeed(&format!("{} {options}{name}", check_of(name)))
    }
}

/// The command that checks files of this name.
fn check_of(name: &str) -> &'static str {
    match name {
        name if name.contains("alertmanager") => "ferula amtool check-config",
        name if name.starts_with("expectations") => {
            "ferula amtool config routes test --config.file=alertmanager.yml --expectations"
        }
        name if name.starts_with("tests/") => "ferula test rules",
        name if name.starts_with("rules/") => "ferula check rules",
        name if name.starts_with("web") => "ferula check web-config",
        name if name.starts_with("objectives") => "ferula slo validate",
        _ => "ferula check config",
    }
}

/// Whether a command is a server, which does not end.
fn is_server(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let program = words.next();
    let first = words.next().unwrap_or("--");
    match program {
        Some("ferula") if first == "alertmanager" => !command.contains(" --help"),
        Some("ferula" | "alertmanager") => {
            first.starts_with("--") && !["--help", "--version"].contains(&first)
        }
        _ => false,
    }
}

/// The lines of a script, with continued ones joined.
fn joined(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut is_continued = false;
    for line in text.lines() {
        let (part, continues) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        match all.last_mut().filter(|_| is_continued) {
            Some(last) => last.push_str(part.trim_start()),
            None => all.push(part.to_owned()),
        }
        is_continued = continues;
    }
    all
}

/// The literal parts of an expected output, in which `…` stands for anything.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('…')).map(str::trim).filter(|piece| !piece.is_empty())
}

/// A log line's quotes stand escaped in its values.
fn unquoted(text: &str) -> String {
    text.replace("\\\"", "\"")
}

fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut answer = String::new();
    let _ = stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n");
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1) == Some("200")
}

/// Whether a program is on the path of the test.
pub fn has_program(name: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(name).is_file())
}

fn run_document(path: &Path, counts: &mut Counts) {
    let name =
        path.strip_prefix(ferula_testkit::shared::workspace_root()).unwrap_or(path).display().to_string();
    let text = std::fs::read_to_string(path).expect("the document can be read");
    let all = blocks(&name, &text);
    // Later blocks depend on what earlier ones did, so the document is run as a whole or not at all.
    let needs_curl = all.iter().any(|block| block.language == "sh" && block.text.contains("curl "));
    if needs_curl && !has_program("curl") {
        counts.left_out.push(format!("{name}: curl is not installed here"));
        return;
    }
    let mut bench = Bench::new(&name);
    for (at, block) in all.iter().enumerate() {
        let place = format!("{}:{}", bench.name, block.line);
        let is_run = matches!(block.language.as_str(), "sh" | "yaml");
        if let Some(reason) = &block.left_out {
            if is_run {
                counts.left_out.push(format!("{place}: {reason}"));
            }
            continue;
        }
        let result = match block.language.as_str() {
            // The test of services runs these.
            "sh" if ["install", "service", "traffic"].iter().any(|it| block.has(it)) => Ok(()),
            "python" | "js" | "go" | "rust" if !block.attributes.is_empty() => Ok(()),
            "promql" => {
                counts.commands += 1;
                let query = block.text.trim();
                bench.succeed(&format!("ferula --experimental promql format '{query}'"))
            }
            "sh" => {
                counts.commands += 1;
                let next = all.get(at + 1).filter(|next| block.has("fails") || next.has("output"));
                let expected = next.map(|next| next.text.as_str());
                assert!(
                    expected.is_some() || !block.has("fails"),
                    "{place}: what does it print when it fails?"
                );
                bench.commands(block, expected)
            }
            "yaml" => {
                counts.configurations += 1;
                bench.configuration(block)
            }
            "text" if block.has("log") => bench.wait_for_log(&block.text),
            "text" => Ok(()),
            other => Err(format!(
                "`{other}` blocks are not run: say sh, yaml, promql, text, or a language and a file"
            )),
        };
        if let Err(why) = result {
            counts.failures.push(format!("{place}: {why}"));
        }
    }
}

#[test]
fn every_command_runs_and_every_configuration_loads() {
    let mut counts = Counts::default();
    let only = std::env::var("FERULA_DOCUMENT").unwrap_or_default();
    for path in crate::documents() {
        if path.display().to_string().contains(&only) {
            run_document(&path, &mut counts);
        }
    }
    println!(
        "{} blocks of commands run, {} configurations loaded, {} left out:",
        counts.commands,
        counts.configurations,
        counts.left_out.len()
    );
    counts.left_out.iter().for_each(|reason| println!("  {reason}"));
    assert!(counts.failures.is_empty(), "{}", counts.failures.join("\n"));
    assert!(
        !only.is_empty() || counts.commands + counts.configurations >= RUN_MIN,
        "hardly any block was run"
    );
}

#[test]
fn servers_are_told_from_commands() {
    for (command, server) in [
        ("ferula", true),
        ("ferula --config.file=x.yml", true),
        ("ferula alertmanager --config.file=a.yml", true),
        ("ferula --help", false),
        ("ferula check config x.yml", false),
        ("curl localhost:9090", false),
    ] {
        assert_eq!(is_server(command), server, "{command}");
    }
    assert_eq!(joined("a \\\n  b\nc\n"), ["a b", "c"]);
}

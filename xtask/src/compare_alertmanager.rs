//! `cargo xtask compare alertmanager`: ferula's Alertmanager and the real one under the same load at the same time.
//!
//! ```text
//! every 30 s: all alerts, 1 % of them changed, in posts of 1,000 ─▶ both ─▶ a webhook each
//! then, one program after the other: filters, groups, posts, new groups until they are told, kill -9 until ready
//! ```
//!
//! What is asked for is printed beside what was measured; the command fails only when an answer is wrong.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ferula_free_port::free_port;

use crate::compare::ferula_binary;
use crate::peer::{Process, Usage, get, percent_encode};

/// How much there is of what.
#[derive(Clone, Copy)]
struct Scale {
    alerts: usize,
    groups: usize,
    silences: usize,
    rules: usize,
    cycles: u32,
    cycle: Duration,
}

const WHOLE: Scale = Scale {
    alerts: 100_000,
    groups: 1000,
    silences: 500,
    rules: 50,
    cycles: 10,
    cycle: Duration::from_secs(30),
};
/// For trying the command itself.
const SHORT: Scale = Scale { alerts: 5000, groups: 100, cycles: 2, cycle: Duration::from_secs(5), ..WHOLE };
/// Alerts of one post.
const POSTED: usize = 1000;
/// Requests of each kind whose times are compared.
const PROBES: usize = 100;
/// Seconds that a new group waits before it is told.
const GROUP_WAIT: Duration = Duration::from_secs(1);

/// `cargo xtask compare alertmanager --peers DIR [--short]`
pub fn alertmanager(peers: &Path, is_short: bool) -> Result<()> {
    let scale = if is_short { SHORT } else { WHOLE };
    let work = std::env::temp_dir().join(format!("ferula-compare-alertmanager-{}", std::process::id()));
    let plain = run(peers, &work.join("plain"), scale, true)?;
    report("as usual", scale, &plain, None);
    let heavy = Scale { silences: 10_000, rules: 1000, cycles: scale.cycles.div_ceil(2), ..scale };
    // The real one is measured once; here ferula is compared with itself.
    let loaded = run(peers, &work.join("heavy"), heavy, false)?;
    report("with 10,000 silences and 1,000 inhibition rules", heavy, &loaded, plain.get("ferula"));
    idle_inside(&work.join("inside"))?;
    std::fs::remove_dir_all(&work).context("removing the work directory")
}

/// What was measured of one program.
#[derive(Default)]
struct Figures {
    cpu_per_minute: f64,
    usage: Usage,
    /// Milliseconds, sorted.
    times: HashMap<&'static str, Vec<f64>>,
}

impl Figures {
    fn percentile(&self, what: &str, percent: usize) -> f64 {
        let times = self.times.get(what).map_or(&[][..], Vec::as_slice);
        let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(at).copied().unwrap_or(f64::NAN)
    }
}

struct Side {
    process: Process,
    args: Vec<String>,
    program: PathBuf,
    log: PathBuf,
    hook: Hook,
}

impl Side {
    fn start(name: &str, program: &Path, work: &Path, scale: Scale) -> Result<Self> {
        let directory = work.join(name);
        std::fs::create_dir_all(&directory)?;
        let (hook, port) = (Hook::start()?, free_port()?);
        let config = directory.join("alertmanager.yml");
        std::fs::write(&config, configuration(scale, hook.port))?;
        let args = vec![
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", directory.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=".to_owned(),
        ];
        let log = directory.join("log");
        let args = if name == "ferula" {
            std::iter::once("alertmanager".to_owned()).chain(args).collect()
        } else {
            args
        };
        let mut process = Process::start(name, program, &args, &log, port)?;
        process.await_ready("/-/ready", Duration::from_secs(60))?;
        Ok(Side { process, args, program: program.to_owned(), log, hook })
    }

    fn post(&self, path: &str, body: &str) -> Result<Duration> {
        let started = Instant::now();
        let status = post(self.process.port, path, body)?;
        ensure!(status == 200, "{}: {path}: {status}", self.process.name);
        Ok(started.elapsed())
    }

    fn get(&self, path: &str) -> Result<Duration> {
        let started = Instant::now();
        let (status, _) = get(self.process.port, path)?;
        ensure!(status == 200, "{}: {path}: {status}", self.process.name);
        Ok(started.elapsed())
    }
}

fn configuration(scale: Scale, hook_port: u16) -> String {
    let mut yaml = format!(
        "route: {{receiver: hook, group_by: [group], group_wait: {}s, group_interval: 30s, repeat_interval: 1h}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{hook_port}/', max_alerts: 10}}]}}]\n\
         inhibit_rules:\n",
        GROUP_WAIT.as_secs()
    );
    for rule in 0..scale.rules {
        let _ = writeln!(
            yaml,
            "- {{source_matchers: [severity=critical, service=s{rule}], target_matchers: [severity=warning, service=s{rule}], equal: [cluster]}}"
        );
    }
    yaml
}

fn run(peers: &Path, work: &Path, scale: Scale, with_real: bool) -> Result<HashMap<String, Figures>> {
    let mut sides = vec![Side::start("ferula", &ferula_binary()?, work, scale)?];
    if with_real {
        sides.push(Side::start("alertmanager", &peers.join("alertmanager"), work, scale)?);
    }
    for side in &sides {
        for at in 0..scale.silences {
            side.post("/api/v2/silences", &silence(at))?;
        }
    }
    println!("{} silences set; {} cycles of {:?} begin", scale.silences, scale.cycles, scale.cycle);
    let mut figures: HashMap<String, Figures> =
        sides.iter().map(|side| (side.process.name.clone(), Figures::default())).collect();
    // The first cycle makes the alerts; what follows is measured.
    for cycle in 0..=scale.cycles {
        let started = Instant::now();
        let before: Vec<Usage> = sides.iter().map(|side| side.process.usage()).collect::<Result<_>>()?;
        for first in (0..scale.alerts).step_by(POSTED) {
            let body = alerts(scale, first, cycle);
            for side in &sides {
                let took = side.post("/api/v2/alerts", &body)?;
                if cycle > 0 {
                    note(&mut figures, side, "post of 1,000 alerts", took);
                }
            }
        }
        std::thread::sleep(scale.cycle.saturating_sub(started.elapsed()));
        for (side, before) in sides.iter().zip(before) {
            let cpu = side.process.usage()?.cpu_seconds - before.cpu_seconds;
            if cycle > 0
                && let Some(figures) = figures.get_mut(&side.process.name)
            {
                figures.cpu_per_minute +=
                    cpu * 60.0 / started.elapsed().as_secs_f64() / f64::from(scale.cycles);
            }
        }
    }
    for side in &mut sides {
        probe(side, scale, &mut figures)?;
    }
    for figures in figures.values_mut() {
        figures.times.values_mut().for_each(|times| times.sort_by(f64::total_cmp));
    }
    Ok(figures)
}

fn note(figures: &mut HashMap<String, Figures>, side: &Side, what: &'static str, took: Duration) {
    if let Some(figures) = figures.get_mut(&side.process.name) {
        figures.times.entry(what).or_default().push(took.as_secs_f64() * 1000.0);
    }
}

/// Requests to one program while the other one rests.
fn probe(side: &mut Side, scale: Scale, figures: &mut HashMap<String, Figures>) -> Result<()> {
    let usage = side.process.usage()?;
    if let Some(figures) = figures.get_mut(&side.process.name) {
        figures.usage = usage;
    }
    let filter = format!("/api/v2/alerts?filter={}", percent_encode("group=\"g7\""));
    for _ in 0..PROBES {
        let took = side.get(&filter)?;
        note(figures, side, "alerts with a filter", took);
    }
    let groups = format!("/api/v2/alerts/groups?filter={}", percent_encode("group=\"g7\""));
    for _ in 0..PROBES / 10 {
        let took = side.get(&groups)?;
        note(figures, side, "groups with a filter", took);
    }
    for _ in 0..3 {
        let took = side.get("/api/v2/alerts/groups")?;
        note(figures, side, "all groups", took);
    }
    // New groups, one after the other: from the end of their wait until the webhook has them.
    let mut expected = Vec::new();
    for at in 0..PROBES {
        let group = format!("probe{at}");
        let body = format!("[{{\"labels\":{{\"group\":\"{group}\",\"alertname\":\"Probe\"}}}}]");
        let sent = Instant::now();
        side.post("/api/v2/alerts", &body)?;
        expected.push((group, sent + GROUP_WAIT));
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(GROUP_WAIT + Duration::from_secs(2));
    let told = side.hook.told();
    for (group, due) in expected {
        let at = told.get(&group).with_context(|| format!("{}: {group} was not told", side.process.name))?;
        note(figures, side, "flush until its request", at.saturating_duration_since(due));
    }
    // `kill -9`, then until it is ready with all its alerts.
    side.process.signal("KILL")?;
    std::thread::sleep(Duration::from_millis(200));
    let started = Instant::now();
    side.process =
        Process::start(&side.process.name, &side.program, &side.args, &side.log, side.process.port)?;
    side.process.await_ready("/-/ready", Duration::from_secs(60))?;
    note(figures, side, "ready after kill -9", started.elapsed());
    let (_, body) = get(side.process.port, &filter)?;
    let known = String::from_utf8_lossy(&body).matches("\"fingerprint\"").count();
    println!(
        "{}: {known} of {} alerts of a group known after kill -9",
        side.process.name,
        scale.alerts / scale.groups
    );
    Ok(())
}

/// What is asked for, and what was measured.
fn report(title: &str, scale: Scale, figures: &HashMap<String, Figures>, base: Option<&Figures>) {
    println!(
        "\n{title}: {} alerts in {} groups, {} silences, {} inhibition rules",
        scale.alerts, scale.groups, scale.silences, scale.rules
    );
    let Some(ours) = figures.get("ferula") else { return };
    let other = figures.get("alertmanager").or(base);
    let name = if figures.contains_key("alertmanager") { "alertmanager" } else { "as usual" };
    println!("{:38} {:>12} {name:>12} {:>8}  asked for", "", "ferula", "ratio");
    let row = |what: &str, of: &dyn Fn(&Figures) -> f64, asked: &str| {
        let (own, theirs) = (of(ours), other.map_or(f64::NAN, of));
        println!("{what:38} {own:12.2} {theirs:12.2} {:8.2}  {asked}", own / theirs);
    };
    row("CPU seconds a minute", &|figures| figures.cpu_per_minute, "ratio at most 0.20");
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    row("resident MiB", &|figures| mib(figures.usage.resident_bytes), "ratio at most 0.33");
    row("peak MiB", &|figures| mib(figures.usage.resident_peak_bytes), "");
    for (what, asked) in [
        ("post of 1,000 alerts", "p99 at most 10 ms"),
        ("alerts with a filter", "at most 50 ms"),
        ("groups with a filter", ""),
        ("all groups", "at most 100 ms"),
        ("flush until its request", "p99 at most 20 ms"),
        ("ready after kill -9", "at most 300 ms"),
    ] {
        row(&format!("{what}, p50 ms"), &|figures| figures.percentile(what, 50), "");
        row(&format!("{what}, p99 ms"), &|figures| figures.percentile(what, 99), asked);
    }
}

/// What an Alertmanager that nothing happens in adds to the server.
fn idle_inside(work: &Path) -> Result<()> {
    std::fs::create_dir_all(work)?;
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let file = work.join(name);
        std::fs::write(&file, text)?;
        Ok(file)
    };
    let server = write("prometheus.yml", "global: {}\n")?;
    let own = write("am.yml", "route: {receiver: a}\nreceivers: [{name: a}]\n")?;
    let mut resident = Vec::new();
    for with in [false, true] {
        let port = free_port()?;
        let mut args = vec![
            format!("--config.file={}", server.display()),
            format!("--storage.tsdb.path={}", work.join(format!("data{with}")).display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        if with {
            args.push(format!("--alertmanager.config.file={}", own.display()));
        }
        let log = work.join(format!("log{with}"));
        let mut process = Process::start("ferula", &ferula_binary()?, &args, &log, port)?;
        process.await_ready("/-/ready", Duration::from_secs(60))?;
        std::thread::sleep(Duration::from_secs(10));
        resident.push(process.usage()?.resident_bytes as f64 / 1_048_576.0);
    }
    println!(
        "\ninside the server, idle: {:.1} MiB with, {:.1} MiB without: {:+.1} MiB (asked for: at most 2)",
        resident[1],
        resident[0],
        resident[1] - resident[0]
    );
    Ok(())
}

fn silence(at: usize) -> String {
    // Every tenth one is an expression; few cover an alert.
    let (value, is_regexp) = match at % 10 {
        0 => (format!("i{at}-.*|j{at}"), true),
        _ => (format!("i{at}"), false),
    };
    format!(
        "{{\"matchers\":[{{\"name\":\"instance\",\"value\":\"{value}\",\"isRegex\":{is_regexp}}},\
         {{\"name\":\"service\",\"value\":\"s{}\",\"isRegex\":false}}],\
         \"startsAt\":\"2020-01-01T00:00:00Z\",\"endsAt\":\"2099-01-01T00:00:00Z\",\"createdBy\":\"compare\",\"comment\":\"c\"}}",
        at % 50
    )
}

/// A post of alerts. In every cycle another hundredth of them has another annotation.
fn alerts(scale: Scale, first: usize, cycle: u32) -> String {
    let mut body = String::from("[");
    for at in first..(first + POSTED).min(scale.alerts) {
        if body.len() > 1 {
            body.push(',');
        }
        let changed = if at % 100 == cycle as usize % 100 { cycle } else { 0 };
        let severity = if at % 200 == 0 { "critical" } else { "warning" };
        let _ = write!(
            body,
            "{{\"labels\":{{\"alertname\":\"A{}\",\"group\":\"g{}\",\"instance\":\"host{at}.example:9100\",\"job\":\"node\",\
             \"cluster\":\"c{}\",\"service\":\"s{}\",\"severity\":\"{severity}\"}},\
             \"annotations\":{{\"summary\":\"Something is wrong with host {at}\",\"value\":\"{changed}\"}},\
             \"startsAt\":\"2026-01-01T00:00:00Z\",\"endsAt\":\"2099-01-01T00:00:00Z\",\
             \"generatorURL\":\"http://prometheus.example/graph?g0.expr=up\"}}",
            at % 40,
            at % scale.groups,
            at % 500,
            at % 60
        );
    }
    body.push(']');
    body
}

/// A POST over HTTP/1.0; returns the status.
fn post(port: u16, path: &str, body: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = String::from_utf8_lossy(&answer);
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer has a status")
}

/// A webhook that notes when each group was told first.
struct Hook {
    port: u16,
    told: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Hook {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let hook = Hook { port: listener.local_addr()?.port(), told: Arc::default() };
        let told = hook.told.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let told = told.clone();
                std::thread::spawn(move || take(&stream, &told));
            }
        });
        Ok(hook)
    }

    fn told(&self) -> HashMap<String, Instant> {
        self.told.lock().map(|told| told.clone()).unwrap_or_default()
    }
}

fn take(stream: &TcpStream, told: &Mutex<HashMap<String, Instant>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            match line.trim().to_lowercase().strip_prefix("content-length: ") {
                Some(text) => length = text.parse().unwrap_or(0),
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let now = Instant::now();
        let body = String::from_utf8_lossy(&body);
        let group =
            body.split_once("\"groupLabels\":{\"group\":\"").and_then(|(_, rest)| rest.split_once('"'));
        if let (Some((group, _)), Ok(mut told)) = (group, told.lock()) {
            told.entry(group.to_owned()).or_insert(now);
        }
        let mut writer = stream;
        if writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

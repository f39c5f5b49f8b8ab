//! What receivers send and how they fail, compared with what Alertmanager 0.33.1 did with the same
//! configuration, alerts and answers: `testdata/alertmanager/receivers`. If `FERULA_PEERS` has the real
//! program, it is run as well.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_alertmanager::receiver::{
    Integration, KeptValues, Notification, NotifyError, Reason, Record, Sent, build,
};
use ferula_alertmanager::{Alert, Labels, Time};
use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};
use ferula_runtime::RealClock;
use ferula_testkit::played_api::{Play, PlayedServer, ReceivedRequest, untrusted};
use ferula_testkit::shared::{peer, workspace_root};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const EXTERNAL_URL: &str = "http://am.example";
const STARTS: &str = "2026-01-02T03:04:05.678+01:00";
const OTHER_ENDS: &str = "2026-01-02T03:04:05.698+01:00";
const ENDS: &str = "2026-01-02T03:05:05.678+01:00";

#[derive(Clone, Debug, Deserialize)]
struct Case {
    name: String,
    config: serde_yaml::Value,
    #[serde(default)]
    answers: Vec<Answer>,
    mail: Option<MailServer>,
    /// Alertmanager connects before it notices that there is nothing to send; ferula checks first.
    #[serde(default)]
    fails_unsent: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Answer {
    status: u16,
    #[serde(default = "plain", rename = "type")]
    content_type: String,
    #[serde(default)]
    body: String,
}

fn plain() -> String {
    "text/plain".to_owned()
}

#[derive(Clone, Debug, Deserialize)]
struct MailServer {
    extensions: Vec<String>,
    #[serde(default)]
    tls: bool,
}

/// The outcome of a case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Outcome {
    requests: Vec<Request>,
    /// Why attempts failed, and whether each was retried.
    errors: Vec<(String, bool)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Request {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

fn data_file(name: &str) -> PathBuf {
    workspace_root().join("testdata/alertmanager/receivers").join(name)
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string(data_file("cases.yml")).expect("the file is part of the project");
    serde_yaml::from_str(&text).expect("cases")
}

fn recorded() -> BTreeMap<String, Outcome> {
    let text = fs::read_to_string(data_file("recorded.json")).expect("the file is part of the project");
    serde_json::from_str(&text).expect("recorded outcomes")
}

/// The text of each mail dialogue; `None` until it ends.
type Letters = Arc<Mutex<Vec<Option<String>>>>;

/// The servers of one case.
struct Stage {
    server: PlayedServer,
    secure: PlayedServer,
    proxy: String,
    mail: String,
    letters: Letters,
    files: tempfile::TempDir,
}

impl Stage {
    async fn of(case: &Case) -> Self {
        let script = |case: &Case| {
            let (answers, next) = (case.answers.clone(), Mutex::new(0));
            move |_: &ReceivedRequest| {
                let mut next = next.lock().expect("a test");
                let answer = answers.get(*next).or(answers.last());
                *next += 1;
                match answer {
                    None => Play::Raw("200 OK", "Content-Type: text/plain\r\n".to_owned(), b"ok".to_vec()),
                    Some(answer) => Play::Raw(
                        status(answer.status),
                        format!("Content-Type: {}\r\n", answer.content_type),
                        answer.body.clone().into_bytes(),
                    ),
                }
            }
        };
        let server = PlayedServer::start(script(case)).await;
        let secure = PlayedServer::start_tls(script(case)).await;
        let letters = Arc::default();
        let proxy = proxy_to(secure.address.clone()).await;
        let mail = mail_server(case.mail.clone(), Arc::clone(&letters)).await;
        let files = tempfile::tempdir().expect("a directory");
        for (name, text) in [
            ("url", format!("http://{}/from/file\n", server.address)),
            ("secret", "from file \n".to_owned()),
            ("number", " 42\n".to_owned()),
        ] {
            fs::write(files.path().join(name), text).expect("written");
        }
        Stage { server, secure, proxy, mail, letters, files }
    }

    fn names(&self) -> [(&'static str, String); 4] {
        [
            ("SERVER", self.server.address.clone()),
            ("PROXY", self.proxy.clone()),
            ("MAIL", self.mail.clone()),
            ("FILES", self.files.path().display().to_string()),
        ]
    }

    /// The receiver, with the addresses of these servers.
    fn receiver(&self, case: &Case) -> String {
        let text = serde_json::to_string(&case.config).expect("plain data");
        let text = self.names().iter().fold(text, |text, (name, value)| text.replace(name, value));
        format!("{{\"name\":\"{}\",{}", case.name, text.trim_start_matches('{'))
    }

    fn unnamed(&self, text: &str) -> String {
        self.names().iter().fold(text.to_owned(), |text, (name, value)| text.replace(value, name))
    }

    fn requests(&self, times: &[(String, &str)]) -> Vec<Request> {
        let times =
            |text: &str| times.iter().fold(text.to_owned(), |text, (ours, name)| text.replace(ours, name));
        let mut all = Vec::new();
        for (server, prefix) in [(&self.server, ""), (&self.secure, "https://")] {
            for request in server.requests.lock().expect("a test").iter() {
                let host = if prefix.is_empty() { "" } else { request.headers["host"].as_str() };
                all.push(Request {
                    line: self.unnamed(&format!("{} {prefix}{host}{}", request.method, request.target)),
                    headers: shown_headers(&request.headers),
                    body: self.unnamed(&times(&request.body)),
                });
            }
        }
        for letter in self.letters.lock().expect("a test").iter().flatten() {
            all.push(Request { line: "SMTP".to_owned(), headers: BTreeMap::new(), body: steady(letter) });
        }
        all
    }
}

fn status(code: u16) -> &'static str {
    match code {
        200 => "200 OK",
        201 => "201 Created",
        202 => "202 Accepted",
        204 => "204 No Content",
        400 => "400 Bad Request",
        401 => "401 Unauthorized",
        403 => "403 Forbidden",
        404 => "404 Not Found",
        422 => "422 Unprocessable Entity",
        429 => "429 Too Many Requests",
        500 => "500 Internal Server Error",
        502 => "502 Bad Gateway",
        503 => "503 Service Unavailable",
        other => panic!("no line for {other}"),
    }
}

/// The headers, except those that depend on the connection, the time or a library.
fn shown_headers(headers: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let hidden = ["host", "user-agent", "content-length", "accept-encoding", "connection"];
    let is_shown = |name: &str| {
        !hidden.contains(&name)
            && !name.starts_with("amz-")
            && !name.starts_with("x-amz-")
            && name != "traceparent"
    };
    let shown = headers.iter().filter(|(name, _)| is_shown(name));
    shown
        .map(|(name, value)| {
            let signed = value.starts_with("AWS4-HMAC-SHA256");
            // The rest of a signature depends on the time.
            let value = if signed { value.split('/').next().unwrap_or_default() } else { value };
            (name.clone(), value.to_owned())
        })
        .collect()
}

/// Replaces the random and time-dependent parts of a mail, and sorts its headers.
fn steady(letter: &str) -> String {
    let boundary = letter.split_once("boundary=").and_then(|(_, rest)| rest.split("\r\n").next());
    let letter = boundary.map_or_else(|| letter.to_owned(), |boundary| letter.replace(boundary, "BOUNDARY"));
    let Some((before, rest)) = letter.split_once("DATA\r\n") else { return letter };
    let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
    let mut headers: Vec<String> = head
        .split("\r\n")
        .map(|line| match line.split_once(": ") {
            Some(("Date", _)) => "Date: DATE".to_owned(),
            Some(("Message-Id", id)) if id != "<own@x>" => "Message-Id: ID".to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    headers.sort_unstable();
    format!("{before}DATA\r\n{}\r\n\r\n{body}", headers.join("\r\n"))
}

/// A proxy that connects every tunnel to one server.
async fn proxy_to(server: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match client.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let mut behind = TcpStream::connect(server).await.expect("the server runs");
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok();
                tokio::io::copy_bidirectional(&mut client, &mut behind).await.ok();
            });
        }
    });
    address
}

async fn mail_server(mail: Option<MailServer>, letters: Letters) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let Some(mail) = mail else { return address };
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mail, letters) = (mail.clone(), letters.clone());
            let index = {
                let mut letters = letters.lock().expect("a test");
                letters.push(None);
                letters.len() - 1
            };
            tokio::spawn(async move {
                let mut said = String::new();
                if mail.tls {
                    if let Ok(client) = untrusted().accept(client).await {
                        mail_conversation(client, &mail, &mut said, true).await;
                    }
                } else {
                    let mut client = client;
                    if mail_conversation(&mut client, &mail, &mut said, true).await
                        && let Ok(client) = untrusted().accept(client).await
                    {
                        let rest = MailServer {
                            extensions: mail
                                .extensions
                                .iter()
                                .filter(|name| *name != "STARTTLS")
                                .cloned()
                                .collect(),
                            tls: true,
                        };
                        mail_conversation(client, &rest, &mut said, false).await;
                    }
                }
                letters.lock().expect("a test")[index] = Some(said);
            });
        }
    });
    address
}

/// Accepts everything except recipients named `bad`; returns `true` when TLS has to start.
async fn mail_conversation(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mail: &MailServer,
    said: &mut String,
    greets: bool,
) -> bool {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.get_mut().write_all(b"220 mail\r\n").await.ok();
    }
    let (mut in_data, mut login_steps, mut cram) = (false, 0, false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        said.push_str(&line);
        let reply = match line.trim_end() {
            "." if in_data => {
                in_data = false;
                "250 taken".to_owned()
            }
            _ if in_data => continue,
            _ if cram => {
                cram = false;
                "235 in".to_owned()
            }
            _ if login_steps > 0 => {
                login_steps -= 1;
                if login_steps == 1 { "334 UGFzc3dvcmQ6".to_owned() } else { "235 in".to_owned() }
            }
            "DATA" => {
                in_data = true;
                "354 continue".to_owned()
            }
            "STARTTLS" => {
                stream.get_mut().write_all(b"220 begin\r\n").await.ok();
                return true;
            }
            "AUTH LOGIN" => {
                login_steps = 2;
                "334 VXNlcm5hbWU6".to_owned()
            }
            "AUTH CRAM-MD5" => {
                cram = true;
                "334 PDFAeD4=".to_owned()
            }
            "QUIT" => "221 bye".to_owned(),
            line if line.starts_with("EHLO") => {
                let mut lines = vec!["mail".to_owned()];
                lines.extend(mail.extensions.iter().cloned());
                let last = lines.len() - 1;
                let shown = lines
                    .iter()
                    .enumerate()
                    .map(|(index, line)| format!("250{}{line}", if index == last { ' ' } else { '-' }));
                shown.collect::<Vec<_>>().join("\r\n")
            }
            line if line.starts_with("AUTH PLAIN") => "235 in".to_owned(),
            line if line.contains("<bad@") => "550 nobody".to_owned(),
            _ => "250 ok".to_owned(),
        };
        stream.get_mut().write_all(format!("{reply}\r\n").as_bytes()).await.ok();
    }
}

fn labels(case: &str, instance: &str) -> Labels {
    [
        ("alertname", "DiskFull"),
        ("case", case),
        ("instance", instance),
        ("job", "node"),
        ("severity", "critical"),
        ("note", "<b>&\"ü'\u{2028}+"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn annotations(instance: &str) -> Labels {
    [
        ("summary", format!("Disk \"/\" of {instance} is full")),
        ("description", "line 1\nline 2 <i>é</i>".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

const GENERATOR: &str = "http://prom.example/graph?g0.expr=up%3D%3D0&x=1";

fn alert(case: &str, instance: &str, ends_at: Time) -> Alert {
    let starts_at = Time::parse_rfc3339(STARTS).expect("a time");
    Alert::new(&labels(case, instance), &annotations(instance), starts_at, ends_at, GENERATOR)
}

fn configuration(receivers: &[String], routes: &[String]) -> String {
    format!(
        "{{\"route\":{{\"receiver\":\"none\",\"group_by\":[\"alertname\"],\"group_wait\":\"500ms\",\
         \"group_interval\":\"4s\",\"routes\":[{}]}},\"receivers\":[{{\"name\":\"none\"}},{}]}}",
        routes.join(","),
        receivers.join(",")
    )
}

fn route(case: &Case) -> String {
    let name = &case.name;
    format!("{{\"receiver\":\"{name}\",\"matchers\":[\"case=\\\"{name}\\\"\"]}}")
}

/// Sends firing alerts through our integration, and then resolved ones.
async fn ours(case: &Case) -> Outcome {
    let stage = Stage::of(case).await;
    let yaml = configuration(&[stage.receiver(case)], &[route(case)]);
    let config = AlertmanagerConfig::parse(&yaml, MatcherSyntax::Fallback)
        .unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let built = build(&config, EXTERNAL_URL, &RealClock::shared()).expect("good receivers");
    let [integration] = built[&case.name].as_slice() else { panic!("{}: one integration", case.name) };
    let time = |text: &str| Time::parse_rfc3339(text).expect("a time");
    let first = [alert(&case.name, "h1:9100", Time::ZERO), alert(&case.name, "h2:9100", time(OTHER_ENDS))];
    let second = [alert(&case.name, "h1:9100", time(ENDS))];
    let mut errors = Vec::new();
    let kept =
        notify(integration, case, &first, Reason::FirstNotification, &KeptValues::new(), &mut errors).await;
    // Alerts that were never sent are not sent as resolved.
    if let Some(kept) = kept.filter(|_| integration.send_resolved) {
        notify(integration, case, &second, Reason::AllAlertsResolved, &kept, &mut errors).await;
    }
    for _ in 0..1000 {
        if stage.letters.lock().expect("a test").iter().all(Option::is_some) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let errors = errors.into_iter().map(|error| (stage.unnamed(&error.text), error.retry)).collect();
    Outcome { requests: stage.requests(&[]), errors }
}

/// Makes attempts until the result is final; returns the kept data on success.
async fn notify(
    integration: &Integration,
    case: &Case,
    alerts: &[Alert],
    reason: Reason,
    kept: &KeptValues,
    errors: &mut Vec<NotifyError>,
) -> Option<KeptValues> {
    let group_key = format!("{{}}/{{case=\"{}\"}}:{{alertname=\"DiskFull\"}}", case.name);
    let group_labels = Labels::from([("alertname".to_owned(), "DiskFull".to_owned())]);
    let now = Time::parse_rfc3339("2026-01-02T05:00:00Z").expect("a time");
    let sent: Vec<Alert> = alerts
        .iter()
        .filter(|alert| integration.send_resolved || !alert.is_resolved_at(now))
        .cloned()
        .collect();
    let record = Record::on();
    let notification = Notification {
        receiver: &case.name,
        group_key: &group_key,
        group_labels: &group_labels,
        alerts: &sent,
        now,
        repeat_interval: Duration::from_secs(4 * 3600),
        reason,
        kept,
        record: &record,
        // As Alertmanager does it: what fails ends the attempt.
        rendering: None,
    };
    for _ in 0..4 {
        match integration.notifier.notify(&notification).await {
            Ok(Sent { kept }) => return Some(kept),
            Err(error) => {
                let ends = !error.retry;
                errors.push(error);
                if ends {
                    return None;
                }
            }
        }
    }
    None
}

/// Deduplicates the errors of repeated attempts, whose number depends on timing.
fn once(mut outcome: Outcome) -> Outcome {
    outcome.errors.dedup();
    outcome.requests.dedup();
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_errors_are_those_of_alertmanager() {
    let recorded = recorded();
    let mut wrong = Vec::new();
    let cases = cases();
    assert_eq!(cases.len(), recorded.len());
    for case in &cases {
        let (ours, mut theirs) = (once(ours(case).await), once(recorded[&case.name].clone()));
        if case.fails_unsent {
            theirs.requests.clear();
        }
        if ours != theirs {
            let show = |outcome: &Outcome| serde_json::to_string_pretty(outcome).expect("plain data");
            wrong.push(format!(
                "{}\n--- Alertmanager\n{}\n+++ ours\n{}",
                case.name,
                show(&theirs),
                show(&ours)
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

/// The real program, killed at the end of the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorded_behaviour_is_that_of_the_real_alertmanager() {
    let Some(alertmanager) = peer("alertmanager") else { return };
    let cases = cases();
    let mut stages = Vec::new();
    for case in &cases {
        stages.push(Stage::of(case).await);
    }
    let receivers: Vec<String> =
        cases.iter().zip(&stages).map(|(case, stage)| stage.receiver(case)).collect();
    let routes: Vec<String> = cases.iter().map(route).collect();
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("am.yml"), configuration(&receivers, &routes)).expect("written");
    let port = ferula_free_port::free_port().expect("a port");
    let log = fs::File::create(directory.path().join("log")).expect("a file");
    let child = Command::new(alertmanager)
        .current_dir(directory.path())
        .args([
            "--config.file=am.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
            "--log.format=json",
        ])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(format!("--web.external-url={EXTERNAL_URL}"))
        .arg("--log.level=debug")
        .stderr(Stdio::from(log))
        .spawn()
        .expect("the real Alertmanager starts");
    let _peer = Peer(child);
    let times = tell(port, &cases).await;
    let outcomes = || {
        let log = fs::read_to_string(directory.path().join("log")).expect("a log");
        let outcome_of = |(case, stage): (&Case, &Stage)| {
            let errors = errors_of(&log, &case.name).into_iter();
            let errors = errors.map(|(text, again)| (stage.unnamed(&text), again)).collect();
            (case.name.clone(), once(Outcome { requests: stage.requests(&times), errors }))
        };
        cases.iter().zip(&stages).map(outcome_of).collect::<BTreeMap<_, _>>()
    };
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        tokio::time::sleep(Duration::from_secs(12)).await;
        let outcomes = outcomes();
        let text = serde_json::to_string_pretty(&outcomes).expect("plain data");
        fs::write(data_file("recorded.json"), text + "\n").expect("written");
        return;
    }
    let recorded = recorded();
    let expected = |name: &str| once(recorded[name].clone());
    let deadline = std::time::Instant::now() + Duration::from_secs(180);
    while outcomes().iter().any(|(name, outcome)| *outcome != expected(name)) {
        if std::time::Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for (name, outcome) in outcomes() {
        assert_eq!(outcome, expected(&name), "{name}");
    }
}

/// Posts the alerts of all cases, then their resolution. Returns the times used, with placeholders for them.
async fn tell(port: u16, cases: &[Case]) -> Vec<(String, &'static str)> {
    let now = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        // Milliseconds without a trailing zero, because the API omits such zeros.
        let millis = now.as_millis() as i64 / 10 * 10 + 7;
        Time { offset_seconds: 3600, ..Time::from_unix_nanos(millis * 1_000_000) }
    };
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let starts = now();
    let (other_ends, ends) = (starts.plus(Duration::from_millis(20)), starts.plus(Duration::from_secs(2)));
    let json = |case: &str, instance: &str, ends: Option<Time>| {
        let ends = ends.map(|ends| format!(",\"endsAt\":\"{}\"", ends.rfc3339_nanos())).unwrap_or_default();
        format!(
            "{{\"labels\":{},\"annotations\":{},\"generatorURL\":\"{GENERATOR}\",\"startsAt\":\"{}\"{ends}}}",
            serde_json::to_string(&labels(case, instance)).expect("plain data"),
            serde_json::to_string(&annotations(instance)).expect("plain data"),
            starts.rfc3339_nanos()
        )
    };
    let first = cases
        .iter()
        .flat_map(|case| [json(&case.name, "h1:9100", None), json(&case.name, "h2:9100", Some(other_ends))]);
    post(port, &format!("[{}]", first.collect::<Vec<_>>().join(","))).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let second = cases.iter().map(|case| json(&case.name, "h1:9100", Some(ends)));
    post(port, &format!("[{}]", second.collect::<Vec<_>>().join(","))).await;
    vec![
        (starts.rfc3339_nanos(), STARTS),
        (other_ends.rfc3339_nanos(), OTHER_ENDS),
        (ends.rfc3339_nanos(), ENDS),
    ]
}

async fn post(port: u16, body: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the real Alertmanager listens");
    let head = format!(
        "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The errors in the log about failed attempts of a receiver.
fn errors_of(log: &str, receiver: &str) -> Vec<(String, bool)> {
    let mut errors = Vec::new();
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let text = line["err"].as_str().unwrap_or_default();
        match line["msg"].as_str().unwrap_or_default() {
            "Notify attempt failed, will retry later" if line["receiver"] == receiver => {
                errors.push((text.to_owned(), true));
            }
            "Notify for alerts failed" => {
                let Some(rest) = text.strip_prefix(&format!("{receiver}/")) else { continue };
                if let Some((_, error)) = rest.split_once("unrecoverable error after ")
                    && let Some((_, error)) = error.split_once(" attempts: ")
                {
                    errors.push((error.to_owned(), false));
                }
            }
            _ => {}
        }
    }
    errors
}

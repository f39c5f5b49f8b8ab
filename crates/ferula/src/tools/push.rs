//! `ferula push metrics`: sends pages of metrics to a remote write receiver.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use ferula_exposition::families::{Family, FamilyMetric, parse_families};
use ferula_go::float::format_g;
use ferula_go::quote::go_quote;
use ferula_http_client::Method;
use ferula_model::MetricType;
use ferula_model::labels::NameScheme;
use ferula_remote::protobuf::{push_varint, put_bytes, put_double, put_varint};

use super::args::{Args, Argument, Command, Flag, ValueKind, argument, flag, open_error};
use super::http::{self, Server};
use super::moment;

const LABEL: Flag =
    flag("label", ValueKind::Pairs, "A label for every series, as NAME=VALUE. May be repeated.")
        .default("job=promtool");
const TIMEOUT: Flag = flag("timeout", ValueKind::Duration, "How long one request may take.").default("30s");
const HEADER: Flag =
    flag("header", ValueKind::Pairs, "A header of the request, as NAME=VALUE. May be repeated.");
const MESSAGE: Flag = flag(
    "protobuf_message",
    ValueKind::Text,
    "The remote write message to send: prometheus.WriteRequest (version 1) or io.prometheus.write.v2.Request (version 2).",
)
.default(VERSION_1);
const PATH: Flag = flag("remote-write.path", ValueKind::Text, "The remote write path below the URL.")
    .default("/api/v1/write");
const URL: Argument =
    argument("remote-write-url", ValueKind::Url, "The URL of the server, without the remote write path.")
        .required();
const FILES: Argument =
    argument("metric-files", ValueKind::Files, "Pages of metrics to send; by default, standard input.");

/// `push`
pub const COMMAND: Command = Command {
    name: "push",
    help: "Send samples to a server.",
    flags: &[http::CONFIG_FILE],
    arguments: &[],
    commands: &[Command::new("metrics", "Send pages of metrics by remote write, to test a receiver.", run)
        .flags(&[LABEL, TIMEOUT, HEADER, MESSAGE, PATH])
        .arguments(&[URL, FILES])],
    run: None,
    is_ours: false,
    is_default: false,
};

const VERSION_1: &str = "prometheus.WriteRequest";
const VERSION_2: &str = "io.prometheus.write.v2.Request";
/// How often a request is retried.
const RETRIES_MAX: u32 = 10;
const BACKOFF_MAX: Duration = Duration::from_secs(10);

fn run(args: &Args) -> ExitCode {
    let server = match Server::new(args, args.required(URL), &args.pairs(HEADER)) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let message = args.text(MESSAGE);
    if ![VERSION_1, VERSION_2].contains(&message) {
        let given = go_quote(message);
        eprintln!("  FAILED: invalid protobuf message {given}, must be {VERSION_1} or {VERSION_2}");
        return ExitCode::FAILURE;
    }
    let files = args.arguments(FILES);
    if files.is_empty() {
        let mut page = Vec::new();
        let read = std::io::stdin().read_to_end(&mut page);
        println!("Parsing standard input");
        return match read.map_err(Into::into).and_then(|_| push(args, &server, &page)) {
            Ok(()) => {
                println!("  SUCCESS: metrics pushed to remote write.");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("  FAILED: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let mut failed = false;
    for file in files {
        let pushed =
            std::fs::read(file).map_err(|error| anyhow!(open_error(file, &error))).and_then(|page| {
                println!("Parsing metrics file {file}");
                push(args, &server, &page)
            });
        match pushed {
            Ok(()) => println!("  SUCCESS: metrics file {file} pushed to remote write."),
            Err(error) => {
                eprintln!("  FAILED: {error:#}");
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn push(args: &Args, server: &Server, page: &[u8]) -> Result<()> {
    let families = parse_families(page, NameScheme::Utf8)?;
    let now = moment::now().timestamp().millis();
    let series: Vec<Series> =
        families.iter().flat_map(|family| series_of(family, &args.pairs(LABEL), now)).collect();
    let version_2 = args.text(MESSAGE) == VERSION_2;
    let message = if version_2 { encode_2(&families, &series) } else { encode_1(&families, &series) };
    let body = ferula_remote::snappy::encode(&message);
    let headers = match version_2 {
        true => [
            ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
            ("x-prometheus-remote-write-version", "2.0.0"),
            ("content-encoding", "snappy"),
        ],
        false => [
            ("content-type", "application/x-protobuf;proto=prometheus.WriteRequest"),
            ("x-prometheus-remote-write-version", "0.1.0"),
            ("content-encoding", "snappy"),
        ],
    };
    let timeout = args.duration(TIMEOUT);
    let url = server.at(args.text(PATH));
    // Called as promtool, every text is promtool's.
    let is_promtool = args.program == "promtool";
    let mut backoff = Duration::from_secs(1);
    let mut retries = 0;
    loop {
        let answer = server.call(Method::POST, &url, &headers, body.clone(), timeout);
        let (error, again) = match answer {
            Ok(answer) if answer.code / 100 == 2 => {
                let written = |name: &str| answer.headers.get(name).is_some_and(|number| number != "0");
                let stated = answer.headers.contains_key("x-prometheus-remote-write-samples-written");
                if version_2
                    && !series.is_empty()
                    && !(stated && written("x-prometheus-remote-write-samples-written"))
                {
                    bail!(
                        "sent v2 request; got 2xx, but PRW 2.0 response header statistics indicate 0 samples, 0 \
                         histograms and 0 exemplars were accepted; assuming failure e.g. the target only supports PRW \
                         1.0 prometheus.WriteRequest, but does not check the Content-Type header correctly"
                    );
                }
                return Ok(());
            }
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.body);
                let again = answer.code / 100 == 5 || answer.code == 429;
                let error = format!("server returned HTTP status {}: {}", answer.status, text.trim_end());
                let error = match (is_promtool, meant(args)) {
                    (true, _) => anyhow!("server returned HTTP status {}: {text}", answer.status),
                    (false, None) => anyhow!(error).context(format!("POST {}", address(args))),
                    (false, Some(url)) => {
                        anyhow!("{error}; did you mean {url}?").context(format!("POST {}", address(args)))
                    }
                };
                (error, again)
            }
            Err(error) => (error, true),
        };
        if !again || retries == RETRIES_MAX {
            return Err(error);
        }
        if !is_promtool {
            eprintln!("  {error:#}; trying again in {} s", backoff.as_secs());
        }
        server.sleep(backoff);
        backoff = (backoff * 2).min(BACKOFF_MAX);
        retries += 1;
    }
}

/// The server's URL without user and password.
fn server_url(args: &Args) -> String {
    let url = args.required(URL).trim_end_matches('/');
    let (scheme, rest) = url.split_once("//").unwrap_or(("", url));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}//{host}")
}

/// The request URL: the server's URL and the path.
fn address(args: &Args) -> String {
    format!("{}{}", server_url(args), args.text(PATH))
}

/// The URL that was probably meant, if the path of remote write is part of the one that was given.
fn meant(args: &Args) -> Option<String> {
    let path = args.text(PATH).trim_end_matches('/');
    server_url(args).strip_suffix(path).filter(|_| !path.is_empty()).map(str::to_owned)
}

/// A series with its single sample.
struct Series {
    family: String,
    labels: BTreeMap<String, String>,
    value: f64,
    timestamp: i64,
}

fn series_of(family: &Family, extra: &BTreeMap<&str, &str>, now: i64) -> Vec<Series> {
    let mut out = Vec::new();
    for metric in &family.metrics {
        let mut labels: BTreeMap<String, String> =
            extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for (name, value) in &metric.labels {
            let name = if name == "job" { "exported_job" } else { name };
            labels.insert(name.to_owned(), value.clone());
        }
        let timestamp = metric.timestamp.filter(|time| *time != 0).unwrap_or(now);
        for (suffix, bound, value) in parts(family.kind, metric) {
            let mut labels = labels.clone();
            labels.insert("__name__".into(), format!("{}{suffix}", family.name));
            if let Some((name, bound)) = bound {
                labels.insert(name.into(), format_g(bound));
            }
            out.push(Series { family: family.name.clone(), labels, value, timestamp });
        }
    }
    out
}

/// The samples of a metric: name suffix, `quantile` or `le`, value.
fn parts(kind: MetricType, metric: &FamilyMetric) -> Vec<(&'static str, Option<(&'static str, f64)>, f64)> {
    let (suffix, label) = match kind {
        MetricType::Summary => ("", "quantile"),
        MetricType::Histogram | MetricType::GaugeHistogram => ("_bucket", "le"),
        _ => return vec![("", None, metric.value)],
    };
    let mut all: Vec<_> =
        metric.parts.iter().map(|(bound, value)| (suffix, Some((label, *bound)), *value)).collect();
    if label == "le" && !metric.parts.iter().any(|(bound, _)| *bound == f64::INFINITY) {
        all.push((suffix, Some((label, f64::INFINITY)), metric.count));
    }
    all.push(("_sum", None, metric.sum));
    all.push(("_count", None, metric.count));
    all
}

/// `prometheus.WriteRequest`
fn encode_1(families: &[Family], series: &[Series]) -> Vec<u8> {
    let mut out = Vec::new();
    for series in series {
        let mut message = Vec::new();
        for (name, value) in &series.labels {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut message, 1, &label);
        }
        put_bytes(&mut message, 2, &sample(series));
        put_bytes(&mut out, 1, &message);
    }
    for family in families {
        let mut metadata = Vec::new();
        put_varint(&mut metadata, 1, u64::from(family.kind.number()));
        put_bytes(&mut metadata, 2, family.name.as_bytes());
        put_bytes(&mut metadata, 4, family.help.as_deref().unwrap_or_default().as_bytes());
        put_bytes(&mut out, 3, &metadata);
    }
    out
}

fn sample(series: &Series) -> Vec<u8> {
    let mut sample = Vec::new();
    put_double(&mut sample, 1, series.value);
    put_varint(&mut sample, 2, series.timestamp as u64);
    sample
}

/// `io.prometheus.write.v2.Request`
fn encode_2(families: &[Family], series: &[Series]) -> Vec<u8> {
    let mut symbols: Vec<String> = vec![String::new()];
    let mut numbers: BTreeMap<String, u64> = BTreeMap::from([(String::new(), 0)]);
    let mut number = |text: &str| {
        *numbers.entry(text.to_owned()).or_insert_with(|| {
            symbols.push(text.to_owned());
            symbols.len() as u64 - 1
        })
    };
    let about: BTreeMap<&str, &Family> =
        families.iter().map(|family| (family.name.as_str(), family)).collect();
    let mut out = Vec::new();
    for series in series {
        let mut refs = Vec::new();
        for (name, value) in &series.labels {
            for text in [name, value] {
                push_varint(&mut refs, number(text));
            }
        }
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &refs);
        put_bytes(&mut message, 2, &sample(series));
        let mut metadata = Vec::new();
        if let Some(family) = about.get(series.family.as_str()) {
            put_varint(&mut metadata, 1, u64::from(family.kind.number()));
            put_varint(&mut metadata, 3, number(family.help.as_deref().unwrap_or_default()));
        }
        put_bytes(&mut message, 5, &metadata);
        put_bytes(&mut out, 5, &message);
    }
    let mut with_symbols = Vec::new();
    for symbol in &symbols {
        put_bytes(&mut with_symbols, 4, symbol.as_bytes());
    }
    with_symbols.extend_from_slice(&out);
    with_symbols
}

//! Sources of remote read with prescribed answers, which record their requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use ferula_go::protobuf::{push_varint, put_bytes, put_double, put_varint};
use ferula_remote::snappy;

/// An answer.
#[derive(Clone)]
pub struct Answer {
    pub status: &'static str,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

/// A source that is played.
pub struct Source {
    /// `host:port`
    pub address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    answer: Answer,
    requests: Vec<Vec<u8>>,
}

impl Source {
    /// Starts one that answers this.
    pub fn start(answer: Answer) -> Source {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let state = Arc::new(Mutex::new(State { answer, requests: Vec::new() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                // A client that has gone is no matter.
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Source { address, state }
    }

    /// From now on answers this.
    pub fn answer(&self, answer: Answer) {
        self.state.lock().expect("no panic").answer = answer;
    }

    /// The requests since the last call, unpacked, in any order.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        let mut requests = std::mem::take(&mut self.state.lock().expect("no panic").requests);
        requests.sort();
        requests
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer = {
        let mut state = state.lock().expect("no panic");
        state.requests.push(snappy::decode(&body).map_err(std::io::Error::other)?);
        state.answer.clone()
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.content_type,
        answer.body.len()
    );
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes())?;
    stream.write_all(&answer.body)
}

/// The time of the last sample, in milliseconds; they are 15 s apart.
pub const LAST_MS: i64 = 1_600_000_000_000;
const VALUES: [f64; 5] = [1.0, 2.5, 4.0, 8.0, 16.0];
/// These five samples as a chunk, which another encoder wrote.
const CHUNK: &str = "0005c0d6ecf6905d3ff00000000000009875c26fff5ac3ad416d60c0";
/// The first two, and the two behind them.
const HALVES: [&str; 2] =
    ["0002c0d6ecf6905d3ff00000000000009875c26fff40", "0002a0abf0f6905d40100000000000009875d416"];

type Labels<'a> = &'a [(&'a str, &'a [u8])];

/// A series by its job, with an external label of the readers.
pub const JOB_A: Labels<'static> = &[("__name__", b"m"), ("dc", b"here"), ("job", b"a")];
pub const JOB_B: Labels<'static> = &[("__name__", b"m"), ("dc", b"here"), ("job", b"b")];

fn time(index: usize) -> i64 {
    LAST_MS - 15_000 * (4 - index as i64)
}

fn put_labels(out: &mut Vec<u8>, labels: Labels<'_>) {
    for (name, value) in labels {
        let mut label = Vec::new();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value);
        put_bytes(out, 1, &label);
    }
}

/// A series of a sampled answer, with the samples of these numbers.
pub fn series(labels: Labels<'_>, samples: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    put_labels(&mut out, labels);
    for index in samples {
        let mut sample = Vec::new();
        put_double(&mut sample, 1, VALUES[*index]);
        put_varint(&mut sample, 2, time(*index) as u64);
        put_bytes(&mut out, 2, &sample);
    }
    out
}

/// A series with two integer histograms.
pub fn histograms(labels: Labels<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_labels(&mut out, labels);
    for (index, count) in [(2usize, 12u64), (4, 14)] {
        let mut histogram = Vec::new();
        put_varint(&mut histogram, 1, count);
        put_double(&mut histogram, 3, 18.4);
        put_double(&mut histogram, 5, 0.001);
        put_varint(&mut histogram, 6, 2);
        // Two buckets from number 0 on: 3, and the rest.
        put_bytes(&mut histogram, 11, &[0x10, 2]);
        let second = (count - 2 - 3 - 3) * 2;
        put_bytes(&mut histogram, 12, &[6, second as u8]);
        put_varint(&mut histogram, 15, time(index) as u64);
        put_bytes(&mut out, 4, &histogram);
    }
    out
}

fn ok(content_type: &'static str, body: Vec<u8>) -> Answer {
    Answer { status: "200 OK", content_type, body }
}

/// An answer of samples: the series of each result.
pub fn sampled(results: &[&[Vec<u8>]]) -> Answer {
    let mut message = Vec::new();
    for all in results {
        let mut result = Vec::new();
        all.iter().for_each(|series| put_bytes(&mut result, 1, series));
        put_bytes(&mut message, 1, &result);
    }
    packed(&message)
}

/// An answer of samples with any message.
pub fn packed(message: &[u8]) -> Answer {
    ok("application/x-protobuf", snappy::encode(message))
}

/// A chunk of these samples.
pub enum Chunk {
    All,
    Half(usize),
    /// Of a kind that does not exist.
    Unknown,
}

/// A frame of a stream.
pub fn frame(labels: Labels<'_>, chunks: &[Chunk]) -> Vec<u8> {
    let mut series = Vec::new();
    put_labels(&mut series, labels);
    for chunk in chunks {
        let (first, last, kind, hex) = match chunk {
            Chunk::All => (0, 4, 1, CHUNK),
            Chunk::Half(half) => (2 * half, 2 * half + 1, 1, HALVES[*half]),
            Chunk::Unknown => (0, 4, 9, CHUNK),
        };
        let bytes = hex.as_bytes().chunks(2).map(|digits| {
            let text = std::str::from_utf8(digits).expect("digits");
            u8::from_str_radix(text, 16).expect("digits")
        });
        let mut message = Vec::new();
        put_varint(&mut message, 1, time(first) as u64);
        put_varint(&mut message, 2, time(last) as u64);
        put_varint(&mut message, 3, kind);
        put_bytes(&mut message, 4, &bytes.collect::<Vec<u8>>());
        put_bytes(&mut series, 2, &message);
    }
    let mut message = Vec::new();
    put_bytes(&mut message, 1, &series);
    let mut frame = Vec::new();
    push_varint(&mut frame, message.len() as u64);
    frame.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// A stream of frames.
pub fn chunked(frames: &[&[u8]]) -> Answer {
    ok("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse", frames.concat())
}

//! Hand-made requests of remote write 1.0 and 2.0: the compared data must not be written and read by the same
//! code.

/// One series of a request, with at most one sample of each kind.
#[derive(Clone, Default)]
pub struct Series {
    /// Names and values, sorted by name.
    pub labels: Vec<(String, String)>,
    /// Start timestamp, 0 for none; only sent in version 2.
    pub start: i64,
    /// Timestamp and value.
    pub float: Option<(i64, f64)>,
    /// Timestamp and value.
    pub histogram: Option<(i64, Histogram)>,
    /// Timestamp, value and trace ID.
    pub exemplar: Option<(i64, f64, String)>,
}

/// A native histogram as encoded in a request.
#[derive(Clone, Default)]
pub struct Histogram {
    /// Whether counts are floats.
    pub float: bool,
    /// −4 to 8, or −53 for custom buckets.
    pub schema: i64,
    /// Bounds of custom buckets.
    pub custom_values: Vec<f64>,
    /// Samples in the zero bucket.
    pub zero_count: u64,
    /// Spans on the positive side.
    pub positive_spans: Vec<(i64, u64)>,
    /// Counts of the buckets, not deltas.
    pub positive_counts: Vec<u64>,
    /// Spans on the negative side.
    pub negative_spans: Vec<(i64, u64)>,
    /// Counts of the buckets, not deltas.
    pub negative_counts: Vec<u64>,
    /// 3 for a gauge.
    pub reset_hint: u64,
    /// The sum; it alone marks the end of a series (staleness).
    pub sum: f64,
}

/// The message of the protocol.
#[derive(Clone, Copy, Debug)]
pub enum Version {
    /// `prometheus.WriteRequest`
    One,
    /// `io.prometheus.write.v2.Request`
    Two,
}

impl Version {
    /// Content type and the other headers of a request.
    pub fn headers(self) -> &'static str {
        match self {
            Version::One => {
                "application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0"
            }
            Version::Two => {
                "application/x-protobuf;proto=io.prometheus.write.v2.Request\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 2.0.0"
            }
        }
    }
}

/// The body of a request, as a snappy block.
pub fn body(version: Version, series: &[Series]) -> Vec<u8> {
    let mut out = Message::default();
    match version {
        Version::One => series.iter().for_each(|series| out.message(1, one(series))),
        Version::Two => {
            let mut symbols = Symbols(vec![String::new()]);
            let all: Vec<Message> = series.iter().map(|series| two(series, &mut symbols)).collect();
            symbols.0.iter().for_each(|symbol| out.bytes(4, symbol.as_bytes()));
            all.into_iter().for_each(|message| out.message(5, message));
        }
    }
    snappy(&out.0)
}

fn one(series: &Series) -> Message {
    let mut out = Message::default();
    let label = |name: &str, value: &str| {
        let mut out = Message::default();
        out.bytes(1, name.as_bytes());
        out.bytes(2, value.as_bytes());
        out
    };
    series.labels.iter().for_each(|(name, value)| out.message(1, label(name, value)));
    if let Some((at, value)) = series.float {
        out.message(2, sample(at, value));
    }
    if let Some((at, value, trace)) = &series.exemplar {
        let mut exemplar = Message::default();
        exemplar.message(1, label("trace_id", trace));
        exemplar.double(2, *value);
        exemplar.int(3, *at as u64);
        out.message(3, exemplar);
    }
    if let Some((at, value)) = &series.histogram {
        out.message(4, histogram(*at, value));
    }
    out
}

struct Symbols(Vec<String>);

impl Symbols {
    fn number(&mut self, text: &str) -> u64 {
        let place = self.0.iter().position(|symbol| symbol == text);
        place.unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        }) as u64
    }
}

fn two(series: &Series, symbols: &mut Symbols) -> Message {
    let mut out = Message::default();
    let refs = series.labels.iter().flat_map(|(name, value)| [symbols.number(name), symbols.number(value)]);
    out.packed(1, refs.collect::<Vec<_>>());
    if let Some((at, value)) = series.float {
        let mut sample = sample(at, value);
        sample.int(3, series.start as u64);
        out.message(2, sample);
    }
    if let Some((at, value)) = &series.histogram {
        let mut histogram = histogram(*at, value);
        histogram.int(17, series.start as u64);
        out.message(3, histogram);
    }
    if let Some((at, value, trace)) = &series.exemplar {
        let mut exemplar = Message::default();
        exemplar.packed(1, [symbols.number("trace_id"), symbols.number(trace)]);
        exemplar.double(2, *value);
        exemplar.int(3, *at as u64);
        out.message(4, exemplar);
    }
    let mut metadata = Message::default();
    metadata.int(1, if series.histogram.is_some() { 3 } else { 1 });
    metadata.int(3, symbols.number("What it counts."));
    out.message(5, metadata);
    out
}

fn sample(at: i64, value: f64) -> Message {
    let mut out = Message::default();
    out.double(1, value);
    out.int(2, at as u64);
    out
}

/// The same fields in both versions.
fn histogram(at: i64, h: &Histogram) -> Message {
    let mut out = Message::default();
    let count = h.zero_count + h.positive_counts.iter().chain(&h.negative_counts).sum::<u64>();
    let spans = |out: &mut Message, field, spans: &[(i64, u64)]| {
        for (offset, length) in spans {
            let mut span = Message::default();
            span.int(1, zigzag(*offset));
            span.int(2, *length);
            out.message(field, span);
        }
    };
    let buckets = |out: &mut Message, field, counts: &[u64]| {
        if h.float {
            out.packed_doubles(field + 1, counts.iter().map(|count| *count as f64 + 0.5));
            return;
        }
        let mut last = 0;
        let deltas = counts.iter().map(|count| {
            let delta = *count as i64 - last;
            last = *count as i64;
            zigzag(delta)
        });
        out.packed(field, deltas.collect::<Vec<_>>());
    };
    if h.float {
        let halves = (h.positive_counts.len() + h.negative_counts.len()) as f64 / 2.0;
        out.double(2, count as f64 + halves);
        out.double(7, h.zero_count as f64);
    } else {
        out.int(1, count);
        out.int(6, h.zero_count);
    }
    out.double(3, h.sum);
    out.int(4, zigzag(h.schema));
    if h.custom_values.is_empty() {
        out.double(5, 1e-128);
    }
    spans(&mut out, 8, &h.negative_spans);
    buckets(&mut out, 9, &h.negative_counts);
    spans(&mut out, 11, &h.positive_spans);
    buckets(&mut out, 12, &h.positive_counts);
    out.int(14, h.reset_hint);
    out.int(15, at as u64);
    out.packed_doubles(16, h.custom_values.iter().copied());
    out
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// A protobuf message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn int(&mut self, field: u64, number: u64) {
        self.varint(field << 3);
        self.varint(number);
    }

    fn double(&mut self, field: u64, number: f64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, message: Message) {
        self.bytes(field, &message.0);
    }

    fn packed(&mut self, field: u64, numbers: impl IntoIterator<Item = u64>) {
        let mut packed = Message::default();
        numbers.into_iter().for_each(|number| packed.varint(number));
        if !packed.0.is_empty() {
            self.message(field, packed);
        }
    }

    fn packed_doubles(&mut self, field: u64, numbers: impl Iterator<Item = f64>) {
        let bytes: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
        if !bytes.is_empty() {
            self.bytes(field, &bytes);
        }
    }
}

/// A snappy block of literals only.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    const LITERAL_MAX: usize = 1 << 16;
    let mut out = Message::default();
    out.varint(bytes.len() as u64);
    for literal in bytes.chunks(LITERAL_MAX) {
        // Tag 61: the length less one follows in two bytes.
        out.0.push(61 << 2);
        out.0.extend_from_slice(&((literal.len() - 1) as u16).to_le_bytes());
        out.0.extend_from_slice(literal);
    }
    out.0
}

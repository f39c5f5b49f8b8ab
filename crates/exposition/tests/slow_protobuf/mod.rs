//! A slow, simple reader of protobuf pages: first a tree of every message, then rows.

use std::sync::Arc;

use ferula_exposition::PageOptions;
use ferula_model::MetricType;
use ferula_model::histogram::{
    ClassicHistogram, CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span,
};

pub type Labels = Vec<(String, String)>;
/// Labels, bits of the value, time.
pub type Exemplar = (Labels, u64, Option<i64>);

/// The elements of a page, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    Help(String, String),
    Unit(String, String),
    Type(String, MetricType),
    Sample { labels: Labels, value: u64, timestamp: Option<i64>, start: i64, exemplars: Vec<Exemplar> },
    Histogram { labels: Labels, value: String, timestamp: Option<i64>, start: i64, exemplars: Vec<Exemplar> },
}

/// A field as encoded.
#[derive(Clone, Debug)]
enum Field {
    Number(u64),
    Fixed(u64),
    Bytes(Vec<u8>),
    Other,
}

struct Message(Vec<(u32, Field)>);

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for index in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).wrapping_shl(7 * index);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

/// The value of a field of this wire type.
fn value(bytes: &mut &[u8], wire_type: u64) -> Option<Field> {
    Some(match wire_type {
        0 => Field::Number(varint(bytes)?),
        1 => Field::Fixed(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?)),
        2 => {
            let length = varint(bytes)?;
            Field::Bytes(take(bytes, length)?.to_vec())
        }
        3 => loop {
            let tag = varint(bytes)?;
            if tag & 7 == 4 {
                return Some(Field::Other);
            }
            value(bytes, tag & 7)?;
        },
        5 => {
            take(bytes, 4)?;
            Field::Other
        }
        _ => return None,
    })
}

impl Message {
    fn read(mut bytes: &[u8]) -> Option<Message> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let number = u32::try_from((tag >> 3) as i32).ok().filter(|number| *number > 0)?;
            fields.push((number, value(&mut bytes, tag & 7)?));
        }
        Some(Message(fields))
    }

    fn all(&self, wanted: u32) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(move |(number, _)| *number == wanted).map(|(_, field)| field)
    }

    fn bytes(&self, wanted: u32) -> Option<Vec<Vec<u8>>> {
        let one = |field: &Field| if let Field::Bytes(bytes) = field { Some(bytes.clone()) } else { None };
        self.all(wanted).map(one).collect()
    }

    /// The last one, if any.
    fn text(&self, wanted: u32) -> Option<Option<Vec<u8>>> {
        Some(self.bytes(wanted)?.pop())
    }

    fn messages(&self, wanted: u32) -> Option<Vec<Message>> {
        self.bytes(wanted)?.iter().map(|bytes| Message::read(bytes)).collect()
    }

    /// All messages of a field, merged.
    fn merged(&self, wanted: u32) -> Option<Message> {
        Some(Message(self.messages(wanted)?.into_iter().flat_map(|message| message.0).collect()))
    }

    fn number(&self, wanted: u32) -> Option<u64> {
        let one = |field: &Field| if let Field::Number(number) = field { Some(*number) } else { None };
        Some(self.all(wanted).map(one).collect::<Option<Vec<_>>>()?.pop().unwrap_or(0))
    }

    fn double(&self, wanted: u32) -> Option<f64> {
        let one = |field: &Field| if let Field::Fixed(bits) = field { Some(*bits) } else { None };
        Some(f64::from_bits(self.all(wanted).map(one).collect::<Option<Vec<_>>>()?.pop().unwrap_or(0)))
    }

    fn sints(&self, wanted: u32) -> Option<Vec<i64>> {
        let mut all = Vec::new();
        for field in self.all(wanted) {
            match field {
                Field::Number(number) => all.push(zigzag(*number)),
                Field::Bytes(packed) => {
                    let mut packed = packed.as_slice();
                    while !packed.is_empty() {
                        all.push(zigzag(varint(&mut packed)?));
                    }
                }
                _ => return None,
            }
        }
        Some(all)
    }

    fn doubles(&self, wanted: u32) -> Option<Vec<f64>> {
        let mut all = Vec::new();
        for field in self.all(wanted) {
            match field {
                Field::Fixed(bits) => all.push(f64::from_bits(*bits)),
                Field::Bytes(packed) => {
                    let mut packed = packed.as_slice();
                    while !packed.is_empty() {
                        all.push(f64::from_le_bytes(take(&mut packed, 8)?.try_into().ok()?));
                    }
                }
                _ => return None,
            }
        }
        Some(all)
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn time(message: &Message) -> Option<i64> {
    let (seconds, nanos) = (message.number(1)? as i64, message.number(2)? as i32);
    Some(seconds.wrapping_mul(1000).wrapping_add(i64::from(nanos / 1_000_000)))
}

/// The last timestamp of a field, if any.
fn last_time(message: &Message, wanted: u32) -> Option<Option<i64>> {
    let times: Option<Vec<i64>> = message.messages(wanted)?.iter().map(time).collect();
    Some(times?.pop())
}

/// Labels of a metric or an exemplar, as sent; a name that is present but empty is invalid.
fn labels(message: &Message) -> Option<Labels> {
    let mut labels = Vec::new();
    for pair in message.messages(1)? {
        let name = pair.text(1)?;
        if name.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        labels.push((
            String::from_utf8(name.unwrap_or_default()).ok()?,
            String::from_utf8(pair.text(2)?.unwrap_or_default()).ok()?,
        ));
    }
    Some(labels)
}

/// The exemplar, unless its labels are invalid.
fn exemplar(message: &Message) -> Option<Option<Exemplar>> {
    let (value, at) = (message.double(2)?.to_bits(), last_time(message, 3)?);
    for pair in message.messages(1)? {
        pair.text(1)?;
        pair.text(2)?;
    }
    let mut labels = Vec::new();
    for pair in message.messages(1)? {
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default()).ok();
        let (Some(name), Some(value)) = (text(pair.text(1)?), text(pair.text(2)?)) else {
            return Some(None);
        };
        labels.push((name, value));
    }
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    Some(Some((labels, value, at)))
}

fn last_exemplar(message: &Message, wanted: u32) -> Option<Option<Option<Exemplar>>> {
    let all: Option<Vec<_>> = message.messages(wanted)?.iter().map(exemplar).collect();
    Some(all?.pop())
}

fn spans(message: &Message, wanted: u32) -> Option<Vec<Span>> {
    let span = |span: &Message| {
        Some(Span { offset: zigzag(span.number(1)?) as i32, length: span.number(2)? as u32 })
    };
    message.messages(wanted)?.iter().map(span).collect()
}

/// The samples of a page; `None` if it is invalid.
pub fn read(mut page: &[u8], options: PageOptions) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    while !page.is_empty() {
        if page.iter().take(5).all(|byte| byte & 0x80 != 0) {
            return None;
        }
        let length = varint(&mut page)?;
        let family = Message::read(take(&mut page, length)?)?;
        read_family(&family, options, &mut rows)?;
    }
    Some(rows)
}

fn read_family(family: &Message, options: PageOptions, rows: &mut Vec<Row>) -> Option<()> {
    let text = |number| family.text(number).map(Option::unwrap_or_default);
    let (name, help, unit) = (text(1)?, text(2)?, text(5)?);
    let kind = match family.number(3)? as i32 {
        0 => MetricType::Counter,
        1 => MetricType::Gauge,
        2 => MetricType::Summary,
        3 => MetricType::Unknown,
        4 => MetricType::Histogram,
        5 => MetricType::GaugeHistogram,
        _ if family.bytes(4)?.is_empty() => return Some(()),
        _ => return None,
    };
    let metrics = family.messages(4)?;
    if metrics.is_empty() {
        return Some(());
    }
    let name = String::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    rows.push(Row::Help(name.clone(), String::from_utf8(help).ok()?));
    if !unit.is_empty() {
        rows.push(Row::Unit(name.clone(), String::from_utf8_lossy(&unit).into_owned()));
    }
    rows.push(Row::Type(name.clone(), kind));
    for metric in &metrics {
        read_metric(metric, &name, kind, options, rows)?;
    }
    Some(())
}

fn read_metric(
    metric: &Message,
    name: &str,
    kind: MetricType,
    options: PageOptions,
    rows: &mut Vec<Row>,
) -> Option<()> {
    metric.bytes(1)?;
    let (gauge, counter, summary) = (metric.merged(2)?, metric.merged(3)?, metric.merged(4)?);
    let (untyped, histogram) = (metric.merged(5)?, metric.merged(7)?);
    let (gauge_value, untyped_value) = (gauge.double(1)?, untyped.double(1)?);
    let counter_parts = (counter.double(1)?, last_exemplar(&counter, 2)?, last_time(&counter, 3)?);
    let quantiles: Option<Vec<(f64, f64)>> =
        summary.messages(3)?.iter().map(|pair| Some((pair.double(1)?, pair.double(2)?))).collect();
    let summary_parts = (summary.number(1)?, summary.double(2)?, quantiles?, last_time(&summary, 4)?);
    let parts = histogram_parts(&histogram)?;
    let timestamp = Some(metric.number(6)? as i64).filter(|millis| *millis != 0);
    let own = labels(metric)?;
    let row =
        |suffix: &str, extra: Option<(&str, f64)>, value: f64, start: Option<i64>, exemplars| Row::Sample {
            labels: all_labels(&own, &format!("{name}{suffix}"), extra),
            value: value.to_bits(),
            timestamp,
            start: start.filter(|_| options.start_timestamps).unwrap_or(0),
            exemplars,
        };
    match kind {
        MetricType::Gauge => rows.push(row("", None, gauge_value, None, Vec::new())),
        MetricType::Counter => {
            let exemplars = counter_parts.1.flatten().into_iter().collect();
            rows.push(row("", None, counter_parts.0, counter_parts.2, exemplars));
        }
        MetricType::Summary => {
            let (count, sum, quantiles, start) = summary_parts;
            rows.push(row("_count", None, count as f64, start, Vec::new()));
            rows.push(row("_sum", None, sum, start, Vec::new()));
            for (quantile, value) in quantiles {
                rows.push(row("", Some(("quantile", quantile)), value, start, Vec::new()));
            }
        }
        MetricType::Histogram | MetricType::GaugeHistogram => {
            let is_native = options.native_histograms && parts.is_native;
            let start = parts.start;
            let sample = |value: HistogramValue| Row::Histogram {
                labels: all_labels(&own, name, None),
                value: format!("{value:?}"),
                timestamp,
                start: start.filter(|_| options.start_timestamps).unwrap_or(0),
                exemplars: parts.timed_exemplars(),
            };
            if is_native {
                rows.push(sample(parts.native(kind)?));
            }
            let classic = if is_native {
                options.keep_classic && !parts.buckets.is_empty()
            } else {
                options.keep_classic || !options.custom_buckets
            };
            if classic {
                rows.push(row("_count", None, parts.count(), start, Vec::new()));
                rows.push(row("_sum", None, parts.sum, start, Vec::new()));
                let end = parts.buckets.iter().position(|(bound, ..)| *bound == f64::INFINITY);
                for (bound, count, exemplar) in
                    &parts.buckets[..end.map_or(parts.buckets.len(), |end| end + 1)]
                {
                    let exemplars = exemplar.clone().flatten().into_iter().collect();
                    rows.push(row("_bucket", Some(("le", *bound)), *count, start, exemplars));
                }
                if end.is_none() {
                    rows.push(row("_bucket", Some(("le", f64::INFINITY)), parts.count(), start, Vec::new()));
                }
            }
            if options.custom_buckets && !is_native {
                rows.push(sample(parts.custom(kind)?));
            }
        }
        _ => rows.push(row("", None, untyped_value, None, Vec::new())),
    }
    Some(())
}

fn all_labels(own: &Labels, name: &str, extra: Option<(&str, f64)>) -> Labels {
    let mut all = vec![("__name__".to_owned(), name.to_owned())];
    all.extend(own.iter().cloned());
    if let Some((label, number)) = extra {
        let mut text = ferula_go::float::format_g(number);
        if number == 0.0 {
            text = "0.0".to_owned();
        } else if number.is_finite() && !text.contains(['e', '.']) {
            text.push_str(".0");
        }
        all.push((label.to_owned(), text));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

struct HistogramFields {
    counts: (u64, f64),
    sum: f64,
    /// Bound, count and exemplar.
    buckets: Vec<(f64, f64, Option<Option<Exemplar>>)>,
    start: Option<i64>,
    is_native: bool,
    exemplars: Vec<Option<Exemplar>>,
    integer: Histogram,
    float: FloatHistogram,
}

fn histogram_parts(message: &Message) -> Option<HistogramFields> {
    let mut buckets = Vec::new();
    for bucket in message.messages(3)? {
        let (count, float) = (bucket.number(1)?, bucket.double(4)?);
        let count = if float == 0.0 { count as f64 } else { float };
        buckets.push((bucket.double(2)?, count, last_exemplar(&bucket, 3)?));
    }
    let exemplars: Option<Vec<_>> = message.messages(16)?.iter().map(exemplar).collect();
    let (positive_spans, negative_spans) = (spans(message, 12)?, spans(message, 9)?);
    let (zero_threshold, zero_count) = (message.double(6)?, message.number(7)?);
    let schema = zigzag(message.number(5)?) as i32;
    Some(HistogramFields {
        counts: (message.number(1)?, message.double(4)?),
        sum: message.double(2)?,
        buckets,
        start: last_time(message, 15)?,
        is_native: !positive_spans.is_empty()
            || !negative_spans.is_empty()
            || zero_threshold > 0.0
            || zero_count > 0,
        exemplars: exemplars?,
        integer: Histogram {
            schema,
            zero_threshold,
            zero_count,
            count: message.number(1)?,
            sum: message.double(2)?,
            positive_spans: positive_spans.clone(),
            negative_spans: negative_spans.clone(),
            positive_buckets: message.sints(13)?,
            negative_buckets: message.sints(10)?,
            ..Histogram::default()
        },
        float: FloatHistogram {
            schema,
            zero_threshold,
            zero_count: message.double(8)?,
            count: message.double(4)?,
            sum: message.double(2)?,
            positive_spans,
            negative_spans,
            positive_buckets: message.doubles(14)?,
            negative_buckets: message.doubles(11)?,
            ..FloatHistogram::default()
        },
    })
}

fn fits(spans: &[Span], buckets: usize) -> bool {
    spans.iter().map(|span| u64::from(span.length)).sum::<u64>() == buckets as u64
}

impl HistogramFields {
    fn count(&self) -> f64 {
        if self.counts.1 == 0.0 { self.counts.0 as f64 } else { self.counts.1 }
    }

    fn timed_exemplars(&self) -> Vec<Exemplar> {
        let of_buckets = || self.buckets.iter().filter_map(|(_, _, exemplar)| exemplar.clone()).collect();
        let all = if self.exemplars.is_empty() { of_buckets() } else { self.exemplars.clone() };
        all.into_iter().flatten().filter(|(_, _, at)| at.is_some()).collect()
    }

    fn native(&self, kind: MetricType) -> Option<HistogramValue> {
        let hint = hint(kind);
        if self.float.count > 0.0 || self.float.zero_count > 0.0 {
            let mut float = self.float.clone();
            if !fits(&float.positive_spans, float.positive_buckets.len())
                || !fits(&float.negative_spans, float.negative_buckets.len())
            {
                return None;
            }
            float.counter_reset_hint = hint;
            float.compact(0);
            return Some(HistogramValue::Float(Arc::new(float)));
        }
        let mut integer = self.integer.clone();
        if !fits(&integer.positive_spans, integer.positive_buckets.len())
            || !fits(&integer.negative_spans, integer.negative_buckets.len())
        {
            return None;
        }
        integer.counter_reset_hint = hint;
        integer.compact(0);
        Some(HistogramValue::Integer(Arc::new(integer)))
    }

    fn custom(&self, kind: MetricType) -> Option<HistogramValue> {
        let mut classic = ClassicHistogram::new();
        classic.set_count(self.count());
        classic.set_sum(self.sum);
        for (bound, count, _) in &self.buckets {
            classic.set_bucket(*bound, *count);
        }
        Some(match classic.convert().ok()? {
            HistogramValue::Integer(h) => HistogramValue::Integer(Arc::new(Histogram {
                counter_reset_hint: hint(kind),
                ..(*h).clone()
            })),
            HistogramValue::Float(h) => HistogramValue::Float(Arc::new(FloatHistogram {
                counter_reset_hint: hint(kind),
                ..(*h).clone()
            })),
        })
    }
}

fn hint(kind: MetricType) -> CounterResetHint {
    if kind == MetricType::GaugeHistogram { CounterResetHint::Gauge } else { CounterResetHint::Unknown }
}

//! Writes metric families as a page: text 0.0.4, OpenMetrics 1.0 or protobuf.
//!
//! Numbers are formatted as in Go's client library, so our pages look like Prometheus' to any reader.

use std::fmt::Write;

use ferula_go::float::format_g;
use ferula_model::labels::{is_legacy_label_name, is_legacy_metric_name};
use ferula_model::metric_family::{Metric, MetricFamily, MetricValue};
use ferula_model::{Exemplar, LabelSet, MetricType};

use crate::escape::{escape, push_quoted};
use crate::format::Format;
use crate::lexer::Dialect;
use crate::number::openmetrics_float;

mod protobuf;

/// Writes a whole page.
pub fn write_page(families: &[MetricFamily], format: Format) -> Vec<u8> {
    let dialect = match format {
        Format::Protobuf => return protobuf::write(families),
        Format::Text => Dialect::Text,
        Format::OpenMetrics => Dialect::OpenMetrics,
    };
    let mut page = Page { out: String::new(), dialect };
    for family in families {
        page.family(family);
    }
    if dialect == Dialect::OpenMetrics {
        page.out.push_str("# EOF\n");
    }
    page.out.into_bytes()
}

struct Page {
    out: String,
    dialect: Dialect,
}

impl Page {
    fn family(&mut self, family: &MetricFamily) {
        // OpenMetrics names a counter's family without the samples' suffix, and requires that suffix.
        let (family_name, kind) = match (self.dialect, family.kind) {
            (Dialect::OpenMetrics, MetricType::Counter) => match family.name.strip_suffix("_total") {
                Some(name) => (name, family.kind),
                None => (family.name.as_str(), MetricType::Unknown),
            },
            _ => (family.name.as_str(), family.kind),
        };
        if !family.help.is_empty() {
            self.out.push_str("# HELP ");
            self.meta_name(family_name);
            self.out.push(' ');
            escape(&mut self.out, &family.help, self.dialect == Dialect::OpenMetrics);
            self.out.push('\n');
        }
        self.out.push_str("# TYPE ");
        self.meta_name(family_name);
        self.out.push(' ');
        self.out.push_str(self.kind_word(kind));
        self.out.push('\n');
        for metric in &family.metrics {
            self.metric(kind, family_name, metric);
        }
    }

    /// The word for a type. The text format has fewer types and calls the rest `untyped`.
    fn kind_word(&self, kind: MetricType) -> &'static str {
        match (self.dialect, kind) {
            (Dialect::OpenMetrics, kind) => kind.as_str(),
            (
                Dialect::Text,
                MetricType::Counter | MetricType::Gauge | MetricType::Histogram | MetricType::Summary,
            ) => kind.as_str(),
            (Dialect::Text, _) => "untyped",
        }
    }

    fn metric(&mut self, kind: MetricType, family_name: &str, metric: &Metric) {
        let labels = &metric.labels;
        match &metric.value {
            MetricValue::Single(value) => {
                let total = self.dialect == Dialect::OpenMetrics && kind == MetricType::Counter;
                let suffix = if total { "_total" } else { "" };
                self.sample(family_name, suffix, labels, None, &self.float(*value), metric.timestamp);
            }
            MetricValue::Summary { quantiles, sum, count } => {
                for (quantile, value) in quantiles {
                    let label = Some(("quantile", self.float(*quantile)));
                    self.sample(family_name, "", labels, label, &self.float(*value), metric.timestamp);
                }
                self.sum_and_count(family_name, labels, *sum, *count, metric.timestamp);
            }
            MetricValue::Histogram { buckets, sum, count, exemplars, .. } => {
                let all = buckets.iter().copied().chain([(f64::INFINITY, *count)]);
                let mut exemplars = exemplars.iter().peekable();
                for (index, (bound, up_to)) in all.enumerate() {
                    let label = Some(("le", self.float(bound)));
                    self.sample(family_name, "_bucket", labels, label, &up_to.to_string(), metric.timestamp);
                    if let Some((_, exemplar)) = exemplars.next_if(|(bucket, _)| *bucket == index) {
                        self.exemplar(exemplar);
                    }
                }
                self.sum_and_count(family_name, labels, *sum, *count, metric.timestamp);
            }
        }
    }

    fn sum_and_count(&mut self, name: &str, labels: &LabelSet, sum: f64, count: u64, timestamp: Option<i64>) {
        self.sample(name, "_sum", labels, None, &self.float(sum), timestamp);
        self.sample(name, "_count", labels, None, &count.to_string(), timestamp);
    }

    /// Formats a number for this format.
    fn float(&self, value: f64) -> String {
        match self.dialect {
            Dialect::Text => format_g(value),
            Dialect::OpenMetrics => openmetrics_float(value),
        }
    }

    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &LabelSet,
        extra: Option<(&str, String)>,
        value: &str,
        timestamp: Option<i64>,
    ) {
        let bare = is_legacy_metric_name(name);
        let mut separator = '{';
        if bare {
            self.out.push_str(name);
            self.out.push_str(suffix);
        } else {
            // A name that needs quotes goes inside the braces.
            self.out.push_str("{\"");
            escape(&mut self.out, name, true);
            self.out.push_str(suffix);
            self.out.push('"');
            separator = ',';
        }
        let extra = extra.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in labels.iter().chain(extra) {
            self.out.push(separator);
            self.label(name, value);
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
        self.out.push(' ');
        self.out.push_str(value);
        if let Some(millis) = timestamp {
            self.out.push(' ');
            self.timestamp(millis);
        }
        self.out.push('\n');
    }

    /// Appends an exemplar to the line that was just written.
    fn exemplar(&mut self, exemplar: &Exemplar) {
        if self.dialect != Dialect::OpenMetrics {
            return;
        }
        self.out.truncate(self.out.trim_end().len());
        self.out.push_str(" # {");
        for (index, (name, value)) in exemplar.labels.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.label(name, value);
        }
        self.out.push_str("} ");
        self.out.push_str(&self.float(exemplar.value));
        if exemplar.has_timestamp {
            self.out.push(' ');
            self.timestamp(exemplar.timestamp.millis());
        }
        self.out.push('\n');
    }

    fn label(&mut self, name: &str, value: &str) {
        if is_legacy_label_name(name) {
            self.out.push_str(name);
        } else {
            self.quoted(name);
        }
        self.out.push('=');
        self.quoted(value);
    }

    fn quoted(&mut self, text: &str) {
        push_quoted(&mut self.out, text);
    }

    fn meta_name(&mut self, name: &str) {
        if is_legacy_metric_name(name) {
            self.out.push_str(name);
        } else {
            self.quoted(name);
        }
    }

    fn timestamp(&mut self, millis: i64) {
        let written = match self.dialect {
            Dialect::Text => write!(self.out, "{millis}"),
            Dialect::OpenMetrics => {
                let sign = if millis < 0 { "-" } else { "" };
                let millis = millis.unsigned_abs();
                write!(self.out, "{sign}{}.{:03}", millis / 1000, millis % 1000)
            }
        };
        written.expect("writing to a String cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::Timestamp;

    use super::*;

    fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
        MetricFamily { name: name.into(), help: help.into(), kind, metrics }
    }

    fn metric(labels: &[(&str, &str)], value: MetricValue, timestamp: Option<i64>) -> Metric {
        Metric { labels: LabelSet::from_pairs(labels.iter().copied()), value, timestamp }
    }

    fn exemplar(trace: &str, value: f64, at: Option<i64>) -> Exemplar {
        Exemplar {
            labels: LabelSet::from_pairs([("trace_id", trace)]),
            value,
            timestamp: Timestamp::from_millis(at.unwrap_or(0)),
            has_timestamp: at.is_some(),
        }
    }

    fn families() -> Vec<MetricFamily> {
        use MetricValue::{Histogram, Single, Summary};
        vec![
            family(
                "requests_total",
                "All \"requests\",\nor \\ so.",
                MetricType::Counter,
                vec![metric(&[("code", "200"), ("path", "a\"b\\c\nd")], Single(1e6), None)],
            ),
            family("temp", "", MetricType::Gauge, vec![metric(&[], Single(f64::NEG_INFINITY), Some(-1234))]),
            family("my.unit", "Dots.", MetricType::Unknown, vec![metric(&[("a.b", "c")], Single(0.5), None)]),
            family(
                "rpc_seconds",
                "Quantiles.",
                MetricType::Summary,
                vec![metric(
                    &[],
                    Summary { quantiles: vec![(0.5, 1.0), (1.0, f64::NAN)], sum: 3.0, count: 2 },
                    None,
                )],
            ),
            family(
                "size_bytes",
                "Buckets.",
                MetricType::Histogram,
                vec![metric(
                    &[("h", "x")],
                    Histogram {
                        buckets: vec![(0.25, 1), (4.0, 3)],
                        sum: 9.5,
                        count: 4,
                        native: None,
                        exemplars: vec![
                            (1, exemplar("7f\"", 3.5, Some(1500))),
                            (2, exemplar("80", 5.0, None)),
                        ],
                    },
                    None,
                )],
            ),
        ]
    }

    const TEXT: &str = r#"# HELP requests_total All "requests",\nor \\ so.
# TYPE requests_total counter
requests_total{code="200",path="a\"b\\c\nd"} 1e+06
# TYPE temp gauge
temp -Inf -1234
# HELP "my.unit" Dots.
# TYPE "my.unit" untyped
{"my.unit","a.b"="c"} 0.5
# HELP rpc_seconds Quantiles.
# TYPE rpc_seconds summary
rpc_seconds{quantile="0.5"} 1
rpc_seconds{quantile="1"} NaN
rpc_seconds_sum 3
rpc_seconds_count 2
# HELP size_bytes Buckets.
# TYPE size_bytes histogram
size_bytes_bucket{h="x",le="0.25"} 1
size_bytes_bucket{h="x",le="4"} 3
size_bytes_bucket{h="x",le="+Inf"} 4
size_bytes_sum{h="x"} 9.5
size_bytes_count{h="x"} 4
"#;

    const OPENMETRICS: &str = r#"# HELP requests All \"requests\",\nor \\ so.
# TYPE requests counter
requests_total{code="200",path="a\"b\\c\nd"} 1e+06
# TYPE temp gauge
temp -Inf -1.234
# HELP "my.unit" Dots.
# TYPE "my.unit" unknown
{"my.unit","a.b"="c"} 0.5
# HELP rpc_seconds Quantiles.
# TYPE rpc_seconds summary
rpc_seconds{quantile="0.5"} 1.0
rpc_seconds{quantile="1.0"} NaN
rpc_seconds_sum 3.0
rpc_seconds_count 2
# HELP size_bytes Buckets.
# TYPE size_bytes histogram
size_bytes_bucket{h="x",le="0.25"} 1
size_bytes_bucket{h="x",le="4.0"} 3 # {trace_id="7f\""} 3.5 1.500
size_bytes_bucket{h="x",le="+Inf"} 4 # {trace_id="80"} 5.0
size_bytes_sum{h="x"} 9.5
size_bytes_count{h="x"} 4
# EOF
"#;

    #[test]
    fn pages_look_like_those_of_gos_client() {
        let text = |format| String::from_utf8(write_page(&families(), format)).expect("UTF-8");
        assert_eq!(text(Format::Text), TEXT);
        assert_eq!(text(Format::OpenMetrics), OPENMETRICS);
    }

    #[test]
    fn written_pages_can_be_read() {
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            // A negative timestamp is invalid in the text format.
            let families: Vec<_> =
                families().into_iter().filter(|f| format != Format::Text || f.name != "temp").collect();
            let page = write_page(&families, format);
            let mut parser = crate::PageParser::new(&page, format);
            let (mut samples, mut exemplars) = (0, Vec::new());
            while let Some(entry) = parser.next().expect("our pages are valid") {
                let crate::Entry::Series(series) = entry else { continue };
                samples += 1;
                exemplars.extend(series.exemplar.map(|exemplar| (exemplar.value, exemplar.timestamp)));
            }
            let is_text = format == Format::Text;
            assert_eq!(samples, if is_text { 11 } else { 12 });
            assert_eq!(
                exemplars,
                if is_text { vec![] } else { vec![(3.5, Some(1500)), (5.0, None)] },
                "{format:?}"
            );
        }
    }
}

//! Start timestamps of an OpenMetrics 1.0 page: the values of `_created` lines, which follow the samples they belong
//! to.
//!
//! ```text
//! # TYPE rpc summary
//! rpc{quantile="0.5"} 3        ┐
//! rpc_sum 10                   ├ all start at 1520430000
//! rpc_count 2                  ┘
//! rpc_created 1520430000       not a sample
//! ```
//! A sample looks ahead to the first `_created` line among the lines that follow without a comment in between; if
//! that has the same labels (except bounds and quantiles) and the family's name, its value is the start. Prometheus
//! looks ahead again for every sample; here each line is read ahead once, so a page costs at most twice its length.

use ferula_model::MetricType;
use ferula_model::labels::{BUCKET_LABEL, METRIC_NAME};

use crate::entry::{Entry, Series};
use crate::escape::unescape;
use crate::key::decode;
use crate::labels::QUANTILE_LABEL;
use crate::openmetrics::OpenMetricsParser;
use crate::{LabelScratch, ParseError};

const CREATED: &str = "_created";

/// Reads a page and converts its `_created` lines to start timestamps of samples.
#[derive(Clone, Debug)]
pub(crate) struct StartsParser<'a> {
    parser: OpenMetricsParser<'a>,
    /// Length of the family's name, from the last comment.
    family_bytes: usize,
    ahead: Ahead,
    /// The last start, and what it belongs to; still valid after its `_created` line.
    found: Option<(Identity, i64)>,
    scratch: LabelScratch,
}

/// Labels and name of a sample, without the parts that differ within a family.
type Identity = Vec<u8>;

/// What follows the current line.
#[derive(Clone, Debug)]
enum Ahead {
    Unknown,
    /// The next `_created` line begins here, and is a start for this identity.
    Created {
        place: usize,
        identity: Identity,
        start: i64,
    },
    /// There is none before this position, which is the end of the family.
    Nothing {
        place: usize,
    },
}

impl Ahead {
    fn holds_at(&self, at: usize) -> bool {
        match self {
            Ahead::Unknown => false,
            Ahead::Created { place, .. } | Ahead::Nothing { place } => at <= *place,
        }
    }
}

impl<'a> StartsParser<'a> {
    pub(crate) fn new(parser: OpenMetricsParser<'a>) -> Self {
        StartsParser {
            parser,
            family_bytes: 0,
            ahead: Ahead::Unknown,
            found: None,
            scratch: LabelScratch::new(),
        }
    }

    /// The next entry; `None` after `# EOF`.
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        loop {
            match self.parser.next()? {
                Some(Entry::Series(mut series)) => {
                    if !may_have_start(series.kind) {
                        self.found = None;
                    } else if self.created_of(&series).is_some() {
                        continue;
                    } else {
                        series.start_timestamp = self.start_of(&series).unwrap_or(0);
                    }
                    return Ok(Some(Entry::Series(series)));
                }
                Some(comment) => {
                    if let Entry::Type { metric, .. }
                    | Entry::Help { metric, .. }
                    | Entry::Unit { metric, .. } = &comment
                    {
                        let name = std::str::from_utf8(metric).unwrap_or_default();
                        self.family_bytes = unescape(name, true).len();
                    }
                    return Ok(Some(comment));
                }
                None => return Ok(None),
            }
        }
    }

    fn start_of(&mut self, series: &Series<'_>) -> Option<i64> {
        // Labels are decoded only if there is a line to compare them with.
        if self.found.is_none() {
            self.look_ahead_if_needed();
            if matches!(self.ahead, Ahead::Nothing { .. }) {
                return None;
            }
        }
        let family_bytes = self.family_bytes;
        let identity = self.identity(series, |name| name.get(..family_bytes))?;
        if let Some((known, start)) = &self.found
            && *known == identity
            && *start > 0
        {
            return Some(*start);
        }
        self.look_ahead_if_needed();
        self.found = match &self.ahead {
            Ahead::Created { identity: created, start, .. } if *created == identity => {
                Some((identity, *start))
            }
            _ => None,
        };
        self.found.as_ref().map(|(_, start)| *start)
    }

    fn look_ahead_if_needed(&mut self) {
        if !self.ahead.holds_at(self.parser.place()) {
            self.ahead = self.look_ahead();
        }
    }

    fn look_ahead(&mut self) -> Ahead {
        let mut parser = self.parser.clone();
        loop {
            let place = parser.place();
            // An error there is reported when the page is read up to it.
            let Ok(Some(Entry::Series(series))) = parser.next() else { return Ahead::Nothing { place } };
            if let Some(identity) = self.created_of(&series) {
                return Ahead::Created { place, identity, start: (series.value * 1000.0) as i64 };
            }
        }
    }

    /// What a `_created` line is the start of; `None` for other lines.
    fn created_of(&mut self, series: &Series<'_>) -> Option<Identity> {
        // Most lines are skipped by looking at their text.
        memchr::memmem::find(series.key, CREATED.as_bytes())?;
        self.identity(series, |name| name.strip_suffix(CREATED))
    }

    /// Labels of the series, and what `family` takes of its name.
    fn identity(
        &mut self,
        series: &Series<'_>,
        family: impl FnOnce(&str) -> Option<&str>,
    ) -> Option<Identity> {
        decode(series.key, series.kind, &mut self.scratch).ok()?;
        let mut identity = Identity::new();
        let mut metric = None;
        for (name, value) in self.scratch.iter() {
            match (name, series.kind) {
                (METRIC_NAME, _) => metric = Some(value),
                (QUANTILE_LABEL, MetricType::Summary) | (BUCKET_LABEL, MetricType::Histogram) => {}
                _ => {
                    for text in [name, value] {
                        identity.extend_from_slice(text.as_bytes());
                        // No text page contains this byte.
                        identity.push(0xff);
                    }
                }
            }
        }
        identity.extend_from_slice(family(metric?)?.as_bytes());
        Some(identity)
    }
}

fn may_have_start(kind: MetricType) -> bool {
    matches!(kind, MetricType::Counter | MetricType::Summary | MetricType::Histogram)
}

#[cfg(test)]
mod tests {
    use crate::{Entry, Format, PageOptions, PageParser};

    /// `name{labels} start` of each sample.
    fn starts(page: &str) -> Vec<String> {
        let options = PageOptions { start_timestamps: true, ..PageOptions::default() };
        let mut parser = PageParser::with_options(page.as_bytes(), Format::OpenMetrics, options);
        let mut all = Vec::new();
        while let Some(entry) = parser.next().expect("a good page") {
            if let Entry::Series(series) = entry {
                all.push(format!("{} {}", String::from_utf8_lossy(series.key), series.start_timestamp));
            }
        }
        all
    }

    #[test]
    fn a_created_line_sets_the_start_of_its_family_and_is_not_a_sample() {
        let page = "\
# HELP a Help.
# TYPE a counter
a_total{x=\"1\"} 1
a_created{x=\"1\"} 1520872607.123
a_total{x=\"2\"} 1
a_total{x=\"3\"} 1 # {id=\"x\"} 1
a_created{x=\"3\"} 1520872607.5
# TYPE s summary
s{quantile=\"0.5\"} 1
s{quantile=\"0.9\"} 1
s_count 2
s_created 1
s_sum 3
# TYPE h histogram
h_bucket{le=\"1\",x=\"y\"} 1
h_bucket{le=\"+Inf\",x=\"y\"} 2
h_created{x=\"y\"} 2
h_count{x=\"y\"} 2
h_sum{x=\"z\"} 2
# TYPE g gauge
g_created 5
# TYPE u unknown
u 5
u_created 5
# TYPE n counter
n_total 1
# TYPE m counter
m_created 7
# EOF
";
        let expected = [
            "a_total{x=\"1\"} 1520872607123",
            // The first line ahead is the start of a different series.
            "a_total{x=\"2\"} 0",
            "a_total{x=\"3\"} 1520872607500",
            "s{quantile=\"0.5\"} 1000",
            "s{quantile=\"0.9\"} 1000",
            "s_count 1000",
            "s_sum 1000",
            "h_bucket{le=\"1\",x=\"y\"} 2000",
            "h_bucket{le=\"+Inf\",x=\"y\"} 2000",
            "h_count{x=\"y\"} 2000",
            "h_sum{x=\"z\"} 0",
            // A gauge may have such a name.
            "g_created 0",
            "u 0",
            "u_created 0",
            // A comment ends the family.
            "n_total 0",
        ];
        assert_eq!(starts(page), expected);
    }

    #[test]
    fn quoted_names_have_starts_too() {
        let page = "\
# TYPE \"a.b\" counter
{\"a.b_total\",x=\"1\"} 1
{\"a.b_created\",x=\"1\"} 3
# EOF
";
        assert_eq!(starts(page), ["{\"a.b_total\",x=\"1\"} 3000"]);
    }

    #[test]
    fn without_start_timestamps_a_created_line_is_a_sample() {
        let page = b"# TYPE a counter\na_total 1\na_created 3\n# EOF\n";
        let mut parser = PageParser::new(page, Format::OpenMetrics);
        let mut series = 0;
        while let Some(entry) = parser.next().expect("a good page") {
            if let Entry::Series(found) = entry {
                assert_eq!(found.start_timestamp, 0);
                series += 1;
            }
        }
        assert_eq!(series, 2);
    }
}

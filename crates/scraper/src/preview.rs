//! A preview of a target: scrapes its page outside the loop and shows, line by line, what the job's rules do to it.
//! Nothing is stored, and the loop is not affected.

use std::sync::Arc;
use std::time::Duration;

use ferula_config::scrape::ScrapeConfig;
use ferula_exposition::key::decode;
use ferula_exposition::{Entry, Format, LabelScratch, PageParser};
use ferula_model::labels::LabelSetBuilder;
use ferula_model::relabel::Rule;
use ferula_model::{LabelSet, MetricType};
use ferula_runtime::SharedClock;

use crate::error::ScrapeError;
use crate::fetch::{Fetch, FetchError, Page};
use crate::http::HttpFetch;
use crate::labels::{LabelLimits, LabelOptions, StatedMetadata};
use crate::options::JobOptions;
use crate::target::Target;

/// What rules that are only tried may make of one sample's labels, in bytes.
const LABELS_BYTES_MAX: usize = 1 << 20;
/// What all lines of a page together may have, about.
const LINES_BYTES_MAX: usize = 16 << 20;
/// So many samples are read before it is looked whether anyone still waits.
const SAMPLES_BETWEEN_LOOKS: u64 = 256;

/// When to end.
#[derive(Clone, Copy)]
pub struct PreviewLimits<'a> {
    /// Lines that are shown; all are counted.
    pub lines: usize,
    /// Whether nobody waits any more; what was read until then is returned.
    pub ended: &'a dyn Fn() -> bool,
}

/// A configured target that can be scraped once.
pub struct Preview {
    fetch: HttpFetch,
    target: Arc<Target>,
    config: Arc<ScrapeConfig>,
    job: Arc<JobOptions>,
    clock: SharedClock,
}

/// One sample of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewLine {
    /// Name and labels as on the page.
    pub text: String,
    pub value: f64,
    /// With target labels, before any rule.
    pub labels: LabelSet,
    /// Indices of the rules that changed something.
    pub changed_by: Vec<usize>,
    /// Index of the rule that dropped the sample.
    pub dropped_by: Option<usize>,
    /// The stored series, or why nothing is stored.
    pub stored: Result<Option<LabelSet>, ScrapeError>,
}

/// A page, line by line.
#[derive(Debug, Default)]
pub struct PreviewPage {
    /// The first of the requested lines.
    pub lines: Vec<PreviewLine>,
    /// Samples on the page.
    pub samples: u64,
    /// The number that would be stored.
    pub kept: u64,
    /// The number that were requested.
    pub matching: u64,
    /// The fault that makes the whole page invalid.
    pub fault: Option<ScrapeError>,
}

impl Preview {
    pub(crate) fn new(
        fetch: HttpFetch,
        target: Arc<Target>,
        config: Arc<ScrapeConfig>,
        job: Arc<JobOptions>,
        clock: SharedClock,
    ) -> Self {
        Preview { fetch, target, config, job, clock }
    }

    /// The job's section.
    pub fn config(&self) -> &ScrapeConfig {
        &self.config
    }

    /// Fetches the page within the target's timeout. Also returns how long that took.
    pub async fn page(&self) -> (Result<Page, FetchError>, Duration) {
        let begin = self.clock.elapsed();
        let page = self.fetch.fetch(self.clock.sleep(self.target.timeout)).await;
        (page, self.clock.elapsed().saturating_sub(begin))
    }

    /// What becomes of a page. `rules` replaces the job's rules; `wanted` selects lines by their text.
    pub fn read(
        &self,
        page: &Page,
        rules: Option<Vec<Rule>>,
        wanted: &dyn Fn(&str) -> bool,
        limits: PreviewLimits<'_>,
    ) -> PreviewPage {
        let mut labels = self.job.labels.clone();
        if let Some(rules) = rules {
            labels.rules = rules;
        }
        let format = match Format::of_response(&page.content_type, self.job.fallback) {
            Ok(format) => format,
            Err(error) => return PreviewPage { fault: Some(error.into()), ..PreviewPage::default() },
        };
        let parser =
            PageParser::with_options(&page.body, format, self.target.page_options(self.job.features));
        read_page(parser, &page.body, &labels, &self.target.public_labels, wanted, limits)
    }
}

fn read_page(
    mut parser: PageParser<'_>,
    body: &[u8],
    options: &LabelOptions,
    target: &LabelSet,
    wanted: &dyn Fn(&str) -> bool,
    limits: PreviewLimits<'_>,
) -> PreviewPage {
    // The labels before the rules are shown even if they break a limit.
    let plain = LabelOptions { rules: Vec::new(), limits: LabelLimits::default(), ..options.clone() };
    let mut shown = PreviewPage::default();
    let mut scratch = LabelScratch::new();
    let mut unit = String::new();
    let mut bytes = 0;
    loop {
        if shown.samples.is_multiple_of(SAMPLES_BETWEEN_LOOKS) && (limits.ended)() {
            return shown;
        }
        let (key, kind, value) = match parser.next() {
            Ok(Some(Entry::Series(series))) => (series.key, series.kind, series.value),
            // For a histogram, the number of observations is shown.
            Ok(Some(Entry::Histogram(h))) => (h.key, h.kind, h.value.to_float().count),
            Ok(Some(Entry::Unit { unit: stated, .. })) => {
                unit = String::from_utf8_lossy(stated).into_owned();
                continue;
            }
            Ok(Some(_)) => continue,
            Ok(None) => return shown,
            Err(error) => {
                shown.fault = Some(ScrapeError::of_page(error, body));
                return shown;
            }
        };
        shown.samples += 1;
        if decode(key, kind, &mut scratch).is_err() {
            continue;
        }
        let stated = StatedMetadata { kind, unit: unit_of(kind, &unit) };
        let labels = plain.stored(&scratch, stated, target).ok().flatten().unwrap_or_default();
        let stored = match overgrowing(&options.rules, &labels) {
            Some(index) => Err(ScrapeError::Overgrown(index + 1)),
            None => options.stored(&scratch, stated, target),
        };
        shown.kept += u64::from(matches!(stored, Ok(Some(_))));
        let text = match key.first() {
            // The key of a protobuf page is not readable text.
            Some(byte) if byte.is_ascii_control() => scratch.to_label_set().to_string().into(),
            _ => String::from_utf8_lossy(key),
        };
        if !wanted(&text) {
            continue;
        }
        shown.matching += 1;
        if shown.lines.len() >= limits.lines || bytes > LINES_BYTES_MAX {
            continue;
        }
        let (changed_by, dropped_by) = match &stored {
            Err(ScrapeError::Overgrown(_)) => Default::default(),
            _ => trace(&options.rules, &labels),
        };
        let text = text.into_owned();
        let stored_bytes = stored.as_ref().ok().and_then(Option::as_ref).map_or(0, label_bytes);
        bytes += text.len() + label_bytes(&labels) + stored_bytes;
        shown.lines.push(PreviewLine { text, value, labels, changed_by, dropped_by, stored });
    }
}

/// A unit belongs to the latest family; a sample without a type belongs to none.
fn unit_of(kind: MetricType, unit: &str) -> &str {
    if kind == MetricType::Unknown { "" } else { unit }
}

fn label_bytes(labels: &LabelSet) -> usize {
    labels.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// The rule that makes more of the labels than may be, before it does.
fn overgrowing(rules: &[Rule], labels: &LabelSet) -> Option<usize> {
    let mut builder = LabelSetBuilder::new();
    for (name, value) in labels.iter() {
        builder.set(name, value);
    }
    for (index, rule) in rules.iter().enumerate() {
        let held: usize = builder.iter().map(|(name, value)| name.len() + value.len()).sum();
        if rule.growth_bytes_max(&builder).saturating_add(held) > LABELS_BYTES_MAX {
            return Some(index);
        }
        if !rule.apply(&mut builder) {
            return None;
        }
    }
    None
}

/// Which rules changed the labels, and which one dropped them.
fn trace(rules: &[Rule], labels: &LabelSet) -> (Vec<usize>, Option<usize>) {
    let mut builder = LabelSetBuilder::new();
    for (name, value) in labels.iter() {
        builder.set(name, value);
    }
    let mut changed = Vec::new();
    let mut before = labels.clone();
    for (index, rule) in rules.iter().enumerate() {
        if !rule.apply(&mut builder) {
            return (changed, Some(index));
        }
        let now = builder.finish();
        if now != before {
            changed.push(index);
            before = now;
        }
    }
    (changed, None)
}

#[cfg(test)]
mod tests {
    use ferula_config::relabel::parse_rules;
    use ferula_model::labels::NameScheme;

    use super::*;

    fn read(page: &str, rules: &str, lines_max: usize) -> PreviewPage {
        let rules = parse_rules(rules, NameScheme::Utf8).expect("they are right");
        let options = LabelOptions { rules, ..LabelOptions::default() };
        let target = LabelSet::from_pairs([("job", "j"), ("instance", "i")]);
        read_page(
            PageParser::new(page.as_bytes(), Format::Text),
            page.as_bytes(),
            &options,
            &target,
            &|text| !text.contains("hidden"),
            PreviewLimits { lines: lines_max, ended: &|| false },
        )
    }

    #[test]
    fn every_line_names_the_rules_that_changed_it() {
        let rules = "- {regex: secret, action: labeldrop}\n\
                     - {source_labels: [__name__], regex: noise, action: drop}\n\
                     - {source_labels: [job], target_label: from}\n";
        let page = "a{secret=\"s\",job=\"own\"} 1\nnoise 2\nhidden 3\nb 4\n";
        let shown = read(page, rules, 10);
        assert_eq!((shown.samples, shown.kept, shown.matching, shown.fault), (4, 3, 3, None));
        let [first, noise, last] = &shown.lines[..] else { panic!("{:?}", shown.lines) };
        assert_eq!(first.text, "a{secret=\"s\",job=\"own\"}");
        assert_eq!(
            first.labels.to_string(),
            "{__name__=\"a\", exported_job=\"own\", instance=\"i\", job=\"j\", secret=\"s\"}"
        );
        assert_eq!((&first.changed_by, first.dropped_by), (&vec![0, 2], None));
        assert_eq!(
            first.stored.as_ref().ok().and_then(Option::as_ref).map(|set| set.value("from")),
            Some("j")
        );
        assert_eq!((&noise.changed_by, noise.dropped_by, &noise.stored), (&vec![], Some(1), &Ok(None)));
        assert_eq!((last.value, &last.changed_by), (4.0, &vec![2]));
    }

    #[test]
    fn lines_are_limited_and_counted_and_an_invalid_one_is_named() {
        let shown = read("a 1\nb 2\nc 3\n", "", 2);
        assert_eq!((shown.lines.len(), shown.matching, shown.samples), (2, 3, 3));
        let shown = read("a 1\nb b b\n", "", 2);
        assert_eq!(shown.lines.len(), 1);
        assert!(shown.fault.is_some_and(|fault| fault.to_string().contains('b')));
    }

    #[test]
    fn rules_that_double_the_labels_are_stopped_and_so_is_a_reader_that_left() {
        let doubling = "- {source_labels: [a], target_label: a, replacement: $1$1}\n".repeat(40);
        let shown = read("m{a=\"0123456789abcdef\"} 1\nm{b=\"x\"} 2\n", &doubling, 10);
        // 16 bytes, doubled 16 times, are a MiB; what is joined first counts too.
        assert_eq!(shown.lines[0].stored, Err(ScrapeError::Overgrown(15)));
        assert!(shown.lines[1].stored.is_ok());
        assert_eq!((shown.samples, shown.kept), (2, 1));
        let page = "m 1\n".repeat(1000);
        let parser = PageParser::new(page.as_bytes(), Format::Text);
        let looks = std::cell::Cell::new(0);
        let ended = || looks.replace(looks.get() + 1) == 2;
        let limits = PreviewLimits { lines: 1, ended: &ended };
        let options = LabelOptions::default();
        let shown = read_page(parser, page.as_bytes(), &options, &LabelSet::default(), &|_| true, limits);
        assert_eq!(shown.samples, 2 * SAMPLES_BETWEEN_LOOKS);
    }
}

//! Lints of metrics: the rules of Prometheus' `promlint`, with its texts.

use std::collections::HashSet;

use ferula_exposition::families::Family;
use ferula_go::unicode;
use ferula_model::MetricType;

/// Units with their base units.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi",
    "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

/// Problems by metric, sorted.
pub fn problems(families: &[Family]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = families
        .iter()
        .flat_map(|family| of_family(family).into_iter().map(|text| (family.name.clone(), text)))
        .collect();
    all.sort();
    all
}

fn of_family(family: &Family) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |wrong: bool, text: &str| {
        if wrong {
            found.push(text.to_owned());
        }
    };
    let (name, kind) = (family.name.as_str(), family.kind);
    let lower = unicode::lower(name);
    say(family.help.is_none(), "no help text");
    if let Some(text) = unit(name) {
        say(true, &text);
    }
    let (typed, total) = (kind != MetricType::Unknown, name.ends_with("_total"));
    say(kind == MetricType::Counter && !total, "counter metrics should have \"_total\" suffix");
    say(
        typed && kind != MetricType::Counter && total,
        "non-counter metrics should not have \"_total\" suffix",
    );
    if typed {
        reserved(family, &mut say);
        let word = type_word(kind);
        let inside = lower.contains(&format!("_{word}_")) || lower.ends_with(&format!("_{word}"));
        say(inside, &format!("metric name should not include type '{word}'"));
    }
    say(name.contains(':'), "metric names should not contain ':'");
    say(is_camel_case(name), "metric names should be written in 'snake_case' not 'camelCase'");
    for (label, _) in label_names(family) {
        say(is_camel_case(label), "label names should be written in 'snake_case' not 'camelCase'");
    }
    for short in ABBREVIATIONS {
        let inside = lower.contains(&format!("_{short}_")) || lower.ends_with(&format!("_{short}"));
        say(inside, "metric names should not contain abbreviated units");
    }
    let mut seen = HashSet::new();
    for metric in &family.metrics {
        say(!seen.insert(&metric.labels), "metric not unique");
    }
    found
}

/// Names that belong to histograms and summaries.
fn reserved(family: &Family, say: &mut impl FnMut(bool, &str)) {
    let histogram = family.kind == MetricType::Histogram;
    let summary = family.kind == MetricType::Summary;
    let ends = |suffix: &str| family.name.ends_with(suffix);
    say(!histogram && ends("_bucket"), "non-histogram metrics should not have \"_bucket\" suffix");
    let neither = !histogram && !summary;
    say(neither && ends("_count"), "non-histogram and non-summary metrics should not have \"_count\" suffix");
    say(neither && ends("_sum"), "non-histogram and non-summary metrics should not have \"_sum\" suffix");
    for (name, _) in label_names(family) {
        say(!histogram && name == "le", "non-histogram metrics should not have \"le\" label");
        say(!summary && name == "quantile", "non-summary metrics should not have \"quantile\" label");
    }
}

fn label_names(family: &Family) -> impl Iterator<Item = (&str, &str)> {
    let labels = family.metrics.iter().flat_map(|metric| &metric.labels);
    labels.map(|(name, value)| (name.as_str(), value.as_str()))
}

fn type_word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::GaugeHistogram => "gauge_histogram",
        kind => kind.as_str(),
    }
}

fn is_camel_case(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// A complaint about the first unit in a name, unless it is a base unit.
fn unit(name: &str) -> Option<String> {
    let base_of = |word: &str| UNITS.iter().find(|(unit, _)| *unit == word).map(|(_, base)| *base);
    let (word, base) = name.split('_').find_map(|word| {
        let prefixed = || PREFIXES.iter().filter_map(|prefix| word.strip_prefix(prefix)).find_map(base_of);
        base_of(word).or_else(prefixed).map(|base| (word, base))
    })?;
    (word != base).then(|| format!("use base unit \"{base}\" instead of \"{word}\""))
}

#[cfg(test)]
mod tests {
    use ferula_exposition::families::parse_families;
    use ferula_model::labels::NameScheme;

    use super::*;

    #[test]
    fn every_rule_has_its_text() {
        for (page, texts) in [
            ("# HELP a A.\n# TYPE a gauge\na 1\n", &[][..]),
            ("a 1\n", &["no help text"]),
            ("# HELP a A.\n# TYPE a counter\na 1\n", &["counter metrics should have \"_total\" suffix"]),
            (
                "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n",
                &["non-counter metrics should not have \"_total\" suffix"],
            ),
            (
                "# HELP a_milliseconds A.\na_milliseconds 1\n",
                &["use base unit \"seconds\" instead of \"milliseconds\""],
            ),
            ("# HELP a_bits A.\na_bits 1\n", &["use base unit \"bytes\" instead of \"bits\""]),
            ("# HELP x_kilobytes A.\nx_kilobytes 1\n", &["use base unit \"bytes\" instead of \"kilobytes\""]),
            ("# HELP a_ms A.\na_ms 1\n", &["metric names should not contain abbreviated units"]),
            ("# HELP a:b A.\na:b 1\n", &["metric names should not contain ':'"]),
            (
                "# HELP aB A.\naB{cD=\"1\"} 1\n",
                &[
                    "label names should be written in 'snake_case' not 'camelCase'",
                    "metric names should be written in 'snake_case' not 'camelCase'",
                ],
            ),
            (
                "# HELP a_gauge A.\n# TYPE a_gauge gauge\na_gauge 1\n",
                &["metric name should not include type 'gauge'"],
            ),
            (
                "# HELP a_sum A.\n# TYPE a_sum gauge\na_sum{le=\"1\",quantile=\"2\"} 1\n",
                &[
                    "non-histogram and non-summary metrics should not have \"_sum\" suffix",
                    "non-histogram metrics should not have \"le\" label",
                    "non-summary metrics should not have \"quantile\" label",
                ],
            ),
            ("# HELP a A.\na{b=\"1\"} 1\na{b=\"1\"} 2\n", &["metric not unique"]),
        ] {
            let families = parse_families(page.as_bytes(), NameScheme::Legacy).expect("a page");
            let found: Vec<String> = problems(&families).into_iter().map(|(_, text)| text).collect();
            assert_eq!(found, texts, "{page}");
        }
    }
}

//! The queries of Grafana dashboards, and what they read.
//!
//! Queries are found wherever a dashboard of any version may have them: panels, rows, library panels, annotations,
//! variables. A variable of Grafana (`$x`, `${x:regex}`, `[[x]]`) has no value here: a condition with one is left out, so
//! the selector selects more; a name with one becomes a pattern.

use ferula_model::labels::METRIC_NAME;
use ferula_model::{MatchOp, Matcher};
use ferula_promql_syntax::{ParserOptions, parse};
use serde_json::Value as Json;

/// Stands for a variable in a place where a word may stand.
const VARIABLE: &str = "ferula_dashboard_variable";
/// With more variables whose kind is unknown, not every combination is tried.
const AMBIGUOUS_MAX: usize = 4;

/// What an expression reads.
#[derive(Default)]
pub struct ExpressionReads {
    pub selectors: Vec<Vec<Matcher>>,
    /// If it was not understood: everything in it that may be a metric's name.
    pub words: Vec<String>,
    /// What a person should know.
    pub note: Option<&'static str>,
}

/// The PromQL expressions of a dashboard, each once.
pub fn expressions(dashboard: &Json) -> Vec<String> {
    let mut found = Vec::new();
    collect(dashboard, true, &mut found);
    found.sort();
    found.dedup();
    found
}

/// `serde_json` limits the depth.
fn collect(json: &Json, mut is_prometheus: bool, found: &mut Vec<String>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| collect(item, is_prometheus, found)),
        Json::Object(fields) => {
            match json["datasource"]["type"].as_str() {
                // The mixed source of a panel: its queries have their own.
                None | Some("" | "datasource" | "mixed") => {}
                Some(name) => is_prometheus = name.contains("prometheus") || name.contains('$'),
            }
            let is_variable = fields.contains_key("name") && fields.contains_key("type");
            if is_variable && matches!(json["type"].as_str(), Some(kind) if is_plain_variable(kind)) {
                return;
            }
            for (key, value) in fields {
                match value {
                    Json::String(text) if matches!(&**key, "expr" | "query" | "definition") => {
                        if is_prometheus && !text.trim().is_empty() {
                            found.push(text.clone());
                        }
                    }
                    other => collect(other, is_prometheus, found),
                }
            }
        }
        _ => {}
    }
}

/// Variables whose `query` is not a query.
fn is_plain_variable(kind: &str) -> bool {
    matches!(kind, "datasource" | "custom" | "interval" | "constant" | "textbox" | "adhoc" | "switch")
}

/// What an expression of a dashboard reads.
pub fn read(expression: &str, options: &ParserOptions) -> ExpressionReads {
    let Some(promql) = promql_of(expression) else { return ExpressionReads::default() };
    let pieces = split(&promql);
    let ambiguous = pieces.iter().filter(|piece| matches!(piece, Piece::Ambiguous)).count();
    let combinations = 1u32 << ambiguous.min(AMBIGUOUS_MAX);
    let mut parsed =
        (0..combinations).rev().filter_map(|numbers| parse(&joined(&pieces, numbers), options).ok());
    // Numbers come first: `> $limit` compares with one. What is left without a selector was more than a number.
    let Some(expr) = parsed.find(|expr| !expr.selectors().is_empty()) else {
        let words = words(&promql).map(str::to_owned).collect();
        let note = Some("not understood, so every word in it counts as a read");
        return ExpressionReads { words, note, ..ExpressionReads::default() };
    };
    let mut reads = ExpressionReads::default();
    for matchers in expr.read_selectors() {
        match without_variables(&matchers) {
            Some(matchers) => reads.selectors.push(matchers),
            None => reads.note = Some("a variable names the metric, so what it reads is not known"),
        }
    }
    reads
}

/// The PromQL of a variable's query; `None` if it reads no metric.
fn promql_of(text: &str) -> Option<String> {
    let text = text.trim();
    let argument = |name: &str| {
        text.strip_prefix(name)?.trim_start().strip_prefix('(')?.trim_end().strip_suffix(')').map(str::trim)
    };
    if let Some(inner) = argument("label_values") {
        // The last argument is the label; without a metric before it, only labels are read.
        let comma = last_comma(inner)?;
        return Some(inner[..comma].to_owned());
    }
    if argument("label_names").is_some() {
        return None;
    }
    if let Some(pattern) = argument("metrics") {
        return Some(format!(
            "{{{METRIC_NAME}=~{}}}",
            ferula_go::quote::go_quote(&format!(".*(?:{pattern}).*"))
        ));
    }
    Some(argument("query_result").unwrap_or(text).to_owned())
}

/// The position of the last comma outside of brackets and strings.
fn last_comma(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut last) = (0i32, None, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'' | '`', None) => quote = Some(c),
            ('(' | '{' | '[', None) => depth += 1,
            (')' | '}' | ']', None) => depth -= 1,
            (',', None) if depth == 0 => last = Some(at),
            _ => {}
        }
    }
    last
}

/// A part of an expression.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    /// A variable in the place of a word or of a number.
    Ambiguous,
}

/// Splits an expression at its variables; those whose place says what they are become text.
fn split(text: &str) -> Vec<Piece> {
    let (mut pieces, mut plain) = (Vec::new(), String::new());
    let (mut brackets, mut quote) = (0usize, None);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(bytes) = variable_bytes(rest) {
            let after = &rest[bytes..];
            match role(&plain, after, brackets > 0, quote.is_some()) {
                Some(value) => plain.push_str(value),
                None => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Ambiguous);
                }
            }
            rest = after;
            continue;
        }
        match (c, quote) {
            ('\\', Some(open)) if open != '`' => {
                plain.push(c);
                rest = &rest[1..];
                let Some(escaped) = rest.chars().next() else { break };
                plain.push(escaped);
                rest = &rest[escaped.len_utf8()..];
                continue;
            }
            (c, Some(open)) => quote = Some(open).filter(|open| *open != c),
            ('"' | '\'' | '`', None) => quote = Some(c),
            ('[', None) => brackets += 1,
            (']', None) => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        plain.push(c);
        rest = &rest[c.len_utf8()..];
    }
    pieces.push(Piece::Text(plain));
    pieces
}

/// The length of the variable that a text begins with.
fn variable_bytes(text: &str) -> Option<usize> {
    if let Some(inner) = text.strip_prefix("[[") {
        let end = inner.find("]]")?;
        let is_name = inner[..end].chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':'));
        return (is_name && end > 0).then_some(end + 4);
    }
    let inner = text.strip_prefix('$')?;
    if let Some(braced) = inner.strip_prefix('{') {
        return braced.find('}').map(|end| end + 3);
    }
    let name = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
    // `$1` in a replacement is not a variable.
    (name > 0 && !inner.starts_with(|c: char| c.is_ascii_digit())).then_some(name + 1)
}

/// What stands in the place of a variable, if its place tells.
fn role(before: &str, after: &str, in_brackets: bool, in_quotes: bool) -> Option<&'static str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let next = after.chars().next().unwrap_or(' ');
    if in_quotes {
        return Some(VARIABLE);
    }
    let trimmed = before.trim_end();
    if in_brackets || trimmed.ends_with("offset") || trimmed.ends_with("offset -") {
        // `${seconds}s` is a duration without its unit.
        return Some(if next.is_ascii_alphabetic() { "5" } else { "5m" });
    }
    let is_name = before.ends_with(is_word) || is_word(next) || after.trim_start().starts_with(['{', '[']);
    is_name.then_some(VARIABLE)
}

/// The expression with variables as numbers (a set bit of `numbers`) or words.
fn joined(pieces: &[Piece], numbers: u32) -> String {
    let mut ambiguous = 0u32;
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Ambiguous => {
            let is_number = numbers.checked_shr(ambiguous).unwrap_or(0) & 1 == 1;
            ambiguous += 1;
            if is_number { "1" } else { VARIABLE }.to_owned()
        }
    };
    pieces.iter().map(text).collect()
}

/// The matchers without conditions that hold variables; `None` if nothing is left of the name.
fn without_variables(matchers: &[Matcher]) -> Option<Vec<Matcher>> {
    let mut kept = Vec::new();
    for matcher in matchers {
        if !matcher.value.contains(VARIABLE) && !matcher.name.contains(VARIABLE) {
            kept.push(matcher.clone());
        } else if &*matcher.name == METRIC_NAME {
            let text = match matcher.op {
                MatchOp::Equal => ferula_go::regexp::quote_meta(&matcher.value),
                MatchOp::Regex => matcher.value.to_string(),
                MatchOp::NotEqual | MatchOp::NotRegex => continue,
            };
            // What else the selector asks for still counts.
            if &*text == VARIABLE {
                continue;
            }
            kept.extend(Matcher::new(MatchOp::Regex, METRIC_NAME, &text.replace(VARIABLE, ".*")));
        }
    }
    if kept.is_empty() { None } else { Some(kept) }
}

/// The words of a text that may be names of metrics.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(move |c| !is_word(c)).filter(|word| word.starts_with(|c: char| !c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferula_query::reads::selector_text;

    fn read_texts(expression: &str) -> Vec<String> {
        let reads = read(expression, &crate::tools::analyze::all_features());
        assert!(reads.words.is_empty(), "{expression}: {:?}", reads.note);
        reads.selectors.iter().map(|matchers| selector_text(matchers)).collect()
    }

    #[test]
    fn expressions_with_variables_are_understood() {
        for (expression, selectors) in [
            ("rate(a[$__rate_interval])", &["{__name__=\"a\"}"][..]),
            ("rate(a{x=~\"$x\",y=\"1\"}[${__range_s}s:$step])", &["{__name__=\"a\",y=\"1\"}"]),
            ("a{x!~\"[[x]]\"} offset $o", &["{__name__=\"a\"}"]),
            ("topk($n, sum by ($label, b) (a))", &["{__name__=\"a\"}"]),
            ("quantile_over_time($q, a[5m]) > $limit", &["{__name__=\"a\"}"]),
            (
                "histogram_quantile(${q}, sum by (le) (rate(a_bucket{j=\"$j\"}[5m])))",
                &["{__name__=\"a_bucket\"}"],
            ),
            ("node_${what:raw}_total / b", &["{__name__=~\"node_.*_total\"}", "{__name__=\"b\"}"]),
            ("{__name__=~\"$prefix.+\", job=\"x\"}", &["{__name__=~\".*.+\",job=\"x\"}"]),
            ("label_values(a{b=\"$c\", d=\"e,f\"}, g)", &["{__name__=\"a\",d=\"e,f\"}"]),
            ("label_values(job)", &[]),
            ("label_names()", &[]),
            ("metrics(node_.*)", &["{__name__=~\".*(?:node_.*).*\"}"]),
            ("query_result(max by (x) (a))", &["{__name__=\"a\"}"]),
            ("label_replace(a, \"x\", \"$1\", \"y\", \"(.*)\")", &["{__name__=\"a\"}"]),
            ("info(a)", &["{__name__=~\".+_info\"}", "{__name__=\"a\"}"]),
        ] {
            assert_eq!(read_texts(expression), selectors, "{expression}");
        }
    }

    #[test]
    fn a_variable_as_the_name_and_other_languages_are_reported() {
        let options = crate::tools::analyze::all_features();
        let whole = read("rate($metric[5m])", &options);
        assert!(whole.selectors.is_empty() && whole.note.is_some());
        assert_eq!(read_texts("rate($metric{job=\"x\"}[5m])"), ["{job=\"x\"}"]);
        let other = read("{app=\"x\"} |= \"error\" | json a_b", &options);
        assert_eq!(other.words, ["app", "x", "error", "json", "a_b"]);
        assert!(other.note.is_some());
    }

    #[test]
    fn queries_are_found_in_every_part_of_a_dashboard() {
        let dashboard = serde_json::json!({
            "panels": [
                {"targets": [{"expr": "in_panel"}, {"expr": "in_loki", "datasource": {"type": "loki"}}]},
                {"datasource": {"type": "datasource", "uid": "-- Mixed --"}, "targets": [{"expr": "in_mixed"}]},
                {"type": "row", "panels": [{"targets": [{"expr": "in_row"}]}]},
                {"datasource": {"type": "loki"}, "targets": [{"expr": "in_loki_panel"}]},
            ],
            "rows": [{"panels": [{"targets": [{"expr": "in_old_row", "datasource": null}]}]}],
            "annotations": {"list": [{"expr": "in_annotation", "datasource": {"type": "prometheus"}}]},
            "templating": {"list": [
                {"name": "source", "type": "datasource", "query": "prometheus"},
                {"name": "word", "type": "custom", "query": "a,b"},
                {"name": "x", "type": "query", "query": {"query": "in_variable", "refId": "A"}},
                {"name": "y", "type": "query", "definition": "in_definition", "query": "in_definition"},
            ]},
            "elements": {"panel-1": {"spec": {"data": {"spec": {"queries": [
                {"spec": {"query": {"group": "prometheus", "spec": {"expr": "in_v2"}}}}]}}}}},
        });
        assert_eq!(
            expressions(&dashboard),
            [
                "in_annotation",
                "in_definition",
                "in_mixed",
                "in_old_row",
                "in_panel",
                "in_row",
                "in_v2",
                "in_variable"
            ]
        );
    }

    #[test]
    fn the_shipped_dashboards_are_understood() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/grafana/dashboards");
        let mut count = 0;
        for file in crate::tools::analyze::json_files(directory.as_ref()).expect("dashboards") {
            let text = std::fs::read(&file).expect("read");
            for expression in expressions(&serde_json::from_slice(&text).expect("JSON")) {
                let reads = read(&expression, &crate::tools::analyze::all_features());
                assert!(reads.note.is_none() && reads.words.is_empty(), "{}: {expression}", file.display());
                count += usize::from(!reads.selectors.is_empty());
            }
        }
        assert!(count > 80, "{count} expressions");
    }
}

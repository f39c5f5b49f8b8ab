//! The parser against a second, slow and literal one, and on pages from other programs.

mod slow;

use ferula_exposition::key::{decode, decode_exemplar};
use ferula_exposition::{Entry, Format, LabelScratch, PageParser};
use proptest::prelude::*;

use slow::{Labels, Row};

fn labels(scratch: &LabelScratch) -> Labels {
    scratch.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The parser's result for a page, in the oracle's terms; `None` if it refuses the page.
fn rows(mut parser: PageParser<'_>) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    let mut scratch = LabelScratch::new();
    while let Some(entry) = parser.next().ok()? {
        rows.push(row(entry, &mut scratch));
    }
    Some(rows)
}

fn row(entry: Entry<'_>, scratch: &mut LabelScratch) -> Row {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match entry {
        Entry::Type { metric, kind } => Row::Type(text(metric), kind),
        Entry::Help { metric, text: help } => Row::Help(text(metric), help.into_owned()),
        Entry::Unit { metric, unit } => Row::Unit(text(metric), text(unit)),
        Entry::Histogram(_) => panic!("without options there are none"),
        Entry::Series(series) => {
            decode(series.key, series.kind, scratch).expect("keys of a parser are keys");
            let labels_of_series = labels(scratch);
            let exemplar = series.exemplar.map(|exemplar| {
                decode_exemplar(exemplar.labels, scratch).expect("labels of a parser are labels");
                (labels(scratch), exemplar.value.to_bits(), exemplar.timestamp)
            });
            Row::Sample {
                labels: labels_of_series,
                value: series.value.to_bits(),
                timestamp: series.timestamp,
                exemplar,
            }
        }
    }
}

/// The keys of a page up to its first fault.
fn keys(mut parser: PageParser<'_>) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    while let Ok(Some(entry)) = parser.next() {
        if let Entry::Series(series) = entry {
            keys.push(series.key.to_vec());
        }
    }
    keys
}

/// The same as `rows`, by a reader that knows these keys, and expects the sample after `n` others to have key `n + ahead`.
fn rows_of_known(mut parser: PageParser<'_>, keys: &[Vec<u8>], ahead: usize) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    let mut scratch = LabelScratch::new();
    let mut samples = 0;
    loop {
        if let Some(known) = keys.get(samples + ahead)
            && let Some(series) = parser.next_known(known.len(), |key| key == known)
        {
            rows.push(row(Entry::Series(series), &mut scratch));
            samples += 1;
            continue;
        }
        let Some(entry) = parser.next().ok()? else { return Some(rows) };
        samples += usize::from(matches!(entry, Entry::Series(_)));
        rows.push(row(entry, &mut scratch));
    }
}

fn agree(page: &[u8], format: Format) -> Option<Vec<Row>> {
    let fast = rows(PageParser::new(page, format));
    let shown = || page.escape_ascii().to_string();
    assert_eq!(fast, rows(PageParser::exact(page, format)), "fast and exact on {:?}", shown());
    assert_eq!(fast, slow::read(page, format), "fast and slow on {:?}", shown());
    let keys = keys(PageParser::exact(page, format));
    for ahead in [0, 1] {
        let known = rows_of_known(PageParser::new(page, format), &keys, ahead);
        assert_eq!(fast, known, "with known keys, {ahead} ahead, on {:?}", shown());
    }
    fast
}

/// Pieces of random pages; most combinations are nearly valid.
const PIECES: &[&str] = &[
    "a",
    "up",
    "_x:y",
    "9",
    " ",
    "  ",
    "\t",
    "\n",
    "\n\n",
    "{",
    "}",
    "{}",
    "=",
    ",",
    "\"",
    "\\",
    "\\n",
    "\\\"",
    "\\\\",
    "é",
    "\u{0}",
    "\r",
    "#",
    "# ",
    "# HELP ",
    "# TYPE ",
    "# UNIT ",
    "# EOF",
    "# EOF\n",
    "HELP",
    " # {",
    "le=\"1\"",
    "b=\"c\"",
    "\"q.r\"",
    "\"q.r\"=\"s\"",
    "1",
    "-2.5",
    "+Inf",
    "NaN",
    "1e3",
    "0x1p",
    "1_0",
    " 123",
    " 1.5",
    "counter\n",
    "histogram\n",
    "summary\n",
    "info\n",
    "x_s s\n",
    "a 1\n",
    "a{b=\"c\",d=\"e\"} 2 3\n",
    "# TYPE a histogram\na{le=\"1\"} 1\n",
    "# HELP a b\\nc\n",
    "a 1 # {t=\"u\"} 2 3\n",
    "{\"q.r\",le=\"5\"} 7\n",
    "a 12345678901234567890.5\n",
];

fn page() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        30 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Complete valid lines, so that deep pages are reached too, with an occasional changed byte.
fn nearly_good_page() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        r#"[a-z_:]{1,12}(\{([a-z_]{1,6}="[ -!#-\[\]-~]{0,12}",){0,3}\})? (-?[0-9]{1,17}(\.[0-9]{1,6})?|NaN|[+-]Inf)( [0-9]{1,13})?"#,
        r#"# TYPE [a-z_]{1,8} (counter|gauge|histogram|summary)"#,
        r#"# HELP [a-z_]{1,8} [ -~]{0,20}"#,
        r#"\{"[a-z.]{1,8}",(le|quantile|"x.y")="[0-9.]{1,4}"\} [0-9]{1,4}"#,
        r#"[a-z]{1,4} [0-9]{1,3} # \{[a-z]{1,4}="[a-z]{0,3}"\} [0-9]{1,2}( [0-9]{1,2}\.[0-9]{1,4})?"#,
    ];
    let change = proptest::option::weighted(0.4, (any::<proptest::sample::Index>(), any::<u8>()));
    (proptest::collection::vec(line, 1..8), any::<bool>(), change).prop_map(|(lines, ended, change)| {
        let mut page = lines.join("\n").into_bytes();
        page.extend_from_slice(if ended { b"\n# EOF\n" } else { b"\n" });
        if let Some((at, byte)) = change {
            let at = at.index(page.len());
            page[at] = byte;
        }
        page
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_parsers_agree_on_any_text(page in page()) {
        agree(&page, Format::Text);
        agree(&page, Format::OpenMetrics);
    }

    #[test]
    fn the_parsers_agree_on_nearly_good_pages(page in nearly_good_page()) {
        agree(&page, Format::Text);
        agree(&page, Format::OpenMetrics);
    }
}

/// Found by the property test: Prometheus skips NULs after every byte of a comment's first word.
#[test]
fn nuls_around_the_end_of_the_page_are_no_data() {
    assert_eq!(agree(b"# EOF\n\0", Format::OpenMetrics), Some(Vec::new()));
    assert_eq!(agree(b"# E\0OF", Format::OpenMetrics), Some(Vec::new()));
    assert_eq!(agree(b"# EOF\n\0x", Format::OpenMetrics), None);
}

#[test]
fn the_shared_pages_parse_whole() {
    let Some(directory) = ferula_testkit::shared::directory("cases/exposition") else { return };
    let mut count = 0;
    let mut files: Vec<_> =
        std::fs::read_dir(directory).expect("a directory").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    for file in files {
        let page = std::fs::read(&file).expect("a page");
        let format = if file.to_string_lossy().contains(".om.") { Format::OpenMetrics } else { Format::Text };
        let mut parser = PageParser::new(&page, format);
        while parser.next().unwrap_or_else(|error| panic!("{}: {error}", file.display())).is_some() {}
        let rows = agree(&page, format).expect("it was just read whole");
        assert!(rows.iter().any(|row| matches!(row, Row::Sample { .. })), "{}", file.display());
        count += 1;
    }
    ferula_testkit::shared::ran("cases/exposition", count);
}

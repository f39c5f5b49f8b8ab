//! Refused pages with Prometheus' texts, and odd pages that are accepted.

use ferula_exposition::{Entry, Format, PageError, PageParser};

/// Reads the whole page both ways, which must agree. Returns the number of samples, or the line and reason.
fn verdict(page: &[u8], format: Format) -> Result<usize, (usize, String)> {
    let read = |mut parser: PageParser<'_>| {
        let mut samples = 0;
        loop {
            match parser.next() {
                Ok(Some(Entry::Series(_))) => samples += 1,
                Ok(Some(_)) => {}
                Ok(None) => return Ok(samples),
                Err(PageError::Line(error)) => return Err((error.line, error.reason)),
                Err(PageError::Message(error)) => panic!("no message is read here: {error}"),
            }
        }
    };
    let (fast, exact) = (read(PageParser::new(page, format)), read(PageParser::exact(page, format)));
    assert_eq!(fast, exact, "{:?}", page.escape_ascii().to_string());
    fast
}

fn check(format: Format, cases: &[(&[u8], usize, &str)]) {
    for (page, line, reason) in cases {
        let expected = Err((*line, (*reason).to_owned()));
        assert_eq!(verdict(page, format), expected, "{}", page.escape_ascii());
    }
}

#[test]
fn invalid_text_pages_are_refused_with_prometheus_texts() {
    check(
        Format::Text,
        &[
            (b"a", 1, r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#),
            (b"ok 1\na{b='c'} 1\n", 2, r#"expected label value, got "'" ("INVALID") while parsing: "a{b='""#),
            (b"a{b=\n", 1, r#"expected label value, got "\n" ("INVALID") while parsing: "a{b=\n""#),
            (
                b"a{\xff=\"foo\"} 1\n",
                1,
                r#"expected label name, got "\xff" ("INVALID") while parsing: "a{\xff""#,
            ),
            (b"a{b=\"\xff\"} 1\n", 1, r#"invalid UTF-8 label value: "\"\xff\"""#),
            (
                br#"{"a", "b = "c"}"#,
                1,
                r#"expected equal, got "c\"" ("LNAME") while parsing: "{\"a\", \"b = \"c\"""#,
            ),
            (
                br#"{"a",b\nc="d"} 1"#,
                1,
                r#"expected equal, got "\\" ("INVALID") while parsing: "{\"a\",b\\""#,
            ),
            (
                b"# TYPE a counter\n\na true\n",
                3,
                r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a true""#,
            ),
            (
                b"something_weird{problem=\"",
                1,
                r#"expected label value, got "\"\n" ("INVALID") while parsing: "something_weird{problem=\"\n""#,
            ),
            (b"e{=\"\"} 0", 1, r#"expected label name, got "=\"" ("EQUAL") while parsing: "e{=\"""#),
            (b"{A}0", 1, r#"expected equal, got "}0" ("BCLOSE") while parsing: "{A}0""#),
            (b"foo 1_2\n", 1, r#"unsupported character in float while parsing: "foo 1_2""#),
            (b"foo 0x1p-3\n", 1, r#"unsupported character in float while parsing: "foo 0x1p-3""#),
            (
                b"foo 0 1_2\n",
                1,
                r#"expected next entry after timestamp, got "_" ("INVALID") while parsing: "foo 0 1_""#,
            ),
            (
                b"foo 0 -1\n",
                1,
                r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "foo 0 -""#,
            ),
            (
                b"foo 0 1.5\n",
                1,
                r#"expected next entry after timestamp, got "." ("INVALID") while parsing: "foo 0 1.""#,
            ),
            (
                b"foo 0 99999999999999999999\n",
                1,
                r#"strconv.ParseInt: parsing "99999999999999999999": value out of range while parsing: "foo 0 99999999999999999999""#,
            ),
            (
                b"foo 1e999\n",
                1,
                r#"strconv.ParseFloat: parsing "1e999": value out of range while parsing: "foo 1e999""#,
            ),
            (br#"{a="ok"} 1"#, 1, r#"metric name not set while parsing: "{a=\"ok\"} 1""#),
            (br#"m{"a"} 1"#, 1, r#"metric name already set while parsing: "m{\"a\"}""#),
            (
                b"# TYPE #\n#EOF\n",
                1,
                r##"expected metric name after TYPE, got "#" ("INVALID") while parsing: "# TYPE #""##,
            ),
            (
                b"# HELP #\n#EOF\n",
                1,
                r##"expected metric name after HELP, got "#" ("INVALID") while parsing: "# HELP #""##,
            ),
            (b"# TYPE a wrong\n", 1, r#"invalid metric type "wrong""#),
            (b"# TYPE a  counter\n", 1, r#"invalid metric type " counter""#),
            (b"# HELP a b\xff\n", 1, r#"help text "b\xff" is not a valid utf8 string"#),
            (b"1a 2\n", 1, r#"expected a valid start token, got "1" ("INVALID") while parsing: "1""#),
            // A carriage return is part of the value.
            (b"a 1\r\n", 1, r#"strconv.ParseFloat: parsing "1\r": invalid syntax while parsing: "a 1\r""#),
            (
                b"a 1 2\r\n",
                1,
                r#"expected next entry after timestamp, got "\r" ("INVALID") while parsing: "a 1 2\r""#,
            ),
            // NULs outside texts.
            (
                b"a{b=\x00\"ssss\"} 1\n",
                1,
                r#"expected label value, got "\x00" ("INVALID") while parsing: "a{b=\x00""#,
            ),
            (
                b"a{b=\"\x00",
                1,
                r#"expected label value, got "\"\x00\n" ("INVALID") while parsing: "a{b=\"\x00\n""#,
            ),
            (
                b"a{b\x00=\"hiih\"}\t1",
                1,
                r#"expected equal, got "\x00" ("INVALID") while parsing: "a{b\x00""#,
            ),
            (
                b"a\x00{b=\"ddd\"} 1",
                1,
                r#"expected value after metric, got "\x00" ("INVALID") while parsing: "a\x00""#,
            ),
            (
                b"a 0 1\x00",
                1,
                r#"expected next entry after timestamp, got "\x00" ("INVALID") while parsing: "a 0 1\x00""#,
            ),
        ],
    );
}

#[test]
fn odd_text_pages_are_accepted() {
    for (page, samples) in [
        (&b""[..], 0),
        (b"\n\n", 0),
        (b"a 1", 1),
        (b"  \t a\t{ b = \"c\" , }\t 1 \t 2 \n", 1),
        (b"a{b=\"c\"d=\"e\"}1\n", 1),
        (b"a{b=\"line\nbreak\"} 1\n", 1),
        (b"a{b=\"c\",b=\"c\"} 1\na 1\na 1\n", 3),
        (b"a{b=\"abc\x00\"} 1\n# HELP a b\x00c\n# \x01\xff any comment\n#not one\n#HELP a\n# HELPa\n", 1),
        (b"# HELP a\n# HELP b   \n# TYPE c untyped\na NaN\n", 1),
        // A NUL at the start of a line ends the page.
        (b"a 1\n\x00garbage", 1),
        (b"{\"a\",b=\"c\"} 1\n{b=\"c\",\"a\"} 1\n", 2),
        (b"a 1 000000000000000000000000001\n", 1),
    ] {
        assert_eq!(verdict(page, Format::Text), Ok(samples), "{}", page.escape_ascii());
    }
}

#[test]
fn invalid_openmetrics_pages_are_refused_with_prometheus_texts() {
    const NO_END: &str = "data does not end with # EOF";
    check(
        Format::OpenMetrics,
        &[
            (b"", 1, NO_END),
            (b"\n", 1, r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#),
            (b"metric", 1, r#"expected value after metric, got "metric" ("EOF") while parsing: "metric""#),
            (b"metric 1", 1, NO_END),
            (b"metric 1\n", 2, NO_END),
            (b"metric_total 1 # {aa=\"bb\"} 4", 1, NO_END),
            (b"a\n#EOF\n", 1, r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#),
            (b" a 1\n#EOF\n", 1, r#"expected a valid start token, got " " ("INVALID") while parsing: " ""#),
            (b"9\n#EOF\n", 1, r#"expected a valid start token, got "9" ("INVALID") while parsing: "9""#),
            (b"# TYPE u untyped\n#EOF\n", 1, r#"invalid metric type "untyped""#),
            (b"# TYPE c counter \n#EOF\n", 1, r#"invalid metric type "counter ""#),
            (
                b"#  TYPE c counter\n#EOF\n",
                1,
                r##"expected a valid start token, got "#  " ("INVALID") while parsing: "#  ""##,
            ),
            (
                b"# TYPE \n#EOF\n",
                1,
                r##"expected metric name after TYPE, got "\n" ("INVALID") while parsing: "# TYPE \n""##,
            ),
            (b"# TYPE m\n#EOF\n", 1, "expected text in TYPE"),
            (b"# UNIT metric suffix\n#EOF\n", 1, r#"unit "suffix" not a suffix of metric "metric""#),
            (
                b"# UNIT metricsuffix suffix\n#EOF\n",
                1,
                r#"unit "suffix" not a suffix of metric "metricsuffix""#,
            ),
            (b"# UNIT m suffix\n#EOF\n", 1, r#"unit "suffix" not a suffix of metric "m""#),
            (
                b"# UNIT \n#EOF\n",
                1,
                r##"expected metric name after UNIT, got "\n" ("INVALID") while parsing: "# UNIT \n""##,
            ),
            (b"# UNIT m\n#EOF\n", 1, "expected text in UNIT"),
            (b"# HELP m\n#EOF\n", 1, "expected text in HELP"),
            (b"a\t1\n#EOF\n", 1, r#"expected value after metric, got "\t" ("INVALID") while parsing: "a\t""#),
            (
                b"a 1\t2\n#EOF\n",
                1,
                r#"strconv.ParseFloat: parsing "1\t2": invalid syntax while parsing: "a 1\t2""#,
            ),
            (
                b"a 1 2 \n#EOF\n",
                1,
                r#"expected next entry after timestamp, got " \n" ("INVALID") while parsing: "a 1 2 \n""#,
            ),
            (
                b"a 1 2 #\n#EOF\n",
                1,
                r##"expected next entry after timestamp, got " #\n" ("TIMESTAMP") while parsing: "a 1 2 #\n""##,
            ),
            (
                b"a 1 1z\n#EOF\n",
                1,
                r#"strconv.ParseFloat: parsing "1z": invalid syntax while parsing: "a 1 1z""#,
            ),
            (b"# EOF\na 1", 1, "unexpected data after # EOF"),
            (b"# EOF\n\n", 1, "unexpected data after # EOF"),
            (b"# EOFa 1", 1, "unexpected data after # EOF"),
            (
                b"#\tTYPE c counter\n",
                1,
                r##"expected a valid start token, got "#\t" ("INVALID") while parsing: "#\t""##,
            ),
            (b"# TYPE c  counter\n", 1, r#"invalid metric type " counter""#),
            (
                b"a 1 1 1\n# EOF\n",
                1,
                r#"expected next entry after timestamp, got " 1\n" ("TIMESTAMP") while parsing: "a 1 1 1\n""#,
            ),
            (
                b"a{,b=\"c\"} 1\n# EOF\n",
                1,
                r#"expected label name, got ",b" ("COMMA") while parsing: "a{,b""#,
            ),
            (
                b"a{b=\"c\"d=\"e\"} 1\n# EOF\n",
                1,
                r#"expected comma or brace close, got "d=" ("LNAME") while parsing: "a{b=\"c\"d=""#,
            ),
            (
                b"a{b=\"c\",,d=\"e\"} 1\n# EOF\n",
                1,
                r#"expected label name, got ",d" ("COMMA") while parsing: "a{b=\"c\",,d""#,
            ),
            (b"a{b=\"\xff\"} 1\n# EOF\n", 1, r#"invalid UTF-8 label value: "\"\xff\"""#),
            (b"{A}0\n# EOF\n", 1, r#"expected equal, got "}0" ("BCLOSE") while parsing: "{A}0""#),
            (b"foo 0 1_2\n\n# EOF\n", 1, r#"unsupported character in float while parsing: "foo 0 1_2""#),
            (
                b"a 1 # {aa=bb}\n# EOF\n",
                1,
                r##"expected label value, got "b" ("INVALID") while parsing: "a 1 # {aa=b""##,
            ),
            (
                b"a 1 # {aa=\"bb\"}\n# EOF\n",
                1,
                r##"expected value after exemplar labels, got "\n" ("INVALID") while parsing: "a 1 # {aa=\"bb\"}\n""##,
            ),
            (
                br#"a 1 # {aa="bb"}"#,
                1,
                r##"expected value after exemplar labels, got "}" ("EOF") while parsing: "a 1 # {aa=\"bb\"}""##,
            ),
            (b"a 1 # {bb}", 1, r##"expected equal, got "}" ("BCLOSE") while parsing: "a 1 # {bb}""##),
            (
                br#"a 1 # {bb, a="dd"}"#,
                1,
                r##"expected equal, got ", " ("COMMA") while parsing: "a 1 # {bb, ""##,
            ),
            (
                br#"a 1 # {"bb"}"#,
                1,
                r##"expected label name, got "}" ("BCLOSE") while parsing: "a 1 # {\"bb\"}""##,
            ),
            (
                br#"a 1 # {aa="bb"} true"#,
                1,
                r##"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a 1 # {aa=\"bb\"} true""##,
            ),
            (br#"{b="c",} 1"#, 1, r#"metric name not set while parsing: "{b=\"c\",} 1""#),
            (b"a 1 NaN", 1, "invalid timestamp NaN"),
            (b"a 1 -Inf", 1, "invalid timestamp -Inf"),
            (b"a 1 Inf", 1, "invalid timestamp +Inf"),
            (b"a 1 # {aa=\"bb\"} 4 NaN", 1, "invalid exemplar timestamp NaN"),
            (b"#", 1, r##"expected a valid start token, got "#" ("INVALID") while parsing: "#""##),
            (b"# H", 1, r##"expected a valid start token, got "# H" ("INVALID") while parsing: "# H""##),
            (
                b"a{b=\"\x00",
                1,
                r#"expected label value, got "\"\x00" ("INVALID") while parsing: "a{b=\"\x00""#,
            ),
            (
                b"a 1 # {b=\"\x00ss\"} 1\n",
                1,
                r##"expected label value, got "\"\x00" ("INVALID") while parsing: "a 1 # {b=\"\x00""##,
            ),
            // Anything after a value that is neither timestamp nor exemplar is read as the next line.
            (
                b"a 1 \n# EOF\n",
                1,
                "expected a valid start token, got \"\\n#\" (\"LINEBREAK\") while parsing: \"\\n#\"",
            ),
        ],
    );
}

#[test]
fn odd_openmetrics_pages_are_accepted() {
    for (page, samples) in [
        (&b"# EOF"[..], 0),
        (b"# EOF\n", 0),
        (b"a 1 1.5 # {} 1 2\n# EOF", 1),
        (b"a 1 # {t=\"\"} NaN\na{b=\"c\",} +Inf -1e3\n# EOF\n", 2),
        (b"a{b=\"\x00\"} 1\n# HELP a b\x00c\n# EOF", 1),
        (b"# UNIT a_s s\n# UNIT a \n# TYPE a info\n# HELP a  two spaces\n# EOF\n", 0),
    ] {
        assert_eq!(verdict(page, Format::OpenMetrics), Ok(samples), "{}", page.escape_ascii());
    }
}

#[test]
fn a_hostile_line_does_not_produce_a_huge_error() {
    let page = [b"a{b=\"".as_slice(), &vec![b'x'; 1 << 20]].concat();
    let (line, reason) = verdict(&page, Format::Text).expect_err("the value does not end");
    assert_eq!(line, 1);
    assert!(reason.len() < 4096, "{} bytes", reason.len());
}

/// Undoes `\xff`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut parts = text.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two hexadecimal digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// Sequences of every length at every place of a page, and beside every number of other bytes up to 65, as Prometheus 3.5
/// scraped them. Names in quotation marks are judged by the scraper, which knows all labels of the series.
#[test]
fn bytes_that_are_not_utf8_count_as_in_prometheus() {
    let table = include_str!("../../../testdata/exposition/not_utf8.tsv");
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for row in table.lines().filter(|line| !line.starts_with("# ")) {
        let [format, page, mark, outcome] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        if outcome.starts_with("invalid metric name or label names") {
            continue;
        }
        rows += 1;
        let format = if format == "text" { Format::Text } else { Format::OpenMetrics };
        let found = match verdict(&unescaped(page), format) {
            Ok(samples) => ("=", samples.to_string()),
            Err((_, reason)) => ("!", reason),
        };
        if found != (mark, String::from_utf8_lossy(&unescaped(outcome)).into_owned()) {
            wrong.push(format!("{row}\n    ours: {found:?}"));
        }
    }
    assert!(rows > 1000, "only {rows} rows");
    assert!(wrong.is_empty(), "{} of {rows} differ:\n{}", wrong.len(), wrong.join("\n"));
}

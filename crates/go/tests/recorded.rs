//! Every function of this crate against recorded answers of Go's library: `testdata/go/*.tsv`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use ferula_go::url::Url;
use ferula_go::{
    Regexp, calendar, duration, float, html, ip, json, json_reader, math, mime, number, path, quote, regexp,
    unicode, url,
};
use regex_syntax::hir::{Class, HirKind};
use serde_json::Value;

/// One call and Go's answer.
struct Recorded<'a> {
    call: &'a str,
    inputs: Vec<Vec<u8>>,
    answer: Answer,
}

/// Result columns, or the text of the error.
type Answer = Result<Vec<Vec<u8>>, Vec<u8>>;

/// Undoes `\xff`.
fn unescaped(column: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut parts = column.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two hexadecimal digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// How many inputs a call has.
fn inputs_of(call: &str) -> usize {
    match call {
        "regexp_replace" | "regexp_expand" => 3,
        "float_precise" | "time_format" | "path_join" | "path_match" | "url_resolve" => 2,
        "pow" | "atan2" | "max" | "min" | "ldexp" | "is_print" | "is_letter" | "is_digit" | "is_space" => 2,
        _ => 1,
    }
}

fn read(line: &str) -> Recorded<'_> {
    let columns: Vec<&str> = line.split('\t').collect();
    let mark = 1 + inputs_of(columns[0]);
    let inputs = columns[1..mark].iter().map(|column| unescaped(column)).collect();
    let results = || columns[mark + 1..].iter().map(|column| unescaped(column)).collect();
    let answer = match columns[mark] {
        "!" => Err(unescaped(columns[mark + 1])),
        mark => {
            assert_eq!(mark, "=", "{line}");
            Ok(results())
        }
    };
    Recorded { call: columns[0], inputs, answer }
}

fn hex(bits: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(bits, 16).expect("sixteen hexadecimal digits"))
}

fn shown(v: f64) -> String {
    if v.is_nan() { "nan".to_owned() } else { format!("{:016x}", v.to_bits()) }
}

fn ok(texts: &[&str]) -> Answer {
    Ok(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
}

fn one(text: impl AsRef<[u8]>) -> Answer {
    Ok(vec![text.as_ref().to_vec()])
}

fn result<T: ToString, E: ToString>(result: Result<T, E>) -> Answer {
    result.map(|value| vec![value.to_string().into_bytes()]).map_err(|error| error.to_string().into_bytes())
}

fn buffer(write: impl FnOnce(&mut String)) -> Answer {
    let mut out = String::new();
    write(&mut out);
    one(out)
}

/// Texts that are matched by every pattern of `regexp_whole`, in order.
const SUBJECTS: [&str; 27] = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "aab",
    "a.b",
    "a\nb",
    "A",
    "é",
    "1",
    "12",
    "-",
    "a-1",
    "prod-a",
    "x@y",
    "\u{212a}",
    "ſ",
    "s",
    "K",
    "σ",
    "\u{1F600}",
    "{",
    "a{,2}",
    "]",
    " ",
    "\n",
];

/// The recorded answer if it is the same value, which can be written in several ways.
fn read_json(ours: Result<Value, json_reader::JsonError>, recorded: &Recorded<'_>) -> Answer {
    let ours = ours.map_err(|error| error.to_string().into_bytes())?;
    if let Ok(columns) = &recorded.answer {
        let go: Value = serde_json::from_slice(&columns[0]).expect("Go writes JSON");
        if canonical(&go) == canonical(&ours) {
            return recorded.answer.clone();
        }
    }
    one(ours.to_string())
}

/// With sorted keys, and floats for all numbers.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("{:?}", number.as_f64().map(|number| number + 0.0)),
        Value::Array(items) => format!("{:?}", items.iter().map(canonical).collect::<Vec<_>>()),
        Value::Object(entries) => {
            let sorted: BTreeMap<&String, String> =
                entries.iter().map(|(key, value)| (key, canonical(value))).collect();
            format!("{sorted:?}")
        }
        other => other.to_string(),
    }
}

/// What this crate returns, in the columns of the record. `None` where the input cannot be passed to it: its texts are
/// UTF-8.
fn answer(recorded: &Recorded<'_>) -> Option<Answer> {
    match recorded.call {
        "json_read" => return Some(read_json(json_reader::from_slice(&recorded.inputs[0]), recorded)),
        "json_first" => return Some(read_json(json_reader::first_of_stream(&recorded.inputs[0]), recorded)),
        _ => {}
    }
    let mut texts = Vec::new();
    for input in &recorded.inputs {
        texts.push(match std::str::from_utf8(input) {
            Ok(text) => text,
            Err(_) if recorded.call == "quote" => return Some(one(quote::go_quote_bytes(input))),
            Err(_) => return None,
        });
    }
    let text = texts.first().copied().unwrap_or_default();
    let second = texts.get(1).copied().unwrap_or_default();
    Some(match recorded.call {
        "quote" => one(quote::go_quote(text)),
        "quote_char" => one(quote::go_quote_char(text.parse().expect("a code point"))),
        "unquote" => quote::unquote(text).map(|bytes| vec![bytes]).ok_or(b"invalid syntax".to_vec()),
        "json_plain" => buffer(|out| json::push_string(out, text)),
        "json_html" => buffer(|out| json::push_html_string(out, text)),
        "json_iterator" => buffer(|out| json::push_iterator_string(out, text)),
        "json_iterator_html" => buffer(|out| json::push_iterator_html_string(out, text)),
        "json_float" => one(json::format_number(hex(text)).expect("finite")),
        "float_shortest" => {
            let v = hex(text);
            ok(&[&float::format_f(v), &float::format_e(v), &float::format_g(v)])
        }
        "float_precise" => {
            let (v, precision) = (hex(text), second.parse().expect("a precision"));
            ok(&[
                &float::format_f_precise(v, precision),
                &float::format_e_precise(v, precision),
                &float::format_g_precise(v, precision),
            ])
        }
        "parse_float" => result(number::parse_float(text).map(|v| format!("{:016x}", v.to_bits()))),
        "atoi" => result(number::atoi(text)),
        "parse_int32" => result(number::parse_int32(text)),
        "parse_int_any_base" => result(number::parse_int_any_base(text)),
        "parse_bool" => result(number::parse_bool(text)),
        "duration_string" => one(duration::format(text.parse().expect("nanoseconds"))),
        "duration_parse" => result(duration::parse(text)),
        "calendar" => {
            let c = calendar::Civil::from_unix(text.parse().expect("seconds"));
            let parts =
                [c.month, c.day, c.hour, c.minute, c.second, c.weekday, c.day_of_year].map(|v| v.to_string());
            Ok([c.year.to_string()].into_iter().chain(parts).map(String::into_bytes).collect())
        }
        "time_format" => one(calendar::format(text.parse().expect("nanoseconds"), second)),
        "time_string" => one(calendar::to_string(text.parse().expect("nanoseconds"))),
        "time_parse_rfc3339" => match calendar::parse_rfc3339(text) {
            Some((seconds, nanos)) => ok(&[&seconds.to_string(), &nanos.to_string()]),
            // Whether, not why.
            None => recorded.answer.clone().and(Ok(Vec::new())),
        },
        "parse_addr" => ip::parse_addr(text.as_bytes())
            .map(|_| Vec::new())
            .map_err(|error| error.to_string().into_bytes()),
        "regexp_class" => class_answer(text),
        "regexp_fold" => members(&format!("(?i){}", regexp::quote_meta(text))),
        "media_type" => result(mime::parse_media_type(text)),
        "path_clean" => one(path::clean(text)),
        "path_dir" => one(path::dir(text)),
        "path_base" => one(path::base(text)),
        "path_ext" => one(path::ext(text)),
        "path_join" => one(path::join(text, second)),
        "path_match" => result(path::matches(text, second)),
        "is_print" | "is_letter" | "is_digit" | "is_space" => return None,
        "to_upper" => one(mapped(text, unicode::to_upper)),
        "to_lower" => one(mapped(text, unicode::to_lower)),
        "to_title" => one(mapped(text, unicode::to_title)),
        "strings_to_upper" => one(unicode::upper(text)),
        "strings_to_lower" => one(unicode::lower(text)),
        "strings_title" => return None,
        "html_escape" => one(html::escape(text)),
        "html_escape_template" => one(html::escape_template(text)),
        "xml_escape" => one(html::escape_xml(text)),
        call if call.starts_with("url") || call.contains("quer") || call.starts_with("path_") => {
            return url_answer(call, text, second);
        }
        call if call.starts_with("regexp") => regexp_answer(call, &texts),
        call => match (texts.len(), call) {
            (1, "frexp") => {
                let (mantissa, exponent) = math::frexp(hex(text));
                ok(&[&shown(mantissa), &exponent.to_string()])
            }
            (2, "ldexp") => one(shown(math::ldexp(hex(text), second.parse().expect("an exponent")))),
            (1, call) => one(shown(function(call)(hex(text)))),
            (_, call) => one(shown(function_of_two(call)(hex(text), hex(second)))),
        },
    })
}

fn mapped(code: &str, map: fn(char) -> char) -> String {
    let code = u32::from_str_radix(code, 16).expect("a code point");
    format!("{:x}", u32::from(map(char::from_u32(code).expect("no surrogate is mapped"))))
}

fn function(name: &str) -> fn(f64) -> f64 {
    match name {
        "exp" => math::exp,
        "exp2" => math::exp2,
        "ln" => math::ln,
        "log2" => math::log2,
        "log10" => math::log10,
        "sin" => math::sin,
        "cos" => math::cos,
        "tan" => math::tan,
        "asin" => math::asin,
        "acos" => math::acos,
        "atan" => math::atan,
        "sinh" => math::sinh,
        "cosh" => math::cosh,
        "tanh" => math::tanh,
        "asinh" => math::asinh,
        "acosh" => math::acosh,
        "atanh" => math::atanh,
        other => panic!("no function is called {other}"),
    }
}

fn function_of_two(name: &str) -> fn(f64, f64) -> f64 {
    match name {
        "pow" => math::pow,
        "atan2" => math::atan2,
        "max" => math::max,
        "min" => math::min,
        other => panic!("no function is called {other}"),
    }
}

fn url_answer(call: &str, text: &str, second: &str) -> Option<Answer> {
    Some(match call {
        "url_parse" => match Url::parse(text) {
            Err(error) => Err(error.to_string().into_bytes()),
            Ok(url) => {
                let columns = [
                    url.scheme().to_owned(),
                    url.opaque().to_owned(),
                    url.username().unwrap_or_default(),
                    url.password().map(|password| format!(":{password}")).unwrap_or_default(),
                    url.host(),
                    url.hostname(),
                    url.port(),
                    url.path(),
                    url.escaped_path(),
                    url.raw_query().to_owned(),
                    url.fragment(),
                    url.to_string(),
                    url.redacted(),
                    url.request_uri(),
                ];
                Ok(columns.into_iter().map(String::into_bytes).collect())
            }
        },
        "url_resolve" => result(Url::parse(text).and_then(|base| base.join(second))),
        "path_escape" => one(url::path_escape(text)),
        "query_escape" => one(url::query_escape(text)),
        "path_unescape" => result(url::path_unescape(text)),
        "query_unescape" => result(url::query_unescape(text)),
        "parse_query_error" => result(url::parse_query(text).1.map_or(Ok(""), Err)),
        "url_userinfo" => result(Url::parse(text).map(|url| url.userinfo().unwrap_or_default())),
        "parse_query" => {
            // The record has them sorted by name, as `Values.Encode` prints them.
            let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (name, value) in url::parse_query(text).0 {
                by_name.entry(name).or_default().push(value);
            }
            let mut encoded = String::new();
            for (name, value) in
                by_name.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v)))
            {
                let and = if encoded.is_empty() { "" } else { "&" };
                write!(encoded, "{and}{}={}", url::query_escape(name), url::query_escape(value))
                    .expect("a String");
            }
            one(encoded)
        }
        _ => return None,
    })
}

fn regexp_answer(call: &str, texts: &[&str]) -> Answer {
    let refused = |error: regexp::SyntaxError| error.to_string().into_bytes();
    match (call, texts) {
        ("regexp_parse", [pattern]) => {
            result(regexp::Pattern::parse(pattern).map(|pattern| pattern.groups()))
        }
        ("regexp_whole", [pattern]) => {
            let regexp =
                regexp::Pattern::parse(pattern).and_then(regexp::Pattern::compile_whole).map_err(refused)?;
            one(SUBJECTS
                .map(|subject| if regexp.is_match(subject) { '1' } else { '0' })
                .iter()
                .collect::<String>())
        }
        ("regexp_replace", [pattern, text, template]) => {
            one(Regexp::new(pattern).map_err(refused)?.replace_all(text, template))
        }
        ("regexp_expand", [pattern, text, template]) => {
            one(Regexp::new(pattern).map_err(refused)?.expand(text, template).expect("it matches"))
        }
        other => panic!("what is {other:?}?"),
    }
}

/// The code points that a class matches, as ranges.
fn ranges_of(pattern: &str) -> Result<Vec<(u32, u32)>, Vec<u8>> {
    let refused = |error: regexp::SyntaxError| error.to_string().into_bytes();
    let hir = regexp::Pattern::parse(pattern).and_then(|pattern| pattern.hir()).map_err(refused)?;
    Ok(match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
        HirKind::Class(Class::Bytes(class)) => {
            class.iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
        HirKind::Literal(literal) => {
            String::from_utf8_lossy(&literal.0).chars().map(|c| (c.into(), c.into())).collect()
        }
        other => panic!("{pattern} is no class but {other:?}"),
    })
}

/// The characters that a pattern matches, in their order.
fn members(pattern: &str) -> Answer {
    let ranges = ranges_of(pattern)?;
    one(ranges
        .into_iter()
        .flat_map(|(first, last)| first..=last)
        .filter_map(char::from_u32)
        .collect::<String>())
}

/// `isLookedAt` in `testdata/go/record/unicode.go`.
const LOOKED_AT: [(u32, u32); 5] =
    [(0, 0x33500), (0xe0000, 0xe0200), (0xf0000, 0xf0100), (0xfff00, 0x10_0100), (0x10_ff00, 0x10_ffff)];
/// `hasNewCase` there.
const NEW_CASE: [(u32, u32); 3] = [(0xa7ce, 0xa7cf), (0xa7d2, 0xa7d5), (0x16ea0, 0x16ed3)];

/// How many characters are in a class, of those that the record looks at, and the hash of their ranges.
fn class_answer(pattern: &str) -> Answer {
    let mut looked_at = LOOKED_AT.to_vec();
    if pattern.starts_with("(?i)") {
        for (first, last) in NEW_CASE {
            let (before, _) = *looked_at.iter().find(|(a, b)| (a..=b).contains(&&first)).expect("one");
            let cut = |(a, b): (u32, u32)| match a == before {
                true => vec![(a, first - 1), (last + 1, b)],
                false => vec![(a, b)],
            };
            looked_at = looked_at.into_iter().flat_map(cut).collect();
        }
    }
    let (mut count, mut merged): (u32, Vec<(u32, u32)>) = (0, Vec::new());
    for (first, last) in ranges_of(pattern)? {
        for (from, to) in &looked_at {
            let (first, last) = (first.max(*from), last.min(*to));
            if first > last {
                continue;
            }
            let surrogates = if first < 0xd800 && last > 0xdfff { 0x800 } else { 0 };
            count += last - first + 1 - surrogates;
            match merged.last_mut() {
                Some((_, end)) if *end + 1 == first || (*end == 0xd7ff && first == 0xe000) => *end = last,
                _ => merged.push((first, last)),
            }
        }
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in merged.iter().flat_map(|(first, last)| format!("{first:x}-{last:x},").into_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    ok(&[&count.to_string(), &format!("{hash:016x}")])
}

/// Bytes that are not UTF-8 come out of this crate as U+FFFD.
fn same(ours: &Answer, recorded: &Recorded<'_>) -> bool {
    let lossy = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    match (ours, &recorded.answer) {
        (Err(ours), Err(theirs)) => lossy(ours) == lossy(theirs),
        (Ok(ours), Ok(theirs)) => match recorded.call {
            // After the pairs comes the first error, which nobody needs.
            "parse_query" => lossy(&ours[0]) == lossy(&theirs[0]).replace("%FF", "%EF%BF%BD"),
            "unquote" => ours == theirs,
            _ => ours.iter().map(lossy).eq(theirs.iter().map(lossy)),
        },
        _ => false,
    }
}

fn records() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/go");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the records are there") {
        let path = entry.expect("a directory entry").path();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(&path).expect("a text")));
        }
    }
    files.sort();
    files
}

#[test]
fn every_answer_is_gos() {
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (file, text) in records() {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let recorded = read(line);
            let Some(ours) = answer(&recorded) else { continue };
            compared += 1;
            if !same(&ours, &recorded) {
                let text = match ours {
                    Ok(columns) => format!(
                        "= {columns:?}",
                        columns = columns.iter().map(|c| String::from_utf8_lossy(c)).collect::<Vec<_>>()
                    ),
                    Err(error) => format!("! {}", String::from_utf8_lossy(&error)),
                };
                wrong.push(format!("{file}:{}: {line}\n    ours: {text}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 15_000, "only {compared} answers");
}

/// All code points, not just those that the records name.
#[test]
fn characters_are_of_the_kinds_that_go_puts_them_in() {
    let (_, text) = records().into_iter().find(|(name, _)| name == "unicode.tsv").expect("unicode.tsv");
    let kinds: [(&str, fn(char) -> bool); 4] = [
        ("is_print", unicode::is_print),
        ("is_letter", unicode::is_letter),
        ("is_digit", unicode::is_digit),
        ("is_space", unicode::is_space),
    ];
    for (call, is) in kinds {
        let ranges: Vec<(u32, u32)> = text
            .lines()
            .filter_map(|line| line.strip_prefix(call)?.strip_prefix('\t')?.split_once('\t'))
            .map(|(first, rest)| (first, rest.split('\t').next().unwrap_or_default()))
            .map(|(first, last)| {
                [first, last].map(|code| u32::from_str_radix(code, 16).expect("a code point"))
            })
            .map(|[first, last]| (first, last))
            .collect();
        for c in '\0'..=char::MAX {
            let code = u32::from(c);
            let at = ranges.partition_point(|(_, last)| *last < code);
            let recorded = ranges.get(at).is_some_and(|(first, _)| *first <= code);
            assert_eq!(is(c), recorded, "{call} of U+{code:04X}");
        }
    }
    let maps: [(&str, fn(char) -> char); 3] =
        [("to_upper", unicode::to_upper), ("to_lower", unicode::to_lower), ("to_title", unicode::to_title)];
    for (call, map) in maps {
        let changed = ('\0'..=char::MAX).filter(|c| map(*c) != *c).count();
        assert_eq!(
            changed,
            text.lines().filter(|line| line.starts_with(&format!("{call}\t"))).count(),
            "{call}"
        );
    }
}

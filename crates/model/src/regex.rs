//! Regexes of matchers, relabel rules and `label_replace`: RE2 as Go reads it, anchored, dot matches newline.
//!
//! Go's syntax and the `regex` crate's differ at the edges; `syntax` is the one place that knows where. `shape` finds
//! the regexes that need no engine.

mod shape;
mod syntax;

use std::sync::Arc;

use regex::bytes::{Captures, Regex, RegexBuilder};

use self::shape::Shape;

/// Why a regex was refused. The text is Go's: `error parsing regexp: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegexError(pub String);

/// A regex that must match a whole label value: `^(?s:…)$`. Cloning copies pointers.
#[derive(Clone, Debug)]
pub struct LabelRegex {
    pattern: Arc<str>,
    shape: Arc<Shape>,
    /// Absent when the shape decides and there are no groups to expand.
    engine: Option<Engine>,
}

/// A compiled regex with the names of its groups.
#[derive(Clone, Debug)]
struct Engine {
    /// Works on bytes, because `\B` is about bytes in Go. It is only ever given text.
    regex: Regex,
    group_names: Arc<[Option<Box<str>>]>,
}

/// A compiled regex may take this much memory; a query must not be able to ask for more.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// Longer patterns are refused unless they are plain alternatives: parsing takes a hundred times their size.
const PATTERN_BYTES_MAX: usize = 128 << 10;

/// Nesting in the translated pattern: groups, and the classes and repetitions around and in them.
const NEST_MAX: u32 = 1200;

fn too_large(pattern: &str) -> RegexError {
    let end = pattern.char_indices().nth(60).map_or(pattern.len(), |(at, _)| at);
    RegexError(format!("error parsing regexp: expression too large: `{}`", &pattern[..end]))
}

impl Engine {
    /// Compiles a translated pattern with what goes around it.
    fn new(before: &str, translated: syntax::Translated, after: &str) -> Result<Self, RegexError> {
        let regex = RegexBuilder::new(&format!("{before}{}{after}", translated.pattern))
            .size_limit(COMPILED_BYTES_MAX)
            .nest_limit(NEST_MAX)
            .build()
            .map_err(|_| too_large(&translated.pattern))?;
        Ok(Engine { regex, group_names: translated.group_names.into() })
    }

    /// Writes `template` with the groups of a match filled in.
    fn expand(&self, captures: &Captures<'_>, template: &str, out: &mut String) {
        let group =
            |number: usize| captures.get(number).and_then(|group| std::str::from_utf8(group.as_bytes()).ok());
        expand(template, out, |name| match group_number(name) {
            Some(number) => group(number),
            // Of several groups with the name the first that took part.
            None => (1..)
                .zip(self.group_names.iter())
                .filter(|(_, group_name)| group_name.as_deref() == Some(name))
                .find_map(|(number, _)| group(number)),
        });
    }
}

fn translate(pattern: &str) -> Result<syntax::Translated, RegexError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(too_large(pattern));
    }
    syntax::translate(pattern)
}

impl LabelRegex {
    /// Compiles `pattern`.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        if let Some(shape) = Shape::of_plain_text(pattern) {
            return Ok(LabelRegex { pattern: pattern.into(), shape: Arc::new(shape), engine: None });
        }
        let translated = translate(pattern)?;
        let hir = regex_syntax::ParserBuilder::new()
            .dot_matches_new_line(true)
            .utf8(false)
            .nest_limit(NEST_MAX)
            .build()
            .parse(&translated.pattern)
            .map_err(|_| too_large(pattern))?;
        let shape = Shape::of(&hir);
        let engine = if shape.is_complete() && translated.group_names.is_empty() {
            None
        } else {
            Some(Engine::new("^(?s:", translated, ")$").map_err(|_| too_large(pattern))?)
        };
        Ok(LabelRegex { pattern: pattern.into(), shape: Arc::new(shape), engine })
    }

    /// The pattern as written, without anchors.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        if !self.shape.admits(value) {
            return false;
        }
        match &self.engine {
            Some(engine) if !self.shape.is_complete() => engine.regex.is_match(value.as_bytes()),
            _ => true,
        }
    }

    /// All values that match, sorted, if the regex names a finite and small set of them: `a|b|c`, `5[0-9]`.
    pub fn set_matches(&self) -> Option<&[Box<str>]> {
        match &*self.shape {
            Shape::Set(values) => Some(values),
            _ => None,
        }
    }

    /// What every matching value starts with; may be empty. The text of an index can be searched from there.
    pub fn prefix(&self) -> &str {
        match &*self.shape {
            Shape::Prefix(prefix) | Shape::Regex { prefix, .. } => prefix,
            Shape::Set(values) => match &values[..] {
                [only] => only,
                _ => "",
            },
            _ => "",
        }
    }

    /// Whether every value matches, the empty one too.
    pub fn matches_everything(&self) -> bool {
        *self.shape == Shape::Any
    }

    /// If the whole of `value` matches, `template` with `$1`, `${name}` filled in as Go's `Regexp.Expand` does.
    pub fn expand(&self, value: &str, template: &str) -> Option<String> {
        if !self.shape.admits(value) {
            return None;
        }
        let mut out = String::new();
        match &self.engine {
            Some(engine) => engine.expand(&engine.regex.captures(value.as_bytes())?, template, &mut out),
            None => expand(template, &mut out, |name| (name == "0").then_some(value)),
        }
        Some(out)
    }
}

/// A regex that may match anywhere in a text, as templates use it; the dot does not match a newline.
#[derive(Clone, Debug)]
pub struct SearchRegex(Engine);

impl SearchRegex {
    /// Compiles `pattern`.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        Ok(SearchRegex(Engine::new("", translate(pattern)?, "").map_err(|_| too_large(pattern))?))
    }

    /// Whether some part of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.regex.is_match(text.as_bytes())
    }

    /// `text` with every match replaced by `template`, in which `$1` and `${name}` are filled in.
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        let (mut out, mut done) = (String::new(), 0);
        for captures in self.0.regex.captures_iter(text.as_bytes()) {
            let Some(whole) = captures.get(0) else { continue };
            out.push_str(text.get(done..whole.start()).unwrap_or_default());
            self.0.expand(&captures, template, &mut out);
            done = whole.end();
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }
}

/// Writes `template` with every `$name` and `${name}` replaced by what `group` gives for it (nothing: by nothing).
/// A name is as long as possible; `$$` is a dollar; a dollar that starts no name is kept.
fn expand<'v>(template: &str, out: &mut String, group: impl Fn(&str) -> Option<&'v str>) {
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = variable(rest) {
            out.push_str(group(name).unwrap_or_default());
            rest = tail;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
}

/// The name that `text` (what follows a dollar) begins with, braces removed, and what follows it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let name_text = inner.unwrap_or(text);
    let length = name_text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name_text.len());
    let (name, tail) = name_text.split_at(length);
    let tail = if inner.is_some() { tail.strip_prefix('}')? } else { tail };
    (!name.is_empty()).then_some((name, tail))
}

/// The group a name of digits stands for; leading zeros make it an ordinary name, as in Go.
fn group_number(name: &str) -> Option<usize> {
    let plain = name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if plain { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_expand_as_in_go() {
        let regex = LabelRegex::new("(?<first>a)(b)(c)?").expect("valid");
        for (template, expected) in [
            ("$1-$2", "a-b"),
            ("$first$first_", "a"),
            ("${first}_", "a_"),
            ("$1x|${1}x", "|ax"),
            ("$$1 $", "$1 $"),
            ("$3$4$99999999999999999999", ""),
            ("$0 $00 $01", "ab  "),
            // Not a variable: kept as written.
            ("${1", "${1"),
            ("${a-b} ${} $-", "${a-b} ${} $-"),
            ("$1é", ""),
        ] {
            assert_eq!(regex.expand("ab", template).as_deref(), Some(expected), "{template}");
        }
        assert_eq!(regex.expand("abx", "$1"), None);
    }

    /// Pattern; what is in the set, has the prefix, or otherwise which shape.
    #[test]
    fn simple_regexes_need_no_engine() {
        for (pattern, shape) in [
            ("", "set "),
            ("a", "set a"),
            ("b|a|b", "set a,b"),
            ("a|", "set ,a"),
            ("^foo$", "set foo"),
            ("5[0-2]", "set 50,51,52"),
            ("(prod|dev)-(a|b)", "set dev-a,dev-b,prod-a,prod-b"),
            ("ab?", "set a,ab"),
            ("(?i)ab", "set AB,Ab,aB,ab"),
            ("a\\.b", "set a.b"),
            (".*", "any"),
            ("(.*)", "any"),
            ("^.*$", "any"),
            (".+", "nonempty"),
            ("a.*", "prefix a"),
            (".*a", "suffix a"),
            (".*a.*", "contains a"),
            ("(?-s:a.*)", "regex a"),
            ("abc[0-9]+", "regex abc"),
            ("a.*b", "regex a"),
            ("a.+", "regex a"),
            ("a|b.*", "regex "),
        ] {
            let regex = LabelRegex::new(pattern).expect(pattern);
            let found = match &*regex.shape {
                Shape::Set(values) => format!("set {}", values.join(",")),
                Shape::Any => "any".to_owned(),
                Shape::NonEmpty => "nonempty".to_owned(),
                Shape::Prefix(text) => format!("prefix {text}"),
                Shape::Suffix(text) => format!("suffix {text}"),
                Shape::Contains(text) => format!("contains {text}"),
                Shape::Regex { prefix, .. } => format!("regex {prefix}"),
            };
            assert_eq!(found, shape, "{pattern}");
        }
    }

    #[test]
    fn shapes_decide_as_the_engine_does() {
        let values =
            ["", "a", "b", "ab", "abc", "xabx", "A", "50", "prod-a", "a\nb", "foo", "é", "aé", "a.b", "ba"];
        for pattern in [
            "a",
            "a|b",
            "a|",
            "^foo$",
            "5[0-2]",
            "(prod|dev)-(a|b)",
            "ab?",
            "(?i)a",
            ".*",
            ".+",
            "a.*",
            ".*a",
            ".*a.*",
            ".*b.*",
            "a.*b",
            "a.+",
            "(?-s:a.*b)",
            "[^a]",
            "(a|b)*",
            "\\w+",
            "\\pL+",
            "a.b",
            "(?:a|b).*|foo",
        ] {
            let fast = LabelRegex::new(pattern).expect(pattern);
            let translated = syntax::translate(pattern).expect(pattern);
            let slow = Engine::new("^(?s:", translated, ")$").expect(pattern);
            for value in values {
                assert_eq!(
                    fast.is_match(value),
                    slow.regex.is_match(value.as_bytes()),
                    "{pattern} on {value:?}"
                );
            }
        }
    }

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, matching, others) in [
            (r"\d+", &["12"][..], &["\u{664}"][..]),
            (r"\w+", &["aZ_9"], &["é"]),
            (r"\s", &[" ", "\t", "\u{c}"], &["\u{a0}", "\u{b}"]),
            (r"[\D]", &["a", "\u{664}"], &["1"]),
            (r"é\b.*", &["éa"], &["é", "éé"]),
            (r"a\B.", &["ab"], &["aé", "a-"]),
            (r"\Qa.b|\E+", &["a.b|", "a.b||"], &["axb|"]),
            (r"\Qa.b", &["a.b"], &["axb"]),
            (r"\101\x42\x{43}\0", &["ABC\0"], &["ABC"]),
            (r"[[:word:]é]+", &["aé_"], &["-"]),
            (r"[[:^alpha:]]", &["1", "é"], &["a"]),
            (r"\pL\p{Greek}\P{Greek}\p{^L}", &["aαa1"], &["aaa1"]),
            (r"a{,5}", &["a{,5}"], &["aaa", ""]),
            (r"a{2}{", &["aa{"], &["a{2}{"]),
            (r"x{01}", &["x{01}"], &["x"]),
            ("a.b", &["a\nb"], &["ab"]),
            ("(?-s)a.b", &["axb"], &["a\nb"]),
            ("(?P<n>a)(?P<n>b)", &["ab"], &["a"]),
            (r"[]a]+", &["]a"], &["b"]),
            (r"[a\]-]+", &["a]-"], &["b"]),
            ("[&&~~a-]+", &["&~-a"], &["b"]),
            (r"[\x{d800}-\x{e000}]", &["\u{e000}"], &["a"]),
            ("a(?i)*b", &["aaB", "b"], &["AB"]),
            (r"(?i)\x{212a}", &["k", "K"], &["x"]),
            (r"\_\-\#\<", &["_-#<"], &[""]),
            ("^a$|b", &["a", "b"], &["ab"]),
        ] {
            let regex = LabelRegex::new(pattern).expect(pattern);
            for value in matching {
                assert!(regex.is_match(value), "{pattern} must match {value:?}");
            }
            for value in others {
                assert!(!regex.is_match(value), "{pattern} must not match {value:?}");
            }
        }
    }

    /// Collected from Prometheus 3.5, which prints what Go's `regexp/syntax` says.
    #[test]
    fn bad_patterns_are_refused_in_gos_words() {
        for (pattern, error) in [
            ("(", "missing closing ): `(`"),
            ("(a|(b)", "missing closing ): `(a|(b)`"),
            (")", "unexpected ): `)`"),
            ("a)b", "unexpected ): `a)b`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a|*", "missing argument to repetition operator: `*`"),
            ("(+?)", "missing argument to repetition operator: `+?`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a*?+b", "invalid nested repetition operator: `*?+`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a{2,1}", "invalid repeat count: `{2,1}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
            ("(a{100}){100}", "invalid repeat count: `{100}`"),
            ("((a{1000}){1000})", "invalid repeat count: `{1000}`"),
            ("[a", "missing closing ]: `[a`"),
            ("x[]", "missing closing ]: `[]`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            (r"\pX", r"invalid character class range: `\pX`"),
            (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
            (r"\p{Foo", r"invalid character class range: `\p{Foo`"),
            (r"\8", r"invalid escape sequence: `\8`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\C", r"invalid escape sequence: `\C`"),
            (r"\Z", r"invalid escape sequence: `\Z`"),
            (r"\k<a>", r"invalid escape sequence: `\k`"),
            (r"\u1234", r"invalid escape sequence: `\u`"),
            (r"\xZZ", r"invalid escape sequence: `\xZZ`"),
            (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
            (r"\x{}", r"invalid escape sequence: `\x{}`"),
            ("a\\", "trailing backslash at end of expression: ``"),
            ("(?=x)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?!x)", "invalid or unsupported Perl syntax: `(?!`"),
            ("(?z)x", "invalid or unsupported Perl syntax: `(?z`"),
            ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
            ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
            ("(?", "invalid or unsupported Perl syntax: `(?`"),
            ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
            ("(?<=a)", "invalid named capture: `(?<=a)`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            ("(?P<a b>x)", "invalid named capture: `(?P<a b>`"),
        ] {
            let found = LabelRegex::new(pattern).expect_err(pattern).to_string();
            assert_eq!(found, format!("error parsing regexp: {error}"), "{pattern}");
        }
    }

    #[test]
    fn hostile_patterns_are_bounded() {
        let long = "ab|".repeat(1 << 20) + "c";
        assert!(LabelRegex::new(&long).expect("plain alternatives of any length").is_match("c"));
        for pattern in [
            "a.".repeat(1 << 20),
            "(".repeat(1 << 16),
            "(".repeat(300) + &")".repeat(300),
            r"(\pL{100}){10}".repeat(99),
        ] {
            let error = LabelRegex::new(&pattern).expect_err("refused").to_string();
            assert!(error.starts_with("error parsing regexp: "), "{error}");
        }
    }

    #[test]
    fn search_and_replace() {
        let regex = SearchRegex::new("(a+)(?P<b>b)?").expect("valid");
        assert!(regex.is_match("xay") && !regex.is_match("xy"));
        assert_eq!(regex.replace_all("xaabya", "<$1$b>"), "x<aab>y<a>");
        assert_eq!(SearchRegex::new("x*").expect("valid").replace_all("abc", "-"), "-a-b-c-");
    }

    /// Pieces that go wrong together: what Go accepts must be a pattern for the `regex` crate as well.
    const PIECES: [&str; 44] = [
        "a",
        "b",
        "é",
        "\\x{1F600}",
        ".",
        "*",
        "+?",
        "?",
        "{2}",
        "{0,3}",
        "{1000}",
        "{,2}",
        "{",
        "}",
        "|",
        "(",
        ")",
        "(?:",
        "(?P<n>",
        "(?i)",
        "(?-s:",
        "(?m)",
        "(?U:",
        "[",
        "[^",
        "]",
        "[:alpha:]",
        "[[:^space:]",
        "a-f",
        "-",
        "&&",
        "\\d",
        "\\W",
        "\\pL",
        "\\P{Greek}",
        "\\b",
        "\\B",
        "\\Q",
        "\\E",
        "^",
        "$",
        "\\z",
        "\\07",
        "[^\\x00-\\x{10FFFF}]",
    ];

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]

        #[test]
        fn what_go_accepts_can_be_compiled(picks in proptest::collection::vec(0..PIECES.len(), 0..9)) {
            let pattern: String = picks.iter().map(|pick| PIECES[*pick]).collect();
            if let Ok(translated) = syntax::translate(&pattern) {
                let parsed = regex_syntax::ParserBuilder::new().utf8(false).nest_limit(NEST_MAX).build().parse(&translated.pattern);
                proptest::prop_assert!(parsed.is_ok(), "{pattern} became {}: {parsed:?}", translated.pattern);
                proptest::prop_assert_eq!(
                    translated.group_names.len(),
                    regex_syntax::hir::Hir::properties(&parsed.expect("just checked")).explicit_captures_len()
                );
            }
        }
    }
}

//! Regular expressions as Go's `regexp` reads them (RE2).
//!
//! ```text
//! pattern ──syntax──▶ the same pattern in the syntax of the `regex` crate ──▶ an engine that works on bytes
//! ```
//!
//! Here: what a pattern means, why it is refused (in Go's words), searching, replacing, and templates such as `$1`.
//! Elsewhere: patterns that must match a whole label value and need no engine (`ferula-model`, `LabelRegex`).
//!
//! Always true: compiling is bounded in time and memory, whatever the pattern.

mod property;
mod syntax;

use std::sync::Arc;

use regex::bytes::{Captures, Regex, RegexBuilder};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};

pub use self::syntax::SyntaxError;

use crate::unicode::{is_digit, is_letter};

/// The most memory that a compiled pattern may take, whatever a query contains.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// Longer patterns are refused: parsing takes a hundred times their size.
const PATTERN_BYTES_MAX: usize = 128 << 10;

/// Nesting in the translated pattern: groups, and the classes and repetitions around and in them.
const NEST_MAX: u32 = 1200;

fn too_large(pattern: &str) -> SyntaxError {
    let end = pattern.char_indices().nth(60).map_or(pattern.len(), |(at, _)| at);
    SyntaxError(format!("error parsing regexp: expression too large: `{}`", &pattern[..end]))
}

/// A pattern that Go accepts, not compiled yet.
#[derive(Clone, Debug)]
pub struct Pattern<'p> {
    source: &'p str,
    translated: String,
    /// Names of the groups, the first group first.
    group_names: Vec<Option<Box<str>>>,
}

impl<'p> Pattern<'p> {
    /// Parses `source`.
    ///
    /// # Errors
    /// Go's text.
    pub fn parse(source: &'p str) -> Result<Self, SyntaxError> {
        if source.len() > PATTERN_BYTES_MAX {
            return Err(too_large(source));
        }
        let syntax::Translated { pattern, group_names } = syntax::translate(source)?;
        Ok(Pattern { source, translated: pattern, group_names })
    }

    /// How many groups capture.
    pub fn groups(&self) -> usize {
        self.group_names.len()
    }

    /// The parsed pattern; its dot matches a newline.
    ///
    /// # Errors
    /// The pattern is too large.
    pub fn hir(&self) -> Result<Hir, SyntaxError> {
        regex_syntax::ParserBuilder::new()
            .dot_matches_new_line(true)
            .utf8(false)
            .nest_limit(NEST_MAX)
            .build()
            .parse(&self.translated)
            .map_err(|_| too_large(self.source))
    }

    /// The texts one of which every matching text begins with; `None` if there are too many of them, or a match may begin anywhere.
    pub fn beginnings(&self) -> Option<Vec<Box<[u8]>>> {
        let hir = self.hir().ok()?;
        if !hir.properties().look_set_prefix().contains(Look::Start) {
            return None;
        }
        let prefixes = Extractor::new().extract(&hir);
        let beginnings: Vec<Box<[u8]>> =
            prefixes.literals()?.iter().map(|one| one.as_bytes().into()).collect();
        (!beginnings.is_empty() && beginnings.iter().all(|one| !one.is_empty())).then_some(beginnings)
    }

    /// Compiles the pattern to match anywhere in a text; its dot does not match a newline.
    ///
    /// # Errors
    /// The pattern is too large.
    pub fn compile(self) -> Result<Regexp, SyntaxError> {
        self.compile_between("", "")
    }

    /// Compiles the pattern to match whole texts only; its dot matches a newline.
    ///
    /// # Errors
    /// The pattern is too large.
    pub fn compile_whole(self) -> Result<Regexp, SyntaxError> {
        self.compile_between("^(?s:", ")$")
    }

    fn compile_between(self, before: &str, after: &str) -> Result<Regexp, SyntaxError> {
        let regex = RegexBuilder::new(&format!("{before}{}{after}", self.translated))
            .size_limit(COMPILED_BYTES_MAX)
            .nest_limit(NEST_MAX)
            .build()
            .map_err(|_| too_large(self.source))?;
        Ok(Regexp { regex, group_names: self.group_names.into() })
    }
}

/// A compiled pattern. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Regexp {
    /// Works on bytes, because `\B` is about bytes in Go. Its input is always text.
    regex: Regex,
    group_names: Arc<[Option<Box<str>>]>,
}

impl Regexp {
    /// Compiles `pattern` to match anywhere in a text; its dot does not match a newline.
    ///
    /// # Errors
    /// Go's text.
    pub fn new(pattern: &str) -> Result<Self, SyntaxError> {
        Pattern::parse(pattern)?.compile()
    }

    /// Whether some part of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text.as_bytes())
    }

    /// `template` with `$1` and `${name}` filled in from the first match, as `Regexp.Expand` does.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let mut out = String::new();
        self.expand_into(&self.regex.captures(text.as_bytes())?, template, &mut out);
        Some(out)
    }

    /// `Regexp.ReplaceAllString`: `text` with every match replaced by `template`, in which `$1` and `${name}` are filled
    /// in. An empty match directly after another match does not count.
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        let (mut out, mut done, mut from) = (String::new(), 0, 0);
        while from <= text.len() {
            let Some(captures) = self.regex.captures_at(text.as_bytes(), from) else { break };
            let Some(whole) = captures.get(0) else { break };
            let width = text[from..].chars().next().map_or(1, char::len_utf8);
            if !text.is_char_boundary(whole.start()) {
                // The engine also looks between the bytes of a character, which Go does not.
                from = text.ceil_char_boundary(whole.start());
                continue;
            }
            out.push_str(&text[done..whole.start()]);
            if whole.end() > done || whole.start() == 0 {
                self.expand_into(&captures, template, &mut out);
            }
            done = whole.end();
            from = done.max(from + width);
        }
        out.push_str(&text[done..]);
        out
    }

    fn expand_into(&self, captures: &Captures<'_>, template: &str, out: &mut String) {
        let group =
            |number: usize| captures.get(number).and_then(|group| std::str::from_utf8(group.as_bytes()).ok());
        expand(template, out, |name| match group_number(name) {
            Some(number) => group(number),
            // The first group of that name that took part in the match.
            None => (1..)
                .zip(self.group_names.iter())
                .filter(|(_, group_name)| group_name.as_deref() == Some(name))
                .find_map(|(number, _)| group(number)),
        });
    }
}

/// The pattern that matches exactly this text (`regexp.QuoteMeta`).
pub fn quote_meta(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Writes `template` with every `$name` and `${name}` replaced by what `group` returns for the name, or by nothing.
/// A name is as long as possible; `$$` is a dollar; a dollar that starts no name is kept.
pub fn expand<'v>(template: &str, out: &mut String, group: impl Fn(&str) -> Option<&'v str>) {
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
    let length =
        name_text.find(|c: char| !(is_letter(c) || is_digit(c) || c == '_')).unwrap_or(name_text.len());
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

    fn whole(pattern: &str) -> Regexp {
        Pattern::parse(pattern).and_then(Pattern::compile_whole).expect(pattern)
    }

    #[test]
    fn templates_expand_as_in_go() {
        let regex = whole("(?<first>a)(b)(c)?");
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
            let regex = whole(pattern);
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
            let found = Regexp::new(pattern).expect_err(pattern).to_string();
            assert_eq!(found, format!("error parsing regexp: {error}"), "{pattern}");
        }
    }

    #[test]
    fn search_and_replace() {
        let regex = Regexp::new("(a+)(?P<b>b)?").expect("valid");
        assert!(regex.is_match("xay") && !regex.is_match("xy"));
        assert_eq!(regex.replace_all("xaabya", "<$1$b>"), "x<aab>y<a>");
        assert_eq!(Regexp::new("x*").expect("valid").replace_all("abc", "-"), "-a-b-c-");
    }

    /// Pieces that break in combination: what Go accepts must also be a pattern for the `regex` crate.
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
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let parsed = pattern.hir();
                proptest::prop_assert!(parsed.is_ok(), "{} became {}: {parsed:?}", pattern.source, pattern.translated);
                proptest::prop_assert_eq!(
                    pattern.group_names.len(),
                    Hir::properties(&parsed.expect("just checked")).explicit_captures_len()
                );
            }
        }
    }
}

//! Go's regular expressions (RE2) in the syntax of the `regex` crate.
//!
//! One pass over the pattern, with an explicit stack of groups. It refuses what Go refuses, in Go's words, and rewrites
//! what the two read differently: `\d`, `\w`, `\s`, `\b` are ASCII in Go, `\Q…\E` quotes, octal escapes exist, `{` that
//! starts no repetition is a character, group names may repeat, and surrogates can be written (they match nothing).
//! Everything that is copied is written in a form that can be read in only one way.

use std::fmt::Write;

use super::property::{self, NOTHING};

/// A pattern in the syntax of the `regex` crate. Groups are numbered as in Go and have no names.
pub(super) struct Translated {
    pub pattern: String,
    /// Names of the groups, the first group first.
    pub group_names: Vec<Option<Box<str>>>,
}

/// Go's limit on repetition counts, including those that multiply by nesting.
const REPEAT_MAX: u32 = 1000;

/// Groups inside each other. Go stops at 1000; compilers recurse over them.
const NESTING_MAX: usize = 250;

const MISSING_ARGUMENT: &str = "missing argument to repetition operator";
const BAD_CLASS: &str = "invalid character class range";
const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_PERL: &str = "invalid or unsupported Perl syntax";
const BAD_CAPTURE: &str = "invalid named capture";
const BAD_REPEAT: &str = "invalid repeat count";

/// Why a pattern was refused. The text is Go's: `error parsing regexp: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub(super) String);

fn error(what: &str, text: &str) -> SyntaxError {
    SyntaxError(format!("error parsing regexp: {what}: `{text}`"))
}

/// Translates a pattern.
///
/// # Errors
/// Go's error for a pattern that it refuses.
pub(super) fn translate(pattern: &str) -> Result<Translated, SyntaxError> {
    let mut translator = Translator {
        whole: pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 16),
        groups: Vec::new(),
        last: None,
        repeated_at: None,
        group_names: Vec::new(),
    };
    translator.run()?;
    Ok(Translated { pattern: translator.out, group_names: translator.group_names })
}

/// Something that a repetition can apply to: the last thing written.
#[derive(Clone, Copy)]
struct Atom {
    /// Where it ends in the output; flags may follow it.
    end: usize,
    /// How often its most repeated part is repeated.
    repeats: u32,
}

/// An open group.
struct Group {
    /// The highest repetition seen inside so far.
    repeats: u32,
}

struct Translator<'a> {
    whole: &'a str,
    rest: &'a str,
    out: String,
    groups: Vec<Group>,
    last: Option<Atom>,
    /// What was left of the pattern at the repetition operator just before this place, if there was one.
    repeated_at: Option<&'a str>,
    group_names: Vec<Option<Box<str>>>,
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<(), SyntaxError> {
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            let after = &before[c.len_utf8()..];
            let repeated_at = self.repeated_at.take();
            match c {
                '(' => self.open_group()?,
                ')' => self.close_group()?,
                '|' => {
                    self.out.push('|');
                    self.last = None;
                    self.rest = after;
                }
                '*' | '+' | '?' => {
                    self.rest = after;
                    self.repeat(before, repeated_at, None)?;
                }
                '{' => match repetition(before) {
                    Some((min, max, tail)) => {
                        self.rest = tail;
                        self.repeat(before, repeated_at, Some((min, max)))?;
                    }
                    None => self.literal('{', after),
                },
                '[' => self.class()?,
                '\\' => self.escape()?,
                // Assertions get a group of their own, so that they can be repeated as in Go.
                '^' => self.atom("(?:^)", after),
                '$' => self.atom("(?:$)", after),
                '.' => self.atom(".", after),
                c => self.literal(c, after),
            }
        }
        if self.groups.is_empty() { Ok(()) } else { Err(error("missing closing )", self.whole)) }
    }

    fn consumed(&self, before: &'a str) -> &'a str {
        &before[..before.len() - self.rest.len()]
    }

    fn atom(&mut self, text: &str, rest: &'a str) {
        self.out.push_str(text);
        self.rest = rest;
        self.last = Some(Atom { end: self.out.len(), repeats: 1 });
    }

    fn literal(&mut self, c: char, rest: &'a str) {
        push_literal(&mut self.out, c);
        self.rest = rest;
        self.last = Some(Atom { end: self.out.len(), repeats: 1 });
    }

    /// Applies the repetition that has just been read to the last atom.
    fn repeat(
        &mut self,
        before: &'a str,
        repeated_at: Option<&'a str>,
        counts: Option<(Option<u32>, Option<u32>)>,
    ) -> Result<(), SyntaxError> {
        if let Some((min, max)) = counts {
            let sound = min.is_some_and(|min| min <= max.unwrap_or(REPEAT_MAX).min(REPEAT_MAX))
                && max.is_none_or(|max| max <= REPEAT_MAX);
            if !sound {
                return Err(error(BAD_REPEAT, self.consumed(before)));
            }
        }
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.rest = rest;
        }
        if let Some(first) = repeated_at {
            return Err(error("invalid nested repetition operator", self.consumed(first)));
        }
        let Some(atom) = self.last else { return Err(error(MISSING_ARGUMENT, self.consumed(before))) };
        let operator = self.consumed(before);
        let mut repeats = atom.repeats;
        if let Some((min, max)) = counts {
            repeats = repeats.saturating_mul(max.or(min).unwrap_or(1).max(1));
            if repeats > REPEAT_MAX {
                return Err(error(BAD_REPEAT, operator));
            }
        }
        self.out.insert_str(atom.end, operator);
        self.last = Some(Atom { end: atom.end + operator.len(), repeats });
        self.repeated_at = Some(before);
        if let Some(group) = self.groups.last_mut() {
            group.repeats = group.repeats.max(repeats);
        }
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), SyntaxError> {
        if self.rest.starts_with("(?") {
            return self.perl_group();
        }
        self.group_names.push(None);
        self.push_group("(", &self.rest[1..])
    }

    fn push_group(&mut self, open: &str, rest: &'a str) -> Result<(), SyntaxError> {
        if self.groups.len() == NESTING_MAX {
            return Err(error("expression nests too deeply", self.whole));
        }
        self.groups.push(Group { repeats: 1 });
        self.out.push_str(open);
        self.last = None;
        self.rest = rest;
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), SyntaxError> {
        let Some(group) = self.groups.pop() else { return Err(error("unexpected )", self.whole)) };
        self.out.push(')');
        self.rest = &self.rest[1..];
        self.last = Some(Atom { end: self.out.len(), repeats: group.repeats });
        if let Some(outer) = self.groups.last_mut() {
            outer.repeats = outer.repeats.max(group.repeats);
        }
        Ok(())
    }

    /// `(?P<name>`, `(?<name>`, `(?flags)`, `(?flags:`
    fn perl_group(&mut self) -> Result<(), SyntaxError> {
        let whole = self.rest;
        for start in ["(?P<", "(?<"] {
            // Shorter than that and Go takes it for flags.
            let Some(tail) = whole.strip_prefix(start).filter(|tail| !tail.is_empty()) else { continue };
            let Some(end) = tail.find('>') else { return Err(error(BAD_CAPTURE, whole)) };
            let name = &tail[..end];
            let capture = &whole[..start.len() + end + 1];
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return Err(error(BAD_CAPTURE, capture));
            }
            self.group_names.push(Some(name.into()));
            return self.push_group("(", &whole[capture.len()..]);
        }
        self.flags()
    }

    /// `(?i-s)`, `(?i-s:`. Go lets a flag repeat, and the last one counts.
    fn flags(&mut self) -> Result<(), SyntaxError> {
        let whole = self.rest;
        let (mut on, mut off) = (String::new(), String::new());
        let (mut negative, mut seen_after_sign) = (false, false);
        for (at, c) in whole.char_indices().skip(2) {
            let after = &whole[at + c.len_utf8()..];
            match c {
                'i' | 'm' | 's' | 'U' => {
                    seen_after_sign = true;
                    on.retain(|flag| flag != c);
                    if !negative {
                        on.push(c);
                    } else if !off.contains(c) {
                        off.push(c);
                    }
                }
                '-' if !negative => (negative, seen_after_sign) = (true, false),
                ':' | ')' if !negative || seen_after_sign => {
                    let minus = if off.is_empty() { "" } else { "-" };
                    if c == ':' {
                        return self.push_group(&format!("(?{on}{minus}{off}:"), after);
                    }
                    // Flags are not an atom: a repetition after them applies to what comes before them.
                    if !on.is_empty() || !off.is_empty() {
                        self.out.push_str(&format!("(?{on}{minus}{off})"));
                    }
                    self.rest = after;
                    return Ok(());
                }
                _ => return Err(error(BAD_PERL, &whole[..at + c.len_utf8()])),
            }
        }
        Err(error(BAD_PERL, whole))
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        let whole = self.rest;
        let tail = &whole[1..];
        let kind = tail.chars().next();
        let after = kind.map_or("", |c| &tail[c.len_utf8()..]);
        match kind {
            Some('A') => self.atom(r"(?:\A)", after),
            Some('z') => self.atom(r"(?:\z)", after),
            Some('b') => self.atom(r"(?-u:\b)", after),
            Some('B') => self.atom(r"(?-u:\B)", after),
            Some('C') => return Err(error(BAD_ESCAPE, r"\C")),
            Some('Q') => {
                let (quoted, after) = after.split_once(r"\E").unwrap_or((after, ""));
                quoted.chars().for_each(|c| self.literal(c, after));
                self.rest = after;
            }
            _ => {
                let mut class = String::new();
                if let Some(after) = class_escape(whole, &mut class)? {
                    self.atom(&format!("[{class}]"), after);
                } else {
                    let (c, after) = character(whole)?;
                    match char::from_u32(c) {
                        Some(c) => self.literal(c, after),
                        None => self.atom(NOTHING, after),
                    }
                }
            }
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), SyntaxError> {
        let whole = self.rest;
        let negated = whole[1..].starts_with('^');
        let mut rest = &whole[1 + usize::from(negated)..];
        let mut class = String::new();
        let mut first = true;
        while first || !rest.starts_with(']') {
            first = false;
            if rest.starts_with("[:")
                && let Some(end) = rest[2..].find(":]")
            {
                let name = &rest[..2 + end + 2];
                if !is_posix_class(&rest[2..2 + end]) {
                    return Err(error(BAD_CLASS, name));
                }
                class.push_str(name);
                rest = &rest[name.len()..];
            } else if let Some(after) = class_escape(rest, &mut class)? {
                rest = after;
            } else {
                rest = class_range(rest, whole, &mut class)?;
            }
        }
        let open = if negated { "[^" } else { "[" };
        let text = match (class.is_empty(), negated) {
            (true, true) => r"[\s\S]".to_owned(),
            (true, false) => NOTHING.to_owned(),
            (false, _) => format!("{open}{class}]"),
        };
        self.atom(&text, &rest[1..]);
        Ok(())
    }
}

fn push_literal(out: &mut String, c: char) {
    if matches!(
        c,
        '\\' | '.'
            | '+'
            | '*'
            | '?'
            | '('
            | ')'
            | '|'
            | '['
            | ']'
            | '{'
            | '}'
            | '^'
            | '$'
            | '#'
            | '&'
            | '-'
            | '~'
    ) {
        out.push('\\');
    }
    out.push(c);
}

/// `{n}`, `{n,}`, `{n,m}`: least and greatest count and what follows; a count that is too large to be read is `None`,
/// as is a missing upper bound. `None` when this is not written like a repetition.
fn repetition(text: &str) -> Option<(Option<u32>, Option<u32>, &str)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    let Some(rest) = rest.strip_prefix(',') else {
        return Some((min, min, rest.strip_prefix('}')?));
    };
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, None, rest));
    }
    let (max, rest) = count(rest)?;
    // An unreadable upper bound makes the whole count bad.
    Some((max.and(min), max, rest.strip_prefix('}')?))
}

fn count(text: &str) -> Option<(Option<u32>, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let sound = !number.is_empty() && (number == "0" || !number.starts_with('0'));
    sound.then(|| (number.parse().ok(), rest))
}

/// One character or range of a class; returns what follows.
fn class_range<'a>(text: &'a str, class_text: &str, out: &mut String) -> Result<&'a str, SyntaxError> {
    let class_character = |text: &'a str| -> Result<(u32, &'a str), SyntaxError> {
        match text.chars().next() {
            None => Err(error("missing closing ]", class_text)),
            Some('\\') => character(text),
            Some(c) => Ok((c.into(), &text[c.len_utf8()..])),
        }
    };
    let (low, mut rest) = class_character(text)?;
    let mut high = low;
    if rest.starts_with('-') && rest.len() >= 2 && !rest.starts_with("-]") {
        (high, rest) = class_character(&rest[1..])?;
        if high < low {
            return Err(error(BAD_CLASS, &text[..text.len() - rest.len()]));
        }
    }
    // Surrogates never occur in a text, so a range may stop before them.
    let low = if (0xd800..0xe000).contains(&low) { 0xe000 } else { low };
    let high = if (0xd800..0xe000).contains(&high) { 0xd7ff } else { high };
    if low <= high {
        write!(out, "\\x{{{low:x}}}-\\x{{{high:x}}}").expect("writing to a String cannot fail");
    }
    Ok(rest)
}

/// `\d`, `\pN`, `\p{Greek}` and their like, written as the inside of a class; returns what follows, if it was one.
fn class_escape<'a>(text: &'a str, out: &mut String) -> Result<Option<&'a str>, SyntaxError> {
    let Some(kind) = text.strip_prefix('\\').and_then(|tail| tail.chars().next()) else { return Ok(None) };
    let perl = match kind {
        'd' => "0-9",
        'D' => "[^0-9]",
        's' => r"\t\n\x0c\r\x20",
        'S' => r"[^\t\n\x0c\r\x20]",
        'w' => "0-9A-Za-z_",
        'W' => "[^0-9A-Za-z_]",
        'p' | 'P' => return unicode_class(text, kind == 'P', out).map(Some),
        _ => return Ok(None),
    };
    out.push_str(perl);
    Ok(Some(&text[2..]))
}

fn unicode_class<'a>(text: &'a str, mut negated: bool, out: &mut String) -> Result<&'a str, SyntaxError> {
    let tail = &text[2..];
    let Some(first) = tail.chars().next() else { return Err(error(BAD_CLASS, text)) };
    let (mut name, length) = if first == '{' {
        let end = tail.find('}').ok_or_else(|| error(BAD_CLASS, text))?;
        (&tail[1..end], 2 + end + 1)
    } else {
        (&tail[..first.len_utf8()], 2 + first.len_utf8())
    };
    if let Some(rest) = name.strip_prefix('^') {
        (negated, name) = (!negated, rest);
    }
    let class = property::class(name, negated).ok_or_else(|| error(BAD_CLASS, &text[..length]))?;
    out.push_str(&class);
    Ok(&text[length..])
}

fn is_posix_class(name: &str) -> bool {
    matches!(
        name.strip_prefix('^').unwrap_or(name),
        "alnum"
            | "alpha"
            | "ascii"
            | "blank"
            | "cntrl"
            | "digit"
            | "graph"
            | "lower"
            | "print"
            | "punct"
            | "space"
            | "upper"
            | "word"
            | "xdigit"
    )
}

/// The code point that an escape stands for, which may be a surrogate, and what follows it.
fn character(text: &str) -> Result<(u32, &str), SyntaxError> {
    let tail = &text[1..];
    let Some(kind) = tail.chars().next() else {
        return Err(error("trailing backslash at end of expression", ""));
    };
    let after = &tail[kind.len_utf8()..];
    let bad = |rest: &str| error(BAD_ESCAPE, &text[..text.len() - rest.len()]);
    let code = match kind {
        '0' => return Ok(octal(tail)),
        // A digit alone would refer back to a group, which does not exist here.
        '1'..='7' if after.starts_with(|c: char| c.is_digit(8)) => return Ok(octal(tail)),
        'x' => return hexadecimal(after).map_err(bad),
        'a' => 0x07,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c.into(),
        _ => return Err(bad(after)),
    };
    Ok((code, after))
}

fn octal(text: &str) -> (u32, &str) {
    let digits = text.bytes().take(3).take_while(|b| (b'0'..b'8').contains(b)).count();
    let code = text[..digits].bytes().fold(0, |code, digit| code * 8 + u32::from(digit - b'0'));
    (code, &text[digits..])
}

/// `41` or `{1F600}`; the error is what is left after the wrong place.
fn hexadecimal(text: &str) -> Result<(u32, &str), &str> {
    let mut chars = text.chars();
    let braces = chars.as_str().starts_with('{');
    if braces {
        chars.next();
    }
    let (mut code, mut digits) = (0u32, 0);
    loop {
        if !braces && digits == 2 {
            return Ok((code, chars.as_str()));
        }
        let c = chars.next();
        if braces && c == Some('}') && digits > 0 {
            return Ok((code, chars.as_str()));
        }
        let value = c.and_then(|c| c.to_digit(16)).map(|digit| code * 16 + digit);
        match value.filter(|code| *code <= char::MAX.into()) {
            Some(value) => code = value,
            None => {
                // Without braces Go looks at both digits before it gives up.
                if !braces && digits == 0 {
                    chars.next();
                }
                return Err(chars.as_str());
            }
        }
        digits += 1;
    }
}

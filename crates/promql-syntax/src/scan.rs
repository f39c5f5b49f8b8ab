//! Scanners of single tokens: each looks at the start of a text and returns how much of it belongs to the token.
//!
//! Words, blanks, comments and strings are `nom` parsers. Numbers and durations step byte by byte instead,
//! because the error message quotes the text up to the byte at which Prometheus gives up.

use nom::bytes::complete::{take_till, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::recognize;
use nom::sequence::preceded;
use nom::{IResult, Parser};

pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

pub(crate) fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

pub(crate) fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

/// Bytes of `text` that `parser` recognizes at its start; 0 when it does not match.
pub(crate) fn length<'a>(parser: impl Fn(&'a str) -> IResult<&'a str, &'a str>, text: &'a str) -> usize {
    parser(text).map_or(0, |(_, matched)| matched.len())
}

/// Blanks and line ends; may be empty.
pub(crate) fn spaces(text: &str) -> IResult<&str, &str> {
    take_while(is_space).parse(text)
}

/// `# …` up to the end of the line, which stays.
pub(crate) fn comment(text: &str) -> IResult<&str, &str> {
    recognize(preceded(char('#'), take_till(|c| c == '\n' || c == '\r'))).parse(text)
}

/// Letters, digits and underscores.
pub(crate) fn identifier(text: &str) -> IResult<&str, &str> {
    take_while1(is_alphanumeric).parse(text)
}

/// An identifier in which colons may stand, as in names of recording rules.
pub(crate) fn word(text: &str) -> IResult<&str, &str> {
    take_while1(|c| is_alphanumeric(c) || c == ':').parse(text)
}

/// Letters and underscores.
pub(crate) fn letters(text: &str) -> IResult<&str, &str> {
    take_while(is_alpha).parse(text)
}

/// What may stand in a quoted string up to the next quote or escape. U+FFFD is refused like the broken bytes
/// it stands for.
pub(crate) fn plain_text<'a>(quote: char) -> impl Fn(&'a str) -> IResult<&'a str, &'a str> {
    move |text| {
        take_till(|c| c == quote || c == '\\' || c == '\n' || c == char::REPLACEMENT_CHARACTER).parse(text)
    }
}

/// What may stand in a raw string up to the closing quote.
pub(crate) fn raw_text(text: &str) -> IResult<&str, &str> {
    take_till(|c| c == '`' || c == char::REPLACEMENT_CHARACTER).parse(text)
}

/// A position in a text that advances if the next byte is one of a set.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn is(&self, set: &[u8]) -> bool {
        self.peek().is_some_and(|byte| set.contains(&byte))
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let found = self.is(set);
        self.at += usize::from(found);
        found
    }

    fn accept_run(&mut self, set: &[u8]) {
        while self.accept(set) {}
    }

    fn at_word_character(&self) -> bool {
        self.peek().is_some_and(|byte| is_alphanumeric(byte.into()))
    }
}

/// A token and its length, or the length of the text that the error message quotes.
type Scanned<T> = Result<(T, usize), usize>;

/// What a token that starts with a digit can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numeral {
    Number,
    Duration,
}

const DECIMAL: &[u8] = b"0123456789";
const HEXADECIMAL: &[u8] = b"0123456789abcdefABCDEF";

/// A number; which forms are valid numbers is decided later, by its value.
///
/// In a series description `x` repeats the value, so that there are no hexadecimal numbers.
pub(crate) fn number(text: &str, series: bool) -> Result<usize, usize> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    if scan_number(&mut cursor, series) { Ok(cursor.at) } else { Err(cursor.at) }
}

/// A number or a duration such as `1h30m`.
pub(crate) fn number_or_duration(text: &str, series: bool) -> Scanned<Numeral> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    if scan_number(&mut cursor, series) {
        return Ok((Numeral::Number, cursor.at));
    }
    if scan_units(&mut cursor) { Ok((Numeral::Duration, cursor.at)) } else { Err(cursor.at) }
}

fn scan_number(cursor: &mut Cursor<'_>, series: bool) -> bool {
    let mut digits = DECIMAL;
    if !series && cursor.accept(b"0") && cursor.accept(b"xX") {
        cursor.accept(b"_");
        digits = HEXADECIMAL;
    }
    cursor.accept(b".");
    cursor.accept(digits);
    let (mut dot, mut exponent) = (false, false);
    loop {
        if cursor.accept(b".") {
            // A second dot, a dot before `_` or another dot, and hexadecimal fractions are refused.
            if dot || cursor.accept(b"_.") || digits.len() > DECIMAL.len() {
                return false;
            }
            dot = true;
        } else if digits.len() == DECIMAL.len() && cursor.accept(b"eE") {
            if exponent {
                return false;
            }
            exponent = true;
            cursor.accept(b"+-");
            if cursor.accept(b"._eE") || cursor.peek().is_none() {
                return false;
            }
        } else if cursor.accept(b"_") {
            if cursor.accept(b"._eE") || cursor.peek().is_none() {
                return false;
            }
        } else if cursor.is(digits) {
            cursor.accept_run(digits);
        } else {
            break;
        }
    }
    cursor.at > 0 && (!cursor.at_word_character() || (series && cursor.is(b"x")))
}

/// The units of a duration, with the numbers between them; the first number has been read.
fn scan_units(cursor: &mut Cursor<'_>) -> bool {
    if !cursor.accept(b"smhdwy") {
        return false;
    }
    // `ms`; units that do not exist, such as `hs`, are found when the value is computed.
    cursor.accept(b"s");
    while cursor.accept(DECIMAL) {
        cursor.accept_run(DECIMAL);
        if !cursor.accept(b"smhdw") {
            return false;
        }
        cursor.accept(b"s");
    }
    let more = cursor.at_word_character();
    cursor.at += usize::from(more);
    !more
}

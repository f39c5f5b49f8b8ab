//! The classic grammar: lenient about values, strict about names.

use super::matcher::{MatchOp, Matcher};
use super::whole_value::MatcherError;

/// Reads a list. A brace at either end is dropped, paired or not; commas inside double quotes do not separate.
pub(super) fn parse_list(input: &str) -> Result<Vec<Matcher>, MatcherError> {
    let input = input.strip_prefix('{').unwrap_or(input);
    let input = input.strip_suffix('}').unwrap_or(input);
    let (mut quoted, mut escaped) = (false, false);
    let mut start = 0;
    let mut pieces = Vec::new();
    for (at, c) in input.char_indices() {
        match c {
            ',' if !quoted => {
                pieces.push(&input[start..at]);
                start = at + 1;
            }
            // A comma inside of quotes leaves a pending backslash pending, as in Alertmanager.
            ',' => {}
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    // Only the last piece may be empty: a comma may end the list.
    let last = input[start..].trim();
    if !last.is_empty() {
        pieces.push(last);
    }
    pieces.into_iter().map(parse_one).collect()
}

/// Reads `name op value`, with white space anywhere between.
pub(super) fn parse_one(input: &str) -> Result<Matcher, MatcherError> {
    let (name, op, value) =
        split(input).ok_or_else(|| MatcherError(format!("bad matcher format: {input}")))?;
    Matcher::new(name, op, unescape(value)?)
}

fn split(input: &str) -> Option<(&str, MatchOp, &str)> {
    let input = input.trim_matches(is_space);
    let name_end = input
        .char_indices()
        .find(|(at, c)| !(*c == '_' || *c == ':' || c.is_ascii_alphabetic() || *at > 0 && c.is_ascii_digit()))
        .map_or(input.len(), |(at, _)| at);
    let (name, rest) = input.split_at(name_end);
    let rest = rest.trim_start_matches(is_space);
    let ops = [
        ("=~", MatchOp::Regexp),
        ("=", MatchOp::Equal),
        ("!=", MatchOp::NotEqual),
        ("!~", MatchOp::NotRegexp),
    ];
    let (op, rest) = ops.iter().find_map(|(text, op)| rest.strip_prefix(text).map(|rest| (*op, rest)))?;
    (!name.is_empty()).then(|| (name, op, rest.trim_start_matches(is_space)))
}

/// What `\s` matches in Go.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0c' | '\r')
}

/// Takes the quotes off and resolves `\n`, `\"` and `\\`; any other backslash stands for itself.
fn unescape(raw: &str) -> Result<String, MatcherError> {
    let stray = || MatcherError(format!("matcher value contains unescaped double quote: {raw}"));
    let body = raw.strip_prefix('"').unwrap_or(raw);
    let mut needs_end = raw.starts_with('"');
    let mut value = String::with_capacity(body.len());
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => value.push('\\'),
            },
            '"' if needs_end && at == body.len() - 1 => needs_end = false,
            '"' => return Err(stray()),
            c => value.push(c),
        }
    }
    if needs_end { Err(stray()) } else { Ok(value) }
}

//! File names as `path/filepath` handles them on Linux. Nothing here touches a disk.

/// `filepath.Clean`: no doubled slashes, no `.`, `..` resolved where it can be.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// `filepath.Join` of two: cleaned, and empty when both are.
pub fn join(dir: &str, file: &str) -> String {
    match (dir, file) {
        ("", "") => String::new(),
        ("", file) => clean(file),
        (dir, file) => clean(&format!("{dir}/{file}")),
    }
}

/// `filepath.Dir`: all but the last element, cleaned.
pub fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

/// `filepath.Base`: the last element.
pub fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    match path.trim_end_matches('/').rsplit('/').next() {
        Some("") | None => "/",
        Some(last) => last,
    }
}

/// `filepath.Ext`: the end of the last element from its last dot on.
pub fn ext(path: &str) -> &str {
    let last = path.rsplit('/').next().unwrap_or(path);
    last.rfind('.').map_or("", |dot| &last[dot..])
}

/// A pattern that Go calls malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// One element of a pattern.
enum Item {
    /// `*`: any run of characters without a slash.
    Run,
    /// `?`: one character other than a slash.
    One,
    /// `[a-z]`, `[^a]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Literal(char),
}

/// `filepath.Match`: whether `pattern` matches the whole of `name`. `*` and `?` do not match a slash.
///
/// # Errors
/// The pattern is malformed in a part that the name gets to; as in Go, the parts after it are not checked.
pub fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let Pattern { items, malformed_from } = parse_pattern(pattern);
    let mut item = 0;
    let mut rest = name;
    // Where to continue when what follows the last `*` does not match: one character later.
    let mut retry: Option<(usize, &str)> = None;
    loop {
        if malformed_from == Some(item) {
            return Err(BadPattern);
        }
        match items.get(item) {
            None if rest.is_empty() => return Ok(true),
            Some(Item::Run) => {
                item += 1;
                retry = Some((item, rest));
                continue;
            }
            Some(one) => {
                if let Some(tail) = match_one(one, rest) {
                    (item, rest) = (item + 1, tail);
                    continue;
                }
            }
            None => {}
        }
        let Some((after_run, from)) = retry else { return Ok(false) };
        let mut chars = from.chars();
        match chars.next() {
            None | Some('/') => return Ok(false),
            Some(_) => {
                retry = Some((after_run, chars.as_str()));
                (item, rest) = (after_run, chars.as_str());
            }
        }
    }
}

/// What is left of `name` if its first character fits.
fn match_one<'n>(item: &Item, name: &'n str) -> Option<&'n str> {
    let mut chars = name.chars();
    let c = chars.next()?;
    let fits = match item {
        Item::Run => false,
        Item::One => c != '/',
        Item::Class { negated, ranges } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
        }
        Item::Literal(literal) => *literal == c,
    };
    fits.then_some(chars.as_str())
}

/// The items of a pattern, as far as it is well-formed.
struct Pattern {
    items: Vec<Item>,
    /// The item after the last `*` before the malformed part.
    malformed_from: Option<usize>,
}

fn parse_pattern(pattern: &str) -> Pattern {
    let mut items = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let parsed = match (c, &rest[c.len_utf8()..]) {
            ('*', tail) => Ok((Item::Run, tail)),
            ('?', tail) => Ok((Item::One, tail)),
            ('[', tail) => parse_class(tail),
            ('\\', tail) => match tail.chars().next() {
                Some(literal) => Ok((Item::Literal(literal), &tail[literal.len_utf8()..])),
                None => Err(BadPattern),
            },
            (literal, tail) => Ok((Item::Literal(literal), tail)),
        };
        let Ok((item, tail)) = parsed else {
            let run = items.iter().rposition(|item| matches!(item, Item::Run));
            return Pattern { malformed_from: Some(run.map_or(0, |run| run + 1)), items };
        };
        items.push(item);
        rest = tail;
    }
    Pattern { items, malformed_from: None }
}

/// The class that `text` (what follows the bracket) begins with, and the text after it.
fn parse_class(text: &str) -> Result<(Item, &str), BadPattern> {
    let inner = text.strip_prefix('^');
    let (negated, mut rest) = (inner.is_some(), inner.unwrap_or(text));
    let mut ranges = Vec::new();
    loop {
        if let Some(tail) = rest.strip_prefix(']')
            && !ranges.is_empty()
        {
            return Ok((Item::Class { negated, ranges }, tail));
        }
        let (low, tail) = class_character(rest)?;
        let (high, tail) = match tail.strip_prefix('-') {
            Some(tail) => class_character(tail)?,
            None => (low, tail),
        };
        ranges.push((low, high));
        rest = tail;
    }
}

/// A character of a class. Something must follow it, at least the closing bracket.
fn class_character(text: &str) -> Result<(char, &str), BadPattern> {
    let mut chars = text.chars();
    let c = match chars.next() {
        None | Some('-' | ']') => return Err(BadPattern),
        Some('\\') => chars.next().ok_or(BadPattern)?,
        Some(c) => c,
    };
    let rest = chars.as_str();
    if rest.is_empty() { Err(BadPattern) } else { Ok((c, rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_stars_take_no_time() {
        let name = "a".repeat(10_000);
        assert_eq!(matches(&"a*".repeat(200), &name), Ok(true));
        assert_eq!(matches(&format!("{}b", "a*".repeat(200)), &name), Ok(false));
    }
}

//! Regexes that need no regex engine: finite sets, prefixes, suffixes, "contains", "anything".
//!
//! Most regexes in dashboards and rules are of this kind. Comparing strings is many times faster than the fastest
//! automaton, and an index can look up a finite set instead of trying every value.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// What an anchored regex matches, in simple cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One of these values; sorted, without duplicates.
    Set(Vec<Box<str>>),
    /// Everything: `.*`
    Any,
    /// Everything but the empty value: `.+`
    NonEmpty,
    /// `text.*`
    Prefix(Box<str>),
    /// `.*text`
    Suffix(Box<str>),
    /// `.*text.*`
    Contains(Box<str>),
    /// A regex for the engine. Every match starts with `prefix` and ends with `suffix`, which may be empty.
    Regex { prefix: Box<str>, suffix: Box<str> },
}

/// Larger sets are left to the engine.
const SET_MAX: usize = 1000;

/// Larger character classes are not expanded.
const CLASS_MAX: usize = 64;

impl Shape {
    /// The shape of a pattern whose only special character is `|`, however long it is.
    pub fn of_plain_text(pattern: &str) -> Option<Shape> {
        let special =
            |c| matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$');
        if pattern.contains(special) {
            return None;
        }
        Some(Shape::set(pattern.split('|').map(Box::from).collect()))
    }

    fn set(mut values: Vec<Box<str>>) -> Shape {
        values.sort_unstable();
        values.dedup();
        Shape::Set(values)
    }

    /// The shape of a parsed regex that must match a whole value.
    pub fn of(hir: &Hir) -> Shape {
        let mut parts = Vec::new();
        flatten(hir, &mut parts);
        // The whole value must match anyway, so anchors at the ends add nothing.
        let first = parts.iter().take_while(|part| *part.kind() == HirKind::Look(Look::Start)).count();
        let mut parts = &parts[first..];
        while let Some((last, others)) = parts.split_last()
            && *last.kind() == HirKind::Look(Look::End)
        {
            parts = others;
        }
        if let Some(values) = set_of(parts) {
            return Shape::set(values.into_iter().map(String::into_boxed_str).collect());
        }
        match parts {
            [all] if is_any(all, 0) => Shape::Any,
            [all] if is_any(all, 1) => Shape::NonEmpty,
            [text, all] if is_any(all, 0) && literal(text).is_some() => Shape::Prefix(text_of(text)),
            [all, text] if is_any(all, 0) && literal(text).is_some() => Shape::Suffix(text_of(text)),
            [before, text, after] if is_any(before, 0) && is_any(after, 0) && literal(text).is_some() => {
                Shape::Contains(text_of(text))
            }
            parts => Shape::Regex {
                prefix: parts.first().map(|part| text_of(part)).unwrap_or_default(),
                suffix: parts.last().map(|part| text_of(part)).unwrap_or_default(),
            },
        }
    }

    /// Whether the shape alone decides every value.
    pub fn is_complete(&self) -> bool {
        !matches!(self, Shape::Regex { .. })
    }

    /// Whether `value` matches, or for [`Shape::Regex`] may match.
    pub fn admits(&self, value: &str) -> bool {
        match self {
            Shape::Set(values) => match &values[..] {
                [only] => **only == *value,
                values => values.binary_search_by(|candidate| (**candidate).cmp(value)).is_ok(),
            },
            Shape::Any => true,
            Shape::NonEmpty => !value.is_empty(),
            Shape::Prefix(text) => value.starts_with(&**text),
            Shape::Suffix(text) => value.ends_with(&**text),
            Shape::Contains(text) => value.contains(&**text),
            Shape::Regex { prefix, suffix } => value.starts_with(&**prefix) && value.ends_with(&**suffix),
        }
    }
}

/// The parts of nested concatenations, without groups.
fn flatten<'h>(hir: &'h Hir, parts: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Concat(list) => list.iter().for_each(|part| flatten(part, parts)),
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        _ => parts.push(hir),
    }
}

fn literal(hir: &Hir) -> Option<&str> {
    match hir.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok(),
        _ => None,
    }
}

/// The text of a literal; empty for anything else.
fn text_of(hir: &Hir) -> Box<str> {
    literal(hir).unwrap_or_default().into()
}

/// `.*` (`least` 0) or `.+` (`least` 1), where the dot matches every character.
fn is_any(hir: &Hir, least: u32) -> bool {
    let HirKind::Repetition(repetition) = hir.kind() else { return false };
    let mut inner = &repetition.sub;
    while let HirKind::Capture(capture) = inner.kind() {
        inner = &capture.sub;
    }
    let HirKind::Class(Class::Unicode(class)) = inner.kind() else { return false };
    let everything = matches!(class.ranges(), [range] if (range.start(), range.end()) == ('\0', char::MAX));
    everything && repetition.min == least && repetition.max.is_none()
}

/// All texts that the consecutive parts can match, if there are few.
fn set_of(parts: &[&Hir]) -> Option<Vec<String>> {
    let mut texts = vec![String::new()];
    for part in parts {
        let choices = choices_of(part)?;
        if texts.len() * choices.len() > SET_MAX {
            return None;
        }
        texts = texts
            .iter()
            .flat_map(|text| choices.iter().map(move |choice| format!("{text}{choice}")))
            .collect();
    }
    Some(texts)
}

fn choices_of(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Alternation(list) => {
            let mut choices = Vec::new();
            for branch in list {
                let mut parts = Vec::new();
                flatten(branch, &mut parts);
                choices.extend(set_of(&parts)?);
                if choices.len() > SET_MAX {
                    return None;
                }
            }
            Some(choices)
        }
        HirKind::Class(Class::Unicode(class)) => {
            let size: usize = class.ranges().iter().map(regex_syntax::hir::ClassUnicodeRange::len).sum();
            if size > CLASS_MAX {
                return None;
            }
            let chars = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            Some(chars.map(String::from).collect())
        }
        HirKind::Repetition(repetition) if repetition.max == Some(1) && repetition.min == 0 => {
            let mut parts = Vec::new();
            flatten(&repetition.sub, &mut parts);
            let mut choices = set_of(&parts)?;
            choices.push(String::new());
            Some(choices)
        }
        _ => literal(hir).map(|text| vec![text.to_owned()]),
    }
}

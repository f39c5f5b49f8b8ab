//! Matchers as Alertmanager writes them: `foo=bar`, `foo="bar"`, `{a!="b", c=~"d.*"}`.
//!
//! Two grammars are in use. The UTF-8 grammar (`utf8`) accepts any label name and requires quotes around special characters; the
//! classic one (`classic`) accepts only ASCII names and is lenient about values. By default both are tried: a text that only
//! the classic one accepts is taken with a warning, and where both accept a text but read it differently, the
//! classic reading wins.

mod classic;
mod matcher;
mod utf8;
mod whole_value;

use std::fmt;

use ferula_go::quote::go_quote;

pub use self::matcher::{MatchOp, Matcher};
pub use self::whole_value::MatcherError;
use super::syntax::MatcherSyntax;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

/// Matchers that must all hold, sorted by name, value and operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matchers(Vec<Matcher>);

impl Matchers {
    /// Sorts matchers.
    pub fn new(mut matchers: Vec<Matcher>) -> Self {
        matchers.sort();
        Matchers(matchers)
    }

    /// Whether every matcher holds for the labels; `value_of` returns the value of a label, or "".
    pub fn matches<'l>(&self, value_of: impl Fn(&str) -> &'l str) -> bool {
        self.0.iter().all(|matcher| matcher.matches(value_of(matcher.name())))
    }

    /// The matchers in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Matcher> {
        self.0.iter()
    }

    /// Whether there is none, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Prints `{a="b",c=~"d"}`.
impl fmt::Display for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, matcher) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{matcher}")?;
        }
        f.write_str("}")
    }
}

/// What was read, with warnings about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T> {
    pub value: T,
    pub warning: Option<MatcherWarning>,
}

/// A text that the two grammars do not agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatcherWarning {
    /// Only the classic grammar accepts it.
    ClassicOnly { input: String, error: String, suggestion: String },
    /// Both accept it but read it differently; the classic reading wins.
    Disagreement { input: String },
}

impl fmt::Display for MatcherWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MatcherWarning::ClassicOnly { input, error, suggestion } => write!(
                f,
                "the matchers {} do not follow the UTF-8 syntax ({error}) and were read by the classic rules; write {} instead",
                go_quote(input),
                go_quote(suggestion)
            ),
            MatcherWarning::Disagreement { input } => write!(
                f,
                "the matchers {} mean different things in the UTF-8 and in the classic syntax; the classic meaning is used. Quote the value to be sure",
                go_quote(input)
            ),
        }
    }
}

/// Reads a list of matchers, which may stand in braces and may be empty.
///
/// # Errors
/// The text of the grammar in force; in fallback mode that of the classic one.
pub fn parse_matchers(input: &str, syntax: MatcherSyntax) -> Result<Parsed<Vec<Matcher>>, MatcherError> {
    match syntax {
        MatcherSyntax::Utf8 => utf8::parse(input).map(without_warning),
        MatcherSyntax::Classic => classic::parse_list(input).map(without_warning),
        MatcherSyntax::Fallback => reconcile(input, utf8::parse(input), classic::parse_list(input), |all| {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }),
    }
}

/// Reads exactly one matcher, without braces.
///
/// # Errors
/// As [`parse_matchers`].
pub fn parse_matcher(input: &str, syntax: MatcherSyntax) -> Result<Parsed<Matcher>, MatcherError> {
    if syntax == MatcherSyntax::Classic {
        return classic::parse_one(input).map(without_warning);
    }
    if input.starts_with('{') || input.ends_with('}') {
        return Err(MatcherError(format!("unexpected open or close brace: {input}")));
    }
    let one = utf8::parse(input).and_then(only_one);
    if syntax == MatcherSyntax::Utf8 {
        return one.map(without_warning);
    }
    reconcile(input, one, classic::parse_one(input), ToString::to_string)
}

fn without_warning<T>(value: T) -> Parsed<T> {
    Parsed { value, warning: None }
}

fn only_one(mut matchers: Vec<Matcher>) -> Result<Matcher, MatcherError> {
    match matchers.len() {
        0 => Err(MatcherError("no matchers".into())),
        1 => Ok(matchers.remove(0)),
        several => Err(MatcherError(format!("expected 1 matcher, found {several}"))),
    }
}

/// Decides between what the two grammars made of a text.
fn reconcile<T: PartialEq>(
    input: &str,
    utf8: Result<T, MatcherError>,
    classic: Result<T, MatcherError>,
    show: impl Fn(&T) -> String,
) -> Result<Parsed<T>, MatcherError> {
    let input = || input.to_owned();
    match (utf8, classic) {
        (Err(_), Err(error)) => Err(error),
        (Err(error), Ok(value)) => {
            let suggestion = show(&value);
            let warning =
                MatcherWarning::ClassicOnly { input: input(), error: error.to_string(), suggestion };
            Ok(Parsed { value, warning: Some(warning) })
        }
        (Ok(utf8), Ok(classic)) if utf8 != classic => {
            Ok(Parsed { value: classic, warning: Some(MatcherWarning::Disagreement { input: input() }) })
        }
        (Ok(value), _) => Ok(without_warning(value)),
    }
}

/// Whether a label may have this name.
pub fn is_label_name(name: &str, syntax: MatcherSyntax) -> bool {
    match syntax {
        MatcherSyntax::Classic => is_classic_label_name(name),
        MatcherSyntax::Utf8 | MatcherSyntax::Fallback => !name.is_empty(),
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
pub(super) fn is_classic_label_name(name: &str) -> bool {
    name.bytes()
        .enumerate()
        .all(|(at, b)| b == b'_' || b.is_ascii_alphabetic() || at > 0 && b.is_ascii_digit())
        && !name.is_empty()
}

impl Value for Matchers {
    fn zero() -> Self {
        Matchers::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), crate::error::Problem> {
        let before = d.errors();
        let mut lines: Vec<String> = Vec::new();
        lines.decode(id, d)?;
        if d.errors() > before {
            return Ok(());
        }
        let mut all = Vec::new();
        for line in lines {
            let parsed =
                parse_matchers(&line, d.matcher_syntax).map_err(|error| d.problem(error.to_string()))?;
            if let Some(warning) = &parsed.warning {
                d.warn(warning.to_string());
            }
            all.extend(parsed.value);
        }
        *self = Matchers::new(all);
        Ok(())
    }

    fn go_type() -> String {
        "[]string".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::List {
            items: self.0.iter().map(|matcher| PrintedValue::Text(matcher.to_string())).collect(),
            flow: false,
        }
    }
}

#[cfg(test)]
mod tests;

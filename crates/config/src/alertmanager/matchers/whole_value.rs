//! The regular expression of a matcher.

use std::sync::OnceLock;

use ferula_go::Regexp;
use ferula_go::regexp::Pattern;

/// Why a text is not a matcher, in Alertmanager's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MatcherError(pub(super) String);

/// An expression that a whole value must match.
///
/// Most expressions begin with a text, and most values do not: they are compared with that. The expression, which takes tens of
/// kilobytes when it is compiled, is compiled for the first value that begins so. There are servers with thousands of silences.
#[derive(Debug)]
pub(super) struct WholeValue {
    anchored: String,
    /// Every matching value begins with one of them.
    beginnings: Option<Vec<Box<[u8]>>>,
    compiled: OnceLock<Option<Regexp>>,
}

impl WholeValue {
    /// Expressions up to this length, without counted repetitions, are never too large.
    const CERTAINLY_SMALL_BYTES: usize = 64;

    /// Reads an expression, which is anchored at both ends; `.` does not match a line end.
    pub fn new(expression: &str) -> Result<Self, MatcherError> {
        let refused = |error: ferula_go::regexp::SyntaxError| MatcherError(error.to_string());
        let anchored = format!("^(?:{expression})$");
        let pattern = Pattern::parse(&anchored).map_err(refused)?;
        let beginnings = pattern.beginnings();
        let is_small = expression.len() <= Self::CERTAINLY_SMALL_BYTES && !expression.contains('{');
        let compiled = OnceLock::new();
        if beginnings.is_none() || !is_small {
            let regexp = pattern.compile().map_err(refused)?;
            if beginnings.is_none() {
                let _ = compiled.set(Some(regexp));
            }
        }
        Ok(WholeValue { anchored, beginnings, compiled })
    }

    /// Whether the whole value matches.
    pub fn is_match(&self, value: &str) -> bool {
        let begins =
            |beginnings: &Vec<Box<[u8]>>| beginnings.iter().any(|one| value.as_bytes().starts_with(one));
        if !self.beginnings.as_ref().is_none_or(begins) {
            return false;
        }
        let compiled = self.compiled.get_or_init(|| Regexp::new(&self.anchored).ok());
        compiled.as_ref().is_some_and(|regexp| regexp.is_match(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_change_no_result() {
        let values = [
            "", "a", "ab", "b", "xb", "A", "Ab", "i10-7", "j10", "j101", "i10-\n", "\ni10-", "ä", "äb",
            "ab\nc",
        ];
        for expression in [
            "",
            "a",
            "ab?",
            "a|b",
            "a.*",
            ".*b",
            "i10-.*|j10",
            "(?i)ab",
            "(?i:a)b",
            "ä.*",
            "[ab]b?",
            "a{0,2}b",
            "(a|b){1,3}",
            "a)|(?:b",
            "(?m)^b",
            "(?s)i10-.*",
            "^a",
            "a$",
            "\\Aa",
            "\\bab",
            "",
            "|a",
            "a||b",
            "[^a]",
            "\\pL+",
            "a.c|ab.c",
            "(?s:ab.c)",
            "()a",
            "(?:)b",
            "x*b",
            "((a))",
        ] {
            let slow = Regexp::new(&format!("^(?:{expression})$")).expect(expression);
            let quick = WholeValue::new(expression).expect(expression);
            for value in values {
                assert_eq!(quick.is_match(value), slow.is_match(value), "{expression:?} {value:?}");
            }
        }
        let silent = WholeValue::new("i10-.*|j10").expect("good");
        assert!(!silent.is_match("host:9100") && silent.compiled.get().is_none(), "it need not be compiled");
        assert!(silent.is_match("j10") && silent.compiled.get().is_some());
        let huge = WholeValue::new("abc(((\\pL{1,100}){1,100}){1,100})").expect_err("too large");
        assert!(
            huge.to_string().contains("too large") || huge.to_string().contains("invalid repeat count"),
            "{huge}"
        );
    }
}

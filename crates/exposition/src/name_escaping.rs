//! How names outside the legacy character set are written for clients that do not know UTF-8 names.

use ferula_model::labels::is_legacy_metric_name;

/// An escaping scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameEscaping {
    /// Unchanged, in quotation marks.
    AllowUtf8,
    /// Unsupported characters become `_`.
    #[default]
    Underscores,
    /// Dots become `_dot_`, underscores are doubled, other unsupported characters become `__`.
    Dots,
    /// `U__`, underscores doubled, and the code of every unsupported character: reversible.
    Values,
}

impl NameEscaping {
    /// Its name in the headers `Accept` and `Content-Type`.
    pub fn word(self) -> &'static str {
        match self {
            NameEscaping::AllowUtf8 => "allow-utf-8",
            NameEscaping::Underscores => "underscores",
            NameEscaping::Dots => "dots",
            NameEscaping::Values => "values",
        }
    }

    /// The scheme with this name.
    pub fn of_word(word: &str) -> Option<NameEscaping> {
        use NameEscaping::{AllowUtf8, Dots, Underscores, Values};
        [AllowUtf8, Underscores, Dots, Values].into_iter().find(|escaping| escaping.word() == word)
    }

    /// Escapes the name of a metric or label. A legacy name stays unchanged.
    pub fn escape(self, name: &str) -> String {
        if self == NameEscaping::AllowUtf8 || is_legacy_metric_name(name) {
            return name.to_owned();
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == NameEscaping::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let fits = c.is_ascii_alphabetic() || matches!(c, '_' | ':') || (at > 0 && c.is_ascii_digit());
            match (self, c) {
                (NameEscaping::Dots | NameEscaping::Values, '_') => out.push_str("__"),
                (NameEscaping::Dots, '.') => out.push_str("_dot_"),
                (_, c) if fits => out.push(c),
                (NameEscaping::Dots, _) => out.push_str("__"),
                (NameEscaping::Values, c) => out.push_str(&format!("_{:x}_", u32::from(c))),
                _ => out.push('_'),
            }
        }
        out
    }
}

/// Reverses [`NameEscaping::Values`]: `__` is an underscore, `_2e_` the character with that code. Anything else stays
/// unchanged.
pub fn unescape_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let decoded = rest.split_once('_').filter(|(hex, _)| !hex.is_empty() && hex.len() <= 6).and_then(
            |(hex, after)| {
                let code = u32::from_str_radix(hex, 16).ok()?;
                Some((char::from_u32(code)?, after))
            },
        );
        let Some((character, after)) = decoded else { return name.to_owned() };
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_prometheus_writes_them() {
        for (name, underscores, dots, values) in [
            ("fits:here_1", "fits:here_1", "fits:here_1", "fits:here_1"),
            ("a.b_c", "a_b_c", "a_dot_b__c", "U__a_2e_b__c"),
            ("1x", "_x", "__x", "U___31_x"),
            ("é 😀", "___", "______", "U___e9__20__1f600_"),
        ] {
            assert_eq!(NameEscaping::AllowUtf8.escape(name), name);
            assert_eq!(NameEscaping::Underscores.escape(name), underscores);
            assert_eq!(NameEscaping::Dots.escape(name), dots);
            assert_eq!(NameEscaping::Values.escape(name), values);
            assert_eq!(unescape_name(values), name);
        }
    }

    #[test]
    fn escaped_names_are_unescaped_and_invalid_ones_stay() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__http_2e_status__code", "http.status_code"),
            ("U___e9_", "é"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_110000_", "U__a_110000_"),
            ("U__", ""),
        ] {
            assert_eq!(unescape_name(escaped), name);
        }
    }
}

//! How names outside the legacy character set are written, as the client's `Accept` header requests.

use axum::http::{HeaderMap, header};
use ferula_model::labels::is_legacy_metric_name;

/// A way to write names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
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

impl Escaping {
    /// What the client requests: the last `escaping=` among its offers, taken in order of weight, up to the first offer
    /// that is available, which is the text format. Unknown words are skipped.
    pub fn of_request(headers: &HeaderMap) -> Escaping {
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut offers: Vec<Offer<'_>> = accepted.split(',').map(Offer::parse).collect();
        offers.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let mut escaping = Escaping::default();
        for offer in offers {
            escaping = offer.escaping.unwrap_or(escaping);
            let text = offer.media_type == "text/plain" && offer.version.is_none_or(|v| v == "0.0.4");
            if text || offer.media_type == "*/*" {
                break;
            }
        }
        escaping
    }

    fn named(name: &str) -> Option<Escaping> {
        match name {
            "allow-utf-8" => Some(Escaping::AllowUtf8),
            "underscores" => Some(Escaping::Underscores),
            "dots" => Some(Escaping::Dots),
            "values" => Some(Escaping::Values),
            _ => None,
        }
    }

    /// The `Content-Type` of a text page with this escaping.
    pub fn content_type(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
            Escaping::Underscores => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            Escaping::Dots => "text/plain; version=0.0.4; charset=utf-8; escaping=dots",
            Escaping::Values => "text/plain; version=0.0.4; charset=utf-8; escaping=values",
        }
    }

    /// Escapes the name of a metric or label. A legacy name stays unchanged.
    pub fn name(self, name: &str) -> String {
        if self == Escaping::AllowUtf8 || is_legacy_metric_name(name) {
            return name.to_owned();
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Escaping::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let fits = c.is_ascii_alphabetic() || matches!(c, '_' | ':') || (at > 0 && c.is_ascii_digit());
            match (self, c) {
                (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
                (Escaping::Dots, '.') => out.push_str("_dot_"),
                (_, c) if fits => out.push(c),
                (Escaping::Dots, _) => out.push_str("__"),
                (Escaping::Values, c) => out.push_str(&format!("_{:x}_", u32::from(c))),
                _ => out.push('_'),
            }
        }
        out
    }
}

/// One entry of an `Accept` header.
struct Offer<'a> {
    media_type: &'a str,
    version: Option<&'a str>,
    escaping: Option<Escaping>,
    weight: f64,
}

impl<'a> Offer<'a> {
    fn parse(text: &'a str) -> Offer<'a> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or("");
        let mut offer = Offer { media_type, version: None, escaping: None, weight: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "version" => offer.version = Some(value.trim()),
                "escaping" => offer.escaping = Escaping::named(value.trim()),
                "q" => offer.weight = value.trim().parse().unwrap_or(1.0),
                _ => {}
            }
        }
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_selects_the_escaping() {
        use Escaping::{AllowUtf8, Dots, Underscores, Values};
        for (accept, wanted) in [
            ("", Underscores),
            ("text/plain", Underscores),
            ("text/plain; version=0.0.4; escaping=allow-utf-8", AllowUtf8),
            ("text/plain;escaping=klingon", Underscores),
            // A scraping Prometheus: its last offer names no escaping; the better ones named it for all.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                AllowUtf8,
            ),
            // Offers after the accepted one do not count.
            ("text/plain;escaping=dots;q=0.2,text/plain;version=0.0.4;escaping=values;q=0.5", Values),
            ("application/json;escaping=dots,*/*;q=0.1", Dots),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            assert_eq!(Escaping::of_request(&headers), wanted, "{accept}");
        }
    }

    #[test]
    fn names_are_written_as_prometheus_writes_them() {
        for (name, underscores, dots, values) in [
            ("fits:here_1", "fits:here_1", "fits:here_1", "fits:here_1"),
            ("a.b_c", "a_b_c", "a_dot_b__c", "U__a_2e_b__c"),
            ("1x", "_x", "__x", "U___31_x"),
            ("é 😀", "___", "______", "U___e9__20__1f600_"),
        ] {
            assert_eq!(Escaping::AllowUtf8.name(name), name);
            assert_eq!(Escaping::Underscores.name(name), underscores);
            assert_eq!(Escaping::Dots.name(name), dots);
            assert_eq!(Escaping::Values.name(name), values);
        }
    }
}

//! Chooses the format of a page from the `Accept` header, as Prometheus' client library does.

use crate::Format;
use crate::name_escaping::NameEscaping;

/// The format of a page, and how names outside the legacy character set are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    pub format: Format,
    /// The version of OpenMetrics; the text format is always 0.0.4.
    pub openmetrics: &'static str,
    pub escaping: NameEscaping,
}

/// The default `Content-Type` of a text page.
pub const TEXT_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

const PROTOBUF_TYPE: &str = "application/vnd.google.protobuf";
const FAMILY: &str = "io.prometheus.client.MetricFamily";
const OPENMETRICS_TYPE: &str = "application/openmetrics-text";
const VERSIONS: [&str; 2] = ["0.0.1", "1.0.0"];

/// The first format that the client accepts and that is offered, which text always is; text if there is none. Offers with equal weight keep
/// their order, wildcards last; a wildcard selects nothing. The escaping is that of the last examined offer that
/// names one.
pub fn negotiate(accept: &str, offered: &[Format]) -> Negotiated {
    let mut offers: Vec<Offer<'_>> = accept.split(',').filter_map(Offer::parse).collect();
    offers.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.wildcards().cmp(&b.wildcards())));
    let mut chosen = Negotiated { format: Format::Text, openmetrics: "", escaping: NameEscaping::default() };
    for offer in offers {
        // Unknown names are skipped.
        let escaping = offer.parameter("escaping").and_then(NameEscaping::of_word);
        chosen.escaping = escaping.unwrap_or(chosen.escaping);
        let version = offer.parameter("version").unwrap_or("");
        match (offer.kind, offer.subtype) {
            ("text", "plain") if matches!(version, "" | "0.0.4") => break,
            _ if offered.contains(&Format::Protobuf)
                && offer.is(PROTOBUF_TYPE)
                && offer.parameter("proto") == Some(FAMILY)
                && offer.parameter("encoding") == Some("delimited") =>
            {
                chosen.format = Format::Protobuf;
                break;
            }
            _ if offered.contains(&Format::OpenMetrics)
                && offer.is(OPENMETRICS_TYPE)
                && (version.is_empty() || VERSIONS.contains(&version)) =>
            {
                chosen.format = Format::OpenMetrics;
                chosen.openmetrics = if version == VERSIONS[1] { VERSIONS[1] } else { VERSIONS[0] };
                break;
            }
            _ => {}
        }
    }
    chosen
}

impl Negotiated {
    /// The `Content-Type` of the page.
    pub fn content_type(&self) -> String {
        let escaping = self.escaping.word();
        match self.format {
            Format::Text => format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}"),
            Format::OpenMetrics => {
                let version = self.openmetrics;
                format!("{OPENMETRICS_TYPE}; version={version}; charset=utf-8; escaping={escaping}")
            }
            Format::Protobuf => {
                format!("{PROTOBUF_TYPE}; proto={FAMILY}; encoding=delimited; escaping={escaping}")
            }
        }
    }
}

/// One entry of an `Accept` header.
struct Offer<'a> {
    kind: &'a str,
    subtype: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f64,
}

impl<'a> Offer<'a> {
    fn parse(text: &'a str) -> Option<Offer<'a>> {
        let mut parts = text.split(';');
        let media_type = parts.next()?.trim();
        let (kind, subtype) = match media_type.split_once('/') {
            Some((kind, subtype)) if !subtype.contains('/') => (kind.trim(), subtype.trim()),
            None if media_type == "*" => ("*", "*"),
            _ => return None,
        };
        let mut offer = Offer { kind, subtype, parameters: Vec::new(), weight: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match (name.trim(), value.trim()) {
                // An invalid weight is the lowest.
                ("q", weight) => offer.weight = weight.parse().unwrap_or(0.0),
                parameter => offer.parameters.push(parameter),
            }
        }
        Some(offer)
    }

    fn parameter(&self, wanted: &str) -> Option<&'a str> {
        self.parameters.iter().rev().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
    }

    fn is(&self, media_type: &str) -> bool {
        media_type.split_once('/') == Some((self.kind, self.subtype))
    }

    fn wildcards(&self) -> usize {
        usize::from(self.kind == "*") + usize::from(self.subtype == "*")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_their_preferred_format() {
        let text = "text/plain; version=0.0.4; charset=utf-8; escaping=";
        let openmetrics = "application/openmetrics-text; version=";
        let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=";
        for (accept, expected) in [
            ("", TEXT_CONTENT_TYPE.to_owned()),
            ("*/*", format!("{text}underscores")),
            ("text/html, image/*", format!("{text}underscores")),
            (
                "application/openmetrics-text",
                format!("{openmetrics}0.0.1; charset=utf-8; escaping=underscores"),
            ),
            ("application/openmetrics-text;version=2.0.0", format!("{text}underscores")),
            (
                "text/plain;q=0.3,application/openmetrics-text; version=1.0.0; escaping=allow-utf-8;q=0.5",
                format!("{openmetrics}1.0.0; charset=utf-8; escaping=allow-utf-8"),
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                 application/openmetrics-text;version=1.0.0;escaping=dots;q=0.5,*/*;q=0.1",
                format!("{protobuf}underscores"),
            ),
            ("application/vnd.google.protobuf;proto=other;encoding=delimited", format!("{text}underscores")),
            // Its escaping counts although its version is not offered.
            ("text/plain;version=1.0.0;escaping=values,text/plain;q=0.5", format!("{text}values")),
            ("text/plain;escaping=klingon", format!("{text}underscores")),
            (
                "text/plain;q=x, application/openmetrics-text;q=0.1",
                format!("{openmetrics}0.0.1; charset=utf-8; escaping=underscores"),
            ),
        ] {
            assert_eq!(negotiate(accept, &Format::ALL).content_type(), expected, "{accept}");
        }
    }
    #[test]
    fn what_is_not_offered_is_passed_over_but_its_escaping_counts() {
        for (accept, escaping) in [
            ("", NameEscaping::Underscores),
            ("text/plain", NameEscaping::Underscores),
            ("text/plain; version=0.0.4; escaping=allow-utf-8", NameEscaping::AllowUtf8),
            // A scraping Prometheus: its last offer names no escaping; the better ones named it for all.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                NameEscaping::AllowUtf8,
            ),
            // Offers after the accepted one do not count.
            (
                "text/plain;escaping=dots;q=0.2,text/plain;version=0.0.4;escaping=values;q=0.5",
                NameEscaping::Values,
            ),
            ("application/json;escaping=dots,*/*;q=0.1", NameEscaping::Dots),
        ] {
            let chosen = negotiate(accept, &[Format::Text]);
            assert_eq!((chosen.format, chosen.escaping), (Format::Text, escaping), "{accept}");
        }
    }
}

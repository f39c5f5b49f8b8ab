//! Chooses the format of a page from the `Accept` header, as Prometheus' client library does.

use crate::Format;

/// The format of a page, and how names outside the legacy character set are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    pub format: Format,
    /// The version of OpenMetrics; the text format is always 0.0.4.
    pub openmetrics: &'static str,
    /// The escaping's name.
    pub escaping: &'static str,
}

/// The default `Content-Type` of a text page.
pub const TEXT_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

const PROTOBUF_TYPE: &str = "application/vnd.google.protobuf";
const FAMILY: &str = "io.prometheus.client.MetricFamily";
const OPENMETRICS_TYPE: &str = "application/openmetrics-text";
const VERSIONS: [&str; 2] = ["0.0.1", "1.0.0"];
const ESCAPINGS: [&str; 4] = ["underscores", "allow-utf-8", "dots", "values"];

/// The first format that the client accepts and that is offered; text if there is none. Offers with equal weight keep
/// their order, wildcards last; a wildcard selects nothing. The escaping is that of the last examined offer that
/// names one.
pub fn negotiate(accept: &str) -> Negotiated {
    let mut offers: Vec<Offer<'_>> = accept.split(',').filter_map(Offer::parse).collect();
    offers.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.wildcards().cmp(&b.wildcards())));
    let mut chosen = Negotiated { format: Format::Text, openmetrics: "", escaping: ESCAPINGS[0] };
    for offer in offers {
        let known = ESCAPINGS.iter().find(|known| Some(**known) == offer.parameter("escaping"));
        chosen.escaping = known.copied().unwrap_or(chosen.escaping);
        let version = offer.parameter("version").unwrap_or("");
        match (offer.kind, offer.subtype) {
            ("text", "plain") if matches!(version, "" | "0.0.4") => break,
            _ if offer.is(PROTOBUF_TYPE)
                && offer.parameter("proto") == Some(FAMILY)
                && offer.parameter("encoding") == Some("delimited") =>
            {
                chosen.format = Format::Protobuf;
                break;
            }
            _ if offer.is(OPENMETRICS_TYPE) && (version.is_empty() || VERSIONS.contains(&version)) => {
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
        let escaping = self.escaping;
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
            assert_eq!(negotiate(accept).content_type(), expected, "{accept}");
        }
    }
}

//! Chooses the format of a page from the `Accept` header, as Prometheus' client library does.

use ferula_go::number::parse_float;

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

/// More entries of an `Accept` header than this are sorted by weight alone.
const OFFERS_IN_PROMETHEUS_ORDER_MAX: usize = 12;

/// The first format that the client accepts and that is offered, which text always is; text if there is none. Offers come by
/// weight, those with a wildcard last; a wildcard selects nothing. The escaping is that of the last examined offer that
/// names one.
pub fn negotiate(accept: &str, offered: &[Format]) -> Negotiated {
    let mut offers: Vec<Offer<'_>> = accept.split(',').filter_map(Offer::parse).collect();
    sort(&mut offers);
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
        let mut parts = text.trim().split(';');
        let media_type = parts.next()?;
        let (kind, subtype) = match media_type.split_once('/') {
            Some((kind, subtype)) if !subtype.is_empty() && !subtype.contains('/') => {
                (kind.trim(), subtype.trim())
            }
            None if media_type.trim() == "*" => ("*", "*"),
            _ => return None,
        };
        let mut offer = Offer { kind, subtype, parameters: Vec::new(), weight: 1.0 };
        // Without a value, or with two, a parameter does not count.
        let given =
            |(_, value): &(&str, &str)| !value.is_empty() && !value.trim_end_matches('=').contains('=');
        for (name, value) in parts.filter_map(|part| part.split_once('=')).filter(given) {
            let value = value.trim_end_matches('=');
            match name.trim() {
                // An invalid weight is the lowest, and so is one with spaces.
                "q" => offer.weight = parse_float(value).unwrap_or(0.0),
                name => offer.parameters.push((name, value.trim())),
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

    /// Whether Prometheus' library moves it before `other`. This is no order: each of two can come before the other.
    fn is_before(&self, other: &Offer<'_>) -> bool {
        self.weight > other.weight
            || (self.kind != "*" && other.kind == "*")
            || (self.subtype != "*" && other.subtype == "*")
    }
}

/// Sorts offers as Prometheus' library does: since its comparison is no order, the result depends on the steps, which for
/// these few are those of insertion.
fn sort(offers: &mut [Offer<'_>]) {
    if offers.len() > OFFERS_IN_PROMETHEUS_ORDER_MAX {
        offers.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        return;
    }
    for end in 1..offers.len() {
        let mut at = end;
        while at > 0 && offers[at].is_before(&offers[at - 1]) {
            offers.swap(at, at - 1);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `/federate` of Prometheus 3.5 answers, which offers text and protobuf.
    #[test]
    fn every_header_selects_what_it_selects_in_prometheus() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/exposition/accept.tsv");
        let table = std::fs::read_to_string(file).expect("the table");
        let rows: Vec<&str> = table.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(rows.len() > 500, "only {} rows", rows.len());
        let mut wrong = Vec::new();
        for row in rows {
            let (accept, expected) = row.split_once('\t').expect("two columns");
            let found = negotiate(accept, &[Format::Text, Format::Protobuf]).content_type();
            if found != expected {
                wrong.push(format!("{accept}\n    {found}, not {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }

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

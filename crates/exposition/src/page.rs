//! Which format a page is in, and one parser for all of them.

use crate::entry::Entry;
use crate::error::{ParseError, quote};
use crate::openmetrics::OpenMetricsParser;
use crate::starts::StartsParser;
use crate::text::TextParser;

/// Formats of pages that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain`, versions 0.0.4 and 1.0.0.
    Text,
    /// `application/openmetrics-text`
    OpenMetrics,
}

/// Why the format of an answer is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentTypeError {
    /// No content type, and no fallback.
    #[error(
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
    )]
    Blank,
    /// The header is not a media type, and there is no fallback.
    #[error("cannot parse Content-Type {} and no fallback_scrape_protocol for target\n{reason}", quote(.given.as_bytes()))]
    Unparsable {
        /// The header.
        given: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The media type is not that of a page, and there is no fallback.
    #[error("received unsupported Content-Type {} and no fallback_scrape_protocol specified for target", quote(.0.as_bytes()))]
    Unsupported(String),
    /// A page, but in the format that is not read yet.
    #[error("not supported yet: protobuf exposition format (Content-Type {})", quote(.0.as_bytes()))]
    Protobuf(String),
}

const PROTOBUF: &str = "application/vnd.google.protobuf";

impl Format {
    /// The format of an answer with this `Content-Type`; the fallback when the header does not state one.
    pub fn of_response(content_type: &str, fallback: Option<Format>) -> Result<Format, ContentTypeError> {
        if content_type.is_empty() {
            return fallback.ok_or(ContentTypeError::Blank);
        }
        let media_type = match media_type(content_type) {
            Ok(media_type) => media_type,
            Err(reason) => {
                return fallback
                    .ok_or_else(|| ContentTypeError::Unparsable { given: content_type.to_owned(), reason });
            }
        };
        match media_type.as_str() {
            "application/openmetrics-text" => Ok(Format::OpenMetrics),
            "text/plain" => Ok(Format::Text),
            PROTOBUF => Err(ContentTypeError::Protobuf(content_type.to_owned())),
            _ => fallback.ok_or_else(|| ContentTypeError::Unsupported(content_type.to_owned())),
        }
    }
}

/// The media type of a header, in lower case, as Go's `mime.ParseMediaType` takes it out.
fn media_type(header: &str) -> Result<String, &'static str> {
    let (kind, parameters) = header.split_once(';').unwrap_or((header, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let (main, sub) = kind.split_once('/').map_or((kind.as_str(), None), |(main, sub)| (main, Some(sub)));
    if kind.is_empty() {
        return Err("mime: no media type");
    }
    if !is_token(main) {
        return Err("mime: expected slash after first token");
    }
    if sub.is_some_and(|sub| !is_token(sub)) {
        return Err("mime: expected token after slash");
    }
    let valid = parameters.split(';').map(str::trim).filter(|p| !p.is_empty()).all(|parameter| {
        parameter
            .split_once('=')
            .is_some_and(|(name, value)| is_token(name.trim_end()) && !value.trim().is_empty())
    });
    if valid { Ok(kind) } else { Err("mime: invalid media parameter") }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !br#"()<>@,;:\"/[]?="#.contains(&b))
}

/// Reads a page of either format, entry by entry.
///
/// A page is good only when `next` has come to its end: nothing of a page with a bad line may be stored.
#[derive(Clone, Debug)]
pub struct PageParser<'a>(Parser<'a>);

#[derive(Clone, Debug)]
enum Parser<'a> {
    Text(TextParser<'a>),
    OpenMetrics(OpenMetricsParser<'a>),
    /// With start timestamps.
    Starts(Box<StartsParser<'a>>),
}

impl<'a> PageParser<'a> {
    /// A parser over a whole body.
    pub fn new(body: &'a [u8], format: Format) -> Self {
        Self::with_scan(body, format, true)
    }

    /// A parser that reads every line to the letter: the same entries and errors, more slowly. For comparisons.
    pub fn exact(body: &'a [u8], format: Format) -> Self {
        Self::with_scan(body, format, false)
    }

    /// Takes the `_created` lines of an OpenMetrics page as start timestamps of the other samples, not as samples. To
    /// be called before the first entry.
    pub fn with_start_timestamps(self) -> Self {
        PageParser(match self.0 {
            Parser::OpenMetrics(parser) => Parser::Starts(Box::new(StartsParser::new(parser))),
            other => other,
        })
    }

    fn with_scan(body: &'a [u8], format: Format, scan: bool) -> Self {
        PageParser(match format {
            Format::Text => Parser::Text(TextParser::new(body, scan)),
            Format::OpenMetrics => Parser::OpenMetrics(OpenMetricsParser::new(body, scan)),
        })
    }

    /// The next entry, or `None` at the end of a good page. Behind an error there is nothing to ask for.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would go on behind an error")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        match &mut self.0 {
            Parser::Text(parser) => parser.next(),
            Parser::OpenMetrics(parser) => parser.next(),
            Parser::Starts(parser) => parser.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_says_the_format() {
        for (header, expected) in [
            ("text/plain", Format::Text),
            ("text/plain; version=0.0.4; charset=utf-8", Format::Text),
            ("TEXT/Plain ; version=\"1.0.0\";", Format::Text),
            ("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8", Format::OpenMetrics),
        ] {
            assert_eq!(Format::of_response(header, None), Ok(expected), "{header}");
        }
    }

    #[test]
    fn other_content_types_fail_unless_there_is_a_fallback() {
        for (header, text) in [
            (
                "",
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
            ),
            (
                "text/html; charset=utf-8",
                "received unsupported Content-Type \"text/html; charset=utf-8\" and no fallback_scrape_protocol specified for target",
            ),
            (
                "text/plain; version",
                "cannot parse Content-Type \"text/plain; version\" and no fallback_scrape_protocol for target\nmime: invalid media parameter",
            ),
            (
                "a b/c",
                "cannot parse Content-Type \"a b/c\" and no fallback_scrape_protocol for target\nmime: expected slash after first token",
            ),
        ] {
            let error = Format::of_response(header, None).expect_err(header);
            assert_eq!(error.to_string(), text);
            assert_eq!(Format::of_response(header, Some(Format::Text)), Ok(Format::Text), "{header}");
        }
        let protobuf =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        assert!(matches!(
            Format::of_response(protobuf, Some(Format::Text)),
            Err(ContentTypeError::Protobuf(_))
        ));
    }
}

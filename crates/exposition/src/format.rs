//! Determines the format of a page from its content type.

use ferula_go::mime::{MediaTypeError, parse_media_type};

use crate::error::quote;

/// Supported formats of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain`, versions 0.0.4 and 1.0.0.
    Text,
    /// `application/openmetrics-text`
    OpenMetrics,
    /// `application/vnd.google.protobuf`: delimited metric families.
    Protobuf,
}

/// Why the format of an answer is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentTypeError {
    /// There is neither a content type nor a fallback.
    #[error(
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
    )]
    Blank,
    /// The header is not a media type, and there is no fallback.
    #[error("cannot parse Content-Type {} and no fallback_scrape_protocol for target\n{reason}", quote(.given.as_bytes()))]
    Unparsable {
        /// The header.
        given: String,
        /// Why it is not a media type.
        reason: MediaTypeError,
    },
    /// The media type is not supported, and there is no fallback.
    #[error("received unsupported Content-Type {} and no fallback_scrape_protocol specified for target", quote(.0.as_bytes()))]
    Unsupported(String),
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 3] = [Format::Text, Format::OpenMetrics, Format::Protobuf];

    /// The format of an answer with this `Content-Type`, or the fallback if the header states none.
    pub fn of_response(content_type: &str, fallback: Option<Format>) -> Result<Format, ContentTypeError> {
        if content_type.is_empty() {
            return fallback.ok_or(ContentTypeError::Blank);
        }
        let media_type = match parse_media_type(content_type) {
            Ok(media_type) => media_type,
            Err(reason) => {
                return fallback
                    .ok_or_else(|| ContentTypeError::Unparsable { given: content_type.to_owned(), reason });
            }
        };
        match media_type.as_str() {
            "application/openmetrics-text" => Ok(Format::OpenMetrics),
            "text/plain" => Ok(Format::Text),
            "application/vnd.google.protobuf" => Ok(Format::Protobuf),
            _ => fallback.ok_or_else(|| ContentTypeError::Unsupported(content_type.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_determines_the_format() {
        for (header, expected) in [
            ("text/plain", Format::Text),
            ("text/plain; version=0.0.4; charset=utf-8", Format::Text),
            ("TEXT/Plain ; version=\"1.0.0\";", Format::Text),
            ("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8", Format::OpenMetrics),
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
                Format::Protobuf,
            ),
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
                "text/plain; charset=utf-8; charset=latin1",
                "cannot parse Content-Type \"text/plain; charset=utf-8; charset=latin1\" and no fallback_scrape_protocol for target\nmime: duplicate parameter name",
            ),
            (
                "text/plain; version=0.0.4 charset=utf-8",
                "cannot parse Content-Type \"text/plain; version=0.0.4 charset=utf-8\" and no fallback_scrape_protocol for target\nmime: invalid media parameter",
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
    }
}

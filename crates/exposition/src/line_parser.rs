//! One parser for both text formats.

use crate::ParseError;
use crate::entry::{Entry, Series};
use crate::openmetrics::OpenMetricsParser;
use crate::starts::StartsParser;
use crate::text::TextParser;

/// Reads a text page of either format. Its entries borrow only from the body.
#[derive(Clone, Debug)]
pub(crate) enum LineParser<'a> {
    Text(TextParser<'a>),
    OpenMetrics(OpenMetricsParser<'a>),
    /// With start timestamps.
    Starts(Box<StartsParser<'a>>),
}

impl<'a> LineParser<'a> {
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        match self {
            LineParser::Text(parser) => parser.next(),
            LineParser::OpenMetrics(parser) => parser.next(),
            LineParser::Starts(parser) => parser.next(),
        }
    }

    /// See [`crate::PageParser::next_known`].
    #[inline]
    pub(crate) fn next_known(
        &mut self,
        key_bytes: usize,
        is_known: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Series<'a>> {
        match self {
            LineParser::Text(parser) => parser.next_known(key_bytes, is_known),
            LineParser::OpenMetrics(parser) => parser.next_known(key_bytes, is_known),
            // It looks at lines further ahead.
            LineParser::Starts(_) => None,
        }
    }
}

//! One parser for both text formats.

use crate::ParseError;
use crate::entry::Entry;
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
}

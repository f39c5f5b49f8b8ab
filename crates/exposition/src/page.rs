//! One parser for pages of all formats.

use crate::custom_buckets::CustomBucketsParser;
use crate::entry::{Entry, Series};
use crate::error::ParseError;
use crate::format::Format;
use crate::line_parser::LineParser;
use crate::openmetrics::OpenMetricsParser;
use crate::options::PageOptions;
use crate::protobuf::{MessageError, ProtobufParser};
use crate::starts::StartsParser;
use crate::text::TextParser;

/// Why a page is invalid. Nothing from it may be stored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PageError {
    /// A line of a text page.
    #[error("{0}")]
    Line(#[from] ParseError),
    /// A message of a protobuf page.
    #[error("{0}")]
    Message(#[from] MessageError),
}

/// Reads a page of any format, entry by entry.
///
/// A page is valid only once `next` has reached its end: nothing from a page with an invalid line may be stored.
#[derive(Clone, Debug)]
pub struct PageParser<'a>(Parser<'a>);

#[derive(Clone, Debug)]
enum Parser<'a> {
    Lines(LineParser<'a>),
    CustomBuckets(Box<CustomBucketsParser<'a>>),
    Protobuf(Box<ProtobufParser<'a>>),
}

impl<'a> PageParser<'a> {
    /// A parser over a whole body.
    pub fn new(body: &'a [u8], format: Format) -> Self {
        Self::with_options(body, format, PageOptions::default())
    }

    /// A parser with these options.
    pub fn with_options(body: &'a [u8], format: Format, options: PageOptions) -> Self {
        Self::with_scan(body, format, options, true)
    }

    /// A parser that reads every line exactly: the same entries and errors, but slower. For comparisons.
    pub fn exact(body: &'a [u8], format: Format) -> Self {
        Self::with_scan(body, format, PageOptions::default(), false)
    }

    fn with_scan(body: &'a [u8], format: Format, options: PageOptions, scan: bool) -> Self {
        let lines = match format {
            Format::Text => LineParser::Text(TextParser::new(body, scan)),
            Format::OpenMetrics if options.start_timestamps => {
                LineParser::Starts(Box::new(StartsParser::new(OpenMetricsParser::new(body, scan))))
            }
            Format::OpenMetrics => LineParser::OpenMetrics(OpenMetricsParser::new(body, scan)),
            Format::Protobuf => {
                return PageParser(Parser::Protobuf(Box::new(ProtobufParser::new(body, options))));
            }
        };
        PageParser(if options.custom_buckets {
            Parser::CustomBuckets(Box::new(CustomBucketsParser::new(lines, options.keep_classic)))
        } else {
            Parser::Lines(lines)
        })
    }

    /// The next entry, or `None` at the end of a valid page. Do not call it again after an error.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would continue after an error")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, PageError> {
        match &mut self.0 {
            Parser::Lines(parser) => Ok(parser.next()?),
            Parser::CustomBuckets(parser) => Ok(parser.next()?),
            Parser::Protobuf(parser) => Ok(parser.next()?),
        }
    }

    /// The sample on the next line, if the line begins with a key of this length for which `is_known` returns true.
    /// Otherwise `None`, and [`next`](Self::next) reads the line.
    ///
    /// A key is known if this parser, or another one of the same format, has returned it before. Then `next` would return
    /// the same, but it has to find the end of the key first.
    #[inline]
    pub fn next_known(
        &mut self,
        key_bytes: usize,
        is_known: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Series<'_>> {
        match &mut self.0 {
            Parser::Lines(parser) => parser.next_known(key_bytes, is_known),
            // What a sample becomes depends on those around it.
            Parser::CustomBuckets(_) | Parser::Protobuf(_) => None,
        }
    }
}

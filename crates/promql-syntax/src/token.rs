//! Kinds of token and how error messages describe them.
//!
//! The groups (operators, aggregators, keywords, …) decide the wording: `<op:+>`, `<aggr:sum>`, `<by>`, `identifier "x"`.

use ferula_go::quote::go_quote;

use crate::ast::{AggregateOp, BinaryOp, Span, UnaryOp};

/// A piece of the query text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it stands.
    pub span: Span,
}

/// What a token is. Words of several kinds (`sum`, `by`, `and`) may also be metric and label names: the parser decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Eof,
    Comment,
    Identifier,
    MetricIdentifier,
    Number,
    Duration,
    String,
    /// `=`
    Assign,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    /// `=~`
    RegexEqual,
    /// `!~`
    RegexNotEqual,
    At,
    /// An operator of a binary expression; also `!=` among matchers.
    Operator(BinaryOp),
    Aggregator(AggregateOp),
    Keyword(Keyword),
    Preprocessor(Preprocessor),
    /// `_`, `x`, ` `, `{{`, `}}`: only in series descriptions.
    Blank,
    Times,
    Space,
    OpenHistogram,
    CloseHistogram,
    HistogramField(HistogramField),
    ResetHint(ResetHint),
}

impl TokenKind {
    /// The sign that stands before a number or an operand.
    pub fn sign(self) -> Option<UnaryOp> {
        match self {
            TokenKind::Operator(BinaryOp::Add) => Some(UnaryOp::Plus),
            TokenKind::Operator(BinaryOp::Sub) => Some(UnaryOp::Minus),
            _ => None,
        }
    }
}

/// Words that shape an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
}

/// Words that are replaced by a value before evaluation, or are functions of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preprocessor {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// Keys of `{{schema:0 sum:1}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramField {
    Sum,
    Count,
    Schema,
    Offset,
    NegativeOffset,
    Buckets,
    NegativeBuckets,
    ZeroBucket,
    ZeroBucketWidth,
    CustomValues,
    CounterResetHint,
}

/// Values of `counter_reset_hint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetHint {
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

impl Token {
    /// The token's text.
    pub fn text<'a>(&self, query: &'a str) -> &'a str {
        &query[self.span.start..self.span.end]
    }

    /// How error messages describe the token.
    pub fn describe(&self, query: &str) -> String {
        let text = self.text(query);
        match self.kind {
            TokenKind::Eof => "end of input".to_owned(),
            TokenKind::Comment => format!("comment {}", shortened(text)),
            TokenKind::Identifier => format!("identifier {}", go_quote(text)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", go_quote(text)),
            TokenKind::Number => format!("number {}", shortened(text)),
            TokenKind::Duration => format!("duration {}", shortened(text)),
            TokenKind::String => format!("string {}", shortened(text)),
            TokenKind::Keyword(_) => format!("<{text}>"),
            TokenKind::Operator(_) | TokenKind::At | TokenKind::RegexEqual | TokenKind::RegexNotEqual => {
                format!("<op:{text}>")
            }
            TokenKind::Aggregator(_) => format!("<aggr:{text}>"),
            TokenKind::HistogramField(field) => {
                format!("\"<Item {}>\" {}", field.item_number(), shortened(text))
            }
            TokenKind::ResetHint(hint) => format!("\"<Item {}>\" {}", hint.item_number(), shortened(text)),
            _ => shortened(text),
        }
    }
}

/// The text in quotes, cut after ten characters as Go's `%.10q` does.
fn shortened(text: &str) -> String {
    if text.len() <= 10 {
        return go_quote(text);
    }
    let end = text.char_indices().nth(10).map_or(text.len(), |(at, _)| at);
    format!("{}...", go_quote(&text[..end]))
}

impl HistogramField {
    /// Prometheus has no words for these tokens and shows the number that its parser generator gave them.
    fn item_number(self) -> u32 {
        57_370 + self as u32
    }
}

impl ResetHint {
    fn item_number(self) -> u32 {
        57_445 + self as u32
    }
}

/// The kind of a word of an expression, in any case; `None` for an ordinary identifier.
pub(crate) fn word(text: &str) -> Option<TokenKind> {
    // The longest word has twelve letters; longer identifiers need no lower-casing.
    if text.len() > "count_values".len() {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if let Some(op) = AggregateOp::from_name(&lower) {
        return Some(TokenKind::Aggregator(op));
    }
    Some(match lower.as_str() {
        "and" => TokenKind::Operator(BinaryOp::And),
        "or" => TokenKind::Operator(BinaryOp::Or),
        "unless" => TokenKind::Operator(BinaryOp::Unless),
        "atan2" => TokenKind::Operator(BinaryOp::Atan2),
        "offset" => TokenKind::Keyword(Keyword::Offset),
        "smoothed" => TokenKind::Keyword(Keyword::Smoothed),
        "anchored" => TokenKind::Keyword(Keyword::Anchored),
        "by" => TokenKind::Keyword(Keyword::By),
        "without" => TokenKind::Keyword(Keyword::Without),
        "on" => TokenKind::Keyword(Keyword::On),
        "ignoring" => TokenKind::Keyword(Keyword::Ignoring),
        "group_left" => TokenKind::Keyword(Keyword::GroupLeft),
        "group_right" => TokenKind::Keyword(Keyword::GroupRight),
        "fill" => TokenKind::Keyword(Keyword::Fill),
        "fill_left" => TokenKind::Keyword(Keyword::FillLeft),
        "fill_right" => TokenKind::Keyword(Keyword::FillRight),
        "bool" => TokenKind::Keyword(Keyword::Bool),
        "start" => TokenKind::Preprocessor(Preprocessor::Start),
        "end" => TokenKind::Preprocessor(Preprocessor::End),
        "inf" | "nan" => TokenKind::Number,
        other => return duration_word(other).map(TokenKind::Preprocessor),
    })
}

/// The words that may stand in a duration expression, in lower case.
pub(crate) fn duration_word(lower: &str) -> Option<Preprocessor> {
    Some(match lower {
        "step" => Preprocessor::Step,
        "range" => Preprocessor::Range,
        "max_of" => Preprocessor::MaxOf,
        "min_of" => Preprocessor::MinOf,
        _ => return None,
    })
}

/// The kind of a word inside `{{…}}` that is not followed by a check of its own, in any case.
pub(crate) fn histogram_field(text: &str) -> Option<HistogramField> {
    Some(match text.to_ascii_lowercase().as_str() {
        "sum" => HistogramField::Sum,
        "count" => HistogramField::Count,
        "schema" => HistogramField::Schema,
        "offset" => HistogramField::Offset,
        "n_offset" => HistogramField::NegativeOffset,
        "buckets" => HistogramField::Buckets,
        "n_buckets" => HistogramField::NegativeBuckets,
        "z_bucket" => HistogramField::ZeroBucket,
        "z_bucket_w" => HistogramField::ZeroBucketWidth,
        "custom_values" => HistogramField::CustomValues,
        "counter_reset_hint" => HistogramField::CounterResetHint,
        _ => return None,
    })
}

/// The value of `counter_reset_hint`, in any case.
pub(crate) fn reset_hint(text: &str) -> Option<ResetHint> {
    Some(match text.to_ascii_lowercase().as_str() {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => return None,
    })
}

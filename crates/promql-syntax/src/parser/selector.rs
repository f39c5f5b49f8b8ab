//! Vector selectors and their matchers; label sets of series.

use ferula_model::labels::METRIC_NAME;
use ferula_model::{LabelSet, MatchOp, Matcher};

use super::operand::is_metric_name;
use super::{Failure, Node, Parsed, Parser};
use crate::ast::{BinaryOp, ExprKind, Span, TimeShift, VectorSelector};
use crate::token::{Token, TokenKind};

const IN_MATCHERS: &str = "label matching";
const IN_LABELS: &str = "label set";
const IDENTIFIER_OR_END: &str = "identifier or \"}\"";
const COMMA_OR_END: &str = "\",\" or \"}\"";

fn match_op(kind: TokenKind) -> Option<MatchOp> {
    match kind {
        TokenKind::Assign => Some(MatchOp::Equal),
        TokenKind::Operator(BinaryOp::Ne) => Some(MatchOp::NotEqual),
        TokenKind::RegexEqual => Some(MatchOp::Regex),
        TokenKind::RegexNotEqual => Some(MatchOp::NotRegex),
        _ => None,
    }
}

fn selector(name: Option<&str>, mut matchers: Vec<Matcher>) -> VectorSelector {
    matchers.extend(name.map(|name| Matcher::equal(METRIC_NAME, name)));
    VectorSelector {
        name: name.map(str::to_owned),
        matchers,
        at: TimeShift::default(),
        extension: None,
        allows_empty_matchers: false,
    }
}

impl Parser<'_> {
    /// A selector that starts with its metric name or its braces.
    pub(super) fn vector_selector(&mut self) -> Parsed<(VectorSelector, Span)> {
        match self.peek()? {
            TokenKind::LeftBrace => {
                let (matchers, span) = self.matchers()?;
                Ok((selector(None, matchers), span))
            }
            kind if is_metric_name(kind) => {
                let name = self.take()?;
                self.selector_after(name)
            }
            _ => Err(Failure::Unexpected),
        }
    }

    pub(super) fn selector_node(&mut self) -> Parsed<Node> {
        let (selector, span) = self.vector_selector()?;
        Ok(Node::new(span, ExprKind::VectorSelector(selector), 1))
    }

    /// The selector whose metric name has been taken.
    pub(super) fn selector_of(&mut self, name: Token) -> Parsed<Node> {
        let (selector, span) = self.selector_after(name)?;
        Ok(Node::new(span, ExprKind::VectorSelector(selector), 1))
    }

    fn selector_after(&mut self, name: Token) -> Parsed<(VectorSelector, Span)> {
        let (mut matchers, mut span) = (Vec::new(), name.span);
        if self.peek()? == TokenKind::LeftBrace {
            let (list, braces) = self.matchers()?;
            matchers = list;
            span.end = braces.end;
        }
        Ok((selector(Some(self.text(name)), matchers), span))
    }

    fn matchers(&mut self) -> Parsed<(Vec<Matcher>, Span)> {
        let mut matchers = Vec::new();
        let span = self.braces(IN_MATCHERS, |parser| {
            matchers.push(parser.matcher()?);
            Ok(())
        })?;
        Ok((matchers, span))
    }

    /// `{item, item,}`: the shape that matchers and label sets share.
    fn braces(&mut self, context: &str, mut item: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<Span> {
        let start = self.expect(TokenKind::LeftBrace)?.span.start;
        loop {
            if let Some(close) = self.take_if(TokenKind::RightBrace)? {
                return Ok(Span { start, end: close.span.end });
            }
            item(self)?;
            if self.take_if(TokenKind::Comma)?.is_none() && self.peek()? != TokenKind::RightBrace {
                return Err(self.unexpected(context, COMMA_OR_END));
            }
        }
    }

    /// `label="value"`, `"label"="value"`, or a metric name in quotes.
    fn matcher(&mut self) -> Parsed<Matcher> {
        let (name, quoted, name_span) = self.label_name(IN_MATCHERS)?;
        let Some(op) = match_op(self.peek()?) else {
            if quoted {
                return Ok(Matcher::equal(METRIC_NAME, &name));
            }
            return Err(self.unexpected(IN_MATCHERS, "label matching operator"));
        };
        self.take()?;
        if self.peek()? != TokenKind::String {
            return Err(self.unexpected(IN_MATCHERS, "string"));
        }
        let token = self.take()?;
        let value = self.unquote(token)?;
        let span = Span { start: name_span.start, end: token.span.end };
        Matcher::new(op, &name, &value).map_err(|error| self.error(span, error.to_string()))
    }

    /// A label name; whether it was in quotes; its place.
    fn label_name(&mut self, context: &str) -> Parsed<(String, bool, Span)> {
        let quoted = match self.peek()? {
            TokenKind::Identifier => false,
            TokenKind::String => true,
            _ => return Err(self.unexpected(context, IDENTIFIER_OR_END)),
        };
        let token = self.take()?;
        let name = if quoted { self.unquote(token)? } else { self.text(token).to_owned() };
        Ok((name, quoted, token.span))
    }

    /// `name{label="value"}`; either half may be missing.
    pub(super) fn metric(&mut self) -> Parsed<LabelSet> {
        let mut pairs = Vec::new();
        let mut metric_name = None;
        if is_metric_name(self.peek()?) {
            let token = self.take()?;
            metric_name = Some(self.text(token).to_owned());
        }
        if self.peek()? == TokenKind::LeftBrace {
            self.braces(IN_LABELS, |parser| {
                pairs.push(parser.label()?);
                Ok(())
            })?;
        }
        pairs.extend(metric_name.map(|name| (METRIC_NAME.to_owned(), name)));
        Ok(LabelSet::from_pairs(pairs))
    }

    fn label(&mut self) -> Parsed<(String, String)> {
        let (name, quoted, _) = self.label_name(IN_LABELS)?;
        if self.take_if(TokenKind::Assign)?.is_none() {
            if quoted {
                return Ok((METRIC_NAME.to_owned(), name));
            }
            return Err(self.unexpected(IN_LABELS, "\"=\""));
        }
        if self.peek()? != TokenKind::String {
            return Err(self.unexpected(IN_LABELS, "string"));
        }
        let token = self.take()?;
        Ok((name, self.unquote(token)?))
    }
}

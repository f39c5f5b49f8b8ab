//! Operands: literals, parentheses, function calls, and what starts a selector or an aggregation.

use super::{Failure, Node, Parsed, Parser};
use crate::ast::{BinaryOp, Call, ExprKind, NumberLiteral, Span};
use crate::functions::function;
use crate::literal;
use crate::token::{Keyword, Token, TokenKind};

/// Whether a token of this kind can be the name of a metric.
pub(super) fn is_metric_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::Aggregator(_)
        | TokenKind::Preprocessor(_) => true,
        TokenKind::Operator(op) => matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless),
        TokenKind::Keyword(word) => !matches!(
            word,
            Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight | Keyword::Bool
        ),
        _ => false,
    }
}

/// Whether an expression can start with a token of this kind.
pub(super) fn starts_expr(kind: TokenKind) -> bool {
    is_metric_name(kind)
        || kind.sign().is_some()
        || matches!(
            kind,
            TokenKind::LeftParen
                | TokenKind::LeftBrace
                | TokenKind::Number
                | TokenKind::Duration
                | TokenKind::String
        )
}

/// Arguments in parentheses, with the place of the parentheses.
pub(super) struct Arguments {
    pub nodes: Vec<Node>,
    pub span: Span,
}

impl Parser<'_> {
    pub(super) fn operand(&mut self) -> Parsed<Node> {
        match self.peek()? {
            TokenKind::LeftParen => self.parenthesized(),
            TokenKind::Number | TokenKind::Duration => {
                let (number, span) = self.number_literal()?;
                Ok(Node::new(span, ExprKind::Number(number), 1))
            }
            TokenKind::String => {
                let token = self.take()?;
                Ok(Node::new(token.span, ExprKind::String(self.unquote(token)?), 1))
            }
            TokenKind::LeftBrace => self.selector_node(),
            kind if is_metric_name(kind) => self.named(),
            _ => Err(Failure::Unexpected),
        }
    }

    /// What starts with a word: a call, an aggregation or a metric.
    fn named(&mut self) -> Parsed<Node> {
        let name = self.take()?;
        let next = self.peek()?;
        match (name.kind, next) {
            (TokenKind::Identifier | TokenKind::Preprocessor(_), TokenKind::LeftParen) => self.call(name),
            (
                TokenKind::Aggregator(op),
                TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without),
            ) => self.aggregate(name, op),
            _ => self.selector_of(name),
        }
    }

    fn parenthesized(&mut self) -> Parsed<Node> {
        let start = self.take()?.span.start;
        let inner = self.expr()?;
        let end = self.expect(TokenKind::RightParen)?.span.end;
        let span = Span { start, end };
        let height = self.above(span, &[inner.height])?;
        Ok(Node::new(span, ExprKind::Paren(inner.expr), height))
    }

    fn call(&mut self, name: Token) -> Parsed<Node> {
        let arguments = self.arguments()?;
        let text = self.text(name);
        let quoted = || ferula_go::quote::go_quote(text);
        let Some(function) = function(text) else {
            return Err(self.error(name.span, format!("unknown function with name {}", quoted())));
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(self.error(name.span, format!("function {} is not enabled", quoted())));
        }
        let span = Span { start: name.span.start, end: arguments.span.end };
        let heights: Vec<usize> = arguments.nodes.iter().map(|node| node.height).collect();
        let height = self.above(span, &heights)?;
        let args = arguments.nodes.into_iter().map(|node| *node.expr).collect();
        Ok(Node::new(span, ExprKind::Call(Call { function, args }), height))
    }

    pub(super) fn arguments(&mut self) -> Parsed<Arguments> {
        let start = self.expect(TokenKind::LeftParen)?.span.start;
        let mut nodes = Vec::new();
        if let Some(close) = self.take_if(TokenKind::RightParen)? {
            return Ok(Arguments { nodes, span: Span { start, end: close.span.end } });
        }
        loop {
            nodes.push(self.expr()?);
            let Some(comma) = self.take_if(TokenKind::Comma)? else { break };
            if !starts_expr(self.peek()?) {
                return Err(self.error(comma.span, "trailing commas not allowed in function call args"));
            }
        }
        let close = self.expect(TokenKind::RightParen)?;
        Ok(Arguments { nodes, span: Span { start, end: close.span.end } })
    }

    /// A number, or a duration as its seconds.
    pub(super) fn number_literal(&mut self) -> Parsed<(NumberLiteral, Span)> {
        let is_duration = match self.peek()? {
            TokenKind::Number => false,
            TokenKind::Duration => true,
            _ => return Err(Failure::Unexpected),
        };
        let token = self.take()?;
        let text = self.text(token);
        let value = if is_duration {
            literal::duration_seconds(text).map_err(|error| error.to_string())
        } else {
            literal::number(text).map_err(|error| format!("error parsing number: {error}"))
        };
        let value = value.map_err(|message| self.error(token.span, message))?;
        Ok((NumberLiteral { value, is_duration }, token.span))
    }

    pub(super) fn unquote(&self, token: Token) -> Parsed<String> {
        let quoted = self.text(token);
        literal::unquote(quoted).map_err(|_| {
            let shown = ferula_go::quote::go_quote(quoted);
            self.error(token.span, format!("error unquoting string {shown}: invalid syntax"))
        })
    }
}

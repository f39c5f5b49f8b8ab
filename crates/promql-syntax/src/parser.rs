//! Tokens to a syntax tree.
//!
//! Here: the entry points, and what all productions share. `expr`: operators by precedence climbing;
//! `operand`: literals, calls, parentheses; `selector`: matchers; `modifier`: what follows an operand;
//! `duration`: duration expressions; `aggregate`: aggregations and label lists; `series`: series descriptions.
//! Types are checked afterwards (`types`).
//!
//! Conventions. A production is a method that looks one token ahead and never further. It looks ahead only where
//! Prometheus' generated parser does, because a lexical error after a finished production must not precede
//! the production's own error. A token that fits nowhere is [`Failure::Unexpected`]: the innermost production that
//! has words for it turns it into the error message, at the latest [`Parser::finish`].

mod aggregate;
mod duration;
mod expr;
mod modifier;
mod operand;
mod selector;
pub(crate) mod series;

use ferula_model::{LabelSet, Matcher};

use crate::ast::{Expr, ExprKind, Span};
use crate::error::{ParseError, ParseErrors};
use crate::lexer::Lexer;
use crate::token::{Token, TokenKind};
use crate::{stack, types};

/// Expressions may be this deep inside each other.
pub const DEPTH_MAX: usize = 500;

/// The tree may be this high. A chain of operators is read without recursion, and each operator makes the tree higher.
pub const HEIGHT_MAX: usize = 5000;

/// Parts of the language that need a feature flag. All off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParserOptions {
    /// `--enable-feature=promql-experimental-functions`
    pub experimental_functions: bool,
    /// `--enable-feature=promql-duration-expr`
    pub duration_expressions: bool,
    /// `--enable-feature=promql-extended-range-selectors`
    pub extended_range_selectors: bool,
    /// `--enable-feature=promql-binop-fill-modifiers`
    pub binop_fill_modifiers: bool,
}

impl ParserOptions {
    /// Everything on.
    pub const ALL: ParserOptions = ParserOptions {
        experimental_functions: true,
        duration_expressions: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
    };
}

/// Parses and type-checks a query.
pub fn parse(query: &str, options: &ParserOptions) -> Result<Expr, ParseErrors> {
    stack::with_room_for_text(query, || parse_here(query, options)).unwrap_or_else(|error| {
        let message = format!("no thread for a query that may be deep: {error}");
        Err(ParseErrors(vec![ParseError::new(query, Span::default(), message)]))
    })
}

fn parse_here(query: &str, options: &ParserOptions) -> Result<Expr, ParseErrors> {
    let mut parser = Parser::new(query, *options, false);
    let parsed = parser.whole_expression();
    let mut expr = parser.finish(parsed)?;
    let errors = types::check(query, &mut expr);
    if errors.is_empty() { Ok(expr) } else { Err(ParseErrors(errors)) }
}

/// Parses a vector selector without modifiers, as in `match[]`, to its matchers; the metric name is one of them.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, ParseErrors> {
    let mut parser = Parser::new(text, ParserOptions::default(), false);
    let parsed = parser.whole_selector();
    parser.finish(parsed)
}

/// Parses several selectors; the error is that of the first bad one.
pub fn parse_metric_selectors<T: AsRef<str>>(
    texts: impl IntoIterator<Item = T>,
) -> Result<Vec<Vec<Matcher>>, ParseErrors> {
    texts.into_iter().map(|text| parse_metric_selector(text.as_ref())).collect()
}

/// Parses the labels of one series: `name{label="value"}`.
pub fn parse_metric(text: &str) -> Result<LabelSet, ParseErrors> {
    let mut parser = Parser::new(text, ParserOptions::default(), false);
    let parsed = parser.whole_metric();
    parser.finish(parsed)
}

/// Why a production could not be completed.
enum Failure {
    /// The last token fits nowhere, and no production has reported it yet.
    Unexpected,
    /// The error to report.
    Error(Box<ParseError>),
}

impl From<Box<ParseError>> for Failure {
    fn from(error: Box<ParseError>) -> Self {
        Failure::Error(error)
    }
}

type Parsed<T> = Result<T, Failure>;

/// An expression and the height of its tree. Boxed, because results pass through every level of the recursion
/// and the levels must fit a thread's stack.
struct Node {
    expr: Box<Expr>,
    height: usize,
}

impl Node {
    fn new(span: Span, kind: ExprKind, height: usize) -> Self {
        Node { expr: Box::new(Expr { span, kind }), height }
    }
}

struct Parser<'a> {
    query: &'a str,
    options: ParserOptions,
    lexer: Lexer<'a>,
    /// Read but not consumed.
    ahead: Option<Token>,
    /// Read last, consumed or not.
    last: Token,
    /// Where the last consumed token ends.
    taken_end: usize,
    /// How deep the expressions being parsed are nested.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(query: &'a str, options: ParserOptions, series: bool) -> Self {
        let last = Token { kind: TokenKind::Eof, span: Span::default() };
        Parser { query, options, lexer: Lexer::new(query, series), ahead: None, last, taken_end: 0, depth: 0 }
    }

    fn whole_expression(&mut self) -> Parsed<Expr> {
        if self.peek()? == TokenKind::Eof {
            return Err(self.error(Span::default(), "no expression found in input"));
        }
        let node = self.expr()?;
        self.expect(TokenKind::Eof)?;
        Ok(*node.expr)
    }

    fn whole_selector(&mut self) -> Parsed<Vec<Matcher>> {
        let selector = self.vector_selector()?;
        self.expect(TokenKind::Eof)?;
        Ok(selector.0.matchers)
    }

    fn whole_metric(&mut self) -> Parsed<LabelSet> {
        let labels = self.metric()?;
        self.expect(TokenKind::Eof)?;
        Ok(labels)
    }

    fn finish<T>(&self, parsed: Parsed<T>) -> Result<T, ParseErrors> {
        parsed.map_err(|failure| match failure {
            Failure::Error(error) => ParseErrors::one(*error),
            Failure::Unexpected => ParseErrors::one(self.unexpected_error("", "")),
        })
    }

    /// The kind of the next token, which is not consumed.
    fn peek(&mut self) -> Parsed<TokenKind> {
        if let Some(token) = self.ahead {
            return Ok(token.kind);
        }
        let token = self.lexer.next()?;
        self.ahead = Some(token);
        self.last = token;
        Ok(token.kind)
    }

    /// Consumes the next token.
    fn take(&mut self) -> Parsed<Token> {
        self.peek()?;
        self.ahead = None;
        self.taken_end = self.last.span.end;
        Ok(self.last)
    }

    /// Consumes the next token if it is of this kind.
    fn take_if(&mut self, kind: TokenKind) -> Parsed<Option<Token>> {
        if self.peek()? == kind { self.take().map(Some) } else { Ok(None) }
    }

    /// Consumes the next token, which must be of this kind.
    fn expect(&mut self, kind: TokenKind) -> Parsed<Token> {
        self.take_if(kind)?.ok_or(Failure::Unexpected)
    }

    fn text(&self, token: Token) -> &'a str {
        token.text(self.query)
    }

    fn error(&self, span: Span, message: impl Into<String>) -> Failure {
        Failure::Error(Box::new(ParseError::new(self.query, span, message)))
    }

    fn unexpected_error(&self, context: &str, expected: &str) -> ParseError {
        let mut message = format!("unexpected {}", self.last.describe(self.query));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        ParseError::new(self.query, self.last.span, message)
    }

    /// The failure for a token that does not fit `context`.
    fn unexpected(&self, context: &str, expected: &str) -> Failure {
        Failure::Error(Box::new(self.unexpected_error(context, expected)))
    }

    /// Reports an unexpected token inside `parsed` in the words of this context.
    fn within<T>(&self, parsed: Parsed<T>, context: &str, expected: &str) -> Parsed<T> {
        parsed.map_err(|failure| match failure {
            Failure::Unexpected => self.unexpected(context, expected),
            error => error,
        })
    }

    /// The height of a node above `children`, if the tree may be that high.
    fn above(&self, span: Span, children: &[usize]) -> Parsed<usize> {
        let height = children.iter().max().map_or(1, |height| height + 1);
        if height > HEIGHT_MAX {
            return Err(self
                .error(span, format!("expression has too many operators in a row: more than {HEIGHT_MAX}")));
        }
        Ok(height)
    }

    /// The height of a node above `children` that nest although the parser does not.
    fn above_nested(&self, span: Span, children: &[usize]) -> Parsed<usize> {
        let height = self.above(span, children)?;
        if height > DEPTH_MAX { Err(self.too_deep(span)) } else { Ok(height) }
    }

    fn too_deep(&self, span: Span) -> Failure {
        self.error(span, format!("expression is nested too deeply: more than {DEPTH_MAX} levels"))
    }
}

//! Durations in brackets and after `offset`: literals, and expressions over them.

use super::expr::{UNARY_PRECEDENCE, precedence, right_precedence};
use super::{DEPTH_MAX, Failure, Parsed, Parser};
use crate::ast::{BinaryOp, DurationExpr, DurationExprKind, DurationValue, NumberLiteral, Span, UnaryOp};
use crate::token::{Preprocessor, TokenKind};

/// Go's `time.Duration` counts nanoseconds in 63 bits; beyond this many seconds it overflows.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

/// A duration expression and the height of its tree.
struct Duration {
    expr: Box<DurationExpr>,
    height: usize,
}

impl Duration {
    fn new(span: Span, kind: DurationExprKind, height: usize) -> Self {
        Duration { expr: Box::new(DurationExpr { span, kind, wrapped: false }), height }
    }
}

/// Milliseconds of a literal, computed by way of nanoseconds, as in Prometheus.
fn value_of(expr: Box<DurationExpr>) -> DurationValue {
    match &expr.kind {
        DurationExprKind::Number(number) => DurationValue::Millis(nanos(number) / 1_000_000),
        _ => DurationValue::Expr(expr),
    }
}

fn nanos(number: &NumberLiteral) -> i64 {
    (number.value * 1e9).round() as i64
}

fn unary(op: UnaryOp, of: Duration, start: usize, height: usize) -> Duration {
    let span = Span { start, end: of.expr.span.end };
    Duration::new(span, DurationExprKind::Unary(op, of.expr), height)
}

/// Marks an expression as parenthesized. A literal has no such mark and becomes `+literal`, which prints the same.
fn wrap(mut of: Duration, parens: Span) -> Duration {
    if matches!(of.expr.kind, DurationExprKind::Number(_)) {
        of = Duration::new(parens, DurationExprKind::Unary(UnaryOp::Plus, of.expr), of.height + 1);
    }
    of.expr.wrapped = true;
    of
}

impl Parser<'_> {
    /// The duration of a range or a step.
    pub(super) fn positive_duration(&mut self) -> Parsed<DurationValue> {
        let expr = self.duration_above(0)?.expr;
        self.peek()?;
        if let DurationExprKind::Number(number) = &expr.kind
            && number.value <= 0.0
        {
            return Err(self.error(expr.span, "duration must be greater than 0"));
        }
        Ok(value_of(expr))
    }

    /// The duration after `offset` (`None` if it is 0), and where it ends.
    ///
    /// A literal, a word or a signed operand ends the offset, so that `a offset 5m + b` is a sum;
    /// after a parenthesis, arithmetic continues.
    pub(super) fn offset_duration(&mut self) -> Parsed<(Option<DurationValue>, usize)> {
        let first = self.peek()?;
        let duration = match first.sign() {
            None if first == TokenKind::LeftParen => self.duration_above(0)?,
            None => self.duration_operand()?,
            Some(op) => self.signed_offset(op)?,
        };
        let end = self.taken_end;
        let is_zero = matches!(&duration.expr.kind, DurationExprKind::Number(n) if nanos(n) == 0);
        Ok((if is_zero { None } else { Some(value_of(duration.expr)) }, end))
    }

    fn signed_offset(&mut self, op: UnaryOp) -> Parsed<Duration> {
        let token = self.take()?;
        match self.peek()? {
            TokenKind::Preprocessor(word) => {
                let of = self.duration_word(word, Some(token.span.start))?;
                let height = self.above_nested(token.span, &[of.height])?;
                Ok(unary(op, of, token.span.start, height))
            }
            TokenKind::LeftParen => {
                // Prometheus allows this one form of expression without the feature flag.
                self.take()?;
                let inner = self.duration_above(0)?;
                self.expect(TokenKind::RightParen)?;
                let place = inner.expr.span;
                self.apply_sign(op, wrap(inner, place), token.span)
            }
            TokenKind::Number | TokenKind::Duration => {
                let (number, span) = self.number_literal()?;
                self.apply_sign(op, Duration::new(span, DurationExprKind::Number(number), 1), token.span)
            }
            _ => {
                let of = self.duration_above(UNARY_PRECEDENCE + 1)?;
                let signed = self.apply_sign(op, of, token.span)?;
                self.duration_operators(signed, 0)
            }
        }
    }

    fn duration_above(&mut self, lowest: u8) -> Parsed<Duration> {
        if self.depth == DEPTH_MAX {
            return Err(self.too_deep(self.last.span));
        }
        self.depth += 1;
        let left = match self.peek()?.sign() {
            Some(op) => {
                let token = self.take()?;
                let of = self.duration_above(UNARY_PRECEDENCE + 1)?;
                self.peek()?;
                self.apply_sign(op, of, token.span)?
            }
            None => self.duration_operand()?,
        };
        let duration = self.duration_operators(left, lowest)?;
        self.depth -= 1;
        Ok(duration)
    }

    fn duration_operators(&mut self, mut left: Duration, lowest: u8) -> Parsed<Duration> {
        use BinaryOp::{Add, Div, Mod, Mul, Pow, Sub};
        while let TokenKind::Operator(op @ (Add | Sub | Mul | Div | Mod | Pow)) = self.peek()?
            && precedence(op) >= lowest
        {
            let op_span = self.take()?.span;
            let right = self.duration_above(right_precedence(op))?;
            self.peek()?;
            self.require_duration_expressions(left.expr.span)?;
            let divides_by_zero =
                matches!(&right.expr.kind, DurationExprKind::Number(number) if number.value == 0.0);
            if divides_by_zero && matches!(op, Div | Mod) {
                let what = if op == Div { "division" } else { "modulo" };
                return Err(self.error(op_span, format!("{what} by zero")));
            }
            let span = Span { start: left.expr.span.start, end: right.expr.span.end };
            let height = self.above_nested(span, &[left.height, right.height])?;
            let kind = DurationExprKind::Binary(op, left.expr, right.expr);
            left = Duration::new(span, kind, height);
        }
        Ok(left)
    }

    fn duration_operand(&mut self) -> Parsed<Duration> {
        match self.peek()? {
            TokenKind::Number | TokenKind::Duration => {
                let (number, span) = self.number_literal()?;
                self.check_seconds(&number, span)?;
                Ok(Duration::new(span, DurationExprKind::Number(number), 1))
            }
            TokenKind::LeftParen => {
                let start = self.take()?.span.start;
                let inner = self.duration_above(0)?;
                let end = self.expect(TokenKind::RightParen)?.span.end;
                self.require_duration_expressions(inner.expr.span)?;
                Ok(wrap(inner, Span { start, end }))
            }
            TokenKind::Preprocessor(word) => self.duration_word(word, None),
            _ => Err(Failure::Unexpected),
        }
    }

    /// A call of a word. The error about the missing feature flag points at `error_start`, by default the word.
    fn duration_word(&mut self, word: Preprocessor, error_start: Option<usize>) -> Parsed<Duration> {
        if matches!(word, Preprocessor::Start | Preprocessor::End) {
            return Err(Failure::Unexpected);
        }
        let start = self.take()?.span.start;
        self.expect(TokenKind::LeftParen)?;
        let mut height = 1;
        let kind = match word {
            Preprocessor::Start | Preprocessor::Step => DurationExprKind::Step,
            Preprocessor::End | Preprocessor::Range => DurationExprKind::Range,
            Preprocessor::MaxOf | Preprocessor::MinOf => {
                let left = self.duration_above(0)?;
                self.expect(TokenKind::Comma)?;
                let right = self.duration_above(0)?;
                height = self.above_nested(self.last.span, &[left.height, right.height])?;
                let (left, right) = (left.expr, right.expr);
                if word == Preprocessor::MaxOf {
                    DurationExprKind::MaxOf(left, right)
                } else {
                    DurationExprKind::MinOf(left, right)
                }
            }
        };
        let end = self.expect(TokenKind::RightParen)?.span.end;
        let span = Span { start, end };
        self.require_duration_expressions(Span { start: error_start.unwrap_or(start), end })?;
        Ok(Duration::new(span, kind, height))
    }

    /// A sign changes a literal; before other expressions `-` is a node, and `+` nothing at all.
    fn apply_sign(&self, op: UnaryOp, of: Duration, op_span: Span) -> Parsed<Duration> {
        if let DurationExprKind::Number(number) = &of.expr.kind {
            let value = if op == UnaryOp::Minus { -number.value } else { number.value };
            let number = NumberLiteral { value, is_duration: number.is_duration };
            self.check_seconds(&number, op_span)?;
            let span = Span { start: op_span.start, end: of.expr.span.end };
            return Ok(Duration::new(span, DurationExprKind::Number(number), of.height));
        }
        if op == UnaryOp::Plus {
            return Ok(of);
        }
        let height = self.above_nested(op_span, &[of.height])?;
        Ok(unary(op, of, op_span.start, height))
    }

    fn check_seconds(&self, number: &NumberLiteral, place: Span) -> Parsed<()> {
        if number.value > SECONDS_MAX || number.value < -SECONDS_MAX {
            return Err(self.error(place, "duration out of range"));
        }
        Ok(())
    }

    fn require_duration_expressions(&self, place: Span) -> Parsed<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.error(place, "experimental duration expression is not enabled"))
    }
}

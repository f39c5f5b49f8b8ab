//! Binary and unary operators, by precedence climbing.

use super::aggregate::IN_GROUPING;
use super::operand::starts_expr;
use super::{DEPTH_MAX, Node, Parsed, Parser};
use crate::ast::{BinaryExpr, BinaryOp, Cardinality, ExprKind, NumberLiteral, Span, UnaryOp, VectorMatching};
use crate::token::{Keyword, TokenKind};

/// How tightly an operator binds; all but `^` associate to the left.
pub(super) fn precedence(op: BinaryOp) -> u8 {
    use BinaryOp::*;
    match op {
        Or => 1,
        And | Unless => 2,
        Eq | Ne | Gt | Lt | Ge | Le | TrimUpper | TrimLower => 3,
        Add | Sub => 4,
        Mul | Div | Mod | Atan2 => UNARY_PRECEDENCE,
        Pow => 6,
    }
}

/// A sign binds like `*`: `-a ^ b` is `-(a ^ b)`, `-a * b` is `(-a) * b`.
pub(super) const UNARY_PRECEDENCE: u8 = 5;

/// The lowest precedence that the right operand of `op` may contain.
pub(super) fn right_precedence(op: BinaryOp) -> u8 {
    if op == BinaryOp::Pow { precedence(op) } else { precedence(op) + 1 }
}

/// Everything between an operator and its right operand.
struct Modifiers {
    return_bool: bool,
    matching: VectorMatching,
}

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Parsed<Node> {
        self.expr_above(0)
    }

    /// An expression whose operators bind at least as tightly as `lowest`.
    fn expr_above(&mut self, lowest: u8) -> Parsed<Node> {
        if self.depth == DEPTH_MAX {
            return Err(self.too_deep(self.last.span));
        }
        self.depth += 1;
        let mut left = match self.peek()?.sign() {
            Some(op) => self.signed(op)?,
            None => self.operand_with_modifiers()?,
        };
        while let TokenKind::Operator(op) = self.peek()?
            && precedence(op) >= lowest
        {
            self.take()?;
            left = self.binary(left, op)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn signed(&mut self, op: UnaryOp) -> Parsed<Node> {
        let start = self.take()?.span.start;
        let Node { expr, height } = self.expr_above(UNARY_PRECEDENCE + 1)?;
        let span = Span { start, end: expr.span.end };
        if let ExprKind::Number(number) = &expr.kind {
            let value = if op == UnaryOp::Minus { -number.value } else { number.value };
            return Ok(Node::new(span, ExprKind::Number(NumberLiteral { value, ..*number }), height));
        }
        let height = self.above(span, &[height])?;
        Ok(Node::new(span, ExprKind::Unary(op, expr), height))
    }

    /// The rest of a binary expression whose operator has been taken.
    fn binary(&mut self, left: Node, op: BinaryOp) -> Parsed<Node> {
        let Modifiers { return_bool, matching } = self.binary_modifiers()?;
        let right = self.expr_above(right_precedence(op))?;
        let span = Span { start: left.expr.span.start, end: right.expr.span.end };
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.options.binop_fill_modifiers {
            return Err(self.error(span, "binop fill modifiers are experimental and not enabled"));
        }
        let height = self.above(span, &[left.height, right.height])?;
        let binary =
            BinaryExpr { op, left: *left.expr, right: *right.expr, return_bool, matching: Some(matching) };
        Ok(Node::new(span, ExprKind::Binary(Box::new(binary)), height))
    }

    fn binary_modifiers(&mut self) -> Parsed<Modifiers> {
        let return_bool = self.take_if(TokenKind::Keyword(Keyword::Bool))?.is_some();
        let mut matching = VectorMatching {
            cardinality: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        if let TokenKind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.peek()? {
            self.take()?;
            matching.on = word == Keyword::On;
            matching.labels = self.grouping_labels()?;
            self.group_modifier(&mut matching)?;
        }
        self.fill_modifiers(&mut matching)?;
        Ok(Modifiers { return_bool, matching })
    }

    fn group_modifier(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        matching.cardinality = match self.peek()? {
            TokenKind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
            TokenKind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
            _ => return Ok(()),
        };
        self.take()?;
        // A parenthesis belongs to the modifier, even if it was meant to open the right operand.
        match self.peek()? {
            TokenKind::LeftParen => matching.include = self.grouping_labels()?,
            kind if starts_expr(kind) => {}
            _ => return Err(self.unexpected(IN_GROUPING, "\"(\"")),
        }
        Ok(())
    }

    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        let first = match self.peek()? {
            TokenKind::Keyword(word @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) => word,
            _ => return Ok(()),
        };
        self.take()?;
        let value = Some(self.fill_value()?);
        match first {
            Keyword::FillLeft => {
                matching.fill_left = value;
                if self.take_if(TokenKind::Keyword(Keyword::FillRight))?.is_some() {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            Keyword::FillRight => {
                matching.fill_right = value;
                if self.take_if(TokenKind::Keyword(Keyword::FillLeft))?.is_some() {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => (matching.fill_left, matching.fill_right) = (value, value),
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(TokenKind::LeftParen)?;
        let op = self.peek()?.sign();
        if op.is_some() {
            self.take()?;
        }
        let (number, _) = self.number_literal()?;
        self.expect(TokenKind::RightParen)?;
        Ok(if op == Some(UnaryOp::Minus) { -number.value } else { number.value })
    }
}

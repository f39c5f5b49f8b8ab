//! What may follow an operand: `[range]`, `[range:step]`, `offset`, `@`, `anchored`, `smoothed`.

use ferula_go::float::format_f;
use ferula_model::Timestamp;

use super::{Failure, Node, Parsed, Parser};
use crate::ast::{
    AtModifier, DurationValue, Expr, ExprKind, MatrixSelector, RangeExtension, Span, Subquery, TimeShift,
    UnaryOp, VectorSelector,
};
use crate::token::{Keyword, Preprocessor, Token, TokenKind};

const DURATIONS: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    pub(super) fn operand_with_modifiers(&mut self) -> Parsed<Node> {
        let mut node = self.operand()?;
        loop {
            match self.peek()? {
                TokenKind::LeftBracket => node = self.range_or_subquery(node)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(&mut node.expr)?,
                TokenKind::At => self.at(&mut node.expr)?,
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.extension(&mut node.expr, RangeExtension::Anchored)?;
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.extension(&mut node.expr, RangeExtension::Smoothed)?;
                }
                _ => return Ok(node),
            }
        }
    }

    fn range_or_subquery(&mut self, of: Node) -> Parsed<Node> {
        let open = self.take()?;
        let parsed = self.positive_duration();
        let range = self.within(parsed, "subquery or range selector", DURATIONS)?;
        match self.peek()? {
            TokenKind::RightBracket => {
                let close = self.take()?;
                self.matrix_selector(of, range, open, close)
            }
            TokenKind::Colon => self.subquery(of, range),
            _ => Err(self.unexpected("subquery or range", "\":\" or \"]\"")),
        }
    }

    fn matrix_selector(&self, of: Node, range: DurationValue, open: Token, close: Token) -> Parsed<Node> {
        let brackets = Span { start: open.span.start, end: close.span.end };
        let refuse = |message: &str| Err(self.error(brackets, message));
        let selector_span = of.expr.span;
        let ExprKind::VectorSelector(selector) = of.expr.kind else {
            return refuse("ranges only allowed for vector selectors");
        };
        if selector.at.offset.is_some() {
            return refuse("no offset modifiers allowed before range");
        }
        if selector.at.at.is_some() {
            return refuse("no @ modifiers allowed before range");
        }
        let span = Span { start: selector_span.start, end: close.span.end };
        let kind = ExprKind::MatrixSelector(MatrixSelector { selector, selector_span, range });
        Ok(Node::new(span, kind, of.height))
    }

    fn subquery(&mut self, of: Node, range: DurationValue) -> Parsed<Node> {
        self.take()?;
        let step = if self.peek()? == TokenKind::RightBracket {
            None
        } else {
            let parsed = self.positive_duration();
            let expected = "number, duration, step(), range(), or \"]\"";
            Some(self.within(parsed, "subquery selector", expected)?)
        };
        if self.peek()? != TokenKind::RightBracket {
            return Err(self.unexpected("subquery selector", "\"]\""));
        }
        let span = Span { start: of.expr.span.start, end: self.take()?.span.end };
        let height = match of.expr.kind {
            // Ill-typed, which is noticed only once the whole text has been read.
            ExprKind::Subquery(_) => self.above_nested(span, &[of.height])?,
            _ => self.above(span, &[of.height])?,
        };
        let subquery = Subquery { expr: *of.expr, range, step, at: TimeShift::default() };
        Ok(Node::new(span, ExprKind::Subquery(Box::new(subquery)), height))
    }

    fn offset(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.take()?;
        let parsed = self.offset_duration();
        let (offset, end) = self.within(parsed, "offset", DURATIONS)?;
        let place = expr.span;
        let Some(shift) = time_shift(expr) else {
            return Err(self.not_shiftable(place, "offset"));
        };
        if shift.offset.is_some() {
            return Err(self.error(place, "offset may not be set multiple times"));
        }
        shift.offset = offset;
        expr.span.end = end;
        Ok(())
    }

    fn at(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.take()?;
        let parsed = self.at_time();
        let time = self.within(parsed, "@", "timestamp")?;
        let place = expr.span;
        let at = match time {
            AtTime::Word(at) => at,
            // The bounds of an i64, which a float meets exactly.
            AtTime::Seconds(seconds) if seconds > -TIME_BOUND && seconds < TIME_BOUND => {
                AtModifier::Time(Timestamp::from_millis((seconds * 1000.0).round() as i64))
            }
            AtTime::Seconds(seconds) => {
                let shown = if seconds.is_finite() { format!("{seconds:.6}") } else { format_f(seconds) };
                return Err(self.error(place, format!("timestamp out of bounds for @ modifier: {shown}")));
            }
        };
        let Some(shift) = time_shift(expr) else {
            return Err(self.not_shiftable(place, "@"));
        };
        if shift.at.is_some() {
            return Err(self.error(place, "@ <timestamp> may not be set multiple times"));
        }
        shift.at = Some(at);
        expr.span.end = self.taken_end;
        Ok(())
    }

    fn at_time(&mut self) -> Parsed<AtTime> {
        let word = match self.peek()? {
            TokenKind::Preprocessor(Preprocessor::Start) => AtModifier::Start,
            TokenKind::Preprocessor(Preprocessor::End) => AtModifier::End,
            kind => {
                let op = kind.sign();
                if op.is_some() {
                    self.take()?;
                }
                let (number, _) = self.number_literal()?;
                let negative = op == Some(UnaryOp::Minus);
                return Ok(AtTime::Seconds(if negative { -number.value } else { number.value }));
            }
        };
        self.take()?;
        self.expect(TokenKind::LeftParen)?;
        self.expect(TokenKind::RightParen)?;
        Ok(AtTime::Word(word))
    }

    fn not_shiftable(&self, place: Span, modifier: &str) -> Failure {
        let message = format!(
            "{modifier} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
        );
        self.error(place, message)
    }

    fn extension(&mut self, expr: &mut Expr, extension: RangeExtension) -> Parsed<()> {
        let name = match extension {
            RangeExtension::Anchored => "anchored",
            RangeExtension::Smoothed => "smoothed",
        };
        self.take()?;
        let place = expr.span;
        if !self.options.extended_range_selectors {
            return Err(self.error(place, format!("{name} modifier is experimental and not enabled")));
        }
        let Some(selector) = selector_in(expr) else {
            let subquery = matches!(expr.kind, ExprKind::Subquery(_));
            let why = if subquery { "is not supported for subqueries" } else { "not implemented" };
            return Err(self.error(place, format!("{name} modifier {why}")));
        };
        if selector.extension.is_some_and(|other| other != extension) {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(self.error(place, message));
        }
        selector.extension = Some(extension);
        Ok(())
    }
}

enum AtTime {
    Seconds(f64),
    Word(AtModifier),
}

/// Timestamps in seconds stay below 2^63, as Prometheus requires.
const TIME_BOUND: f64 = 9_223_372_036_854_775_808.0;

fn selector_in(expr: &mut Expr) -> Option<&mut VectorSelector> {
    match &mut expr.kind {
        ExprKind::VectorSelector(selector) => Some(selector),
        ExprKind::MatrixSelector(matrix) => Some(&mut matrix.selector),
        _ => None,
    }
}

fn time_shift(expr: &mut Expr) -> Option<&mut TimeShift> {
    match &mut expr.kind {
        ExprKind::VectorSelector(selector) => Some(&mut selector.at),
        ExprKind::MatrixSelector(matrix) => Some(&mut matrix.selector.at),
        ExprKind::Subquery(subquery) => Some(&mut subquery.at),
        _ => None,
    }
}

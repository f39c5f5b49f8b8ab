//! Aggregations, and the lists of label names after `by`, `on` and the like.

use ferula_go::quote::go_quote;

use super::{Node, Parsed, Parser};
use crate::ast::{AggregateExpr, AggregateOp, BinaryOp, ExprKind, Span};
use crate::token::{Keyword, Token, TokenKind};

pub(super) const IN_GROUPING: &str = "grouping opts";

#[derive(Default)]
struct Grouping {
    labels: Vec<String>,
    without: bool,
}

/// Whether a token of this kind can be the name of a label.
fn is_label_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::Aggregator(_)
        | TokenKind::Preprocessor(_) => true,
        TokenKind::Keyword(word) => word != Keyword::Without,
        TokenKind::Operator(op) => {
            matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2)
        }
        _ => false,
    }
}

impl Parser<'_> {
    /// The rest of an aggregation whose operator has been taken and is followed by `(`, `by` or `without`.
    pub(super) fn aggregate(&mut self, name: Token, op: AggregateOp) -> Parsed<Node> {
        let parsed = self.aggregate_parts();
        let (grouping, args, end) = self.within(parsed, "aggregation", "")?;
        let span = Span { start: name.span.start, end };
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        let with_param = op.param_type().is_some();
        if op.is_experimental() && !self.options.experimental_functions {
            let flag = "must be enabled with --enable-feature=promql-experimental-functions";
            return Err(self.error(span, format!("{}() is experimental and {flag}", op.as_str())));
        }
        let expected = 1 + usize::from(with_param);
        if args.len() != expected {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {expected}, got {}",
                args.len()
            );
            return Err(self.error(span, message));
        }
        let heights: Vec<usize> = args.iter().map(|node| node.height).collect();
        let height = self.above(span, &heights)?;
        let mut exprs = args.into_iter().map(|node| *node.expr);
        let param = if with_param { exprs.next() } else { None };
        let expr = exprs.next().expect("the number of arguments was checked");
        let Grouping { labels: grouping, without } = grouping;
        let kind = ExprKind::Aggregate(Box::new(AggregateExpr { op, expr, param, grouping, without }));
        Ok(Node::new(span, kind, height))
    }

    /// Label list and arguments in either order, and where they end.
    fn aggregate_parts(&mut self) -> Parsed<(Grouping, Vec<Node>, usize)> {
        if let Some(grouping) = self.grouping()? {
            let arguments = self.arguments()?;
            return Ok((grouping, arguments.nodes, arguments.span.end));
        }
        let arguments = self.arguments()?;
        match self.grouping()? {
            Some(grouping) => Ok((grouping, arguments.nodes, self.taken_end)),
            None => Ok((Grouping::default(), arguments.nodes, arguments.span.end)),
        }
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = match self.peek()? {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.take()?;
        Ok(Some(Grouping { labels: self.grouping_labels()?, without }))
    }

    /// `(label, label,)`
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        if self.take_if(TokenKind::LeftParen)?.is_none() {
            return Err(self.unexpected(IN_GROUPING, "\"(\""));
        }
        let mut labels = Vec::new();
        loop {
            if self.take_if(TokenKind::RightParen)?.is_some() {
                return Ok(labels);
            }
            labels.push(self.grouping_label()?);
            if self.take_if(TokenKind::Comma)?.is_none() && self.peek()? != TokenKind::RightParen {
                return Err(self.unexpected(IN_GROUPING, "\",\" or \")\""));
            }
        }
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let kind = self.peek()?;
        if kind != TokenKind::String && !is_label_name(kind) {
            return Err(self.unexpected(IN_GROUPING, "label"));
        }
        let token = self.take()?;
        if kind != TokenKind::String {
            return Ok(self.text(token).to_owned());
        }
        let label = self.unquote(token)?;
        // Any UTF-8 text but the empty one names a label.
        if label.is_empty() {
            let message = format!("invalid label name for grouping: {}", go_quote(&label));
            return Err(self.error(token.span, message));
        }
        Ok(label)
    }
}

//! Walking a tree.

use ferula_model::labels::METRIC_NAME;
use ferula_model::{MatchOp, Matcher};

use crate::ast::{Expr, ExprKind, VectorSelector};
use crate::functions::FunctionId;

impl Expr {
    /// The expressions directly below this one, in Prometheus' order: an aggregation's parameter comes last.
    pub fn children(&self) -> impl Iterator<Item = &Expr> {
        let (fixed, args): ([Option<&Expr>; 2], &[Expr]) = match &self.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::VectorSelector(_)
            | ExprKind::MatrixSelector(_) => ([None, None], &[]),
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => ([Some(inner), None], &[]),
            ExprKind::Subquery(subquery) => ([Some(&subquery.expr), None], &[]),
            ExprKind::Binary(binary) => ([Some(&binary.left), Some(&binary.right)], &[]),
            ExprKind::Aggregate(aggregate) => ([Some(&aggregate.expr), aggregate.param.as_ref()], &[]),
            ExprKind::Call(call) => ([None, None], &call.args),
        };
        fixed.into_iter().flatten().chain(args)
    }

    /// Calls `visit` for this expression and everything below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        let mut waiting = vec![self];
        while let Some(expr) = waiting.pop() {
            visit(expr);
            let first = waiting.len();
            waiting.extend(expr.children());
            waiting[first..].reverse();
        }
    }

    /// The vector selector that this expression is, with or without a range.
    pub fn selector(&self) -> Option<&VectorSelector> {
        match &self.kind {
            ExprKind::VectorSelector(selector) => Some(selector),
            ExprKind::MatrixSelector(matrix) => Some(&matrix.selector),
            _ => None,
        }
    }

    /// Calls `change` for every vector selector, with or without a range.
    pub fn change_selectors(&mut self, change: &mut impl FnMut(&mut VectorSelector)) {
        match &mut self.kind {
            ExprKind::Number(_) | ExprKind::String(_) => {}
            ExprKind::VectorSelector(selector) => change(selector),
            ExprKind::MatrixSelector(matrix) => change(&mut matrix.selector),
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => inner.change_selectors(change),
            ExprKind::Subquery(subquery) => subquery.expr.change_selectors(change),
            ExprKind::Binary(binary) => {
                binary.left.change_selectors(change);
                binary.right.change_selectors(change);
            }
            ExprKind::Aggregate(aggregate) => {
                aggregate.expr.change_selectors(change);
                aggregate.param.iter_mut().for_each(|param| param.change_selectors(change));
            }
            ExprKind::Call(call) => call.args.iter_mut().for_each(|arg| arg.change_selectors(change)),
        }
    }

    /// Matchers of every selector, in the order written.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut found = Vec::new();
        self.walk(&mut |expr| found.extend(expr.selector().map(|selector| &selector.matchers[..])));
        found
    }

    /// Matchers of everything that an evaluation may read: all selectors, and for `info` any info metric, of which it may
    /// read less.
    pub fn read_selectors(&self) -> Vec<Vec<Matcher>> {
        let mut found: Vec<Vec<Matcher>> = Vec::new();
        self.walk(&mut |expr| match &expr.kind {
            ExprKind::Call(call) if call.function.id == FunctionId::Info => {
                let any_info = Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info");
                found.extend(any_info.ok().map(|matcher| vec![matcher]));
            }
            _ => found.extend(expr.selector().map(|selector| selector.matchers.clone())),
        });
        found
    }

    /// The expression inside any number of parentheses.
    pub fn without_parens(&self) -> &Expr {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }
}

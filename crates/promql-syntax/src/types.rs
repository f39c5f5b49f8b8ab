//! The type check refuses what the grammar allows but the language does not, in Prometheus' words.
//!
//! The check also completes the tree: set operators become many-to-many, matching is taken from operators that do
//! not join two vectors, and the second argument of `info` may match everything.

use ferula_go::quote::go_quote;
use ferula_model::labels::METRIC_NAME;

use crate::ast::{
    AggregateExpr, BinaryExpr, Call, Cardinality, Expr, ExprKind, Span, ValueType, VectorSelector,
};
use crate::error::ParseError;
use crate::functions::FunctionId;
use crate::scan::is_space;

/// A query of megabytes can be wrong in a million places, and nobody reads more than the first few.
const ERRORS_MAX: usize = 16;

/// Checks a tree and completes it; returns what is wrong, in the order Prometheus finds it.
pub(crate) fn check(query: &str, expr: &mut Expr) -> Vec<ParseError> {
    let mut checker = Checker { query, errors: Vec::new() };
    checker.expr(expr);
    checker.errors
}

struct Checker<'a> {
    query: &'a str,
    errors: Vec<ParseError>,
}

impl Checker<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(ParseError::new(self.query, span, message));
        }
    }

    /// Checks an expression; returns its type.
    fn expr(&mut self, expr: &mut Expr) -> ValueType {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::VectorSelector(selector) => {
                self.selector(selector, span);
                ValueType::Vector
            }
            ExprKind::MatrixSelector(matrix) => {
                self.selector(&matrix.selector, matrix.selector_span);
                ValueType::Matrix
            }
            ExprKind::Paren(inner) => self.expr(inner),
            ExprKind::Unary(_, inner) => self.unary(inner, span),
            ExprKind::Subquery(subquery) => {
                let inner = self.expr(&mut subquery.expr);
                if inner != ValueType::Vector {
                    let got = inner.as_str();
                    self.error(
                        span,
                        format!("subquery is only allowed on instant vector, got {got} instead"),
                    );
                }
                ValueType::Matrix
            }
            ExprKind::Binary(binary) => self.binary(binary, span),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Call(call) => {
                self.call(call, span);
                call.function.returns
            }
        }
    }

    fn expect(&mut self, expr: &mut Expr, want: ValueType, context: &str) {
        let got = self.expr(expr);
        if got != want {
            let (want, got) = (want.documented(), got.documented());
            self.error(expr.span, format!("expected type {want} in {context}, got {got}"));
        }
    }

    fn selector(&mut self, selector: &VectorSelector, span: Span) {
        if let Some(name) = &selector.name {
            // The matcher of the name itself is the last one.
            let others = selector.matchers.split_last().map_or(&[][..], |(_, others)| others);
            for matcher in others.iter().filter(|matcher| *matcher.name == *METRIC_NAME) {
                let (name, value) = (go_quote(name), go_quote(&matcher.value));
                self.error(span, format!("metric name must not be set twice: {name} or {value}"));
            }
        } else if !selector.allows_empty_matchers
            && selector.matchers.iter().all(ferula_model::Matcher::matches_empty)
        {
            // Guards against selecting every series by a slip.
            self.error(span, "vector selector must contain at least one non-empty matcher");
        }
    }

    fn unary(&mut self, inner: &mut Expr, span: Span) -> ValueType {
        let inner = self.expr(inner);
        if !matches!(inner, ValueType::Scalar | ValueType::Vector) {
            let got = go_quote(inner.documented());
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {got}"
            );
            self.error(span, message);
        }
        inner
    }

    fn aggregate(&mut self, aggregate: &mut AggregateExpr) -> ValueType {
        self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression");
        if let (Some(want), Some(param)) = (aggregate.op.param_type(), &mut aggregate.param) {
            self.expect(param, want, "aggregation parameter");
        }
        ValueType::Vector
    }

    fn binary(&mut self, binary: &mut BinaryExpr, span: Span) -> ValueType {
        let left = self.expr(&mut binary.left);
        let right = self.expr(&mut binary.right);
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if binary.return_bool && !binary.op.is_comparison() {
            self.error(self.op_span(binary), "bool modifier can only be used on comparison operators");
        }
        if binary.op.is_comparison() && !binary.return_bool && scalars {
            self.error(self.op_span(binary), "comparisons between scalars must use BOOL modifier");
        }
        if let Some(matching) = &mut binary.matching
            && binary.op.is_set()
            && matching.cardinality == Cardinality::OneToOne
        {
            matching.cardinality = Cardinality::ManyToMany;
        }
        self.labels_on_both_clauses(binary);
        for (side, place) in [(left, binary.left.span), (right, binary.right.span)] {
            if !matches!(side, ValueType::Scalar | ValueType::Vector) {
                self.error(place, "binary expression must contain only scalar and instant vector types");
            }
        }
        if left == ValueType::Vector && right == ValueType::Vector {
            self.set_operation(binary, span);
        } else {
            self.no_matching(binary, span);
        }
        if binary.op.is_set() && (left == ValueType::Scalar || right == ValueType::Scalar) {
            let op = go_quote(binary.op.as_str());
            self.error(span, format!("set operator {op} not allowed in binary scalar expression"));
        }
        if scalars { ValueType::Scalar } else { ValueType::Vector }
    }

    /// The operator with its modifiers: what is between the operands, without the blanks around it.
    fn op_span(&self, binary: &BinaryExpr) -> Span {
        let between = self.query.get(binary.left.span.end..binary.right.span.start).unwrap_or_default();
        let start = binary.left.span.end + between.len() - between.trim_start_matches(is_space).len();
        Span { start, end: start + between.trim_matches(is_space).len() }
    }

    fn labels_on_both_clauses(&mut self, binary: &BinaryExpr) {
        let Some(matching) = binary.matching.as_ref().filter(|matching| matching.on) else { return };
        let included: std::collections::HashSet<&String> = matching.include.iter().collect();
        for label in matching.labels.iter().filter(|label| included.contains(label)) {
            let label = go_quote(label);
            let message = format!("label {label} must not occur in ON and GROUP clause at once");
            self.error(self.op_span(binary), message);
        }
    }

    /// Refuses matching between operands that are not both vectors, and removes it.
    fn no_matching(&mut self, binary: &mut BinaryExpr, span: Span) {
        let Some(matching) = binary.matching.take() else { return };
        if !matching.labels.is_empty() {
            self.error(span, "vector matching only allowed between instant vectors");
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            self.error(span, "filling in missing series only allowed between instant vectors");
        }
    }

    fn set_operation(&mut self, binary: &BinaryExpr, span: Span) {
        let Some(matching) = binary.matching.as_ref().filter(|_| binary.op.is_set()) else { return };
        if matches!(matching.cardinality, Cardinality::OneToMany | Cardinality::ManyToOne) {
            let op = go_quote(binary.op.as_str());
            self.error(span, format!("no grouping allowed for {op} operation"));
            self.error(span, "set operations must always be many-to-many");
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            self.error(span, "filling in missing series not allowed for set operators");
        }
    }

    fn call(&mut self, call: &mut Call, span: Span) {
        self.argument_count(call, span);
        let function = call.function;
        if function.id == FunctionId::Info {
            self.info_selector(call, span);
        }
        let context = format!("call to function {}", go_quote(function.name));
        for (at, arg) in call.args.iter_mut().enumerate() {
            let want = match function.args.get(at) {
                Some(want) => *want,
                // Too many arguments, which was reported; or the last type again.
                None if function.variadic == 0 => break,
                None => match function.args.last() {
                    Some(want) => *want,
                    None => break,
                },
            };
            self.expect(arg, want, &context);
        }
    }

    fn argument_count(&mut self, call: &Call, span: Span) {
        let (given, most) = (call.args.len(), call.function.args.len());
        let name = go_quote(call.function.name);
        if call.function.variadic == 0 {
            if given != most {
                self.error(span, format!("expected {most} argument(s) in call to {name}, got {given}"));
            }
            return;
        }
        let least = most.saturating_sub(1);
        if given < least {
            self.error(span, format!("expected at least {least} argument(s) in call to {name}, got {given}"));
        } else if let Ok(extra @ 1..) = usize::try_from(call.function.variadic)
            && given > least + extra
        {
            let most = least + extra;
            self.error(span, format!("expected at most {most} argument(s) in call to {name}, got {given}"));
        }
    }

    /// The second argument of `info` selects info series by labels alone.
    fn info_selector(&mut self, call: &mut Call, span: Span) {
        let Some(arg) = call.args.get_mut(1) else { return };
        let got = arg.value_type();
        if got != ValueType::Vector {
            let (want, got) = (ValueType::Vector.documented(), got.documented());
            self.error(span, format!("expected type {want} in call to function \"info\", got {got}"));
        }
        match &mut arg.kind {
            ExprKind::VectorSelector(VectorSelector { name: Some(_), .. }) => {
                self.error(arg.span, "expected label selectors only, got vector selector instead");
            }
            ExprKind::VectorSelector(selector) => selector.allows_empty_matchers = true,
            _ => self.error(arg.span, "expected label selectors only"),
        }
    }
}

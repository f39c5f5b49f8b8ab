//! The tree as JSON: what `/api/v1/parse_query` answers.
//!
//! Keys come sorted and `<`, `>`, `&` as escapes, as Go's encoder writes them.

use std::fmt::Write;
use std::io;

use ferula_go::float::format_f;
use ferula_go::json::push_iterator_html_string;

use crate::stack;

use crate::ast::{
    AggregateExpr, AtModifier, BinaryExpr, Call, DurationExpr, DurationExprKind, DurationValue, Expr,
    ExprKind, NumberLiteral, RangeExtension, Subquery, TimeShift, VectorMatching, VectorSelector,
};

impl Expr {
    /// The tree as the JSON object that Prometheus' tree view reads.
    ///
    /// # Errors
    /// If a tree is so high that it needs a thread of its own, and the system refuses one.
    pub fn to_json(&self) -> io::Result<String> {
        stack::with_room(self, || {
            let mut out = String::new();
            write_expr(self, &mut out);
            out
        })
    }
}

/// An object whose members are written one after the other; the caller keeps the order of the keys.
struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut String) -> Self {
        out.push('{');
        Object { out, first: true }
    }

    fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(',');
        }
        write_string(key, self.out);
        self.out.push(':');
        self.out
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        write_string(value, self.key(key));
        self
    }

    /// A value that is JSON as it prints: a number, `true`, `null`.
    fn plain(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Self {
        write!(self.key(key), "{value}").expect("writing to a String cannot fail");
        self
    }

    fn expr(&mut self, key: &str, value: Option<&Expr>) -> &mut Self {
        match value {
            Some(expr) => write_expr(expr, self.key(key)),
            None => self.key(key).push_str("null"),
        }
        self
    }

    fn strings<'s>(&mut self, key: &str, values: impl IntoIterator<Item = &'s str>) -> &mut Self {
        write_list(self.key(key), values, write_string);
        self
    }

    fn end(&mut self) {
        self.out.push('}');
    }
}

fn write_list<T>(
    out: &mut String,
    values: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut String),
) {
    out.push('[');
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(value, out);
    }
    out.push(']');
}

fn write_string(text: &str, out: &mut String) {
    push_iterator_html_string(out, text);
}

fn write_expr(expr: &Expr, out: &mut String) {
    match &expr.kind {
        ExprKind::Number(number) => {
            Object::new(out).text("type", "numberLiteral").text("val", &format_f(number.value)).end();
        }
        ExprKind::String(text) => {
            Object::new(out).text("type", "stringLiteral").text("val", &crate::raw_bytes::lossy(text)).end()
        }
        ExprKind::VectorSelector(selector) => write_selector(selector, None, out),
        ExprKind::MatrixSelector(matrix) => write_selector(&matrix.selector, Some(&matrix.range), out),
        ExprKind::Subquery(subquery) => write_subquery(subquery, out),
        ExprKind::Paren(inner) => Object::new(out).expr("expr", Some(inner)).text("type", "parenExpr").end(),
        ExprKind::Unary(op, inner) => {
            Object::new(out)
                .expr("expr", Some(inner))
                .text("op", op.as_str())
                .text("type", "unaryExpr")
                .end();
        }
        ExprKind::Binary(binary) => write_binary(binary, out),
        ExprKind::Aggregate(aggregate) => write_aggregate(aggregate, out),
        ExprKind::Call(call) => write_call(call, out),
    }
}

fn write_aggregate(aggregate: &AggregateExpr, out: &mut String) {
    Object::new(out)
        .expr("expr", Some(&aggregate.expr))
        .strings("grouping", aggregate.grouping.iter().map(String::as_str))
        .text("op", aggregate.op.as_str())
        .expr("param", aggregate.param.as_ref())
        .text("type", "aggregation")
        .plain("without", aggregate.without)
        .end();
}

fn write_call(Call { function, args }: &Call, out: &mut String) {
    let mut object = Object::new(out);
    write_list(object.key("args"), args, write_expr);
    Object::new(object.key("func"))
        .strings("argTypes", function.args.iter().map(|arg| arg.as_str()))
        .text("name", function.name)
        .text("returnType", function.returns.as_str())
        .plain("variadic", function.variadic)
        .end();
    object.text("type", "call").end();
}

fn write_binary(binary: &BinaryExpr, out: &mut String) {
    let mut object = Object::new(out);
    object.plain("bool", binary.return_bool).expr("lhs", Some(&binary.left));
    match &binary.matching {
        Some(matching) => write_matching(matching, object.key("matching")),
        None => object.key("matching").push_str("null"),
    }
    object.text("op", binary.op.as_str()).expr("rhs", Some(&binary.right)).text("type", "binaryExpr").end();
}

fn write_matching(matching: &VectorMatching, out: &mut String) {
    let mut object = Object::new(out);
    object.text("card", matching.cardinality.as_str());
    let fill = |value: Option<f64>| value.map_or_else(|| "null".to_owned(), ferula_model::value::format_api);
    Object::new(object.key("fillValues"))
        .plain("lhs", fill(matching.fill_left))
        .plain("rhs", fill(matching.fill_right))
        .end();
    object
        .strings("include", matching.include.iter().map(String::as_str))
        .strings("labels", matching.labels.iter().map(String::as_str))
        .plain("on", matching.on)
        .end();
}

fn write_selector(selector: &VectorSelector, range: Option<&DurationValue>, out: &mut String) {
    let mut object = Object::new(out);
    object.plain("anchored", selector.extension == Some(RangeExtension::Anchored));
    write_list(object.key("matchers"), &selector.matchers, |matcher, out| {
        Object::new(out)
            .text("name", &matcher.name)
            .text("type", matcher.op.as_str())
            .text("value", &matcher.value)
            .end();
    });
    object.text("name", selector.name.as_deref().unwrap_or(""));
    write_duration(&mut object, "offset", selector.at.offset.as_ref());
    if range.is_some() {
        write_duration(&mut object, "range", range);
    }
    object.plain("smoothed", selector.extension == Some(RangeExtension::Smoothed));
    write_at(&mut object, &selector.at);
    object.text("type", if range.is_some() { "matrixSelector" } else { "vectorSelector" }).end();
}

fn write_subquery(subquery: &Subquery, out: &mut String) {
    let mut object = Object::new(out);
    object.expr("expr", Some(&subquery.expr));
    write_duration(&mut object, "offset", subquery.at.offset.as_ref());
    write_duration(&mut object, "range", Some(&subquery.range));
    let (word, time) = at_members(&subquery.at);
    object.plain("startOrEnd", word);
    write_duration(&mut object, "step", subquery.step.as_ref());
    object.plain("timestamp", time).text("type", "subquery").end();
}

/// `startOrEnd` and `timestamp` as JSON.
fn at_members(shift: &TimeShift) -> (&'static str, String) {
    let null = || "null".to_owned();
    match shift.at {
        Some(AtModifier::Time(time)) => ("null", time.millis().to_string()),
        Some(AtModifier::Start) => ("\"start\"", null()),
        Some(AtModifier::End) => ("\"end\"", null()),
        None => ("null", null()),
    }
}

fn write_at(object: &mut Object<'_>, shift: &TimeShift) {
    let (word, time) = at_members(shift);
    object.plain("startOrEnd", word).plain("timestamp", time);
}

/// A duration is two members: its milliseconds, 0 for an expression, and the expression.
fn write_duration(object: &mut Object<'_>, key: &str, value: Option<&DurationValue>) {
    let (millis, expr) = match value {
        None => (0, None),
        Some(DurationValue::Millis(millis)) => (*millis, None),
        Some(DurationValue::Expr(expr)) => (0, Some(expr)),
    };
    object.plain(key, millis);
    let out = object.key(&format!("{key}Expr"));
    match expr {
        Some(expr) => write_duration_expr(expr, out),
        None => out.push_str("null"),
    }
}

fn write_duration_expr(expr: &DurationExpr, out: &mut String) {
    type Children<'a> = [Option<&'a DurationExpr>; 2];
    let (op, children): (&str, Children<'_>) = match &expr.kind {
        DurationExprKind::Number(NumberLiteral { value, is_duration }) => {
            return Object::new(out)
                .plain("duration", is_duration)
                .text("type", "numberLiteral")
                .text("val", &format_f(*value))
                .end();
        }
        DurationExprKind::Step => ("step", [None, None]),
        DurationExprKind::Range => ("range", [None, None]),
        DurationExprKind::Unary(op, of) => (op.as_str(), [None, Some(of)]),
        DurationExprKind::Binary(op, left, right) => (op.as_str(), [Some(left), Some(right)]),
        DurationExprKind::MinOf(left, right) => ("min_of", [Some(left), Some(right)]),
        DurationExprKind::MaxOf(left, right) => ("max_of", [Some(left), Some(right)]),
    };
    let mut object = Object::new(out);
    let [left, right] = children;
    let child = |child: Option<&DurationExpr>, out: &mut String| match child {
        Some(expr) => write_duration_expr(expr, out),
        None => out.push_str("null"),
    };
    child(left, object.key("lhs"));
    object.text("op", op);
    child(right, object.key("rhs"));
    object.text("type", "durationExpr").plain("wrapped", expr.wrapped).end();
}

//! Trees back to text: on one line as Prometheus' `String()`, and over several lines as `format_query` returns them.

use std::fmt::{self, Display, Write};
use std::io;

use ferula_go::float::{format_f, format_g};
use ferula_go::quote::go_quote;
use ferula_model::duration::format_millis;
use ferula_model::labels::{METRIC_NAME, is_legacy_label_name};
use ferula_model::{MatchOp, Timestamp};

use crate::ast::{
    AggregateExpr, AtModifier, BinaryExpr, BinaryOp, Call, Cardinality, DurationExpr, DurationExprKind,
    DurationValue, Expr, ExprKind, MatrixSelector, NumberLiteral, RangeExtension, Subquery, TimeShift,
    UnaryOp, VectorMatching, VectorSelector,
};
use crate::stack;

/// Longer expressions are split by [`Expr::pretty`].
const LINE_BYTES_MAX: usize = 100;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(written) = stack::in_place(self, || self.write(f)) {
            return written;
        }
        let text = stack::with_room(self, || InPlace(self).to_string()).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// An expression that is written on this thread, however deep it is.
struct InPlace<'a>(&'a Expr);

impl fmt::Display for InPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)
    }
}

impl Expr {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::String(text) => f.write_str(&crate::raw_bytes::quote(text)),
            ExprKind::VectorSelector(selector) => selector.fmt(f),
            ExprKind::MatrixSelector(matrix) => matrix.fmt(f),
            ExprKind::Subquery(subquery) => {
                subquery.expr.fmt(f)?;
                write_subquery_suffix(f, subquery)
            }
            ExprKind::Paren(inner) => write!(f, "({inner})"),
            ExprKind::Unary(op, inner) => write!(f, "{}{inner}", op.as_str()),
            ExprKind::Binary(binary) => {
                write_left(f, binary)?;
                write_operator(f, binary)?;
                write!(f, " {}", binary.right)
            }
            ExprKind::Aggregate(aggregate) => {
                write_aggregation(f, aggregate)?;
                f.write_char('(')?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Call(Call { function, args }) => {
                write!(f, "{}(", function.name)?;
                for (at, arg) in args.iter().enumerate() {
                    f.write_str(if at > 0 { ", " } else { "" })?;
                    arg.fmt(f)?;
                }
                f.write_char(')')
            }
        }
    }
}

impl fmt::Display for NumberLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_duration {
            return f.write_str(&format_f(self.value));
        }
        // By way of truncated nanoseconds, as Prometheus converts the seconds that it keeps.
        let millis = (self.value.abs() * 1e9) as i64 / 1_000_000;
        f.write_str(if self.value < 0.0 { "-" } else { "" })?;
        f.write_str(&format_millis(millis))
    }
}

impl fmt::Display for DurationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationValue::Millis(millis) => f.write_str(&format_millis(*millis)),
            DurationValue::Expr(expr) => expr.fmt(f),
        }
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.wrapped { "(" } else { "" })?;
        match &self.kind {
            DurationExprKind::Number(number) => number.fmt(f)?,
            DurationExprKind::Step => f.write_str("step()")?,
            DurationExprKind::Range => f.write_str("range()")?,
            DurationExprKind::Unary(UnaryOp::Plus, inner) => inner.fmt(f)?,
            DurationExprKind::Unary(UnaryOp::Minus, inner) => write!(f, "-{inner}")?,
            DurationExprKind::Binary(op, left, right) => write!(f, "{left} {} {right}", op.as_str())?,
            DurationExprKind::MinOf(left, right) => write!(f, "min_of({left}, {right})")?,
            DurationExprKind::MaxOf(left, right) => write!(f, "max_of({left}, {right})")?,
        }
        f.write_str(if self.wrapped { ")" } else { "" })
    }
}

impl fmt::Display for VectorSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_matchers(f, self)?;
        write_at(f, &self.at)?;
        write_extension(f, self.extension)?;
        write_offset(f, &self.at)
    }
}

impl fmt::Display for MatrixSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_matchers(f, &self.selector)?;
        write!(f, "[{}]", self.range)?;
        write_extension(f, self.selector.extension)?;
        write_at(f, &self.selector.at)?;
        write_offset(f, &self.selector.at)
    }
}

/// Name and matchers; the matchers in the order of their text, without the one that repeats the name.
fn write_matchers(f: &mut fmt::Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    let name = selector.name.as_deref().unwrap_or("");
    let repeats_name = |matcher: &&ferula_model::Matcher| {
        *matcher.name == *METRIC_NAME
            && matcher.op == MatchOp::Equal
            && *matcher.value == *name
            && !name.is_empty()
    };
    let mut texts: Vec<String> =
        selector.matchers.iter().filter(|matcher| !repeats_name(matcher)).map(ToString::to_string).collect();
    texts.sort_unstable();
    f.write_str(name)?;
    // Prometheus prints nothing for `{}`, which only `info` accepts; that could not be read back.
    if texts.is_empty() && !name.is_empty() { Ok(()) } else { write!(f, "{{{}}}", texts.join(",")) }
}

fn write_extension(f: &mut fmt::Formatter<'_>, extension: Option<RangeExtension>) -> fmt::Result {
    f.write_str(match extension {
        Some(RangeExtension::Anchored) => " anchored",
        Some(RangeExtension::Smoothed) => " smoothed",
        None => "",
    })
}

fn write_at(f: &mut fmt::Formatter<'_>, shift: &TimeShift) -> fmt::Result {
    match shift.at {
        Some(AtModifier::Time(time)) => write!(f, " @ {}", seconds(time)),
        Some(AtModifier::Start) => f.write_str(" @ start()"),
        Some(AtModifier::End) => f.write_str(" @ end()"),
        None => Ok(()),
    }
}

fn seconds(time: Timestamp) -> String {
    format!("{:.3}", time.seconds())
}

fn write_offset(f: &mut fmt::Formatter<'_>, shift: &TimeShift) -> fmt::Result {
    match &shift.offset {
        Some(DurationValue::Expr(expr)) if ends_early(expr) => write!(f, " offset ({expr})"),
        Some(offset) => write!(f, " offset {offset}"),
        None => Ok(()),
    }
}

/// Whether an offset would be read as less than the whole expression: after `offset`, arithmetic continues only after
/// a parenthesis. Prometheus prints such offsets without one.
fn ends_early(expr: &DurationExpr) -> bool {
    let open = |expr: &DurationExpr| !expr.wrapped && matches!(expr.kind, DurationExprKind::Binary(..));
    match &expr.kind {
        DurationExprKind::Binary(..) => open(expr) && !expr.to_string().starts_with('('),
        DurationExprKind::Unary(UnaryOp::Minus, inner) => open(inner),
        _ => false,
    }
}

fn write_subquery_suffix(f: &mut impl Write, subquery: &Subquery) -> fmt::Result {
    write!(f, "[{}:", subquery.range)?;
    if let Some(step) = &subquery.step {
        write!(f, "{step}")?;
    }
    write!(f, "]{}", Shifted(&subquery.at))
}

/// `@` and `offset` of a subquery.
struct Shifted<'a>(&'a TimeShift);

impl fmt::Display for Shifted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_at(f, self.0)?;
        write_offset(f, self.0)
    }
}

fn write_labels(f: &mut impl Write, labels: &[String]) -> fmt::Result {
    for (at, label) in labels.iter().enumerate() {
        f.write_str(if at > 0 { ", " } else { "" })?;
        if is_legacy_label_name(label) {
            f.write_str(label)?;
        } else {
            f.write_str(&go_quote(label))?;
        }
    }
    Ok(())
}

/// `sum by (x) `, with the space that Prometheus puts in front of the parenthesis.
fn write_aggregation(f: &mut impl Write, aggregate: &AggregateExpr) -> fmt::Result {
    f.write_str(aggregate.op.as_str())?;
    if !aggregate.without && aggregate.grouping.is_empty() {
        return Ok(());
    }
    f.write_str(if aggregate.without { " without (" } else { " by (" })?;
    write_labels(f, &aggregate.grouping)?;
    f.write_str(") ")
}

/// The left operand. `+Inf ^ x` would be read as `+(Inf ^ x)`, so infinity is printed here without the sign that
/// Prometheus gives it.
fn write_left(f: &mut impl Write, binary: &BinaryExpr) -> fmt::Result {
    match &binary.left.kind {
        ExprKind::Number(number) if binary.op == BinaryOp::Pow && number.value == f64::INFINITY => {
            f.write_str("Inf ")
        }
        _ => write!(f, "{} ", binary.left),
    }
}

/// The operator with `bool`, `on`, `group_left` and `fill`.
fn write_operator(f: &mut impl Write, binary: &BinaryExpr) -> fmt::Result {
    f.write_str(binary.op.as_str())?;
    f.write_str(if binary.return_bool { " bool" } else { "" })?;
    let Some(matching) = &binary.matching else { return Ok(()) };
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some("left"),
        Cardinality::OneToMany => Some("right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
        write_labels(f, &matching.labels)?;
        f.write_char(')')?;
    }
    if let Some(group) = group {
        write!(f, " group_{group} (")?;
        write_labels(f, &matching.include)?;
        f.write_char(')')?;
    }
    write_fill(f, matching)
}

fn write_fill(f: &mut impl Write, matching: &VectorMatching) -> fmt::Result {
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", format_g(left)),
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", format_g(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", format_g(right))?;
            }
            Ok(())
        }
    }
}

impl Expr {
    /// The query over several lines, expressions of more than 100 bytes split; what `format_query` answers.
    ///
    /// # Errors
    /// If a tree is so high that it needs a thread of its own, and the system refuses one.
    pub fn pretty(&self) -> io::Result<String> {
        stack::with_room(self, || {
            let mut out = String::new();
            self.write_pretty(0, &mut out).expect("writing to a String cannot fail");
            out
        })
    }

    fn write_pretty(&self, level: usize, out: &mut String) -> fmt::Result {
        match &self.kind {
            // A subquery that fits on a line comes without its indentation; so it is in Prometheus.
            ExprKind::Subquery(_) if self.fits_a_line() => return write!(out, "{self}"),
            ExprKind::Subquery(subquery) => {
                subquery.expr.write_pretty(level, out)?;
                return write_subquery_suffix(out, subquery);
            }
            ExprKind::Unary(op, inner) => {
                indent(level, out);
                out.push_str(op.as_str());
                let mut child = String::new();
                inner.write_pretty(level, &mut child)?;
                out.push_str(child.trim());
                return Ok(());
            }
            _ if self.fits_a_line() => {
                indent(level, out);
                return write!(out, "{self}");
            }
            _ => {}
        }
        match &self.kind {
            ExprKind::Binary(binary) => {
                binary.left.write_pretty(level + 1, out)?;
                out.push('\n');
                indent(level, out);
                write_operator(out, binary)?;
                out.push('\n');
                binary.right.write_pretty(level + 1, out)
            }
            ExprKind::Aggregate(aggregate) => {
                indent(level, out);
                write_aggregation(out, aggregate)?;
                out.push_str("(\n");
                if let Some(param) = &aggregate.param {
                    param.write_pretty(level + 1, out)?;
                    out.push_str(",\n");
                }
                aggregate.expr.write_pretty(level + 1, out)?;
                close(level, out)
            }
            ExprKind::Paren(inner) => {
                indent(level, out);
                out.push_str("(\n");
                inner.write_pretty(level + 1, out)?;
                close(level, out)
            }
            ExprKind::Call(call) => {
                indent(level, out);
                writeln!(out, "{}(", call.function.name)?;
                for (at, arg) in call.args.iter().enumerate() {
                    out.push_str(if at > 0 { ",\n" } else { "" });
                    arg.write_pretty(level + 1, out)?;
                }
                close(level, out)
            }
            _ => {
                indent(level, out);
                write!(out, "{self}")
            }
        }
    }

    fn fits_a_line(&self) -> bool {
        // Stops at the first byte too many, so that formatting stays linear in the length of the query.
        write!(LengthLimit(LINE_BYTES_MAX), "{self}").is_ok()
    }
}

/// Counts what is written; refuses what does not fit.
struct LengthLimit(usize);

impl Write for LengthLimit {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn indent(level: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", level));
}

fn close(level: usize, out: &mut String) -> fmt::Result {
    out.push('\n');
    indent(level, out);
    out.push(')');
    Ok(())
}

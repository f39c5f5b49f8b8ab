//! The syntax tree of a query, as written: nothing is evaluated, and every node knows its position in the text.

use ferula_model::{Matcher, Timestamp};

use crate::functions::Function;
pub use crate::value_type::ValueType;

/// Bytes `start..end` of the query text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// An expression with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// Where it stands in the query.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

/// Kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `1.5`, `5m`
    Number(NumberLiteral),
    /// `"text"`
    String(String),
    /// `metric{label="x"}`
    VectorSelector(VectorSelector),
    /// `metric[5m]`
    MatrixSelector(MatrixSelector),
    /// `expr[1h:5m]`
    Subquery(Box<Subquery>),
    /// `(expr)`
    Paren(Box<Expr>),
    /// `-expr`, `+expr`
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`
    Binary(Box<BinaryExpr>),
    /// `sum by (x) (expr)`
    Aggregate(Box<AggregateExpr>),
    /// `rate(x[5m])`
    Call(Call),
}

/// A number. Never negative; a sign is a [`ExprKind::Unary`], except where Prometheus folds it into the literal.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    /// The value; seconds when written as a duration.
    pub value: f64,
    /// Written as a duration (`5m`), and to be printed as one.
    pub is_duration: bool,
}

/// Signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// `metric{label="x"} offset 5m @ 12`
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name if it was given as one; it is among the matchers as well.
    pub name: Option<String>,
    /// All conditions in the order written, with the metric name's last, as in Prometheus.
    pub matchers: Vec<Matcher>,
    /// `offset` and `@`.
    pub at: TimeShift,
    /// `anchored`, `smoothed`.
    pub extension: Option<RangeExtension>,
    /// May match everything: the second argument of `info`.
    pub allows_empty_matchers: bool,
}

/// How a selector treats samples at the edges of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeExtension {
    /// Samples just outside the window are used at its edges.
    Anchored,
    /// Values at the edges are interpolated.
    Smoothed,
}

/// A shift of the evaluation time: `offset` and `@` in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeShift {
    /// The offset; negative looks into the future.
    pub offset: Option<DurationValue>,
    /// The fixed time.
    pub at: Option<AtModifier>,
}

/// The argument of `@`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AtModifier {
    Time(Timestamp),
    /// `start()`: the first step of the query.
    Start,
    /// `end()`: the last step of the query.
    End,
}

/// A duration in a query: a literal, or an expression to be computed when the grid is known.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationValue {
    /// Milliseconds. Prometheus keeps nanoseconds here but evaluates in milliseconds.
    Millis(i64),
    /// `5m * 2`, `step()`, `max_of(step(), 5m)`.
    Expr(Box<DurationExpr>),
}

/// An expression over durations, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// Where it stands in the query.
    pub span: Span,
    /// What it is.
    pub kind: DurationExprKind,
    /// Written in parentheses, and to be printed so.
    pub wrapped: bool,
}

/// Kinds of duration expression.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExprKind {
    /// Seconds.
    Number(NumberLiteral),
    /// `step()`: the query's step, 0 in an instant query.
    Step,
    /// `range()`: end − start of the query.
    Range,
    /// A sign.
    Unary(UnaryOp, Box<DurationExpr>),
    /// `+ - * / % ^`, one of the arithmetic operators.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `min_of(a, b)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
}

/// `metric[5m]`
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// The selector, with the shift that is written after the brackets.
    pub selector: VectorSelector,
    /// Place of the selector without brackets.
    pub selector_span: Span,
    /// Length of the window.
    pub range: DurationValue,
}

/// `expr[1h:5m] offset 5m`
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated at every inner step.
    pub expr: Expr,
    /// Length of the window.
    pub range: DurationValue,
    /// Inner step; `None` means the global evaluation interval.
    pub step: Option<DurationValue>,
    /// `offset` and `@`.
    pub at: TimeShift,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `>`
    Gt,
    /// `<`
    Lt,
    /// `>=`
    Ge,
    /// `<=`
    Le,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
    /// `</`: keep the part of a histogram below a bound
    TrimUpper,
    /// `>/`: keep the part of a histogram above a bound
    TrimLower,
}

/// `a + on(x) group_left(y) b`
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryExpr {
    /// The operator.
    pub op: BinaryOp,
    /// Left side.
    pub left: Expr,
    /// Right side.
    pub right: Expr,
    /// `bool`: 0 or 1 instead of a filter.
    pub return_bool: bool,
    /// How series are matched; `None` unless both sides are vectors.
    pub matching: Option<VectorMatching>,
}

impl Drop for BinaryExpr {
    /// Left operands are dropped one after the other, without recursion: a chain may be longer than the stack allows.
    fn drop(&mut self) {
        let mut left = self.take_left();
        while let ExprKind::Binary(binary) = &mut left.kind {
            // What is replaced has no left operand any more when it is dropped.
            left = binary.take_left();
        }
    }
}

impl BinaryExpr {
    fn take_left(&mut self) -> Expr {
        let nothing = ExprKind::Number(NumberLiteral { value: 0.0, is_duration: false });
        std::mem::replace(&mut self.left, Expr { span: Span::default(), kind: nothing })
    }
}

/// How many matching series a series may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// At most one on each side.
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How series of the two sides are matched.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    /// How many matching series are allowed.
    pub cardinality: Cardinality,
    /// `on(…)`; otherwise `ignoring(…)`, even if neither was written.
    pub on: bool,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// The value that replaces a missing series on the left.
    pub fill_left: Option<f64>,
    /// The value that replaces a missing series on the right.
    pub fill_right: Option<f64>,
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `count`
    Count,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `group`
    Group,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `topk`
    TopK,
    /// `bottomk`
    BottomK,
    /// `count_values`
    CountValues,
    /// `quantile`
    Quantile,
    /// `limitk`
    LimitK,
    /// `limit_ratio`
    LimitRatio,
}

/// `sum by (x) (expr)`
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateExpr {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The parameter, such as `k` of `topk`.
    pub param: Option<Expr>,
    /// Labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// `without`; otherwise `by`, even if neither was written.
    pub without: bool,
}

/// `rate(x[5m])`
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static Function,
    /// Its arguments.
    pub args: Vec<Expr>,
}

impl UnaryOp {
    /// The sign as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            UnaryOp::Plus => "+",
            UnaryOp::Minus => "-",
        }
    }
}

impl BinaryOp {
    /// The operator as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Gt => ">",
            BinaryOp::Lt => "<",
            BinaryOp::Ge => ">=",
            BinaryOp::Le => "<=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// `==`, `!=`, `>`, `<`, `>=`, `<=`.
    pub const fn is_comparison(self) -> bool {
        use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
        matches!(self, Eq | Ne | Gt | Lt | Ge | Le)
    }

    /// `and`, `or`, `unless`.
    pub const fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

impl Cardinality {
    /// The name in JSON and in messages: `one-to-one`, `many-to-one`, ….
    pub const fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
}

impl AggregateOp {
    /// Every operator.
    pub const ALL: [AggregateOp; 14] = [
        AggregateOp::Sum,
        AggregateOp::Avg,
        AggregateOp::Count,
        AggregateOp::Min,
        AggregateOp::Max,
        AggregateOp::Group,
        AggregateOp::Stddev,
        AggregateOp::Stdvar,
        AggregateOp::TopK,
        AggregateOp::BottomK,
        AggregateOp::CountValues,
        AggregateOp::Quantile,
        AggregateOp::LimitK,
        AggregateOp::LimitRatio,
    ];

    /// The operator as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Count => "count",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::TopK => "topk",
            AggregateOp::BottomK => "bottomk",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Quantile => "quantile",
            AggregateOp::LimitK => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// The operator with this lower-case name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == name)
    }

    /// Type of the parameter, for the operators that have one.
    pub const fn param_type(self) -> Option<ValueType> {
        use AggregateOp::{BottomK, CountValues, LimitK, LimitRatio, Quantile, TopK};
        match self {
            TopK | BottomK | Quantile | LimitK | LimitRatio => Some(ValueType::Scalar),
            CountValues => Some(ValueType::String),
            _ => None,
        }
    }

    /// Needs `--enable-feature=promql-experimental-functions`.
    pub const fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::LimitK | AggregateOp::LimitRatio)
    }
}

impl Expr {
    /// What the expression evaluates to.
    pub fn value_type(&self) -> ValueType {
        // Follows the left operands, which may be many: an operator yields a scalar only if all operands are scalars.
        let (mut expr, mut operated) = (self, false);
        let found = loop {
            match &expr.kind {
                ExprKind::Number(_) => break ValueType::Scalar,
                ExprKind::String(_) => break ValueType::String,
                ExprKind::VectorSelector(_) | ExprKind::Aggregate(_) => break ValueType::Vector,
                ExprKind::MatrixSelector(_) | ExprKind::Subquery(_) => break ValueType::Matrix,
                ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => expr = inner,
                ExprKind::Binary(binary) if binary.right.value_type() != ValueType::Scalar => {
                    break ValueType::Vector;
                }
                ExprKind::Binary(binary) => (expr, operated) = (&binary.left, true),
                ExprKind::Call(call) => break call.function.returns,
            }
        };
        if operated && found != ValueType::Scalar { ValueType::Vector } else { found }
    }
}

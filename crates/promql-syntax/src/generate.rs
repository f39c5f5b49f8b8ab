//! Random queries for tests: well-typed by construction, ill-typed by swapping operands, broken by editing the text.
//!
//! Everything follows from a seed, so that its number reproduces a failure. Queries use the metrics and
//! labels of a [`Vocabulary`], so that they find data. [`smaller`] returns what a failing query may be reduced to.

use std::fmt::Write;

use crate::ast::{Expr, ExprKind, ValueType};
use crate::functions::{FUNCTIONS, Function, FunctionId};
use crate::{ParserOptions, parse};

/// What queries may contain.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// Names of metrics.
    pub metrics: Vec<String>,
    /// Names of labels, each with some values.
    pub labels: Vec<(String, Vec<String>)>,
    /// Durations for ranges, offsets and steps.
    pub durations: Vec<String>,
    /// Names of functions that are not used.
    pub functions_left_out: Vec<String>,
    /// Parts of the language that may be used.
    pub options: ParserOptions,
}

impl Default for Vocabulary {
    fn default() -> Self {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Vocabulary {
            metrics: texts(&[
                "up",
                "http_requests_total",
                "temperature",
                "latency_bucket",
                "job:rate5m",
                "native",
            ]),
            labels: vec![
                ("job".to_owned(), texts(&["api", "db"])),
                ("instance".to_owned(), texts(&["a:80", "b:80", "c:80"])),
                ("le".to_owned(), texts(&["0.1", "1", "+Inf"])),
            ],
            durations: texts(&["15s", "1m", "90s", "5m", "1h"]),
            functions_left_out: Vec::new(),
            options: ParserOptions::default(),
        }
    }
}

/// Generates queries.
#[derive(Clone, Debug)]
pub struct Generator<'v> {
    vocabulary: &'v Vocabulary,
    state: u64,
}

/// The mistake that a generated query has, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Soundness {
    /// Parses and is well-typed.
    WellTyped,
    /// An operand may have the wrong type.
    IllTyped,
    /// The text was damaged; it may still be a query.
    Broken,
}

impl<'v> Generator<'v> {
    /// A generator that always produces the same queries for the same seed.
    pub fn new(vocabulary: &'v Vocabulary, seed: u64) -> Self {
        Generator { vocabulary, state: seed }
    }

    /// The next random number (splitmix64).
    pub fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random() % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<'t, T: ?Sized>(&mut self, list: &[&'t T]) -> &'t T {
        list[self.below(list.len())]
    }

    /// A query of the given kind.
    pub fn query(&mut self, soundness: Soundness) -> String {
        let depth = 1 + self.below(4);
        let vector = !self.one_in(8);
        let of = if vector { ValueType::Vector } else { ValueType::Scalar };
        match soundness {
            Soundness::WellTyped => self.expr(of, depth),
            Soundness::IllTyped => {
                let mut query = self.expr(of, depth);
                // Now and then an operand gets an arbitrary type.
                let other = self.any_type();
                let wrong = self.expr(other, 1);
                let shape = self.below(4);
                query = match shape {
                    0 => format!("{query} + {wrong}"),
                    1 => format!("sum({wrong})"),
                    2 => format!("rate({query})"),
                    _ => self.call_with(&wrong, &query),
                };
                query
            }
            Soundness::Broken => {
                let query = self.expr(of, depth);
                self.damaged(&query)
            }
        }
    }

    fn any_type(&mut self) -> ValueType {
        [ValueType::Scalar, ValueType::Vector, ValueType::Matrix, ValueType::String][self.below(4)]
    }

    fn call_with(&mut self, first: &str, second: &str) -> String {
        let function = self.function(ValueType::Vector);
        format!("{}({first}, {second})", function.name)
    }

    /// An expression of a type, at most `depth` levels of operators and calls high.
    pub fn expr(&mut self, of: ValueType, depth: usize) -> String {
        match of {
            ValueType::String => format!("\"{}\"", self.pick(&["le", "job", "a b", "x\\n", "$1"])),
            ValueType::Matrix => self.matrix(depth),
            ValueType::Scalar if depth == 0 || self.one_in(3) => self.number(),
            ValueType::Scalar => match self.below(4) {
                0 => self.call(ValueType::Scalar, depth),
                1 => format!("-{}", self.operand(ValueType::Scalar, depth)),
                _ => self.scalar_binary(depth),
            },
            ValueType::Vector if depth == 0 || self.one_in(6) => {
                let modifiers = self.modifiers(true);
                format!("{}{modifiers}", self.selector())
            }
            ValueType::Vector => match self.below(10) {
                0..=2 => self.call(ValueType::Vector, depth),
                3..=5 => self.aggregation(depth),
                6 => format!("-{}", self.operand(ValueType::Vector, depth)),
                _ => self.vector_binary(depth),
            },
        }
    }

    fn operand(&mut self, of: ValueType, depth: usize) -> String {
        let inner = self.expr(of, depth.saturating_sub(1));
        // Parentheses keep the operand in one piece, so that it keeps its type.
        let compound = parse(&inner, &ParserOptions::ALL)
            .is_ok_and(|expr| matches!(expr.kind, ExprKind::Binary(_) | ExprKind::Unary(..)));
        if compound || self.one_in(5) { format!("({inner})") } else { inner }
    }

    fn number(&mut self) -> String {
        self.pick(&["0", "1", "2", "0.5", "3", "10", "1e3", "0x1F", "60", "5m", "Inf", "NaN", "-1", "1_000"])
            .to_owned()
    }

    fn selector(&mut self) -> String {
        let mut text = self.vocabulary.metrics[self.below(self.vocabulary.metrics.len())].clone();
        let matchers: Vec<String> = (0..self.below(3)).map(|_| self.matcher()).collect();
        if self.one_in(10) && !matchers.is_empty() {
            text = format!("{{__name__=\"{text}\",{}}}", matchers.join(","));
        } else if !matchers.is_empty() || self.one_in(20) {
            write!(text, "{{{}}}", matchers.join(", ")).expect("writing to a String cannot fail");
        }
        text
    }

    fn matcher(&mut self) -> String {
        let (name, values) = &self.vocabulary.labels[self.below(self.vocabulary.labels.len())];
        let value = &values[self.below(values.len())];
        match self.below(6) {
            0 => format!("{name}!=\"{value}\""),
            1 => format!("{name}=~\"{}|nothing\"", value.replace('+', ".")),
            2 => format!("{name}!~\"{}.*\"", &value[..1.min(value.len())].replace('+', ".")),
            3 => format!("{name}=~\".+\""),
            _ => format!("{name}=\"{value}\""),
        }
    }

    fn duration(&mut self) -> String {
        self.vocabulary.durations[self.below(self.vocabulary.durations.len())].clone()
    }

    /// `offset` and `@`; anchored and smoothed ranges are for selectors only.
    fn modifiers(&mut self, allowed: bool) -> String {
        let mut text = String::new();
        if allowed && self.one_in(10) {
            text += self.pick(&[" @ start()", " @ end()", " @ 1000", " @ 1234.5"]);
        }
        if self.one_in(8) {
            let sign = self.pick(&["", "-"]);
            write!(text, " offset {sign}{}", self.duration()).expect("writing to a String cannot fail");
        }
        text
    }

    fn matrix(&mut self, depth: usize) -> String {
        let modifiers = self.modifiers(true);
        if depth > 1 && self.one_in(4) {
            let inner = self.expr(ValueType::Vector, depth - 2);
            let step = if self.one_in(3) { String::new() } else { self.duration() };
            // Modifiers of the inner expression would end up after the brackets.
            return format!("({inner})[{}:{step}]{modifiers}", self.duration());
        }
        let extended = self.vocabulary.options.extended_range_selectors && self.one_in(8);
        let extension = if extended { self.pick(&[" anchored", " smoothed"]) } else { "" };
        let range = if self.vocabulary.options.duration_expressions && self.one_in(8) {
            format!("{} * 2 + step()", self.duration())
        } else {
            self.duration()
        };
        format!("{}[{range}]{extension}{modifiers}", self.selector())
    }

    fn function(&mut self, returns: ValueType) -> &'static Function {
        let vocabulary = self.vocabulary;
        let usable: Vec<&'static Function> = FUNCTIONS
            .iter()
            .filter(|function| function.returns == returns && function.id != FunctionId::Info)
            .filter(|function| !function.experimental || vocabulary.options.experimental_functions)
            .filter(|function| !vocabulary.functions_left_out.iter().any(|name| name == function.name))
            .collect();
        usable[self.below(usable.len())]
    }

    fn call(&mut self, returns: ValueType, depth: usize) -> String {
        let function = self.function(returns);
        let mut types = function.args.to_vec();
        if function.variadic != 0 && self.one_in(2) {
            types.pop();
        } else if let Some(last) =
            types.last().copied().filter(|_| function.variadic != 0 && function.variadic != 1)
        {
            types.push(last);
        }
        let args: Vec<String> = types
            .iter()
            .enumerate()
            .map(|(at, of)| self.argument(function, at, *of, depth.saturating_sub(1)))
            .collect();
        format!("{}({})", function.name, args.join(", "))
    }

    fn argument(&mut self, function: &Function, at: usize, of: ValueType, depth: usize) -> String {
        match (function.id, at) {
            (FunctionId::LabelReplace | FunctionId::LabelJoin, 1) => {
                self.pick(&["\"new\"", "\"job\""]).to_owned()
            }
            (FunctionId::LabelReplace, 2) => self.pick(&["\"$1\"", "\"x-$1\"", "\"\""]).to_owned(),
            (FunctionId::LabelReplace, 4) => self.pick(&["\"(.*)\"", "\"(a).*\"", "\"[a-z]+\""]).to_owned(),
            (FunctionId::DoubleExponentialSmoothing, 1 | 2) => "0.5".to_owned(),
            (FunctionId::HistogramQuantiles, 1) => "\"q\"".to_owned(),
            _ if of == ValueType::String => {
                let (name, _) = &self.vocabulary.labels[self.below(self.vocabulary.labels.len())];
                format!("\"{name}\"")
            }
            _ => self.expr(of, depth),
        }
    }

    fn labels(&mut self) -> String {
        let names: Vec<&str> = self.vocabulary.labels.iter().map(|(name, _)| name.as_str()).collect();
        let count = self.below(names.len() + 1);
        let start = self.below(names.len());
        let chosen: Vec<&str> = names.iter().cycle().skip(start).take(count).copied().collect();
        chosen.join(", ")
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let mut ops = vec![
            "sum",
            "avg",
            "count",
            "min",
            "max",
            "group",
            "stddev",
            "stdvar",
            "topk",
            "bottomk",
            "quantile",
            "count_values",
        ];
        if self.vocabulary.options.experimental_functions {
            ops.extend(["limitk", "limit_ratio"]);
        }
        let op = self.pick(&ops);
        let param = match op {
            "topk" | "bottomk" | "limitk" => format!("{}, ", self.below(4)),
            "quantile" | "limit_ratio" => format!("{}, ", self.pick(&["0", "0.25", "0.9", "1"])),
            "count_values" => "\"value\", ".to_owned(),
            _ => String::new(),
        };
        let inner = self.expr(ValueType::Vector, depth - 1);
        let grouping = match self.below(3) {
            0 => String::new(),
            1 => format!(" by ({})", self.labels()),
            _ => format!(" without ({})", self.labels()),
        };
        if self.one_in(2) {
            format!("{op}{grouping} ({param}{inner})")
        } else {
            format!("{op}({param}{inner}){grouping}")
        }
    }

    fn scalar_binary(&mut self, depth: usize) -> String {
        let (left, right) = (self.operand(ValueType::Scalar, depth), self.operand(ValueType::Scalar, depth));
        let op = self.pick(&["+", "-", "*", "/", "%", "^", "atan2", "== bool", "< bool", ">= bool"]);
        format!("({left} {op} {right})")
    }

    fn vector_binary(&mut self, depth: usize) -> String {
        let left = self.operand(ValueType::Vector, depth);
        if self.one_in(4) {
            let op = self.pick(&["and", "or", "unless"]);
            let matching = if self.one_in(2) { String::new() } else { format!(" on ({})", self.labels()) };
            return format!("{left} {op}{matching} {}", self.operand(ValueType::Vector, depth));
        }
        let op = self.pick(&["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<="]);
        let bool = if op.starts_with(['=', '!', '<', '>']) && self.one_in(2) { " bool" } else { "" };
        if self.one_in(2) {
            let right = self.operand(ValueType::Scalar, depth);
            return if self.one_in(2) {
                format!("{left} {op}{bool} {right}")
            } else {
                format!("{right} {op}{bool} {left}")
            };
        }
        let mut matching = match self.below(3) {
            0 => String::new(),
            1 => format!(" on ({})", self.labels()),
            _ => format!(" ignoring ({})", self.labels()),
        };
        if !matching.is_empty() && self.one_in(3) {
            matching += self.pick(&[" group_left ()", " group_right ()"]);
        }
        if self.vocabulary.options.binop_fill_modifiers && self.one_in(6) {
            matching += self.pick(&[" fill (0)", " fill_left (1)", " fill_right (-1)"]);
        }
        format!("{left} {op}{bool}{matching} {}", self.operand(ValueType::Vector, depth))
    }

    /// The text with a few characters lost, doubled or put in.
    fn damaged(&mut self, query: &str) -> String {
        let mut chars: Vec<char> = query.chars().collect();
        for _ in 0..=self.below(3) {
            let at = self.below(chars.len() + 1);
            match self.below(4) {
                0 if at < chars.len() => drop(chars.remove(at)),
                1 if at < chars.len() => chars.insert(at, chars[at]),
                2 => chars.truncate(at.max(1)),
                _ => {
                    let piece = self.pick(&[
                        "(", ")", "[", "]", "{", "}", ",", "\"", "=~", "==", "by", "5", "é", "@", "$", " ",
                    ]);
                    chars.splice(at..at, piece.chars());
                }
            }
        }
        chars.into_iter().collect()
    }
}

/// Smaller queries to try in place of a failing one: each of its parts, and the query with one part simplified.
pub fn smaller(query: &str, options: &ParserOptions) -> Vec<String> {
    let Ok(expr) = parse(query, options) else {
        // Broken text: drop one character at a time.
        return query
            .char_indices()
            .map(|(at, c)| format!("{}{}", &query[..at], &query[at + c.len_utf8()..]))
            .collect();
    };
    let mut found = Vec::new();
    expr.walk(&mut |part| {
        if part.span != expr.span {
            found.push(query[part.span.start..part.span.end].to_owned());
            if !is_simple(part) {
                let simple = if part.value_type() == ValueType::Scalar { "1" } else { "up" };
                if matches!(part.value_type(), ValueType::Scalar | ValueType::Vector) {
                    found.push(format!("{}{simple}{}", &query[..part.span.start], &query[part.span.end..]));
                }
            }
        }
    });
    found.retain(|candidate| candidate.len() < query.len());
    found.sort_by_key(String::len);
    found.dedup();
    found
}

fn is_simple(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Number(_) | ExprKind::String(_) | ExprKind::VectorSelector(_))
}

/// Reduces a failing query as far as `fails` still holds for it.
pub fn shrink(query: &str, options: &ParserOptions, mut fails: impl FnMut(&str) -> bool) -> String {
    let mut query = query.to_owned();
    while let Some(next) = smaller(&query, options).into_iter().find(|candidate| fails(candidate)) {
        query = next;
    }
    query
}

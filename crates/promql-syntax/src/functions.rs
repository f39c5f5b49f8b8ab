//! The table of functions: names, argument types, what they return, whether they are experimental.
//! The code behind each is in `ferula-promql`.

use crate::ast::ValueType;

/// Signature of a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Name as written, case-sensitive.
    pub name: &'static str,
    /// Types of the arguments.
    pub args: &'static [ValueType],
    /// 0: exactly `args`. n > 0: the last type may be missing and come up to n times. −1: the last type any number of times.
    pub variadic: i32,
    /// Type of the result.
    pub returns: ValueType,
    /// Needs `--enable-feature=promql-experimental-functions`.
    pub experimental: bool,
}

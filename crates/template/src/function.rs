//! Functions that a template may call: types of their parameters, and the code.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::CallError;
use crate::value::Value;

/// Functions by name.
pub type FunctionMap = BTreeMap<&'static str, Function>;

type Code = Arc<dyn Fn(&[Value]) -> Result<Value, CallError> + Send + Sync>;

/// A function. Arguments are checked against `parameters` before the code sees them.
#[derive(Clone)]
pub struct Function {
    /// Types of the parameters.
    pub parameters: &'static [Parameter],
    /// The last parameter may come any number of times, also never.
    pub variadic: bool,
    code: Code,
}

/// Type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `interface {}`
    Any,
    /// `string`
    Text,
    /// `int`
    Int,
    /// `float64`
    Float,
    /// `bool`
    Bool,
    /// A type of the caller's, by its name: an object or a list.
    Named(&'static str),
}

impl Function {
    /// A function of fixed arity.
    pub fn new(
        parameters: &'static [Parameter],
        code: impl Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Self {
        Function { parameters, variadic: false, code: Arc::new(code) }
    }

    /// A function whose last parameter may come any number of times.
    pub fn variadic(
        parameters: &'static [Parameter],
        code: impl Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Self {
        Function { parameters, variadic: true, code: Arc::new(code) }
    }

    pub(crate) fn call(&self, arguments: &[Value]) -> Result<Value, CallError> {
        (self.code)(arguments)
    }

    /// The parameter that the argument at `index` belongs to.
    pub(crate) fn parameter(&self, index: usize) -> Parameter {
        self.parameters.get(index).or(self.parameters.last()).copied().unwrap_or(Parameter::Any)
    }
}

impl Parameter {
    /// The type as error texts show it.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Parameter::Any => "interface {}",
            Parameter::Text => "string",
            Parameter::Int => "int",
            Parameter::Float => "float64",
            Parameter::Bool => "bool",
            Parameter::Named(name) => name,
        }
    }

    /// Whether a value may be passed as it is.
    pub(crate) fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Parameter::Any, _)
            | (Parameter::Text, Value::Text(_))
            | (Parameter::Int, Value::Int(_))
            | (Parameter::Float, Value::Float(_))
            | (Parameter::Bool, Value::Bool(_)) => true,
            (Parameter::Named(name), value) => value.type_name() == name,
            _ => false,
        }
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "func{:?}{}", self.parameters, if self.variadic { "..." } else { "" })
    }
}

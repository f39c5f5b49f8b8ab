//! Functions that a template may call: types of their parameters, and the code.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::CallError;
use crate::value::{Parameter, Value};

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

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "func{:?}{}", self.parameters, if self.variadic { "..." } else { "" })
    }
}

//! Calls of functions: how many arguments they take, and of which types.

use ferula_go::quote::go_quote;

use super::{Executed, Location, State, of_word};
use crate::ast::{Number, Operand, OperandKind};
use crate::builtin;
use crate::error::CallError;
use crate::function::Function;
use crate::html::escapers;
use crate::value::{Parameter, Value};

impl<'a> State<'a> {
    pub(super) fn function(
        &mut self,
        dot: &Value,
        word: &'a Operand,
        call: Location<'a>,
        name: &str,
        arguments: &'a [Operand],
        last: Option<Value>,
    ) -> Executed<Value> {
        self.at(of_word(word))?;
        if (name == "and" || name == "or") && !self.functions.contains_key(name) {
            return self.and_or(dot, name == "or", arguments, last);
        }
        let known = self.functions.get(name).cloned();
        let Some(function) = known.or_else(|| builtin::function(name)).or_else(|| escapers::function(name))
        else {
            return self.error(format!("{} is not a defined function", go_quote(name)));
        };
        self.check_count(name, &function, arguments.len(), last.is_some())?;
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for (index, argument) in arguments.iter().enumerate() {
            values.push(self.argument(dot, argument, function.parameter(index))?);
        }
        if let Some(last) = last {
            values.push(self.typed(last, function.parameter(arguments.len()))?);
        }
        // One text may be an argument many times.
        let given: usize =
            values.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 0 }).sum();
        if given > self.limits.output_bytes.saturating_mul(2) {
            return self
                .limit(format!("the arguments exceed {} bytes", self.limits.output_bytes.saturating_mul(2)));
        }
        let called = function.call(&values);
        if let Ok(Value::Text(text)) = &called
            && text.len() > self.limits.output_bytes
        {
            return self.limit(format!("a text exceeds {} bytes", self.limits.output_bytes));
        }
        called.or_else(|message| {
            self.at(call)?;
            let message = match (name, values.first()) {
                ("call", Some(callee)) if !matches!(callee, Value::Nil) => CallError::Argument(format!(
                    "non-function {} of type {}",
                    callee_text(arguments.first(), callee),
                    callee.type_name()
                )),
                _ => message,
            };
            self.error(format!("error calling {name}: {message}"))
        })
    }

    fn check_count(&self, name: &str, function: &Function, given: usize, piped: bool) -> Executed<()> {
        let (want, got) = (function.parameters.len(), given + usize::from(piped));
        if function.variadic {
            if got + 1 < want {
                let message =
                    format!("wrong number of args for {name}: want at least {} got {given}", want - 1);
                return self.error(message);
            }
        } else if got != want {
            return self.error(format!("wrong number of args for {name}: want {want} got {got}"));
        }
        Ok(())
    }

    /// `and` and `or` stop at the argument that decides.
    fn and_or(
        &mut self,
        dot: &Value,
        is_or: bool,
        arguments: &'a [Operand],
        last: Option<Value>,
    ) -> Executed<Value> {
        if arguments.is_empty() && last.is_none() {
            let name = if is_or { "or" } else { "and" };
            return self.error(format!("wrong number of args for {name}: want at least 1 got 0"));
        }
        let mut value = Value::Nil;
        for argument in arguments {
            value = self.argument(dot, argument, Parameter::Any)?;
            if value.is_true() == is_or {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// The value of a word where a parameter of this type wants one.
    pub(super) fn argument(
        &mut self,
        dot: &Value,
        word: &'a Operand,
        parameter: Parameter,
    ) -> Executed<Value> {
        self.at(of_word(word))?;
        let expected = |what: &str| format!("expected {what}; found {word}");
        match (&word.kind, parameter) {
            (OperandKind::Nil, Parameter::Any | Parameter::Named(_)) => Ok(Value::Nil),
            (OperandKind::Nil, _) => self.error(format!("cannot assign nil to {}", parameter.type_name())),
            (
                OperandKind::Dot
                | OperandKind::Field(_)
                | OperandKind::Variable(_)
                | OperandKind::Pipe(_)
                | OperandKind::Function(_)
                | OperandKind::Chain(..),
                _,
            ) => {
                let value = self.operand(dot, word)?;
                self.typed(value, parameter)
            }
            (_, Parameter::Any) => self.operand(dot, word),
            (OperandKind::Bool(value), Parameter::Bool) => Ok(Value::Bool(*value)),
            (_, Parameter::Bool) => self.error(expected("bool")),
            (OperandKind::Text(text, _), Parameter::Text) => Ok(Value::text(text.as_str())),
            (_, Parameter::Text) => self.error(expected("string")),
            (OperandKind::Number(Number { int: Some(int), .. }), Parameter::Int) => Ok(Value::Int(*int)),
            (_, Parameter::Int) => self.error(expected("integer")),
            (OperandKind::Number(Number { float: Some(float), .. }), Parameter::Float) => {
                Ok(Value::Float(*float))
            }
            (_, Parameter::Float) => self.error(expected("float")),
            (_, Parameter::Named(name)) => self.error(format!("can't handle {word} for arg of type {name}")),
        }
    }

    /// The value, if a parameter of this type takes it.
    pub(super) fn typed(&self, value: Value, parameter: Parameter) -> Executed<Value> {
        if parameter.takes(&value) {
            return Ok(value);
        }
        if matches!(value, Value::Nil) {
            return match parameter {
                Parameter::Named(_) => Ok(value),
                _ => self.error(format!("invalid value; expected {}", parameter.type_name())),
            };
        }
        let message =
            format!("wrong type for value; expected {}; got {}", parameter.type_name(), value.type_name());
        self.error(message)
    }
}

/// What `call` names in its error: the argument as written, or what the pipeline came to.
fn callee_text(argument: Option<&Operand>, value: &Value) -> String {
    match argument.map(|argument| (&argument.kind, argument)) {
        Some((OperandKind::Pipe(pipe), _)) => pipe.to_string(),
        Some((_, argument)) => argument.to_string(),
        None => match value {
            Value::Text(text) => text.to_string(),
            value => format!("<{} Value>", value.type_name()),
        },
    }
}

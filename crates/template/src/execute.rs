//! Walks the tree and writes the text. Calls of functions are in `call`.
//!
//! Every step, level of template calls and byte of output is counted against [`Limits`].

mod call;

use std::collections::BTreeMap;

use ferula_go::quote::go_quote;

use crate::ast::{Branch, Command, List, Node, NodeKind, Number, Operand, OperandKind, Pipe};
use crate::error::TemplateError;
use crate::format::print;
use crate::function::FunctionMap;
use crate::number::looks_like_float;
use crate::tree::{Source, Tree};
use crate::value::{Method, Parameter, Value};

/// What one execution may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes and words that are evaluated.
    pub steps: u64,
    /// Bytes that are written.
    pub output_bytes: usize,
    /// Templates that call each other.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { steps: 1_000_000, output_bytes: 4 << 20, depth: 250 }
    }
}

/// How deep control structures and template calls may nest while they run. This bounds the stack.
const NESTING_MAX: usize = 400;

type Executed<T> = Result<T, TemplateError>;

/// Executes the template `name` with `data` as dot.
pub fn execute(
    name: &str,
    trees: &BTreeMap<String, Tree>,
    data: &Value,
    functions: &FunctionMap,
    limits: &Limits,
) -> Executed<String> {
    let Some(root) = trees.get(name) else {
        return Err(TemplateError::Execute(format!(
            "template: {name}: {} is an incomplete or empty template",
            go_quote(name)
        )));
    };
    let mut state = State {
        root_name: name,
        trees,
        functions,
        source: &root.source,
        current: None,
        limits: *limits,
        name: name.to_owned(),
        variables: vec![("$".to_owned(), data.clone())],
        out: String::new(),
        depth: 0,
        nesting: 0,
    };
    state.list(data, &root.list)?;
    Ok(state.out)
}

struct State<'a> {
    root_name: &'a str,
    trees: &'a BTreeMap<String, Tree>,
    functions: &'a FunctionMap,
    /// Where the running template was written.
    source: &'a Source,
    /// The node visited last: where an error is, as in Go.
    current: Option<(Location<'a>, &'a Source)>,
    limits: Limits,
    /// Name of the template that is being executed.
    name: String,
    variables: Vec<(String, Value)>,
    out: String,
    depth: usize,
    /// How deep the running lists nest.
    nesting: usize,
}

/// Whether a list ran to its end or met `{{break}}` or `{{continue}}`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// A node in error texts: where it begins and how it looks.
#[derive(Clone, Copy)]
struct Location<'a> {
    position: usize,
    shown: &'a dyn std::fmt::Display,
}

fn of_node(node: &Node) -> Location<'_> {
    Location { position: node.position, shown: node }
}

fn of_pipe(pipe: &Pipe) -> Location<'_> {
    Location { position: pipe.position, shown: pipe }
}

fn of_word(word: &Operand) -> Location<'_> {
    Location { position: word.position, shown: word }
}

impl<'a> State<'a> {
    fn error<T>(&self, message: impl std::fmt::Display) -> Executed<T> {
        Err(TemplateError::Execute(self.located(message)))
    }

    fn limit<T>(&self, message: impl std::fmt::Display) -> Executed<T> {
        Err(TemplateError::Limit(self.located(message)))
    }

    /// The message with the location it is about in front.
    fn located(&self, message: impl std::fmt::Display) -> String {
        let name = go_quote(&self.name);
        let Some((location, source)) = self.current else {
            return format!("template: {}: {message}", self.root_name);
        };
        let before = &source.text[..location.position.min(source.text.len())];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(before.len(), |newline| before.len() - newline - 1);
        let shown = location.shown;
        format!("template: {}:{line}:{column}: executing {name} at <{shown}>: {message}", source.name)
    }

    /// Visits a node: counts a step; errors are located here from now on.
    fn at(&mut self, location: Location<'a>) -> Executed<()> {
        self.current = Some((location, self.source));
        match self.limits.steps.checked_sub(1) {
            Some(left) => {
                self.limits.steps = left;
                Ok(())
            }
            None => self.limit("the template takes too many steps"),
        }
    }

    fn write(&mut self, text: &str) -> Executed<()> {
        if self.out.len() + text.len() > self.limits.output_bytes {
            return self.limit(format!("the output exceeds {} bytes", self.limits.output_bytes));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn list(&mut self, dot: &Value, list: &'a List) -> Executed<Flow> {
        if self.nesting >= NESTING_MAX {
            return self.limit(format!("nested more than {NESTING_MAX} deep"));
        }
        self.nesting += 1;
        let flow = self.nodes(dot, list);
        self.nesting -= 1;
        flow
    }

    fn nodes(&mut self, dot: &Value, list: &'a List) -> Executed<Flow> {
        for node in &list.0 {
            let flow = self.node(dot, node)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, dot: &Value, node: &'a Node) -> Executed<Flow> {
        self.at(of_node(node))?;
        match &node.kind {
            NodeKind::Text(text) => self.write(text)?,
            NodeKind::Action(pipe) => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.declares.is_empty() {
                    self.at(of_node(node))?;
                    self.write(&print_result(&value))?;
                }
            }
            NodeKind::If(branch) => return self.scoped(|state| state.branch(dot, branch, false)),
            NodeKind::With(branch) => return self.scoped(|state| state.branch(dot, branch, true)),
            NodeKind::Range(branch) => self.scoped(|state| state.range(dot, branch))?,
            NodeKind::Template(name, pipe) => self.template_call(dot, name, pipe.as_ref())?,
            NodeKind::Break => return Ok(Flow::Break),
            NodeKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// Runs `body` and drops the variables that it declared.
    fn scoped<T>(&mut self, body: impl FnOnce(&mut Self) -> Executed<T>) -> Executed<T> {
        let mark = self.variables.len();
        let result = body(self);
        self.variables.truncate(mark);
        result
    }

    fn branch(&mut self, dot: &Value, branch: &'a Branch, sets_dot: bool) -> Executed<Flow> {
        let value = self.pipeline(dot, &branch.pipe)?;
        match (&branch.otherwise, value.is_true()) {
            (_, true) => self.list(if sets_dot { &value } else { dot }, &branch.list),
            (Some(otherwise), false) => self.list(dot, otherwise),
            (None, false) => Ok(Flow::On),
        }
    }

    fn range(&mut self, dot: &Value, branch: &'a Branch) -> Executed<()> {
        let value = self.pipeline(dot, &branch.pipe)?;
        let items: Vec<(Value, Value)> = match value.plain() {
            Value::List(items, _) => {
                items.iter().cloned().enumerate().map(|(i, v)| (Value::Int(i as i64), v)).collect()
            }
            Value::Map(map) => {
                map.entries.iter().map(|(k, v)| (Value::text(k.as_str()), v.clone())).collect()
            }
            Value::Int(count) => return self.range_over_int(dot, branch, *count),
            Value::Nil => Vec::new(),
            other => return self.error(format!("range can't iterate over {}", print(other))),
        };
        if items.is_empty() {
            if let Some(otherwise) = &branch.otherwise {
                self.list(dot, otherwise)?;
            }
            return Ok(());
        }
        for (key, item) in items {
            if self.iteration(branch, key, item)? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn range_over_int(&mut self, dot: &Value, branch: &'a Branch, count: i64) -> Executed<()> {
        if count <= 0 {
            if let Some(otherwise) = &branch.otherwise {
                self.list(dot, otherwise)?;
            }
            return Ok(());
        }
        for index in 0..count {
            // Each iteration is a step, so that an empty body cannot run for ever.
            self.at(of_pipe(&branch.pipe))?;
            if self.iteration(branch, Value::Int(index), Value::Int(index))? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn iteration(&mut self, branch: &'a Branch, key: Value, item: Value) -> Executed<Flow> {
        self.scoped(|state| {
            let declared = &branch.pipe.declares;
            if let Some(last) = declared.last() {
                if branch.pipe.assigns {
                    state.assign(last, item.clone())?;
                } else {
                    state.set_newest(last, item.clone());
                }
            }
            if declared.len() > 1 {
                if branch.pipe.assigns {
                    state.assign(&declared[0], key)?;
                } else {
                    state.set_newest(&declared[0], key);
                }
            }
            state.list(&item, &branch.list)
        })
    }

    /// Sets the variable declared last under this name, which the range's pipeline has pushed.
    fn set_newest(&mut self, name: &str, value: Value) {
        if let Some(variable) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            variable.1 = value;
        }
    }

    fn assign(&mut self, name: &str, value: Value) -> Executed<()> {
        match self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            Some(variable) => {
                variable.1 = value;
                Ok(())
            }
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    fn template_call(&mut self, dot: &Value, name: &str, pipe: Option<&'a Pipe>) -> Executed<()> {
        let Some(tree) = self.trees.get(name) else {
            return self.error(format!("template {} not defined", go_quote(name)));
        };
        if self.depth >= self.limits.depth {
            return self.limit(format!("exceeded maximum template depth ({})", self.limits.depth));
        }
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        let caller = std::mem::replace(&mut self.name, name.to_owned());
        let source = std::mem::replace(&mut self.source, &tree.source);
        self.depth += 1;
        self.list(&dot, &tree.list)?;
        self.depth -= 1;
        self.source = source;
        self.name = caller;
        self.variables = variables;
        Ok(())
    }

    fn pipeline(&mut self, dot: &Value, pipe: &'a Pipe) -> Executed<Value> {
        self.at(of_pipe(pipe))?;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.declares {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    /// Evaluates a command; `last` is the value of the one before it in the pipeline, its last argument.
    fn command(&mut self, dot: &Value, command: &'a Command, last: Option<Value>) -> Executed<Value> {
        let (first, rest) = command.words.split_first().expect("the parser refuses empty commands");
        match &first.kind {
            OperandKind::Field(_) | OperandKind::Variable(_) | OperandKind::Chain(..) => {
                self.chain(dot, first, rest, last)
            }
            OperandKind::Function(name) => {
                let location = Location { position: command.position, shown: command };
                self.function(dot, first, location, name, rest, last)
            }
            OperandKind::Pipe(pipe) if rest.is_empty() && last.is_none() => self.pipeline(dot, pipe),
            OperandKind::Pipe(pipe) => self.error(format!("can't give argument to non-function {pipe}")),
            _ if !rest.is_empty() || last.is_some() => {
                self.at(of_word(first))?;
                self.error(format!("can't give argument to non-function {first}"))
            }
            OperandKind::Nil => {
                self.at(of_word(first))?;
                self.error("nil is not a command")
            }
            _ => {
                self.at(of_word(first))?;
                self.operand(dot, first)
            }
        }
    }

    /// A word that is a value by itself, or a call without arguments.
    fn operand(&mut self, dot: &Value, word: &'a Operand) -> Executed<Value> {
        match &word.kind {
            OperandKind::Bool(value) => Ok(Value::Bool(*value)),
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Value::Nil),
            OperandKind::Number(number) => self.constant(word, number),
            OperandKind::Text(text, _) => Ok(Value::text(text.as_str())),
            OperandKind::Pipe(pipe) => self.pipeline(dot, pipe),
            OperandKind::Function(name) => self.function(dot, word, of_word(word), name, &[], None),
            OperandKind::Field(_) | OperandKind::Variable(_) | OperandKind::Chain(..) => {
                self.chain(dot, word, &[], None)
            }
        }
    }

    fn constant(&mut self, word: &'a Operand, number: &Number) -> Executed<Value> {
        self.at(of_word(word))?;
        match (number.int, number.float) {
            (_, Some(float)) if looks_like_float(number) => Ok(Value::Float(float)),
            (Some(int), _) => Ok(Value::Int(int)),
            _ => self.error(format!("{} overflows int", number.text)),
        }
    }

    /// `.a.b`, `$x.a.b`, `(pipeline).a.b`; arguments go to the last name, if it is a method.
    fn chain(
        &mut self,
        dot: &Value,
        word: &'a Operand,
        arguments: &'a [Operand],
        last: Option<Value>,
    ) -> Executed<Value> {
        self.at(of_word(word))?;
        let (mut receiver, names): (Value, &[String]) = match &word.kind {
            OperandKind::Field(names) => (dot.clone(), names),
            OperandKind::Variable(names) => {
                let found = self.variables.iter().rev().find(|(name, _)| *name == names[0]);
                let Some((_, value)) = found else {
                    return self.error(format!("undefined variable: {}", names[0]));
                };
                (value.clone(), &names[1..])
            }
            OperandKind::Chain(start, names) => {
                if matches!(start.kind, OperandKind::Nil) {
                    return self.error(format!("indirection through explicit nil in {word}"));
                }
                self.at(of_word(start))?;
                (self.operand(dot, start)?, names)
            }
            _ => return self.operand(dot, word),
        };
        let Some((final_name, path)) = names.split_last() else {
            if !arguments.is_empty() || last.is_some() {
                return self.error(format!("can't give argument to non-function {word}"));
            }
            return Ok(receiver);
        };
        for name in path {
            receiver = self.field(&receiver, name, &[])?;
        }
        let parameters = match &receiver {
            Value::Defined(defined) => {
                let method = defined.class.methods.iter().find(|method| method.name == *final_name);
                method.map_or(&[][..], |method| method.parameters)
            }
            _ => &[],
        };
        let mut values = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            let parameter = parameters.get(index).copied().unwrap_or(Parameter::Any);
            values.push(self.argument(dot, argument, parameter)?);
        }
        if !values.is_empty() {
            self.at(of_word(word))?;
        }
        values.extend(last);
        self.field(&receiver, final_name, &values)
    }

    /// One name of a chain; `arguments` are given for the last name only.
    fn field(&self, receiver: &Value, name: &str, arguments: &[Value]) -> Executed<Value> {
        match receiver {
            // Something that is missing already: what it lacks is missing too.
            Value::Nil => Ok(Value::Nil),
            Value::Object(object) => {
                if let Some(result) = object.call(name, arguments) {
                    return result.or_else(|message| self.error(format!("error calling {name}: {message}")));
                }
                match object.field(name) {
                    Some(_) if !arguments.is_empty() => {
                        self.error(format!("{name} has arguments but cannot be invoked as function"))
                    }
                    Some(value) => Ok(value),
                    None => self.no_such_field(receiver, name),
                }
            }
            Value::Defined(defined) => {
                match defined.class.methods.iter().find(|method| method.name == name) {
                    Some(method) => self.method(method, &defined.value, arguments),
                    None if matches!(defined.value, Value::Map(_)) => {
                        self.field(&defined.value, name, arguments)
                    }
                    None => self.no_such_field(receiver, name),
                }
            }
            Value::Map(_) if !arguments.is_empty() => {
                self.error(format!("{name} is not a method but has arguments"))
            }
            Value::Map(map) => Ok(Value::entry(map, name)),
            _ => self.no_such_field(receiver, name),
        }
    }

    fn method(&self, method: &Method, receiver: &Value, arguments: &[Value]) -> Executed<Value> {
        let (name, want, got) = (method.name, method.parameters.len(), arguments.len());
        if want != got {
            return self.error(format!("wrong number of args for {name}: want {want} got {got}"));
        }
        let typed = arguments.iter().zip(method.parameters);
        let arguments: Vec<Value> =
            typed.map(|(value, parameter)| self.typed(value.clone(), *parameter)).collect::<Executed<_>>()?;
        (method.code)(receiver, &arguments)
            .or_else(|message| self.error(format!("error calling {name}: {message}")))
    }

    fn no_such_field(&self, receiver: &Value, name: &str) -> Executed<Value> {
        self.error(format!("can't evaluate field {name} in type {}", receiver.type_name()))
    }
}

/// A value as an action prints it.
fn print_result(value: &Value) -> String {
    match value {
        Value::Nil => "<no value>".to_owned(),
        other => print(other),
    }
}

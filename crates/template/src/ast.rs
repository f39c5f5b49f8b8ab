//! The tree of a template, and its nodes as error texts show them.

use std::fmt;

use ferula_go::quote::go_quote;

/// A run of nodes.
#[derive(Clone, Debug, Default)]
pub struct List(pub Vec<Node>);

/// One node, with the byte where it begins.
#[derive(Clone, Debug)]
pub struct Node {
    pub position: usize,
    pub kind: NodeKind,
}

/// What may stand at the top of a template.
#[derive(Clone, Debug)]
pub enum NodeKind {
    Text(String),
    /// `{{pipeline}}`
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// `{{template "name" pipeline}}`, also what is left of a `{{block}}`
    Template(String, Option<Pipe>),
    Break,
    Continue,
}

/// The parts of `if`, `with` and `range`.
#[derive(Clone, Debug)]
pub struct Branch {
    pub pipe: Pipe,
    pub list: List,
    pub otherwise: Option<List>,
}

/// `$x, $y := command | command`
#[derive(Clone, Debug)]
pub struct Pipe {
    pub position: usize,
    pub declares: Vec<String>,
    /// `=` instead of `:=`
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// `function argument argument`
#[derive(Clone, Debug)]
pub struct Command {
    pub position: usize,
    /// At least one.
    pub words: Vec<Operand>,
}

/// A word of a command.
#[derive(Clone, Debug)]
pub struct Operand {
    pub position: usize,
    pub kind: OperandKind,
}

/// Kinds of word.
#[derive(Clone, Debug)]
pub enum OperandKind {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    /// The value, and the literal as written.
    Text(String, String),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`
    Variable(Vec<String>),
    Function(String),
    /// `(pipeline)`
    Pipe(Box<Pipe>),
    /// `(pipeline).a.b`, `function.a`
    Chain(Box<Operand>, Vec<String>),
}

/// A numeric literal: what it can be read as.
#[derive(Clone, Debug)]
pub struct Number {
    pub text: String,
    pub int: Option<i64>,
    pub float: Option<f64>,
}

impl List {
    /// Whether there is nothing but white space, as in a file that only defines templates.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|node| matches!(&node.kind, NodeKind::Text(text) if text.trim().is_empty()))
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|node| node.fmt(f))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let branch = |f: &mut fmt::Formatter<'_>, word: &str, branch: &Branch| {
            write!(f, "{{{{{word} {}}}}}{}", branch.pipe, branch.list)?;
            if let Some(otherwise) = &branch.otherwise {
                write!(f, "{{{{else}}}}{otherwise}")?;
            }
            f.write_str("{{end}}")
        };
        match &self.kind {
            NodeKind::Text(text) => f.write_str(text),
            NodeKind::Action(pipe) => write!(f, "{{{{{pipe}}}}}"),
            NodeKind::If(b) => branch(f, "if", b),
            NodeKind::With(b) => branch(f, "with", b),
            NodeKind::Range(b) => branch(f, "range", b),
            NodeKind::Template(name, None) => write!(f, "{{{{template {}}}}}", go_quote(name)),
            NodeKind::Template(name, Some(pipe)) => write!(f, "{{{{template {} {pipe}}}}}", go_quote(name)),
            NodeKind::Break => f.write_str("{{break}}"),
            NodeKind::Continue => f.write_str("{{continue}}"),
        }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.declares.is_empty() {
            write!(f, "{} {} ", self.declares.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            word.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Bool(value) => value.fmt(f),
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Number(number) => f.write_str(&number.text),
            OperandKind::Text(_, written) => f.write_str(written),
            OperandKind::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            OperandKind::Variable(names) => f.write_str(&names.join(".")),
            OperandKind::Function(name) => f.write_str(name),
            OperandKind::Pipe(pipe) => write!(f, "({pipe})"),
            OperandKind::Chain(start, names) => {
                start.fmt(f)?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}

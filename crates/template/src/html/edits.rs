//! What the walk has found, and how it is written into the trees.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::context::Context;
use crate::ast::{Branch, Command, List, Node, NodeKind, Operand, OperandKind, Pipe};
use crate::tree::Tree;

/// What the walk has found out so far.
#[derive(Clone, Default)]
pub(super) struct Findings {
    /// Context at the end of each template, by its name with the context at its beginning.
    pub outputs: HashMap<String, Context>,
    /// Copies of templates for other contexts than text.
    pub derived: BTreeMap<String, Tree>,
    pub called: HashSet<String>,
    /// Edits by the address of the node, which stays while its tree is held.
    pub actions: HashMap<usize, Vec<&'static str>>,
    pub calls: HashMap<usize, String>,
    pub texts: HashMap<usize, String>,
}

/// What names a node while its tree is held.
pub(super) fn address(node: &Node) -> usize {
    std::ptr::from_ref(node) as usize
}

/// The function that a command begins with.
pub(super) fn function_name(command: &Command) -> Option<&str> {
    match &command.words.first()?.kind {
        OperandKind::Function(name) => Some(name),
        _ => None,
    }
}

impl Findings {
    /// Writes the edits into the trees they are about.
    pub fn commit(self, trees: &mut BTreeMap<String, Tree>) {
        for name in self.outputs.keys() {
            let tree = trees.get(name).or_else(|| self.derived.get(name)).cloned();
            if let Some(tree) = tree {
                let list = Arc::new(self.edited(&tree.list));
                trees.insert(name.clone(), Tree { list, source: tree.source });
            }
        }
    }

    fn edited(&self, list: &List) -> List {
        List(list.0.iter().map(|node| self.edited_node(node)).collect())
    }

    fn edited_node(&self, node: &Node) -> Node {
        let branch = |branch: &Branch| Branch {
            pipe: branch.pipe.clone(),
            list: self.edited(&branch.list),
            otherwise: branch.otherwise.as_ref().map(|list| self.edited(list)),
        };
        let key = address(node);
        let kind = match &node.kind {
            NodeKind::Text(text) => NodeKind::Text(self.texts.get(&key).unwrap_or(text).clone()),
            NodeKind::Action(pipe) => match self.actions.get(&key) {
                Some(escapers) => NodeKind::Action(with_escapers(pipe, escapers)),
                None => NodeKind::Action(pipe.clone()),
            },
            NodeKind::If(inner) => NodeKind::If(branch(inner)),
            NodeKind::With(inner) => NodeKind::With(branch(inner)),
            NodeKind::Range(inner) => NodeKind::Range(branch(inner)),
            NodeKind::Template(name, pipe) => {
                NodeKind::Template(self.calls.get(&key).unwrap_or(name).clone(), pipe.clone())
            }
            NodeKind::Break => NodeKind::Break,
            NodeKind::Continue => NodeKind::Continue,
        };
        Node { position: node.position, kind }
    }
}

/// What an escaper is worth: some do what the language's own functions do.
fn equivalent(name: &str) -> &str {
    match name {
        "_html_template_attrescaper" | "_html_template_htmlescaper" | "_html_template_rcdataescaper" => {
            "html"
        }
        "_html_template_urlescaper" | "_html_template_urlnormalizer" => "urlquery",
        other => other,
    }
}

/// Whether `next` would change nothing after `last`.
fn is_redundant(last: &str, next: &str) -> bool {
    match last {
        "_html_template_commentescaper" => {
            matches!(next, "_html_template_attrescaper" | "_html_template_htmlescaper")
        }
        "_html_template_cssescaper"
        | "_html_template_jsregexpescaper"
        | "_html_template_jsstrescaper"
        | "_html_template_jstmpllitescaper" => next == "_html_template_attrescaper",
        "_html_template_urlescaper" => next == "_html_template_urlnormalizer",
        _ => false,
    }
}

fn call(name: &str, position: usize) -> Command {
    let word = Operand { position, kind: OperandKind::Function(name.to_owned()) };
    Command { position, words: vec![word] }
}

fn push(commands: &mut Vec<Command>, command: Command) {
    let last = commands.last().and_then(function_name);
    if let (Some(last), Some(next)) = (last, function_name(&command))
        && is_redundant(last, next)
    {
        return;
    }
    commands.push(command);
}

/// The pipeline with escapers at its end. One that ends in `html` or `urlquery` keeps it in place of its equivalent.
fn with_escapers(pipe: &Pipe, escapers: &[&'static str]) -> Pipe {
    let mut pipe = pipe.clone();
    let mut names: Vec<String> = escapers.iter().map(|name| (*name).to_owned()).collect();
    let own =
        pipe.commands.last().and_then(function_name).filter(|name| matches!(*name, "html" | "urlquery"));
    if let Some(own) = own.map(str::to_owned) {
        let is_alone = pipe.commands.len() == 1;
        if let Some(command) = pipe.commands.last_mut().filter(|command| is_alone && command.words.len() > 1)
        {
            command.words[0].kind = OperandKind::Function("_eval_args_".to_owned());
            let position = pipe.position;
            push(&mut pipe.commands, call(&own, position));
        }
        let mut is_among = false;
        for name in names.iter_mut().filter(|name| equivalent(name) == equivalent(&own)) {
            name.clone_from(&own);
            is_among = true;
        }
        if is_among {
            pipe.commands.pop();
        }
    }
    let present: HashSet<String> =
        pipe.commands.iter().filter_map(function_name).map(|name| equivalent(name).to_owned()).collect();
    for name in names.iter().filter(|name| !present.contains(equivalent(name))) {
        push(&mut pipe.commands, call(name, pipe.position));
    }
    pipe
}

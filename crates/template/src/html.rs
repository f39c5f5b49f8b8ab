//! `html/template`: each action gets the escapers that its place in the document asks for.
//!
//! ```text
//! trees ─ walk with a context ─▶ edits (escapers for actions, names for calls, text) ─ commit ─▶ escaped trees
//! ```
//!
//! Here: the walk. Below: contexts and how text moves them, escapers, attributes. A template that is called in several
//! contexts is kept once for each, under a name that says which.
//!
//! Always true: a template either gets escapers in every action or is refused, in Go's words.

mod attribute;
mod context;
mod entity;
pub mod escapers;
mod transition;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use ferula_go::quote::go_quote;

use self::context::{Context, Delimiter, Problem, Slash, State, UrlPart};
use self::transition::after_text;
use crate::ast::{Branch, Command, List, Node, NodeKind, Operand, OperandKind, Pipe};
use crate::error::TemplateError;
use crate::{Source, Tree};

/// Visits of nodes. Bodies of ranges are read twice, so nesting them multiplies the work.
const VISITS_MAX: usize = 200_000;
/// How deep lists and templates may lie in each other. This bounds the stack.
const DEPTH_MAX: usize = 300;

/// Adds escapers to the template `name` and to all that it calls.
pub fn escape(name: &str, trees: &mut BTreeMap<String, Tree>) -> Result<(), TemplateError> {
    if !trees.contains_key(name) {
        let text = format!("template: {} is an incomplete or empty template", go_quote(name));
        return Err(TemplateError::Execute(text));
    }
    let mut escaper = Escaper { trees, found: Findings::default(), loops: Vec::new(), visits: 0, depth: 0 };
    let (context, _) = escaper.template(Context::text(), name, None);
    if escaper.visits > VISITS_MAX || escaper.depth > DEPTH_MAX {
        return Err(TemplateError::Limit(format!("html/template:{name}: too large to be escaped")));
    }
    let failed = |text: String| Err(TemplateError::Execute(format!("html/template{text}")));
    let named = if name.is_empty() { String::new() } else { format!(":{name}") };
    if let Some(problem) = &context.problem {
        return match (&problem.location, problem.line) {
            (Some(location), _) => failed(format!(":{location}: {}", problem.text)),
            (None, 0) => failed(format!("{named}: {}", problem.text)),
            (None, line) => failed(format!(":{name}:{line}: {}", problem.text)),
        };
    }
    if context.state != State::Text {
        return failed(format!("{named}: ends in a non-text context: {context}"));
    }
    let found = escaper.found;
    found.commit(trees);
    Ok(())
}

/// What the walk has found out so far.
#[derive(Clone, Default)]
struct Findings {
    /// Context at the end of each template, by its name with the context at its beginning.
    outputs: HashMap<String, Context>,
    /// Copies of templates for other contexts than text.
    derived: BTreeMap<String, Tree>,
    called: HashSet<String>,
    /// Edits by the address of the node, which stays while its tree is held.
    actions: HashMap<usize, Vec<&'static str>>,
    calls: HashMap<usize, String>,
    texts: HashMap<usize, String>,
}

/// Where the running loop is left or begun again.
#[derive(Default)]
struct Loop {
    breaks: Vec<(Context, usize)>,
    continues: Vec<(Context, usize)>,
}

struct Escaper<'a> {
    trees: &'a BTreeMap<String, Tree>,
    found: Findings,
    loops: Vec<Loop>,
    visits: usize,
    depth: usize,
}

fn address(node: &Node) -> usize {
    std::ptr::from_ref(node) as usize
}

impl Source {
    /// `NAME:LINE:COLUMN`, and the line.
    fn location(&self, position: usize) -> (String, usize) {
        let before = &self.text[..position.min(self.text.len())];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(before.len(), |newline| before.len() - newline - 1);
        (format!("{}:{line}:{column}", self.name), line)
    }

    fn problem(&self, position: usize, text: String) -> Context {
        let (location, line) = self.location(position);
        Context::failed(Problem { location: Some(location), line, text })
    }
}

impl Escaper<'_> {
    fn tree(&self, name: &str) -> Option<Tree> {
        self.trees.get(name).or_else(|| self.found.derived.get(name)).cloned()
    }

    /// The context after a template that begins in `context`, and the name it has there.
    fn template(
        &mut self,
        context: Context,
        name: &str,
        call: Option<(&Source, usize)>,
    ) -> (Context, String) {
        let mangled = context.mangled(name);
        self.found.called.insert(mangled.clone());
        if let Some(output) = self.found.outputs.get(&mangled) {
            return (output.clone(), mangled);
        }
        let Some(tree) = self.tree(name) else {
            let text = format!("no such template {}", go_quote(name));
            let problem = match call {
                Some((source, position)) => source.problem(position, text),
                None => Context::error(text),
            };
            return (problem, mangled);
        };
        let tree = match self.tree(&mangled) {
            Some(tree) => tree,
            None => {
                let copy = Tree { list: Arc::new(List::clone(&tree.list)), source: tree.source };
                self.found.derived.insert(mangled.clone(), copy.clone());
                copy
            }
        };
        (self.output_of(context, &mangled, &tree), mangled)
    }

    fn output_of(&mut self, context: Context, name: &str, tree: &Tree) -> Context {
        let (first, is_right) = self.body(context, name, tree);
        if is_right {
            return first;
        }
        // A template that calls itself: perhaps it ends where it ended just now.
        let (second, is_right) = self.body(first.clone(), name, tree);
        if is_right {
            return second;
        }
        match first.state {
            State::Error => first,
            _ => tree.source.problem(
                tree.list.0.first().map_or(0, |node| node.position),
                format!("cannot compute output context for template {name}"),
            ),
        }
    }

    /// Reads a body assuming that the template ends as it begins; returns how it ends, and whether that is what was
    /// assumed. What was found counts only then.
    fn body(&mut self, context: Context, name: &str, tree: &Tree) -> (Context, bool) {
        self.found.outputs.insert(name.to_owned(), context.clone());
        let mut trial = self.found.clone();
        trial.called.clear();
        trial.actions.clear();
        trial.calls.clear();
        trial.texts.clear();
        let outer = std::mem::replace(&mut self.found, trial);
        let end = self.list(context.clone(), &tree.list, &tree.source);
        let trial = std::mem::replace(&mut self.found, outer);
        let is_right = end.state != State::Error && (!trial.called.contains(name) || context.is_same(&end));
        if is_right {
            let found = &mut self.found;
            found.outputs.extend(trial.outputs);
            found.derived.extend(trial.derived);
            found.called.extend(trial.called);
            found.actions.extend(trial.actions);
            found.calls.extend(trial.calls);
            found.texts.extend(trial.texts);
        }
        (end, is_right)
    }

    fn list(&mut self, mut context: Context, list: &List, source: &Source) -> Context {
        if self.depth >= DEPTH_MAX {
            self.depth = DEPTH_MAX + 1;
            return Context::error(format!("nested more than {DEPTH_MAX} deep"));
        }
        self.depth += 1;
        for node in &list.0 {
            self.visits += 1;
            if self.visits > VISITS_MAX {
                return Context::error("too large".to_owned());
            }
            context = self.node(context, node, source);
            if context.state == State::Dead {
                break;
            }
        }
        if self.depth <= DEPTH_MAX {
            self.depth -= 1;
        }
        context
    }

    fn node(&mut self, context: Context, node: &Node, source: &Source) -> Context {
        match &node.kind {
            NodeKind::Text(text) => self.text(context, node, text),
            NodeKind::Action(pipe) => self.action(context, node, pipe, source),
            NodeKind::If(branch) => self.branch(context, node, branch, "if", source),
            NodeKind::With(branch) => self.branch(context, node, branch, "with", source),
            NodeKind::Range(branch) => self.range(context, node, branch, source),
            NodeKind::Template(name, _) => {
                let (context, mangled) = self.template(context, name, Some((source, node.position)));
                if mangled != *name {
                    self.found.calls.insert(address(node), mangled);
                }
                context
            }
            NodeKind::Break | NodeKind::Continue => {
                if let Some(inner) = self.loops.last_mut() {
                    let point = (context, node.position);
                    match node.kind {
                        NodeKind::Break => inner.breaks.push(point),
                        // What was continued before is forgotten, and every break counts once more.
                        _ => inner.continues = inner.breaks.iter().cloned().chain([point]).collect(),
                    }
                }
                Context::of(State::Dead, context::Element::None)
            }
        }
    }

    fn branch(
        &mut self,
        start: Context,
        node: &Node,
        branch: &Branch,
        word: &str,
        source: &Source,
    ) -> Context {
        let first = self.list(start.clone(), &branch.list, source);
        let second = match &branch.otherwise {
            Some(otherwise) => self.list(start, otherwise, source),
            None => start,
        };
        join(&first, &second, source, node.position, word)
    }

    fn range(&mut self, start: Context, node: &Node, branch: &Branch, source: &Source) -> Context {
        self.loops.push(Loop::default());
        let mut end = self.list(start.clone(), &branch.list, source);
        let ways = self.loops.pop().unwrap_or_default();
        if end.state != State::Error {
            end = join_loop(end, &ways, source);
        }
        if end.state == State::Error {
            return end;
        }
        // The body must end the same way when it begins where it ended.
        self.loops.push(Loop::default());
        let kept = self.found.clone();
        let again = self.list(end.clone(), &branch.list, source);
        self.found = kept;
        let ways = self.loops.pop().unwrap_or_default();
        let joined = join(&end, &again, source, node.position, "range");
        if let Some(problem) = &joined.problem {
            let text = format!("on range loop re-entry: {}", problem.text);
            let line = source.location(node.position).1;
            return Context::failed(Problem { location: problem.location.clone(), line, text });
        }
        end = join_loop(joined, &ways, source);
        if end.state == State::Error {
            return end;
        }
        let otherwise = match &branch.otherwise {
            Some(otherwise) => self.list(start, otherwise, source),
            None => start,
        };
        join(&end, &otherwise, source, node.position, "range")
    }

    fn action(&mut self, context: Context, node: &Node, pipe: &Pipe, source: &Source) -> Context {
        if !pipe.declares.is_empty() {
            return context;
        }
        let mut context = context.nudged();
        for (index, command) in pipe.commands.iter().enumerate() {
            let Some(name) = function_name(command) else { continue };
            let is_unquoted = context.state == State::Attr
                && context.delimiter == Delimiter::SpaceOrTagEnd
                && name == "html";
            if matches!(name, "html" | "urlquery") && (index + 1 < pipe.commands.len() || is_unquoted) {
                let text = format!("predefined escaper {} disallowed in template", go_quote(name));
                return source.problem(node.position, text);
            }
        }
        let mut escapers: Vec<&'static str> = Vec::with_capacity(3);
        match context.state {
            State::Error => return context,
            State::Url
            | State::CssDouble
            | State::CssSingle
            | State::CssDoubleUrl
            | State::CssSingleUrl
            | State::CssUrl => match context.url_part {
                UrlPart::Unknown => {
                    return source.problem(
                        node.position,
                        format!("{node} appears in an ambiguous context within a URL"),
                    );
                }
                UrlPart::QueryOrFragment => escapers.push("_html_template_urlescaper"),
                part => {
                    if part == UrlPart::None {
                        escapers.push("_html_template_urlfilter");
                    }
                    escapers.push(match context.state {
                        State::CssDouble | State::CssSingle => "_html_template_cssescaper",
                        _ => "_html_template_urlnormalizer",
                    });
                }
            },
            State::Js => {
                escapers.push("_html_template_jsvalescaper");
                // A slash after a value divides.
                context.slash = Slash::Division;
            }
            State::JsDouble | State::JsSingle => escapers.push("_html_template_jsstrescaper"),
            State::JsTemplate => escapers.push("_html_template_jstmpllitescaper"),
            State::JsRegexp => escapers.push("_html_template_jsregexpescaper"),
            State::Css => escapers.push("_html_template_cssvaluefilter"),
            State::Text => escapers.push("_html_template_htmlescaper"),
            State::Rcdata => escapers.push("_html_template_rcdataescaper"),
            State::Attr | State::MetaContent | State::Dead => {}
            State::MetaContentUrl => escapers.push("_html_template_urlfilter"),
            State::AttrName | State::Tag => {
                context.state = State::AttrName;
                escapers.push("_html_template_htmlnamefilter");
            }
            State::Srcset => escapers.push("_html_template_srcsetescaper"),
            _ => escapers.push("_html_template_commentescaper"),
        }
        match context.delimiter {
            Delimiter::None => {}
            Delimiter::SpaceOrTagEnd => escapers.push("_html_template_nospaceescaper"),
            Delimiter::Double | Delimiter::Single => escapers.push("_html_template_attrescaper"),
        }
        self.found.actions.insert(address(node), escapers);
        context
    }

    /// Text: moves the context on, and loses comments and whatever could be read as a tag where none is.
    fn text(&mut self, context: Context, node: &Node, text: &str) -> Context {
        let bytes = text.as_bytes();
        let mut out = Vec::new();
        let (mut context, mut at, mut written) = (context, 0, 0);
        while at != bytes.len() {
            let (next, taken) = after_text(context.clone(), &bytes[at..]);
            let end = at + taken;
            if matches!(context.state, State::Text | State::Rcdata) {
                let mut plain = end;
                if next.state != context.state {
                    plain = bytes[at..end].iter().rposition(|byte| *byte == b'<').map_or(end, |tag| at + tag);
                }
                for tag in at..plain {
                    let is_doctype =
                        bytes[tag..].get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"<!DOCTYPE"));
                    if bytes[tag] == b'<' && !is_doctype {
                        out.extend_from_slice(&bytes[written..tag]);
                        out.extend_from_slice(b"&lt;");
                        written = tag + 1;
                    }
                }
            } else if context.state.is_comment() && context.delimiter == Delimiter::None {
                match context.state {
                    State::JsBlockComment => {
                        let comment = String::from_utf8_lossy(&bytes[written..end]);
                        let ends_line = comment.contains(['\n', '\r', '\u{2028}', '\u{2029}']);
                        out.push(if ends_line { b'\n' } else { b' ' });
                    }
                    State::CssBlockComment => out.push(b' '),
                    _ => {}
                }
                written = end;
            }
            if context.state != next.state && next.state.is_comment() && next.delimiter == Delimiter::None {
                let mark = match next.state {
                    State::HtmlComment | State::JsHtmlOpen => 4,
                    State::JsHtmlClose => 3,
                    _ => 2,
                };
                out.extend_from_slice(&bytes[written..end - mark]);
                written = end;
            }
            if context.state.is_script_literal()
                && let Some(safe) = without_script_tags(&bytes[at..end])
            {
                out.extend_from_slice(&bytes[written..at]);
                out.extend_from_slice(&safe);
                written = end;
            }
            (context, at) = (next, end);
        }
        if written != 0 && context.state != State::Error {
            if !context.state.is_comment() || context.delimiter != Delimiter::None {
                out.extend_from_slice(&bytes[written..]);
            }
            self.found.texts.insert(address(node), String::from_utf8_lossy(&out).into_owned());
        }
        context
    }
}

/// The text with the tags that mean something inside of scripts broken up; `None` if there are none.
fn without_script_tags(text: &[u8]) -> Option<Vec<u8>> {
    let is_tag = |at: usize| {
        let rest = &text[at..];
        ["<script", "</script", "<!--"]
            .iter()
            .any(|tag| rest.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes())))
    };
    let mut out = Vec::with_capacity(text.len());
    let mut is_changed = false;
    for (at, byte) in text.iter().enumerate() {
        if *byte == b'<' && is_tag(at) {
            out.extend_from_slice(b"\\x3C");
            is_changed = true;
        } else {
            out.push(*byte);
        }
    }
    is_changed.then_some(out)
}

/// The context after either of two branches; an error if templates cannot run on from both.
fn join(a: &Context, b: &Context, source: &Source, position: usize, word: &str) -> Context {
    match (a.state, b.state) {
        (State::Error, _) | (_, State::Dead) => return a.clone(),
        (_, State::Error) | (State::Dead, _) => return b.clone(),
        _ => {}
    }
    if a.is_same(b) {
        return a.clone();
    }
    if (Context { url_part: b.url_part, ..a.clone() }).is_same(b) {
        return Context { url_part: UrlPart::Unknown, ..a.clone() };
    }
    if (Context { slash: b.slash, ..a.clone() }).is_same(b) {
        return Context { slash: Slash::Unknown, ..a.clone() };
    }
    let (nudged_a, nudged_b) = (a.nudged(), b.nudged());
    if !(nudged_a.is_same(a) && nudged_b.is_same(b)) {
        let joined = join(&nudged_a, &nudged_b, source, position, word);
        if joined.state != State::Error {
            return joined;
        }
    }
    source.problem(position, format!("{{{{{word}}}}} branches end in different contexts: {a}, {b}"))
}

fn join_loop(mut end: Context, ways: &Loop, source: &Source) -> Context {
    for (points, word) in [(&ways.breaks, "break"), (&ways.continues, "continue")] {
        for (context, position) in points {
            end = join(&end, context, source, *position, "range");
            if let Some(problem) = &end.problem {
                let text = format!("at range loop {word}: {}", problem.text);
                return Context::failed(Problem { text, ..Problem::clone(problem) });
            }
        }
    }
    end
}

fn function_name(command: &Command) -> Option<&str> {
    match &command.words.first()?.kind {
        OperandKind::Function(name) => Some(name),
        _ => None,
    }
}

impl Findings {
    /// Writes the edits into the trees they are about.
    fn commit(self, trees: &mut BTreeMap<String, Tree>) {
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

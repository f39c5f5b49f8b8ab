//! `html/template`: each action gets the escapers that its place in the document asks for.
//!
//! ```text
//! trees ─ walk with a context ─▶ edits (escapers for actions, names for calls, text) ─ commit ─▶ escaped trees
//! ```
//!
//! Here: the walk. Below: contexts and how text moves them, where ways meet, edits, escapers, attributes. A template that is called in several
//! contexts is kept once for each, under a name that says which.
//!
//! Always true: a template either gets escapers in every action or is refused, in Go's words.

mod attribute;
mod context;
mod edits;
mod entity;
pub mod escapers;
mod join;
mod transition;

use std::collections::BTreeMap;
use std::sync::Arc;

use ferula_go::quote::go_quote;

use self::context::{Context, Delimiter, Problem, Slash, State, UrlPart};
use self::edits::{Findings, address, function_name};
use self::join::{Loop, join, join_loop};
use self::transition::after_text;
use crate::ast::{Branch, List, Node, NodeKind, Pipe};
use crate::error::TemplateError;
use crate::tree::{Source, Tree};

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

struct Escaper<'a> {
    trees: &'a BTreeMap<String, Tree>,
    found: Findings,
    loops: Vec<Loop>,
    visits: usize,
    depth: usize,
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

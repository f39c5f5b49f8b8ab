//! A YAML document as nodes with their lines; an alias refers to the node that it repeats.
//!
//! Nodes live in one vector and refer to each other by index, so building or dropping a deeply nested document,
//! or one that refers to itself, takes no stack.

use std::collections::HashMap;

use super::events::{Event, Mark, Parser, SyntaxError};

/// Deeper nesting is refused. Real configurations stay below 20.
const DEPTH_MAX: usize = 1_000;

/// At most this many scalars may hold the escape `\'`; each costs another reading.
const REPAIRS_MAX: usize = 1_000;

/// Index of a node in its tree.
pub(crate) type NodeId = usize;

#[derive(Debug)]
pub(crate) struct Node {
    pub kind: NodeKind,
    pub mark: Mark,
}

#[derive(Debug)]
pub(crate) enum NodeKind {
    Scalar(Scalar),
    Sequence(Vec<NodeId>),
    /// Keys and values in the order written; a key may be `<<`, and may repeat.
    Mapping(Vec<(NodeId, NodeId)>),
    Alias {
        name: String,
        target: NodeId,
    },
}

/// A scalar as written; `resolve` decides its type.
#[derive(Debug)]
pub(crate) struct Scalar {
    pub value: String,
    /// The tag in libyaml's long form (`tag:yaml.org,2002:str`), or "".
    pub tag: String,
    /// Written plain, without a tag.
    pub implicit: bool,
}

impl Scalar {
    /// Whether it is the merge key `<<`.
    pub fn is_merge(&self) -> bool {
        self.value == "<<" && (self.implicit || self.tag == "tag:yaml.org,2002:merge")
    }
}

/// The first document of a text.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    root: NodeId,
    /// Whether another document follows. It is not read.
    pub more_documents: bool,
}

impl Tree {
    /// Reads the first document; `None` when there is none.
    pub fn parse(text: &[u8]) -> Result<Option<Tree>, SyntaxError> {
        let mut repaired: Vec<u8>;
        let mut text = text;
        for _ in 0..REPAIRS_MAX {
            match Self::parse_once(text) {
                Err(error) => match error.repaired(text) {
                    Some(better) => repaired = better,
                    None => return Err(error),
                },
                read => return read,
            }
            text = &repaired;
        }
        Self::parse_once(text)
    }

    fn parse_once(text: &[u8]) -> Result<Option<Tree>, SyntaxError> {
        Builder { parser: Parser::new(text), nodes: Vec::new(), anchors: HashMap::new(), open: Vec::new() }
            .document()
    }

    pub fn root(&self) -> NodeId {
        self.root
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The node, or the node that it repeats if it is an alias.
    pub fn resolved(&self, mut id: NodeId) -> &Node {
        // Anchors are defined before their aliases, so following them always goes backwards.
        while let NodeKind::Alias { target, .. } = self.nodes[id].kind {
            id = target;
        }
        &self.nodes[id]
    }

    /// The text of a scalar node, following aliases.
    pub fn text(&self, id: NodeId) -> Option<&str> {
        match &self.resolved(id).kind {
            NodeKind::Scalar(scalar) => Some(&scalar.value),
            _ => None,
        }
    }

    /// The texts of all scalars, with their lines.
    pub fn scalar_texts_mut(&mut self) -> impl Iterator<Item = (u32, &mut String)> {
        self.nodes.iter_mut().filter_map(|node| match &mut node.kind {
            NodeKind::Scalar(scalar) => Some((node.mark.line, &mut scalar.value)),
            _ => None,
        })
    }

    /// The line of the deepest node that exists along `path`.
    pub fn line_of(&self, path: &[Step]) -> u32 {
        let mut line = self.nodes[self.root].mark.line;
        let mut id = self.root;
        for step in path {
            let next = match (step, &self.resolved(id).kind) {
                (Step::Key(key), NodeKind::Mapping(entries)) => {
                    entries.iter().find(|(k, _)| self.text(*k) == Some(key)).map(|(k, v)| (*k, *v))
                }
                (Step::Index(index), NodeKind::Sequence(items)) => {
                    items.get(*index).map(|item| (*item, *item))
                }
                _ => None,
            };
            let Some((shown, value)) = next else { break };
            line = self.nodes[shown].mark.line;
            id = value;
        }
        line
    }
}

/// One step from a node to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Prints steps as `scrape_configs[0].job_name`.
pub(crate) fn show_path(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
            Step::Index(index) => out.push_str(&format!("[{index}]")),
        }
    }
    out
}

struct Builder<'i> {
    parser: Parser<'i>,
    nodes: Vec<Node>,
    anchors: HashMap<String, NodeId>,
    /// Collections that are not closed yet, outermost first, with the key that waits for its value.
    open: Vec<(NodeId, Option<NodeId>)>,
}

impl Builder<'_> {
    fn document(mut self) -> Result<Option<Tree>, SyntaxError> {
        let mut root = None;
        loop {
            let (event, mark) = self.parser.next()?;
            let (kind, anchor, opens) = match event {
                Event::Boundary => continue,
                Event::StreamEnd => return Ok(self.finish(root, false)),
                Event::DocumentEnd => {
                    // What follows need not even be YAML; it is not read.
                    let more = !matches!(self.parser.next(), Ok((Event::StreamEnd, _)));
                    return Ok(self.finish(root, more));
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    self.open.pop();
                    continue;
                }
                Event::Alias(name) => {
                    let Some(&target) = self.anchors.get(&name) else {
                        return Err(SyntaxError::new(format!("unknown anchor '{name}' referenced")));
                    };
                    (NodeKind::Alias { name, target }, None, false)
                }
                Event::Scalar { value, tag, anchor, plain_implicit } => {
                    (NodeKind::Scalar(Scalar { value, tag, implicit: plain_implicit }), anchor, false)
                }
                Event::SequenceStart(anchor) => (NodeKind::Sequence(Vec::new()), anchor, true),
                Event::MappingStart(anchor) => (NodeKind::Mapping(Vec::new()), anchor, true),
            };
            let id = self.add(kind, mark);
            root.get_or_insert(id);
            if let Some(anchor) = anchor {
                self.anchors.insert(anchor, id);
            }
            if opens {
                if self.open.len() >= DEPTH_MAX {
                    return Err(SyntaxError::new(format!(
                        "line {}: exceeded max depth of {DEPTH_MAX}",
                        mark.line
                    )));
                }
                self.open.push((id, None));
            }
        }
    }

    /// Stores a node and adds it to the innermost open collection.
    fn add(&mut self, kind: NodeKind, mark: Mark) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(Node { kind, mark });
        if let Some((parent, waiting)) = self.open.last_mut() {
            match &mut self.nodes[*parent].kind {
                NodeKind::Sequence(items) => items.push(id),
                NodeKind::Mapping(entries) => match waiting.take() {
                    None => *waiting = Some(id),
                    Some(key) => entries.push((key, id)),
                },
                NodeKind::Scalar(_) | NodeKind::Alias { .. } => unreachable!("only collections are opened"),
            }
        }
        id
    }

    fn finish(self, root: Option<NodeId>, more_documents: bool) -> Option<Tree> {
        Some(Tree { root: root?, nodes: self.nodes, more_documents })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_path() {
        let tree = Tree::parse(b"a:\n  b:\n  - x\n  - c: &t\n      d: 1\ne: *t\n").unwrap().unwrap();
        let key = |name: &str| Step::Key(name.to_owned());
        let path = [key("a"), key("b"), Step::Index(1), key("c"), key("d")];
        assert_eq!(tree.line_of(&path), 5);
        assert_eq!(tree.line_of(&[key("e"), key("d")]), 5);
        assert_eq!(tree.line_of(&[key("a"), key("none")]), 1);
        assert_eq!(show_path(&path), "a.b[1].c.d");
    }

    #[test]
    fn an_escaped_quote_is_a_quote_as_in_go() {
        let text = r#"["it\'s \" \'", 'x\', "ä\\", "\'"]"#;
        let tree = Tree::parse(text.as_bytes()).unwrap().unwrap();
        let NodeKind::Sequence(items) = &tree.node(tree.root()).kind else { panic!("a list") };
        let texts: Vec<&str> = items.iter().filter_map(|item| tree.text(*item)).collect();
        assert_eq!(texts, ["it's \" '", "x\\", "ä\\", "'"]);
        assert!(Tree::parse(br#"["\q"]"#).is_err());
    }

    #[test]
    fn empty_text_has_no_document_and_depth_is_bounded() {
        assert!(Tree::parse(b"").unwrap().is_none());
        assert!(Tree::parse(b"# only a comment\n").unwrap().is_none());
        assert_eq!(
            Tree::parse(b"a: 1\n---\nb: 2\n").unwrap().unwrap().nodes.len(),
            3,
            "only the first is read"
        );
        let deep = "[".repeat(100_000);
        assert!(Tree::parse(deep.as_bytes()).unwrap_err().to_string().contains("max depth"));
    }
}

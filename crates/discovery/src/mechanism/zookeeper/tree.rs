//! The nodes below the paths, and the requests about them that are still to be sent. Does no I/O.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::connection::{Request, ZooKeeperError};
use crate::TargetGroup;

/// Maximum number of nodes.
const NODES_MAX: usize = 1_000_000;
/// Maximum amount of data in all nodes together.
const BYTES_MAX: usize = 256 << 20;
/// Maximum depth of a path.
const DEPTH_MAX: usize = 100;

#[derive(Default)]
struct Node {
    children: BTreeSet<String>,
    data_bytes: usize,
    /// The member that the node represents, if it is one.
    group: Option<Arc<TargetGroup>>,
}

/// Everything below some paths.
pub(super) struct Tree {
    roots: Vec<String>,
    nodes: BTreeMap<String, Node>,
    bytes: usize,
    queue: VecDeque<Request>,
    /// Roots that do not exist.
    missing: BTreeSet<String>,
    is_changed: bool,
}

impl Tree {
    pub(super) fn new(paths: &[String]) -> Self {
        let mut tree = Tree {
            roots: paths.to_vec(),
            nodes: BTreeMap::new(),
            bytes: 0,
            queue: VecDeque::new(),
            missing: BTreeSet::new(),
            is_changed: true,
        };
        tree.look_again();
        tree
    }

    /// Requests the paths themselves again; known nodes have their watches.
    pub(super) fn look_again(&mut self) {
        let unknown: Vec<String> =
            self.roots.iter().filter(|root| !self.nodes.contains_key(*root)).cloned().collect();
        unknown.iter().for_each(|root| self.ask(root));
        self.is_changed = true;
    }

    fn ask(&mut self, path: &str) {
        self.queue.push_back(Request::Data(path.to_owned()));
        self.queue.push_back(Request::Children(path.to_owned()));
    }

    pub(super) fn next_request(&mut self) -> Option<Request> {
        self.queue.pop_front()
    }

    /// A watch was triggered. Both requests are repeated: which of them it was for does not matter.
    pub(super) fn changed(&mut self, path: &str) {
        if self.nodes.contains_key(path) {
            self.ask(path);
        }
    }

    /// Stores the data of a node.
    pub(super) fn data(
        &mut self,
        path: &str,
        data_bytes: usize,
        group: Option<Arc<TargetGroup>>,
    ) -> Result<(), ZooKeeperError> {
        if !self.nodes.contains_key(path) && self.nodes.len() >= NODES_MAX {
            return Err(ZooKeeperError::TooManyNodes(NODES_MAX));
        }
        let node = self.nodes.entry(path.to_owned()).or_default();
        self.bytes = self.bytes - node.data_bytes + data_bytes;
        node.data_bytes = data_bytes;
        node.group = group;
        self.is_changed = true;
        if self.bytes > BYTES_MAX { Err(ZooKeeperError::TooManyBytes(BYTES_MAX)) } else { Ok(()) }
    }

    /// Stores the names of a node's children: new ones are requested, and missing ones are removed.
    pub(super) fn children(&mut self, path: &str, names: Vec<String>) -> Result<(), ZooKeeperError> {
        if path.matches('/').count() >= DEPTH_MAX && !names.is_empty() {
            return Err(ZooKeeperError::TooDeep(DEPTH_MAX));
        }
        if self.nodes.len() + names.len() > NODES_MAX {
            return Err(ZooKeeperError::TooManyNodes(NODES_MAX));
        }
        let names: BTreeSet<String> = names.into_iter().collect();
        let node = self.nodes.entry(path.to_owned()).or_default();
        let before = std::mem::replace(&mut node.children, names.clone());
        for gone in before.difference(&names) {
            self.remove(&child(path, gone));
        }
        for new in names.difference(&before) {
            self.ask(&child(path, new));
        }
        self.is_changed = true;
        Ok(())
    }

    /// Removes a node and everything below it.
    pub(super) fn remove(&mut self, path: &str) {
        self.is_changed = true;
        if self.roots.iter().any(|root| root == path) {
            self.missing.insert(path.to_owned());
        }
        let mut open = vec![path.to_owned()];
        while let Some(path) = open.pop() {
            if let Some(node) = self.nodes.remove(&path) {
                self.bytes -= node.data_bytes;
                open.extend(node.children.iter().map(|name| child(&path, name)));
            }
        }
        // It may be created again under the same name.
        if let Some((parent, name)) = path.rsplit_once('/') {
            let parent = if parent.is_empty() { "/" } else { parent };
            if let Some(parent) = self.nodes.get_mut(parent) {
                parent.children.remove(name);
            }
        }
    }

    /// Whether anything has changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// Takes the paths that do not exist.
    pub(super) fn take_missing(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.missing)
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn groups(&self) -> Vec<Arc<TargetGroup>> {
        self.nodes.values().filter_map(|node| node.group.clone()).collect()
    }
}

fn child(path: &str, name: &str) -> String {
    if path == "/" { format!("/{name}") } else { format!("{path}/{name}") }
}

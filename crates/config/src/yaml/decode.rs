//! Trees into typed values, as go-yaml's strict decoder fills structs.
//!
//! There are two kinds of failure. A type error (a wrong type, an unknown or repeated key) is collected and reading
//! continues, so that one run reports all of them. A failed check of a section ends the reading at once.

use std::collections::{BTreeMap, HashSet};

use ferula_go::quote::go_quote;

use super::dialect::Dialect;
use super::emit::PrintedValue;
use super::events::Mark;
use super::resolve::{Resolved, resolve};
use super::tree::{Node, NodeId, NodeKind, Scalar, Step, Tree};
use crate::alertmanager::syntax::MatcherSyntax;
use crate::closest::closest;
use crate::error::{ConfigError, Problem};

/// A value that a YAML node can fill.
pub(crate) trait Value: Sized {
    /// The value that a YAML null stands for: Go's zero value, which is not the section's default.
    fn zero() -> Self;
    /// Fills the value from a node that is neither null nor an alias. Type errors go to `d`.
    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem>;
    /// Go's name of the type, for messages.
    fn go_type() -> String;
    /// Whether `omitempty` leaves it out of the printed configuration.
    fn is_zero(&self) -> bool;
    /// The printed form.
    fn print(&self) -> PrintedValue;
    /// Joins the file names inside with the directory of the configuration file.
    fn join_directory(&mut self, _dir: &str) {}
}

/// Reads one tree.
pub(crate) struct Decoder<'t> {
    tree: &'t Tree,
    type_errors: Vec<String>,
    /// The key that an unknown one was probably meant to be.
    suggestion: Option<String>,
    path: Vec<Step>,
    /// Aliases that are being followed, to notice one that leads back to itself.
    following: Vec<NodeId>,
    /// The alias that the value being decoded stands for.
    asked_by_alias: Option<NodeId>,
    pub dialect: Dialect,
    /// Below a key that holds a secret: no error shows a value.
    secret: bool,
    /// How Alertmanager's matchers are read.
    pub matcher_syntax: MatcherSyntax,
    /// The directory of secret files; without it, secrets can only be texts.
    pub secret_directory: Option<String>,
    /// What was accepted, but deserves a warning.
    warnings: Vec<Problem>,
    /// Failed checks, if reading continues after them.
    failed: Option<Vec<Problem>>,
    /// Places whose values are not what the file says.
    doubtful: Vec<Vec<Step>>,
    /// Whether reading ends at the first failure after all.
    gave_up: bool,
    decoded: u64,
    decoded_by_alias: u64,
}

/// go-yaml's guard against documents that multiply ("billion laughs"): up to the lower count, nearly all values may
/// come from aliases; from there to the higher count, a falling share.
const ALIAS_RANGE_LOW: f64 = 400_000.0;
const ALIAS_RANGE_HIGH: f64 = 4_000_000.0;

/// What reading a whole file found.
pub(crate) struct ReadToEnd {
    pub errors: Vec<ConfigError>,
    pub warnings: Vec<Problem>,
    /// Places of values that could not be read: what depends on them may look wrong, too.
    pub doubtful: Vec<Vec<Step>>,
}

/// After so many failed checks, reading ends.
const FAILED_MAX: usize = 100;

/// Reads the first document of `text` into `out`, which keeps its value when the document is empty.
pub(crate) fn decode_document<T: Value>(text: &[u8], out: &mut T) -> Result<Option<Tree>, ConfigError> {
    let tree = Tree::parse(text).map_err(|error| ConfigError::bare(error.to_string()))?;
    if let Some(tree) = &tree {
        decode_tree(tree, Dialect::V2, out)?;
    }
    Ok(tree)
}

/// Reads a whole tree into `out`.
pub(crate) fn decode_tree<T: Value>(tree: &Tree, dialect: Dialect, out: &mut T) -> Result<(), ConfigError> {
    Decoder::new(tree, dialect).run(out).map(|_| ())
}

impl<'t> Decoder<'t> {
    pub fn new(tree: &'t Tree, dialect: Dialect) -> Self {
        Decoder {
            tree,
            type_errors: Vec::new(),
            suggestion: None,
            path: Vec::new(),
            following: Vec::new(),
            asked_by_alias: None,
            dialect,
            secret: false,
            matcher_syntax: MatcherSyntax::default(),
            secret_directory: None,
            warnings: Vec::new(),
            failed: None,
            doubtful: Vec::new(),
            gave_up: false,
            decoded: 0,
            decoded_by_alias: 0,
        }
    }

    /// Reads the whole tree into `out`; returns the warnings.
    pub fn run<T: Value>(mut self, out: &mut T) -> Result<Vec<Problem>, ConfigError> {
        self.read(out, self.tree.root()).map_err(|problem| ConfigError::of_problem(&problem, self.tree))?;
        if self.type_errors.is_empty() {
            return Ok(self.warnings);
        }
        let error =
            ConfigError::bare(format!("yaml: unmarshal errors:\n  {}", self.type_errors.join("\n  ")));
        Err(error.with_suggestion(self.suggestion))
    }

    /// Reads the whole tree into `out`, as far as possible. The first of the problems is the one with which [`Decoder::run`] ends.
    pub fn run_to_end<T: Value>(mut self, out: &mut T) -> ReadToEnd {
        self.failed = Some(Vec::new());
        let last = self.read(out, self.tree.root());
        let failed = self.failed.take().unwrap_or_default().into_iter().chain(last.err());
        let mut errors: Vec<ConfigError> =
            failed.map(|problem| ConfigError::of_problem(&problem, self.tree)).collect();
        if !self.type_errors.is_empty() {
            let text = format!("yaml: unmarshal errors:\n  {}", self.type_errors.join("\n  "));
            errors.push(ConfigError::bare(text).with_suggestion(self.suggestion));
        }
        ReadToEnd { errors, warnings: self.warnings, doubtful: self.doubtful }
    }

    /// Notes a failure, if reading continues after it.
    fn kept(&mut self, result: Result<(), Problem>) -> Result<(), Problem> {
        match (result, &mut self.failed) {
            (Err(problem), Some(failed)) if !self.gave_up && failed.len() < FAILED_MAX => {
                self.doubtful.push(problem.path.clone());
                failed.push(problem);
                Ok(())
            }
            (result, _) => result,
        }
    }

    /// Notes which known key an unknown one was probably meant to be; the first counts.
    pub fn suggest(&mut self, key: &str, known: &[&'static str]) {
        if self.suggestion.is_none() {
            self.suggestion = closest(key, known.iter().copied()).map(str::to_owned);
        }
    }

    /// Notes something about the place that is being read that its author should know.
    pub fn warn(&mut self, text: impl Into<String>) {
        let warning = self.problem(text);
        self.warnings.push(warning);
    }

    /// Fills `out` from a node: follows aliases, turns null into the zero value.
    pub fn read<T: Value>(&mut self, out: &mut T, id: NodeId) -> Result<(), Problem> {
        self.asked_by_alias = None;
        self.read_node(out, id)
    }

    fn read_node<T: Value>(&mut self, out: &mut T, id: NodeId) -> Result<(), Problem> {
        self.count()?;
        match &self.tree.node(id).kind {
            NodeKind::Alias { name, target } => {
                self.asked_by_alias.get_or_insert(id);
                if self.following.contains(&id) {
                    return Err(self.problem(format!("yaml: anchor '{name}' value contains itself")));
                }
                self.following.push(id);
                let result = self.read_node(out, *target);
                self.following.pop();
                result
            }
            NodeKind::Scalar(scalar) if self.is_null(scalar)? => {
                // Version 3 leaves the value as it is, which is zero in every section that it reads.
                if self.dialect == Dialect::V2 {
                    *out = T::zero();
                }
                Ok(())
            }
            _ => {
                let decoded = out.decode(id, self);
                self.kept(decoded)
            }
        }
    }

    fn is_null(&self, scalar: &Scalar) -> Result<bool, Problem> {
        Ok(self.resolve(scalar)? == Resolved::Null)
    }

    /// Refuses documents whose aliases multiply without bound.
    fn count(&mut self) -> Result<(), Problem> {
        self.decoded += 1;
        self.decoded_by_alias += u64::from(!self.following.is_empty());
        if self.decoded_by_alias > 100 && self.decoded > 1000 {
            let decoded = self.decoded as f64;
            let span = ((decoded - ALIAS_RANGE_LOW) / (ALIAS_RANGE_HIGH - ALIAS_RANGE_LOW)).clamp(0.0, 1.0);
            if self.decoded_by_alias as f64 / decoded > 0.99 - 0.89 * span {
                self.gave_up = true;
                return Err(self.problem("yaml: document contains excessive aliasing"));
            }
        }
        Ok(())
    }

    /// A problem at the place that is being read.
    pub fn problem(&self, text: impl Into<String>) -> Problem {
        Problem { text: text.into(), path: self.path.clone() }
    }

    /// A problem somewhere below the place that is being read.
    pub fn below(&self, mut problem: Problem) -> Problem {
        problem.path.splice(0..0, self.path.iter().cloned());
        problem
    }

    pub fn node(&self, id: NodeId) -> &'t Node {
        self.tree.node(id)
    }

    /// Where the value being decoded was written: the place of the alias if there is one.
    pub fn mark(&self, id: NodeId) -> Mark {
        self.tree.node(self.asked_by_alias.unwrap_or(id)).mark
    }

    /// The number of errors so far. A section that added to it skips its own checks.
    pub fn errors(&self) -> usize {
        self.type_errors.len() + self.failed.as_ref().map_or(0, Vec::len)
    }

    pub fn type_error(&mut self, line: u32, text: &str) {
        self.type_errors.push(format!("line {line}: {text}"));
    }

    /// Notes that the node cannot become a `into`.
    pub fn wrong_type(&mut self, id: NodeId, into: &str) -> Result<(), Problem> {
        let node = self.tree.node(id);
        let shown = match &node.kind {
            NodeKind::Sequence(_) => "!!seq".to_owned(),
            NodeKind::Mapping(_) => "!!map".to_owned(),
            NodeKind::Alias { .. } => unreachable!("aliases are followed before decoding"),
            NodeKind::Scalar(scalar) => {
                let tag = match scalar.tag.strip_prefix("tag:yaml.org,2002:") {
                    Some(short) => format!("!!{short}"),
                    None if !scalar.tag.is_empty() => scalar.tag.clone(),
                    None => self.resolve(scalar)?.tag().to_owned(),
                };
                let value = if self.secret { "<secret>".to_owned() } else { shortened(&scalar.value) };
                format!("{tag} `{value}`")
            }
        };
        self.type_error(node.mark.line, &format!("cannot unmarshal {shown} into {into}"));
        self.doubtful.push(self.path.clone());
        Ok(())
    }

    pub fn resolve(&self, scalar: &Scalar) -> Result<Resolved, Problem> {
        resolve(scalar, self.dialect).map_err(|text| {
            let text =
                if self.secret { text.replace(&format!("`{}`", scalar.value), "`<secret>`") } else { text };
            self.problem(format!("yaml: {text}"))
        })
    }

    /// Runs `read` one step further down, so that problems name the place.
    pub fn step<R>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> R) -> R {
        let secret = self.secret;
        self.secret |= matches!(&step, Step::Key(key) if holds_secret(key));
        self.path.push(step);
        let result = read(self);
        self.path.pop();
        self.secret = secret;
        result
    }

    /// Whether a list skips the item: a null, in version 3.
    pub fn skips_item(&self, id: NodeId) -> Result<bool, Problem> {
        match &self.tree.resolved(id).kind {
            NodeKind::Scalar(scalar) if self.dialect != Dialect::V2 => self.is_null(scalar),
            _ => Ok(false),
        }
    }

    /// Calls `set` with each key of a mapping, those of merged mappings included. A key that is not text, or
    /// appears twice, is a type error. `set` returns whether it knows the key.
    pub fn fields(
        &mut self,
        id: NodeId,
        go_type: &str,
        set: &mut dyn FnMut(&str, NodeId, &mut Self) -> Result<bool, Problem>,
    ) -> Result<(), Problem> {
        let NodeKind::Mapping(entries) = &self.tree.node(id).kind else {
            return self.wrong_type(id, go_type);
        };
        if let Dialect::V3 { strict } = self.dialect {
            for (key, key_id, value_id) in self.own_then_merged(id)? {
                let known = self.step(Step::Key(key.clone()), |d| set(&key, value_id, d))?;
                if !known && strict {
                    let line = self.tree.node(key_id).mark.line;
                    self.type_error(line, &format!("field {key} not found in type {go_type}"));
                }
            }
            return Ok(());
        }
        let mut seen: Vec<String> = Vec::with_capacity(entries.len());
        for (key_id, value_id) in entries {
            if self.is_merge(*key_id) {
                for merged in self.merged(*value_id)? {
                    self.through_alias(merged, &mut |target, d| d.fields(target, go_type, set))?;
                }
                continue;
            }
            let mut key = String::new();
            let before = self.errors();
            self.read(&mut key, *key_id)?;
            if self.errors() > before {
                continue;
            }
            let line = self.tree.node(*key_id).mark.line;
            if seen.contains(&key) {
                self.type_error(line, &format!("field {key} already set in type {go_type}"));
                continue;
            }
            let known = self.step(Step::Key(key.clone()), |d| set(&key, *value_id, d))?;
            if known {
                seen.push(key);
            } else {
                self.type_error(line, &format!("field {key} not found in type {go_type}"));
            }
        }
        Ok(())
    }

    /// The entries of a mapping by go-yaml v3's rules: first its own, then those of merged mappings that it
    /// lacks. A repeated key is a type error, and the mapping is then taken as empty.
    pub fn own_then_merged(&mut self, id: NodeId) -> Result<Vec<(String, NodeId, NodeId)>, Problem> {
        let mut all = Vec::new();
        self.add_entries(id, &mut HashSet::new(), &mut all)?;
        Ok(all)
    }

    fn add_entries(
        &mut self,
        id: NodeId,
        seen: &mut HashSet<String>,
        all: &mut Vec<(String, NodeId, NodeId)>,
    ) -> Result<(), Problem> {
        let NodeKind::Mapping(entries) = &self.tree.node(id).kind else { return Ok(()) };
        let mut first_line: BTreeMap<&str, u32> = BTreeMap::new();
        let before = self.errors();
        for (key_id, _) in entries {
            let Some(text) = self.tree.text(*key_id) else { continue };
            let line = self.tree.node(*key_id).mark.line;
            match first_line.get(text) {
                Some(first) => {
                    let text = format!("mapping key {} already defined at line {first}", go_quote(text));
                    self.type_error(line, &text);
                }
                None => {
                    first_line.insert(text, line);
                }
            }
        }
        if self.errors() > before {
            return Ok(());
        }
        let mut merges = Vec::new();
        for (key_id, value_id) in entries {
            if self.is_merge(*key_id) {
                merges.push(*value_id);
                continue;
            }
            // Version 3 skips the key `null`, and only version 3 gets here.
            if self.skips_item(*key_id)? {
                continue;
            }
            let mut key = String::new();
            let before = self.errors();
            self.read(&mut key, *key_id)?;
            if self.errors() == before && seen.insert(key.clone()) {
                all.push((key, *key_id, *value_id));
            }
        }
        for merge in merges {
            // In a list of mappings the earlier one wins.
            for merged in self.merged(merge)?.into_iter().rev() {
                self.through_alias(merged, &mut |target, d| d.add_entries(target, seen, all))?;
            }
        }
        Ok(())
    }

    pub fn is_merge(&self, key: NodeId) -> bool {
        matches!(&self.tree.node(key).kind, NodeKind::Scalar(scalar) if scalar.is_merge())
    }

    /// The mappings that a merge key brings in, those that take precedence last.
    pub fn merged(&self, value: NodeId) -> Result<Vec<NodeId>, Problem> {
        let is_mapping = |id: NodeId| matches!(self.tree.resolved(id).kind, NodeKind::Mapping(_));
        let all = match &self.tree.node(value).kind {
            NodeKind::Sequence(items) => items.iter().rev().copied().collect(),
            _ => vec![value],
        };
        if all.iter().all(|id| is_mapping(*id)) {
            Ok(all)
        } else {
            Err(self.problem("yaml: map merge requires map or sequence of maps as the value"))
        }
    }

    /// Calls `read` with the node that `id` stands for.
    pub fn through_alias(
        &mut self,
        id: NodeId,
        read: &mut dyn FnMut(NodeId, &mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let NodeKind::Alias { name, target } = &self.tree.node(id).kind else { return read(id, self) };
        if self.following.contains(&id) {
            return Err(self.problem(format!("yaml: anchor '{name}' value contains itself")));
        }
        self.following.push(id);
        let result = self.count().and_then(|()| self.through_alias(*target, read));
        self.following.pop();
        result
    }

    /// The secret of a mapping `{file: NAME}`; `None` for anything else.
    pub fn secret_file(&mut self, id: NodeId) -> Result<Option<String>, Problem> {
        let (Some(directory), NodeKind::Mapping(entries)) =
            (&self.secret_directory, &self.tree.node(id).kind)
        else {
            return Ok(None);
        };
        let [(key, value)] = entries.as_slice() else { return Ok(None) };
        let (Some("file"), Some(name)) = (self.tree.text(*key), self.tree.text(*value)) else {
            return Ok(None);
        };
        let mut file = name.to_owned();
        crate::files::join_path(directory, &mut file);
        let read = crate::files::read_file(std::path::Path::new(&file));
        let text = read.map_err(|error| {
            let problem = self.problem(error.to_string());
            Problem { path: problem.path.into_iter().chain([Step::Key("file".into())]).collect(), ..problem }
        })?;
        Ok(Some(text.trim().to_owned()))
    }

    /// The bytes of a scalar that is read as text: as written, or decoded from base64.
    pub fn text(&mut self, id: NodeId) -> Result<Option<Vec<u8>>, Problem> {
        let NodeKind::Scalar(scalar) = &self.tree.node(id).kind else {
            self.wrong_type(id, "string")?;
            return Ok(None);
        };
        Ok(Some(match self.resolve(scalar)? {
            Resolved::Binary(bytes) => bytes,
            _ => scalar.value.clone().into_bytes(),
        }))
    }
}

/// Whether a key's value, or one below it, is a secret. Sections are listed too, because people easily write the secret
/// in their place: `basic_auth: user:password`.
fn holds_secret(key: &str) -> bool {
    matches!(
        key,
        "application_credential_secret"
            | "auth_token"
            | "authorization"
            | "azuread"
            | "basic_auth"
            | "bearer_token"
            | "client_certificate_key"
            | "client_secret"
            | "credentials"
            | "headers"
            | "http_headers"
            | "key"
            | "key_passphrase"
            | "oauth2"
            | "password"
            | "proxy_connect_header"
            | "secret_key"
            | "secrets"
            | "sigv4"
            | "token"
    )
}

/// As go-yaml shows a value in a type error: whole up to 10 bytes, else 7 and dots.
fn shortened(value: &str) -> String {
    if value.len() <= 10 {
        return value.to_owned();
    }
    let end = (0..=7).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &value[..end])
}

//! Loads the configuration from files: the main file, the parts that it names, variables, and the place of each value.
//!
//! ```text
//! main file ─ variables ─► tree ─► sections ◄─ routes, receivers, … of each part, appended in the order of the names
//!                                     └─► complete ─ a problem ─► the file and line that it came from
//! ```
//!
//! A part is independent: its routes are below the root, need matchers, and use receivers of the part or of the
//! main file, never those of another part.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ferula_go::quote::go_quote;

use super::files::{FilePlace, LoadOptions};
use super::receiver::Receiver;
use super::route::{InhibitRule, Route};
use super::syntax::MatcherSyntax;
use super::time_interval::NamedTimeInterval;
use super::{AlertmanagerConfig, Sections};
use crate::error::{ConfigError, Naming, Problem};
use crate::files::{directory_of, read_file};
use crate::glob::glob;
use crate::http_client::FileNames;
use crate::section::section;
use crate::yaml::decode::{Decoder, ReadToEnd, Value};
use crate::yaml::dialect::Dialect;
use crate::yaml::tree::{Step, Tree, show_path};

section! {
    /// A file that `config_files` names.
    pub(super) struct IncludedFile as "config.Part" {
        omit routes: Vec<Option<Route>>;
        omit inhibit_rules: Vec<InhibitRule>;
        omit receivers: Vec<Receiver>;
        keep templates: FileNames;
        omit time_intervals: Vec<NamedTimeInterval>;
    }
}

/// A file that was read.
struct Source {
    file: PathBuf,
    tree: Tree,
    /// How many items of each list precede those of this file.
    before: Counts,
}

impl Source {
    /// Where something of this part is in the whole configuration.
    fn whole_path(&self, path: &[Step]) -> Vec<Step> {
        let mut whole = path.to_vec();
        let (Some(Step::Key(key)), Some(Step::Index(index))) = (path.first(), path.get(1)) else {
            return whole;
        };
        let (before, is_below_root) = match key.as_str() {
            "routes" => (self.before.routes, true),
            "inhibit_rules" => (self.before.inhibit_rules, false),
            "receivers" => (self.before.receivers, false),
            "time_intervals" => (self.before.time_intervals, false),
            _ => (0, false),
        };
        whole[1] = Step::Index(index + before);
        if is_below_root {
            whole.insert(0, Step::Key("route".into()));
        }
        whole
    }
}

/// Lengths of the lists that parts add to.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    routes: usize,
    inhibit_rules: usize,
    receivers: usize,
    time_intervals: usize,
}

impl Counts {
    fn of(sections: &Sections) -> Self {
        Counts {
            routes: sections.route.as_ref().map_or(0, |root| root.routes.len()),
            inhibit_rules: sections.inhibit_rules.len(),
            receivers: sections.receivers.len(),
            time_intervals: sections.time_intervals.len(),
        }
    }
}

/// The files of a configuration, the main one first.
struct Sources(Vec<Source>);

impl Sources {
    /// The file in which a path of the whole configuration is, and its path there.
    fn origin<'p>(&'p self, path: &[Step]) -> (&'p Source, Vec<Step>) {
        let [main, ..] = self.0.as_slice() else { unreachable!("the main file is always there") };
        let key = |at: usize| match path.get(at) {
            Some(Step::Key(key)) => key.as_str(),
            _ => "",
        };
        // The root's children are at the top of a part.
        let at = if (key(0), key(1)) == ("route", "routes") { 1 } else { 0 };
        let Some(Step::Index(index)) = path.get(at + 1) else { return (main, path.to_vec()) };
        let before = |source: &Source| match key(at) {
            "routes" => Some(source.before.routes),
            "inhibit_rules" => Some(source.before.inhibit_rules),
            "receivers" => Some(source.before.receivers),
            "time_intervals" => Some(source.before.time_intervals),
            _ => None,
        };
        let owner = self.0.iter().skip(1).rev().find(|source| before(source).is_some_and(|n| n <= *index));
        match owner {
            None => (main, path.to_vec()),
            Some(source) => {
                let mut local = path[at..].to_vec();
                local[1] = Step::Index(index - before(source).unwrap_or(0));
                (source, local)
            }
        }
    }

    fn error(&self, problem: &Problem) -> ConfigError {
        let (source, path) = self.origin(&problem.path);
        let is_main = std::ptr::eq(source, &self.0[0]);
        let error = ConfigError::of_problem(&Problem { text: problem.text.clone(), path }, &source.tree);
        error.in_file(&source.file, if is_main { Naming::None } else { Naming::Quoted })
    }

    /// Where the value at a path is; for an omitted one, the section that lacks it.
    fn place(&self, path: &[Step]) -> FilePlace {
        let (source, local) = self.origin(path);
        FilePlace { file: source.file.clone(), line: source.tree.line_of(&local) }
    }
}

impl AlertmanagerConfig {
    /// Reads a file and its parts. Variables are not replaced; see [`AlertmanagerConfig::load_with`].
    ///
    /// # Errors
    /// See [`AlertmanagerConfig::load_with`].
    pub fn load(file: &Path, syntax: MatcherSyntax) -> Result<Self, ConfigError> {
        AlertmanagerConfig::load_with(file, LoadOptions { syntax, expands_variables: false })
    }

    /// Reads a file and its parts; relative file names become relative to the directory of the file that has them.
    ///
    /// # Errors
    /// As [`AlertmanagerConfig::parse`], with the file if it is a part; or a file cannot be
    /// read.
    pub fn load_with(file: &Path, options: LoadOptions) -> Result<Self, ConfigError> {
        AlertmanagerConfig::check(file, options).map_err(|errors| {
            errors.into_iter().next().unwrap_or_else(|| ConfigError::bare("the configuration is invalid"))
        })
    }

    /// The same, with everything that is wrong.
    ///
    /// # Errors
    /// At least one. The first is that of [`AlertmanagerConfig::load_with`].
    pub fn check(file: &Path, options: LoadOptions) -> Result<Self, Vec<ConfigError>> {
        let alone = |error: ConfigError| vec![error];
        let text = read_file(file).map_err(alone)?;
        let in_main = |error: ConfigError| error.in_file(file, Naming::None);
        let Some(tree) = parse_tree(&text, options).map_err(|error| vec![in_main(error)])? else {
            return Err(vec![in_main(ConfigError::bare("no route provided in config"))]);
        };
        let mut sections = Sections::default();
        let read = decode(&tree, file, options, &mut sections);
        let mut errors: Vec<ConfigError> = read.errors.into_iter().map(in_main).collect();
        let (mut warnings, mut doubtful) = (shown(&read.warnings, &tree), read.doubtful);
        sections.join_directory(&directory_of(file));
        let own_receivers: BTreeSet<String> =
            sections.receivers.iter().map(|receiver| receiver.name.clone()).collect();
        let mut sources = Sources(vec![Source { file: file.to_owned(), tree, before: Counts::default() }]);
        for part in part_files(&sections.config_files, file).map_err(|error| vec![in_main(error)])? {
            let in_part = |error: ConfigError| error.in_file(&part, Naming::Quoted);
            let text = match read_file(&part) {
                Ok(text) => text,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            let tree = match parse_tree(&text, options) {
                Ok(Some(tree)) => tree,
                Ok(None) => continue,
                Err(error) => {
                    errors.push(in_part(error));
                    continue;
                }
            };
            let mut content = IncludedFile::default();
            let read = decode(&tree, &part, options, &mut content);
            let of_part = shown(&read.warnings, &tree);
            warnings.extend(of_part.into_iter().map(|warning| format!("{}: {warning}", part.display())));
            content.join_directory(&directory_of(&part));
            let is_doubtful = is_any_above_or_below(&read.doubtful);
            let problems = content.problems(&own_receivers).into_iter().filter(|one| !is_doubtful(&one.path));
            let problems: Vec<ConfigError> =
                problems.map(|one| ConfigError::of_problem(&one, &tree)).collect();
            errors.extend(read.errors.into_iter().chain(problems).map(in_part));
            let before = Counts::of(&sections);
            content.move_into(&mut sections);
            let source = Source { file: part.clone(), tree, before };
            doubtful.extend(read.doubtful.iter().map(|path| source.whole_path(path)));
            sources.0.push(source);
        }
        let is_doubtful = is_any_above_or_below(&doubtful);
        let problems = sections.complete(options.syntax);
        errors.extend(problems.iter().filter(|one| !is_doubtful(&one.path)).map(|one| sources.error(one)));
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut config = AlertmanagerConfig { sections, warnings, places: Default::default() };
        config.note_places(&sources);
        Ok(config)
    }

    fn note_places(&mut self, sources: &Sources) {
        for (at, receiver) in self.sections.receivers.iter().enumerate() {
            for integration in receiver.texts() {
                let key = format!("{}_configs", integration.service);
                let base = [
                    Step::Key("receivers".into()),
                    Step::Index(at),
                    Step::Key(key),
                    Step::Index(integration.index),
                ];
                for text in integration.texts.iter().filter(|text| text.text.contains("{{")) {
                    let path: Vec<Step> = base.iter().cloned().chain(steps(&text.path)).collect();
                    self.places.insert(show_path(&path), sources.place(&path));
                }
            }
        }
    }
}

/// The steps of a displayed path.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for piece in path.split('.') {
        let (key, mut rest) = piece.split_at(piece.find('[').unwrap_or(piece.len()));
        steps.push(Step::Key(key.to_owned()));
        while let Some((index, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            steps.push(Step::Index(index.parse().unwrap_or(usize::MAX)));
            rest = after;
        }
    }
    steps
}

impl IncludedFile {
    /// What is wrong with a part: its routes need matchers, and may only use its own receivers and the main file's.
    fn problems(&self, main_receivers: &BTreeSet<String>) -> Vec<Problem> {
        let own: BTreeSet<&str> = self.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
        let mut found = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            // The whole configuration is refused because of it.
            let Some(route) = route else { continue };
            let mut problems =
                foreign_receivers(route, &|name| own.contains(name) || main_receivers.contains(name));
            if !route.has_matchers() {
                let text = "a route of a part must have matchers, or it would take the alerts of others";
                problems.insert(0, Problem::new(text));
            }
            found.extend(problems.into_iter().map(|problem| problem.at_item("routes", index)));
        }
        found
    }

    fn move_into(self, sections: &mut Sections) {
        if let Some(root) = &mut sections.route {
            root.routes.extend(self.routes);
        }
        sections.inhibit_rules.extend(self.inhibit_rules);
        sections.receivers.extend(self.receivers);
        sections.templates.0.extend(self.templates.0);
        sections.time_intervals.extend(self.time_intervals);
    }
}

fn foreign_receivers(route: &Route, is_known: &impl Fn(&str) -> bool) -> Vec<Problem> {
    let mut found = Vec::new();
    if !route.receiver.is_empty() && !is_known(&route.receiver) {
        let text = format!(
            "undefined receiver {} used in route: a part uses its own receivers and those of the main file",
            go_quote(&route.receiver)
        );
        found.push(Problem::new(text).at("receiver"));
    }
    for (index, child) in route.routes.iter().enumerate() {
        let Some(child) = child else { continue };
        let below = foreign_receivers(child, is_known);
        found.extend(below.into_iter().map(|problem| problem.at_item("routes", index)));
    }
    found
}

/// Whether a path leads to one of these places, or to something around them: what is wrong there may follow from what is
/// known to be wrong.
fn is_any_above_or_below(places: &[Vec<Step>]) -> impl Fn(&[Step]) -> bool {
    |path| places.iter().any(|place| place.iter().zip(path).all(|(one, other)| one == other))
}

/// The files that match the patterns, each once, without the main file. A name without wildcards must exist.
fn part_files(patterns: &FileNames, main: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files: Vec<PathBuf> = Vec::new();
    for pattern in &patterns.0 {
        let found = glob(pattern);
        if found.is_empty() && !pattern.contains(['*', '?', '[']) {
            return Err(ConfigError::bare(format!(
                "open {pattern}: no such file or directory (of config_files)"
            )));
        }
        for file in found.into_iter().map(PathBuf::from) {
            if file != main && !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn decode<T: Value>(tree: &Tree, file: &Path, options: LoadOptions, out: &mut T) -> ReadToEnd {
    let mut decoder = Decoder::new(tree, Dialect::V2);
    decoder.matcher_syntax = options.syntax;
    decoder.secret_directory = Some(directory_of(file));
    decoder.run_to_end(out)
}

fn shown(warnings: &[Problem], tree: &Tree) -> Vec<String> {
    warnings.iter().map(|warning| ConfigError::of_problem(warning, tree).to_string()).collect()
}

fn parse_tree(text: &str, options: LoadOptions) -> Result<Option<Tree>, ConfigError> {
    let tree = Tree::parse(text.as_bytes()).map_err(|error| ConfigError::bare(error.to_string()))?;
    let Some(mut tree) = tree else { return Ok(None) };
    if options.expands_variables {
        for (line, value) in tree.scalar_texts_mut() {
            if value.contains("${") {
                *value = expanded(value, |name| std::env::var(name).ok())
                    .map_err(|why| ConfigError::bare(format!("yaml: line {line}: {why}")))?;
            }
        }
    }
    Ok(Some(tree))
}

/// The text with its variables replaced; `$${` becomes `${`.
fn expanded(text: &str, value_of: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at - 1]);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let end = after.find('}').ok_or("a variable lacks its closing brace")?;
        let name = &after[..end];
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(format!("{} is no name of a variable", go_quote(name)));
        }
        out.push_str(&value_of(name).ok_or_else(|| format!("the variable {name} is not set"))?);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = "\
config_files: [parts/*.yml]
route:
  receiver: main
  routes: [{matchers: [own=yes]}]
receivers:
- name: main
  webhook_configs: [{url: 'http://x/'}]
";

    fn load(files: &[(&str, &str)], expands_variables: bool) -> Result<AlertmanagerConfig, String> {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("parts")).expect("made");
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        let options = LoadOptions { syntax: MatcherSyntax::Fallback, expands_variables };
        let loaded = AlertmanagerConfig::load_with(&dir.path().join("am.yml"), options);
        let prefix = format!("{}/", dir.path().display());
        loaded.map_err(|error| error.to_string().replace(&prefix, ""))
    }

    #[test]
    fn parts_are_appended_in_the_order_of_their_names() {
        let config = load(
            &[
                ("am.yml", MAIN),
                (
                    "parts/b.yml",
                    "routes: [{matchers: [team=b], receiver: b}]\nreceivers: [{name: b}]\ntemplates: [b.tmpl]\n",
                ),
                (
                    "parts/a.yml",
                    "routes: [{matchers: [team=a]}]\ninhibit_rules: [{source_matchers: [s=1], target_matchers: [t=1]}]\n",
                ),
                ("parts/empty.yml", ""),
            ],
            false,
        )
        .expect("good files");
        let routes: Vec<String> =
            config.root_route().children().map(|route| route.matchers.to_string()).collect();
        assert_eq!(routes, ["{own=\"yes\"}", "{team=\"a\"}", "{team=\"b\"}"]);
        assert_eq!((config.receivers.len(), config.inhibit_rules.len()), (2, 1));
        assert!(config.templates.0[0].ends_with("parts/b.tmpl"), "{:?}", config.templates);
        let place = config.place("receivers[1].name");
        assert!(place.is_none(), "only fields that hold templates are kept");
    }

    #[test]
    fn errors_name_the_file_and_line_of_the_part() {
        for (part, expected) in [
            (
                "routes:\n- matchers: [a=b]\n  receiver: other\n",
                "\"parts/a.yml\": undefined receiver \"other\" used in route: a part uses its own receivers and those of the main file (line 3: routes[0].receiver)",
            ),
            (
                "routes:\n- receiver: main\n",
                "\"parts/a.yml\": a route of a part must have matchers, or it would take the alerts of others (line 2: routes[0])",
            ),
            (
                "receivers:\n- name: x\n- name: main\n",
                "\"parts/a.yml\": notification config name \"main\" is not unique (line 3: receivers[1].name)",
            ),
            (
                "routes:\n- matchers: [a=b]\n  mute_time_intervals:\n  - never\n",
                "\"parts/a.yml\": undefined time interval \"never\" used in route (line 4: routes[0].mute_time_intervals[0])",
            ),
            (
                "\nglobal: {}\n",
                "\"parts/a.yml\": yaml: unmarshal errors:\n  line 2: field global not found in type config.Part",
            ),
            (
                "receivers: [{name: x, slack_configs: [null]}]\n",
                "\"parts/a.yml\": missing slack config (line 1: receivers[0].slack_configs[0])",
            ),
        ] {
            assert_eq!(load(&[("am.yml", MAIN), ("parts/a.yml", part)], false).expect_err(part), expected);
        }
        // A part does not see the receivers of another.
        let error = load(
            &[
                ("am.yml", MAIN),
                ("parts/a.yml", "receivers: [{name: x}]\n"),
                ("parts/b.yml", "routes: [{matchers: [a=b], receiver: x}]\n"),
            ],
            false,
        );
        assert!(error.expect_err("refused").starts_with("\"parts/b.yml\": undefined receiver \"x\""));
        let missing = MAIN.replace("parts/*.yml", "gone.yml");
        let error = load(&[("am.yml", &missing)], false).expect_err("refused");
        assert_eq!(error, "open gone.yml: no such file or directory (of config_files)");
    }

    #[test]
    fn variables_are_read_only_where_that_was_switched_on() {
        let value = |name: &str| (name == "A_1").then(|| "x: [".to_owned());
        for (text, expected) in [
            ("plain $A", Ok("plain $A")),
            ("<${A_1}>", Ok("<x: [>")),
            ("$${A_1} ${A_1}", Ok("${A_1} x: [")),
            ("${B}", Err("the variable B is not set")),
            ("${1}", Err("\"1\" is no name of a variable")),
            ("${A_1", Err("a variable lacks its closing brace")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(expanded(text, value), expected, "{text}");
        }
        let with = |text: &str, expands| {
            let main = MAIN.replace("http://x/", text);
            load(&[("am.yml", &main)], expands)
        };
        // `PATH` is set wherever tests run.
        let url = |config: &AlertmanagerConfig| {
            config.receivers[0].webhook_configs[0].as_ref().expect("there").url.reveal().to_owned()
        };
        assert_eq!(url(&with("http://x/{{}}${PATH}", false).expect("good")), "http://x/{{}}${PATH}");
        assert!(url(&with("http://x/{{}}${PATH}", true).expect("good")).len() > "http://x/{{}}".len());
        let error = with("${FERULA_NO_SUCH_VARIABLE}", true).expect_err("not set");
        assert_eq!(error, "yaml: line 7: the variable FERULA_NO_SUCH_VARIABLE is not set");
    }

    #[test]
    fn every_secret_may_be_the_content_of_a_file() {
        let main = "\
route: {receiver: a}
receivers:
- name: a
  webhook_configs: [{url: {file: url}, http_config: {basic_auth: {username: u, password: {file: word}}}}]
  opsgenie_configs: [{api_key: {file: word}}]
";
        let good = [("am.yml", main), ("url", "http://x/\n"), ("word", " s3cret \n")];
        let config = load(&good, false).expect("good files");
        let receiver = &config.receivers[0];
        assert_eq!(receiver.webhook_configs[0].as_ref().expect("there").url.reveal(), "http://x/");
        assert_eq!(receiver.opsgenie_configs[0].as_ref().expect("there").api_key.reveal(), "s3cret");
        assert!(!config.to_yaml().contains("s3cret"));
        let error = load(&[("am.yml", main), ("url", "http://x/")], false).expect_err("a file is missing");
        assert_eq!(
            error,
            "open word: no such file or directory (line 4: receivers[0].webhook_configs[0].http_config.basic_auth.password.file)"
        );
        // In a text that is not from a file, the form is an error, as in Alertmanager.
        assert!(AlertmanagerConfig::parse(main, MatcherSyntax::Fallback).is_err());
    }
}

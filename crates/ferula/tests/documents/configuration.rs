//! `docs/configuration.md` lists every key: its tables are made from those of `crates/config`, in which each section is
//! declared once, with its keys, types and defaults. What keys mean stands in `keys.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ferula_testkit::shared;

/// The smallest number of keys that a reader who misses whole files would not reach.
const KEYS_MIN: usize = 900;

/// A `section!` of the sources.
struct Section {
    name: String,
    doc: String,
    keys: Vec<Key>,
}

struct Key {
    name: String,
    kind: String,
    default: String,
    doc: String,
    /// Its keys stand among those of the section.
    is_inline: bool,
}

/// Headings of the document, and the files below `crates/config/src` with their sections; `true` for those whose keys
/// are explained in `keys.txt`. The meaning of the others is that in Prometheus' and Alertmanager's documentation.
const GROUPS: [(&str, bool, &[&str]); 6] = [
    (
        "The server's file",
        true,
        &[
            "sections",
            "global",
            "scrape",
            "relabel",
            "http_client",
            "alerting",
            "storage",
            "tracing",
            "remote",
        ],
    ),
    ("Rule files", true, &["rules/file"]),
    ("The web configuration file", true, &["web"]),
    ("Unit tests of rules", false, &["unit_test"]),
    (
        "Service discovery",
        false,
        &["discovery", "discovery/general", "discovery/kubernetes", "discovery/cloud"],
    ),
    (
        "Alertmanager's file",
        false,
        &[
            "alertmanager",
            "alertmanager/load",
            "alertmanager/global",
            "alertmanager/route",
            "alertmanager/time_interval",
            "alertmanager/receiver",
            "alertmanager/receiver/chat",
            "alertmanager/receiver/mattermost",
            "alertmanager/receiver/rocketchat",
            "alertmanager/receiver/slack",
            "alertmanager/receiver/mail",
            "alertmanager/receiver/on_call",
            "alertmanager/receiver/other",
        ],
    ),
];

/// The sections that a source declares.
fn sections(source: &str) -> Vec<Section> {
    let blocks = source.split("\nsection! {\n").skip(1);
    blocks.filter_map(|block| section(block.split("\n}\n").next().unwrap_or_default())).collect()
}

fn section(block: &str) -> Option<Section> {
    let (head, body) = block.split_once("{\n")?;
    let name = head.split("struct ").nth(1)?.split(' ').next()?.to_owned();
    let doc = docs(head);
    let statements = body.split(";\n").filter_map(key).collect();
    Some(Section { name, doc, keys: statements })
}

/// The text of doc comments, without links into the code.
fn docs(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("///"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// A row such as `omit scheme: String = "http".into()`.
fn key(statement: &str) -> Option<Key> {
    let code: Vec<&str> =
        statement.lines().map(str::trim).filter(|line| !line.starts_with(['/', '#', '}'])).collect();
    let code = code.join(" ");
    let (kind, rest) = code.split_once(' ')?;
    if !["omit", "keep", "path", "keep_path", "inline"].contains(&kind) {
        return None;
    }
    let (names, rest) = rest.split_once(": ")?;
    let name = match names.split_once(" as ") {
        Some((_, quoted)) => quoted.trim_matches('"'),
        None => names,
    };
    let (kind_of_value, default) = rest.split_once(" = ").unwrap_or((rest, ""));
    Some(Key {
        name: name.to_owned(),
        kind: kind_of_value.trim_end_matches(';').to_owned(),
        default: default_text(default.trim_end_matches(';')),
        doc: docs(statement),
        is_inline: kind == "inline",
    })
}

/// A default as it would stand in the file; "" if it is not a single value.
fn default_text(code: &str) -> String {
    if let Some(quoted) = code.split('"').nth(1) {
        return quoted.to_owned();
    }
    let number = |text: &str| text.replace('_', "");
    let inside = |prefix: &str| code.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
    match code {
        "WRITE_V1.into()" => "prometheus.WriteRequest".to_owned(),
        _ => match (inside("secs("), inside("Duration::from_millis(")) {
            (Some(seconds), _) => format!("{}s", number(seconds)),
            (_, Some(millis)) => format!("{}ms", number(millis)),
            _ if code == "true" || code.starts_with(|c: char| c.is_ascii_digit()) => number(code),
            _ => String::new(),
        },
    }
}

/// A type in words; sections become links.
fn kind_text(kind: &str, linked: &BTreeMap<String, String>) -> String {
    let inside = |prefix: &str| kind.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
    if let Some(inner) = inside("Option<") {
        return kind_text(inner, linked);
    }
    if let Some(inner) = inside("Vec<") {
        return format!("list of {}", kind_text(inner, linked));
    }
    if let Some(inner) = inside("BTreeMap<String, ") {
        return format!("map to {}", kind_text(inner, linked));
    }
    if let Some(title) = linked.get(kind) {
        return format!("[{title}](#{})", anchor(title));
    }
    let words = match kind {
        "bool" => "boolean",
        "String" | "NamedChoice" | "AnyText" | "Positioned" | "ActionName" => "text",
        "Secret" | "SecretUrl" => "secret",
        "Duration" | "std::time::Duration" | "TextDuration" | "GoDuration" => "duration",
        "i64" | "u64" | "u16" | "i32" | "f64" | "Uint64" | "Int64" => "number",
        "ByteSize" => "size",
        "Url" | "HttpUrl" => "URL",
        "FileNames" => "list of file names",
        "SourceLabels" => "list of label names",
        "ExternalLabels" | "TargetLabels" => "labels",
        "RelabelRegex" => "regular expression",
        "Matchers" => "list of matchers",
        other => return spelled(other),
    };
    words.to_owned()
}

/// `ScrapeProtocols` as `scrape protocols`.
fn spelled(name: &str) -> String {
    let name = name.split(['<', ':']).next_back().unwrap_or(name).trim_end_matches('>');
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 && !name[..at].ends_with(char::is_uppercase) {
            out.push(' ');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// How forges name a heading in links.
fn anchor(title: &str) -> String {
    title.to_lowercase().replace(' ', "-").replace('\'', "")
}

/// Headings are unique: Alertmanager has sections of the same names.
fn title(section: &Section, file: &str) -> String {
    match (section.name.as_str(), file) {
        ("Sections", "sections") => "Top level".to_owned(),
        ("Sections", _) => "Alertmanager top level".to_owned(),
        (name, file) if file.starts_with("alertmanager/global") => format!("Alertmanager {name}"),
        (name, _) => name.to_owned(),
    }
}

fn meanings() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("keys.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(": ").expect("a line is `Section.key: text`")).collect()
}

fn source(file: &str) -> String {
    let path = shared::workspace_root().join(format!("crates/config/src/{file}.rs"));
    std::fs::read_to_string(path).expect("the source exists")
}

/// The tables, and the names of all keys.
fn reference() -> (String, BTreeSet<String>) {
    let meanings = meanings();
    let mut out = String::from("\n");
    let mut names = BTreeSet::new();
    for (heading, is_explained, files) in GROUPS {
        write!(out, "## {heading}\n\n").expect("writing to a String cannot fail");
        let read: Vec<(&str, Vec<Section>)> =
            files.iter().map(|file| (*file, sections(&source(file)))).collect();
        // Sections of the group win over those of the same name elsewhere, as with Rust's imports.
        let mut linked: BTreeMap<String, String> = BTreeMap::new();
        let others =
            GROUPS.iter().flat_map(|(_, _, files)| *files).map(|file| (*file, sections(&source(file))));
        for (file, sections) in others.collect::<Vec<_>>().iter().chain(&read) {
            linked.extend(sections.iter().map(|section| (section.name.clone(), title(section, file))));
        }
        for (file, sections) in &read {
            for section in sections.iter().filter(|section| !section.keys.is_empty()) {
                write!(out, "### {}\n\n{}\n\n", title(section, file), section.doc).expect("as above");
                out.push_str("| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
                for key in &section.keys {
                    let name = format!("{}.{}", section.name, key.name);
                    let kind = kind_text(&key.kind, &linked);
                    if key.is_inline {
                        writeln!(out, "| | | | and the keys of {kind} |").expect("as above");
                        continue;
                    }
                    let meaning = if is_explained { meanings.get(name.as_str()) } else { None };
                    assert!(!is_explained || meaning.is_some(), "keys.txt lacks {name}");
                    let meaning = meaning.map_or(key.doc.as_str(), |text| *text);
                    let default =
                        if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
                    let row = format!("| `{}` | {kind} | {default} | {meaning} |", key.name);
                    writeln!(out, "{}", row.replace("|  |", "| |")).expect("as above");
                    names.insert(name);
                }
                out.push('\n');
            }
        }
    }
    (out, names)
}

#[test]
fn the_reference_has_every_key_of_the_sources() {
    let (tables, names) = reference();
    let unknown: Vec<&str> = meanings().into_keys().filter(|name| !names.contains(*name)).collect();
    assert!(unknown.is_empty(), "keys.txt names keys that do not exist: {unknown:?}");
    assert!(names.len() >= KEYS_MIN, "only {} keys were read", names.len());
    // A source with sections that no group lists would be missing without a word.
    let listed: BTreeSet<String> =
        GROUPS.iter().flat_map(|(_, _, files)| files.iter().map(|f| (*f).to_owned())).collect();
    for pattern in ["*.rs", "*/*.rs", "*/*/*.rs", "*/*/*/*.rs"] {
        let root = format!("{}/crates/config/src/", shared::workspace_root().display());
        for file in ferula_config::glob(&format!("{root}{pattern}")) {
            let name = file.trim_start_matches(root.as_str()).trim_end_matches(".rs").to_owned();
            let declares = std::fs::read_to_string(&file).expect("it was listed").contains("\nsection! {\n");
            assert!(!declares || listed.contains(&name), "{name} declares sections: add it to GROUPS");
        }
    }
    crate::assert_generated("docs/configuration.md", "<!-- keys -->\n", "<!-- end of keys -->\n", &tables);
}

#[test]
fn rows_of_the_tables_are_read() {
    let block = "    /// What.\n    pub struct A as \"config.A\", checked {\n        /// 0: none.\n        omit kind as \"type\": \
                 Option<String> = \"x\".into();\n        inline http: HttpClientConfig;\n        keep wait: Duration\n         \
                 = secs(10);\n    }";
    let read = section(block).expect("it is a section");
    let shown: Vec<String> = read
        .keys
        .iter()
        .map(|key| format!("{} {} {} {} {}", key.name, key.kind, key.default, key.doc, key.is_inline))
        .collect();
    assert_eq!((read.name.as_str(), read.doc.as_str()), ("A", "What."));
    assert_eq!(
        shown,
        ["type Option<String> x 0: none. false", "http HttpClientConfig   true", "wait Duration 10s  false"]
    );
}

//! Words that must not appear in the repository: traces of the machines and tools it was made with, ways to build HTML
//! from text, and words that the glossary in CONTRIBUTING.md replaces.

use super::allowances::Finding;
use super::tree::Tree;

/// Directories of one machine or user. Containers' own paths (`/etc`, `/var`, `/prometheus`) are fine.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
/// Names of assistants, in lower case.
const ASSISTANTS: [&str; 6] = [
    concat!("cla", "ude"),
    concat!("anth", "ropic"),
    concat!("chat", "gpt"),
    concat!("open", "ai"),
    concat!("copi", "lot"),
    concat!("llm", "-generated"),
];
/// Turns text into elements or code. Pages are built from nodes, and text stays text.
const HTML_FROM_TEXT: [&str; 8] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "createContextualFragment",
    "new Function",
    "eval(",
    "javascript:",
];

/// Words that the glossary replaces, with the word to use. They may be used in another sense in files
/// that the list of allowances names.
const REPLACED: [(&str, &str); 33] = [
    ("folder", "directory"),
    ("folders", "directories"),
    ("goes on", "continues"),
    ("go on", "continue"),
    ("as there", "as in Prometheus"),
    ("remark", "annotation"),
    ("remarks", "annotations"),
    ("whoever", "caller"),
    ("late", "out-of-order"),
    ("anew", "again"),
    ("as wanted", "as required"),
    ("be had", "available"),
    ("begins the name", "prefix"),
    ("gives back", "returns, or releases"),
    ("hears of", "is notified"),
    ("is asked for", "is requested"),
    ("is told", "is notified, or reported"),
    ("are told", "are notified, or reported"),
    ("told of", "reported"),
    ("nobody asks", "nothing uses"),
    ("so much of", "a part of"),
    ("takes the place of", "replaces"),
    ("that is none", "that is invalid"),
    ("that are none", "that are invalid"),
    ("thousand million", "billion"),
    ("fires on", "keeps firing"),
    ("says no", "does not match, or refuses"),
    ("told to fire", "notified as firing"),
    ("what came of", "the result of"),
    ("under way", "in progress"),
    ("what is there", "what exists"),
    ("what it costs", "cost"),
    ("written anew", "rewritten"),
];

/// Words that the glossary replaces, in comments, code and documents.
pub fn replaced(tree: &Tree) -> Vec<Finding> {
    let is_read = |path: &str| {
        let is_text = [".rs", ".md", ".toml", ".yml"].iter().any(|end| path.ends_with(end));
        is_text && !path.starts_with("testdata/") && !path.starts_with("xtask/") && path != "CONTRIBUTING.md"
    };
    let mut findings = Vec::new();
    for (file, text) in tree.files(is_read) {
        // Elsewhere a scrape, a client or a timer may be late.
        let rules = REPLACED.iter().filter(|(word, _)| *word != "late" || file.starts_with("crates/tsdb/"));
        for (word, instead) in rules {
            let found = text.lines().position(|line| has_phrase(line, word));
            let Some(at) = found else { continue };
            findings.push(Finding {
                key: format!("word {file} {word}"),
                complaint: format!("{file}:{}: `{word}`: the glossary says `{instead}`", at + 1),
            });
        }
    }
    findings
}

/// Whether a line contains the word, perhaps capitalized. `as there` counts only at the end of a clause, and `Go on`
/// refers to the language.
fn has_phrase(line: &str, word: &str) -> bool {
    let lower = line.to_lowercase();
    lower.match_indices(word).any(|(at, _)| {
        let (before, after) = (&lower[..at], &lower[at + word.len()..]);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let is_whole = !before.ends_with(is_part) && !after.starts_with(is_part);
        let ends_clause = after.is_empty() || after.starts_with(['.', ',', ';', ':', ')', '|']);
        let is_language = word == "go on" && line.get(at..at + 2) == Some("Go");
        is_whole && (word != "as there" || ends_clause) && !is_language
    })
}

/// Complains about machine paths and names of assistants. Test data may contain anything.
pub fn traces(tree: &Tree, complaints: &mut Vec<String>) {
    for (file, text) in tree.files(|path| !path.starts_with("testdata/") && !path.starts_with("fuzz/seeds/"))
    {
        for (at, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            let path = MACHINE_PATHS.iter().find(|path| is_path(line, path));
            let name = ASSISTANTS.iter().find(|name| lower.contains(**name));
            if let Some(word) = path.or(name) {
                complaints.push(format!("{file}:{}: names {word}, a trace of how it was made", at + 1));
            }
        }
    }
}

/// Whether a path begins here, rather than continues.
fn is_path(line: &str, path: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || ['.', '}', '_', '-'].contains(&c);
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(continues))
}

/// Places in the web pages that build HTML, or code, from text.
pub fn html_from_text(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_page = |path: &str| {
        path.starts_with("crates/ui/assets/")
            && [".js", ".html", ".svg", ".css"].iter().any(|end| path.ends_with(end))
    };
    for (file, text) in tree.files(is_page) {
        for (at, line) in text.lines().enumerate() {
            let way = HTML_FROM_TEXT.iter().find(|way| line.contains(**way)).copied();
            let Some(way) = way.or_else(|| has_handler(line).then_some("on…=")) else { continue };
            findings.push(Finding {
                key: format!("html {file} {way}"),
                complaint: format!("{file}:{}: `{way}` makes HTML or code out of text", at + 1),
            });
        }
    }
    findings
}

/// An attribute such as ` onclick="…"`.
fn has_handler(line: &str) -> bool {
    line.match_indices(" on").any(|(at, _)| {
        let rest = &line[at + 3..];
        let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
        letters > 2 && ["=\"", "='"].iter().any(|quoted| rest[letters..].starts_with(quoted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_of_machines_and_tools_are_named() {
        let path = format!(
            "see {}x/y\nhttps://a.example{}x\n\"{{dir}}{}\"\n",
            MACHINE_PATHS[0], MACHINE_PATHS[0], MACHINE_PATHS[2]
        );
        let name = ASSISTANTS[0].to_uppercase();
        let tree = Tree::of(&[("a.md", &path), ("b.rs", &format!("// by {name}\n")), ("testdata/c", &path)]);
        let mut complaints = Vec::new();
        traces(&tree, &mut complaints);
        assert_eq!(
            complaints,
            [
                format!("a.md:1: names {}, a trace of how it was made", MACHINE_PATHS[0]),
                format!("b.rs:1: names {}, a trace of how it was made", ASSISTANTS[0])
            ]
        );
    }

    #[test]
    fn words_that_the_glossary_replaced_are_found_whole() {
        let tree = Tree::of(&[
            ("crates/a/src/x.rs", "//! Folders. It goes on, as there is room.\nlet relate = remarkable;\n"),
            ("docs/b.md", "Go on x86-64 rounds as there.\nA late scrape.\n"),
            ("crates/tsdb/src/c.rs", "// A late sample, later dropped.\n"),
            ("CONTRIBUTING.md", "folder"),
        ]);
        let keys: Vec<String> = replaced(&tree).into_iter().map(|finding| finding.key).collect();
        assert_eq!(
            keys,
            [
                "word crates/a/src/x.rs folders",
                "word crates/a/src/x.rs goes on",
                "word crates/tsdb/src/c.rs late",
                "word docs/b.md as there"
            ]
        );
    }

    #[test]
    fn ways_to_make_html_out_of_text_are_found() {
        let tree = Tree::of(&[
            (
                "crates/ui/assets/a.js",
                "node.innerHTML = x;\nnode.onclick = f;\nconst evaluated = evaluate(x);\neval(x)\n",
            ),
            ("crates/ui/assets/b.html", "<a onclick=\"f()\">on time=\"1\"</a>\n"),
            ("crates/ui/src/lib.rs", "innerHTML"),
        ]);
        let keys: Vec<String> = html_from_text(&tree).into_iter().map(|finding| finding.key).collect();
        assert_eq!(
            keys,
            [
                "html crates/ui/assets/a.js innerHTML",
                "html crates/ui/assets/a.js eval(",
                "html crates/ui/assets/b.html on…="
            ]
        );
    }
}

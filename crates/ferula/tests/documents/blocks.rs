//! Finds the fenced blocks of a document.

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// Of its first line, from 1.
    pub line: usize,
    /// The first word of the fence, such as `sh`; "" without one.
    pub language: String,
    /// The other words.
    pub attributes: Vec<String>,
    /// Why it is not run.
    pub left_out: Option<String>,
    pub text: String,
}

impl Block {
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|each| each == attribute)
    }
}

/// The blocks of a document.
///
/// # Panics
/// A fence is not closed, or a block is indented instead of fenced, so that it would not be run.
pub fn blocks(name: &str, document: &str) -> Vec<Block> {
    let mut all = Vec::new();
    let mut open: Option<Block> = None;
    let mut previous = "";
    for (at, line) in document.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (Some(_), Some(_)) => all.extend(open.take()),
            (None, Some(info)) => {
                let (info, left_out) = match info.split_once("not-run:") {
                    Some((info, reason)) => (info, Some(reason.trim().to_owned())),
                    None => (info, None),
                };
                assert!(left_out.as_deref() != Some(""), "{name}:{}: not-run needs a reason", at + 1);
                let mut words = info.split_whitespace().map(str::to_owned);
                open = Some(Block {
                    line: at + 2,
                    language: words.next().unwrap_or_default(),
                    attributes: words.collect(),
                    left_out,
                    text: String::new(),
                });
            }
            (None, None) => {
                let is_code = previous.trim().is_empty() && line.starts_with("    ");
                assert!(!is_code, "{name}:{}: put a fence around this block", at + 1);
            }
        }
        previous = line;
    }
    assert!(open.is_none(), "{name}: a fence is not closed");
    all
}

#[test]
fn fences_are_read_with_their_words() {
    let all = blocks("a.md", "x\n```sh fails\na\n  b\n```\n```yaml f.yml not-run: for Grafana\nc\n```\n");
    assert_eq!((all[0].line, all[0].language.as_str(), all[0].text.as_str()), (3, "sh", "a\n  b\n"));
    assert!(all[0].has("fails") && all[0].left_out.is_none());
    assert_eq!(
        (all[1].attributes.join(" ").as_str(), all[1].left_out.as_deref()),
        ("f.yml", Some("for Grafana"))
    );
}

#[test]
#[should_panic(expected = "a.md:3: put a fence around this block")]
fn indented_blocks_are_refused() {
    blocks("a.md", "x\n\n    ferula --help\n");
}

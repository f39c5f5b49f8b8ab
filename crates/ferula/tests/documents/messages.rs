//! Messages that documents quote must be the program's.

use std::fmt::Write;

use ferula_testkit::shared;

use crate::blocks::blocks;
use crate::run::pieces;

/// Shorter pieces could stand anywhere.
const PIECE_BYTES_MIN: usize = 12;

/// All product sources in one text, in which literals that continue on the next line are joined.
fn sources() -> String {
    let mut all = String::new();
    for pattern in ["*/src/*.rs", "*/src/*/*.rs", "*/src/*/*/*.rs", "*/src/*/*/*/*.rs"] {
        let pattern = format!("{}/crates/{pattern}", shared::workspace_root().display());
        for file in ferula_config::glob(&pattern) {
            let text = std::fs::read_to_string(file).expect("a source can be read");
            let mut continues = false;
            for line in text.lines() {
                let line = if continues { line.trim_start() } else { line };
                continues = line.ends_with('\\');
                let line = line.strip_suffix('\\').unwrap_or(line);
                let end = if continues { "" } else { "\n" };
                write!(all, "{line}{end}").expect("writing to a String cannot fail");
            }
        }
    }
    all
}

#[test]
fn quoted_messages_are_those_of_the_program() {
    let sources = sources();
    let mut checked = 0;
    let mut missing = Vec::new();
    for path in crate::documents() {
        let text = std::fs::read_to_string(&path).expect("the document can be read");
        let name = path.display().to_string();
        for block in blocks(&name, &text).iter().filter(|block| block.has("message")) {
            for piece in pieces(&block.text).filter(|piece| piece.len() >= PIECE_BYTES_MIN) {
                checked += 1;
                // Quotes are escaped in literals.
                if !sources.contains(piece) && !sources.contains(&piece.replace('"', "\\\"")) {
                    missing.push(format!("{name}:{}: {piece}", block.line));
                }
            }
        }
    }
    println!("{checked} pieces of messages found in the sources");
    assert!(missing.is_empty(), "no source has these messages:\n{}", missing.join("\n"));
    assert!(checked >= 10, "hardly any message was checked");
}

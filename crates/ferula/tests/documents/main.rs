//! README and the guides in `docs`: every command block is run, every configuration block is loaded, and what lists
//! metrics, alerts, keys and messages is compared with the program.
//!
//! ```text
//! document ─ blocks.rs ─▶ fenced blocks ─ run.rs ─▶ commands and servers in a directory of the document's own
//!                                       └ services.rs ─▶ the guides' services with the real client packages
//! metrics.rs, alerts.rs, configuration.rs, messages.rs: lists against the program and its sources
//! ```
//!
//! A fence says what becomes of its block:
//!
//! | fence | meaning |
//! | --- | --- |
//! | `sh` | the commands must succeed; lines that start a server are left running until the end of the document |
//! | `sh fails` | the commands must fail, with the text of the next block |
//! | `sh stops` | the servers are stopped first |
//! | `yaml FILE` | the block is written to this file and must pass the check for files of its kind |
//! | `yaml FILE syntax-only` | the same, but files that it names need not be here |
//! | `yaml` | the block is a configuration of the server |
//! | `text` | an example of output; it is not compared |
//! | `text output` | the block before prints these lines, in which `…` stands for anything |
//! | `text log` | the server that was started last logs these lines |
//! | `text message` | messages, whose words must stand in the sources |
//! | `promql` | a query; it must be one |
//! | `python FILE`, `js FILE`, `go FILE`, `sh install`, … | parts of a service: services.rs runs it |
//! | `… not-run: REASON` | the block is left out; the test prints the reason |

mod alerts;
mod blocks;
mod configuration;
mod messages;
mod metrics;
mod run;
mod services;

use std::path::PathBuf;

use ferula_testkit::shared;

/// README and the guides; pages about formats and decisions hold no commands.
fn documents() -> Vec<PathBuf> {
    let root = shared::workspace_root();
    let mut all = vec![root.join("README.md")];
    all.extend(ferula_config::glob(&format!("{}/docs/*.md", root.display())).into_iter().map(PathBuf::from));
    all.extend(
        ferula_config::glob(&format!("{}/docs/guides/*.md", root.display())).into_iter().map(PathBuf::from),
    );
    all
}

/// Compares with a document of which a part is generated; writes that part if `UPDATE_GOLDEN` is set.
fn assert_generated(name: &str, begin: &str, end: &str, generated: &str) {
    let path = shared::workspace_root().join(name);
    let text = std::fs::read_to_string(&path).expect("the document exists");
    let (before, rest) = text.split_once(begin).expect("the document marks where the generated part begins");
    let (current, after) = rest.split_once(end).expect("the document marks where the generated part ends");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{begin}{generated}{end}{after}")).expect("written");
    } else {
        assert!(
            current == generated,
            "{name} does not match the program; UPDATE_GOLDEN=1 cargo test -p ferula --test documents rewrites it"
        );
    }
}

//! The web pages in a real browser, served by the real binary. Without a browser, the tests are skipped with
//! a message.
//!
//! `--measure [URL…]` prints what the pages cost instead, and `--pictures DIRECTORY` takes the pictures of the README.
//! `FERULA_BROWSER` names the browser, and `FERULA_SCREENSHOTS` a directory for screenshots of all pages. As with other
//! tests, arguments select tests by a part of their name.

mod alertmanager;
mod alertmanager_lists;
mod answers;
mod chromium;
#[path = "../end_to_end/common.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod common;
mod editing;
mod graphs;
mod hostile;
mod left_behind;
mod measure;
mod modules;
mod operations;
mod overviews;
mod page;
mod pictures;
mod played;
mod proxy;
mod query_page;
mod reach;
mod redraws;
mod security;
mod stories;
mod strange;

use std::panic::{AssertUnwindSafe, catch_unwind};

use chromium::Browser;
use stories::Site;

/// One test: its name and its function.
type Test = (&'static str, fn(&Browser, &Site));

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let tests: Vec<Test> = [
        stories::TESTS,
        query_page::TESTS,
        editing::TESTS,
        graphs::TESTS,
        answers::TESTS,
        operations::TESTS,
        overviews::TESTS,
        security::TESTS,
        reach::TESTS,
        redraws::TESTS,
        strange::TESTS,
        hostile::TESTS,
        alertmanager::TESTS,
        alertmanager_lists::TESTS,
        modules::TESTS,
    ]
    .concat();
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let pieces: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let chosen = |name: &str| pieces.is_empty() || pieces.iter().any(|piece| name.contains(piece.as_str()));
    let is_asked = |what: &str| arguments.iter().any(|argument| argument == what);
    let (measures, takes_pictures) = (is_asked("--measure"), is_asked("--pictures"));
    let tests: Vec<Test> =
        tests.into_iter().filter(|(name, _)| measures || takes_pictures || chosen(name)).collect();
    if tests.is_empty() {
        return;
    }
    let Some(program) = chromium::find() else {
        println!("LEFT OUT: no browser, {} tests did not run", tests.len());
        return;
    };
    let browser = Browser::start(&program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    if takes_pictures {
        let directory = pieces.first().expect("a directory for the pictures");
        return pictures::take(&browser, std::path::Path::new(directory.as_str()));
    }
    let site = Site::start();
    if measures {
        let others: Vec<String> = pieces.iter().map(|piece| (*piece).clone()).collect();
        return measure::run(&browser, &site, &others);
    }
    let mut failed = Vec::new();
    for (name, test) in &tests {
        let passed = catch_unwind(AssertUnwindSafe(|| test(&browser, &site))).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(*name);
        }
    }
    println!("\nbrowser tests: {} passed, {} failed", tests.len() - failed.len(), failed.len());
    if let Some(path) = std::env::var_os("FERULA_BROWSER_LOG") {
        std::fs::write(path, format!("{} browser tests ran\n", tests.len())).expect("the log can be written");
    }
    drop(site);
    drop(browser);
    if !failed.is_empty() {
        eprintln!("failed: {}", failed.join(", "));
        std::process::exit(1);
    }
}

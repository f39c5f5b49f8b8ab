//! `check healthy`, `check ready`: checks a server.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use ferula_http_client::Method;

use super::flags;
use crate::tools::args::Args;
use crate::tools::http::Server;
use crate::tools::output::finish;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the command that requests `path`.
pub fn run(args: &Args, path: &str) -> ExitCode {
    finish(ask(args, path))
}

fn ask(args: &Args, path: &str) -> Result<()> {
    let server = Server::new(args, args.text(flags::URL), &BTreeMap::new())?;
    let answer = server.call(Method::GET, &server.at(path), &[], Vec::new(), TIMEOUT)?;
    if answer.code != 200 {
        // The address as given: without the slash that an empty path gets.
        let shown = args.text(flags::URL);
        bail!("check failed: URL={shown}, status={}", answer.code);
    }
    eprintln!("  SUCCESS:  {}", String::from_utf8_lossy(&answer.body));
    Ok(())
}

//! What commands print, and the exit code of those that report failure only through their error.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::Result;

/// Prints to standard output; a closed pipe is not an error.
pub fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Prints a line to standard output.
pub fn print_line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// The exit code of a command that reports failure only through its error, which is printed here.
pub fn finish(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Standard output is closed, as with `| head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Buffers standard output.
pub fn with_stdout(run: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    run(&mut out)?;
    Ok(out.flush()?)
}

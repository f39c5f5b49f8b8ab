//! The message on a terminal when the server is up: four lines of plain words below the log.
//!
//! Nothing is printed unless standard error is a terminal, so a collected log contains only log lines.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;

/// The server's address and files.
pub struct Address<'a> {
    /// `http://localhost:9090`, without a final slash.
    pub url: &'a str,
    pub data_dir: &'a Path,
    /// The configuration file, or `None` if the server scrapes only itself.
    pub config_file: Option<&'a Path>,
    pub agent: bool,
}

/// An address that shows something at once.
pub fn to_try(agent: bool) -> &'static str {
    if agent { "/api/v1/targets" } else { "/api/v1/query?query=up" }
}

/// Prints the lines to standard error if it is a terminal.
pub fn print(address: &Address<'_>) {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        // A closed terminal is not an error.
        let _ = stderr.write_all(text(address).as_bytes());
    }
}

/// Names what a wrong word was probably meant to be, if standard error is a terminal: the last line on the screen.
pub fn show_suggestion(meant: Option<&str>) {
    let mut stderr = std::io::stderr().lock();
    if let Some(meant) = meant.filter(|_| stderr.is_terminal()) {
        let _ = writeln!(stderr, "  Did you mean `{meant}`?");
    }
}

fn text(address: &Address<'_>) -> String {
    let Address { url, data_dir, config_file, agent } = address;
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_path_buf());
    let scraped = match config_file {
        Some(file) => format!("scrapes what {} names", file.display()),
        None => "scrapes itself because there is no prometheus.yml".to_owned(),
    };
    let mut text = String::new();
    let mut line = |what: &str, detail: String| {
        writeln!(text, "  {what:<5} {detail}").expect("writing to a String cannot fail");
    };
    line("Look", format!("at {url} (ferula is up and {scraped})"));
    line("Data", format!("is in {}", data_dir.display()));
    line("Try", format!("curl '{url}{}'", to_try(*agent)));
    line("Stop", "with Ctrl-C".to_owned());
    format!("\n{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_lines_say_where_to_look_where_data_is_what_to_try_and_how_to_stop() {
        let mut address = Address {
            url: "http://localhost:9090",
            data_dir: Path::new("/srv/data"),
            config_file: None,
            agent: false,
        };
        assert_eq!(
            text(&address),
            "\n  Look  at http://localhost:9090 (ferula is up and scrapes itself because there is no prometheus.yml)\n  \
             Data  is in /srv/data\n  Try   curl 'http://localhost:9090/api/v1/query?query=up'\n  Stop  with Ctrl-C\n\n"
        );
        address.config_file = Some(Path::new("prometheus.yml"));
        assert!(text(&address).contains("(ferula is up and scrapes what prometheus.yml names)\n"));
    }
}

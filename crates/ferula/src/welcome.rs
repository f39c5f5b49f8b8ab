//! What a person reads on a terminal when the server is up: four lines of plain words below the log.
//!
//! Where standard error is not a terminal nothing is written: a log that is collected stays a log.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;

/// Where the server is, for those who look for it.
pub struct Address<'a> {
    /// `http://localhost:9090`, without a slash at its end.
    pub url: &'a str,
    pub data_dir: &'a Path,
    /// The configuration file, or none when the server scrapes only itself.
    pub config_file: Option<&'a Path>,
}

/// Writes the lines to standard error, if that is a terminal.
pub fn print(address: &Address<'_>) {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        // A terminal that is gone needs no welcome.
        let _ = stderr.write_all(text(address).as_bytes());
    }
}

fn text(address: &Address<'_>) -> String {
    let Address { url, data_dir, config_file } = address;
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_path_buf());
    let scraped = match config_file {
        Some(file) => format!("scrapes what {} names", file.display()),
        None => "scrapes itself, as there is no prometheus.yml".to_owned(),
    };
    let mut text = String::new();
    let mut line = |what: &str, detail: String| {
        writeln!(text, "  {what:<5} {detail}").expect("writing to a String cannot fail");
    };
    line("Look", format!("at {url} (ferula is up and {scraped})"));
    line("Data", format!("is in {}", data_dir.display()));
    line("Try", format!("curl '{url}/api/v1/query?query=up'"));
    line("Stop", "with Ctrl-C".to_owned());
    format!("\n{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_lines_say_where_to_look_where_data_is_what_to_try_and_how_to_stop() {
        let mut address =
            Address { url: "http://localhost:9090", data_dir: Path::new("/srv/data"), config_file: None };
        assert_eq!(
            text(&address),
            "\n  Look  at http://localhost:9090 (ferula is up and scrapes itself, as there is no prometheus.yml)\n  \
             Data  is in /srv/data\n  Try   curl 'http://localhost:9090/api/v1/query?query=up'\n  Stop  with Ctrl-C\n\n"
        );
        address.config_file = Some(Path::new("prometheus.yml"));
        assert!(text(&address).contains("(ferula is up and scrapes what prometheus.yml names)\n"));
    }
}

//! What a valid configuration asks for that this build cannot do. It is reported, never ignored: most of it is refused, and
//! where only the connections of one part fail, the others work.

use std::fmt;

use crate::http_client::{HttpClientConfig, TlsConfig};
use crate::scrape::ScrapeConfig;
use crate::sections::Sections;
use crate::yaml::tree::{Step, Tree, show_path};

/// What happens when the configuration is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It is refused.
    Refused,
    /// The section's connections with TLS fail; all else works.
    NoTlsVersion,
}

/// One thing in the file that this build cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The path to it, such as `remote_write`.
    pub path: String,
    pub line: u32,
    /// `None` is the main file.
    pub file: Option<String>,
    pub consequence: Consequence,
}

/// Prints `not supported yet: remote_write (line 7)`.
impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.consequence {
            Consequence::Refused => "not supported yet: ",
            Consequence::NoTlsVersion => "only TLS 1.2 and 1.3 are supported, so no connection can be made: ",
        };
        write!(f, "{prefix}{} (line {}", self.path, self.line)?;
        match &self.file {
            Some(file) => write!(f, " of {file})"),
            None => f.write_str(")"),
        }
    }
}

struct Finder<'t> {
    tree: &'t Tree,
    file: Option<&'t str>,
    path: Vec<Step>,
    found: Vec<Unsupported>,
}

impl Finder<'_> {
    fn key(&mut self, key: &str, there: bool, consequence: Consequence) {
        if there {
            self.path.push(Step::Key(key.to_owned()));
            self.found.push(Unsupported {
                path: show_path(&self.path),
                line: self.tree.line_of(&self.path),
                file: self.file.map(str::to_owned),
                consequence,
            });
            self.path.pop();
        }
    }

    fn inside(&mut self, steps: Vec<Step>, look: impl FnOnce(&mut Self)) {
        let depth = self.path.len();
        self.path.extend(steps);
        look(self);
        self.path.truncate(depth);
    }

    /// TLS 1.0 and 1.1 are not supported. A `min_version` below 1.2 merely allows them, but a `max_version` demands them: as in
    /// Prometheus, that is a configuration whose connections fail.
    fn http_client(&mut self, http: &HttpClientConfig) {
        let old = |tls: &TlsConfig| matches!(tls.max_version.as_str(), "TLS10" | "TLS11");
        let tls_config = Step::Key("tls_config".into());
        self.inside(vec![tls_config.clone()], |finder| {
            finder.key("max_version", old(&http.tls_config), Consequence::NoTlsVersion);
        });
        if let Some(oauth2) = &http.oauth2 {
            self.inside(vec![Step::Key("oauth2".into()), tls_config], |finder| {
                finder.key("max_version", old(&oauth2.tls_config), Consequence::NoTlsVersion);
            });
        }
    }

    fn jobs(&mut self, jobs: &[ScrapeConfig]) {
        for (index, job) in jobs.iter().enumerate() {
            self.inside(vec![Step::Key("scrape_configs".into()), Step::Index(index)], |finder| {
                finder.http_client(&job.http);
            });
        }
    }
}

/// Lists what is not supported in a whole file.
pub(crate) fn unsupported_in_config(sections: &Sections, tree: &Tree) -> Vec<Unsupported> {
    let mut finder = Finder { tree, file: None, path: Vec::new(), found: Vec::new() };
    finder.jobs(&sections.scrape_configs);
    for (index, alertmanager) in sections.alerting.alertmanagers.iter().enumerate() {
        let steps = vec![Step::Key("alerting".into()), Step::Key("alertmanagers".into()), Step::Index(index)];
        finder.inside(steps, |finder| {
            finder.http_client(&alertmanager.http);
        });
    }
    finder.key("tracing", !sections.tracing.endpoint.is_empty(), Consequence::Refused);
    for (index, destination) in sections.remote_write.iter().enumerate() {
        finder.inside(vec![Step::Key("remote_write".into()), Step::Index(index)], |finder| {
            finder.http_client(&destination.http);
            finder.key("azuread", destination.azuread.is_some(), Consequence::Refused);
            finder.key("google_iam", destination.google_iam.is_some(), Consequence::Refused);
        });
    }
    for (index, source) in sections.remote_read.iter().enumerate() {
        finder.inside(vec![Step::Key("remote_read".into()), Step::Index(index)], |finder| {
            finder.http_client(&source.http);
        });
    }
    finder.found
}

/// Lists what is not supported in a file of scrape jobs.
pub(crate) fn unsupported_in_jobs(
    jobs: &[ScrapeConfig],
    tree: &Tree,
    file: Option<&str>,
) -> Vec<Unsupported> {
    let mut finder = Finder { tree, file, path: Vec::new(), found: Vec::new() };
    finder.jobs(jobs);
    finder.found
}

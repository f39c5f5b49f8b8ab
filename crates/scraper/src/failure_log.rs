//! `scrape_failure_log_file`: a JSON line for every failed scrape.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ferula_go::sync::MutexExt;
use ferula_telemetry::logging::{Level, json_line};

/// One log file, which several jobs may share.
#[derive(Debug)]
pub struct FailureLog {
    path: String,
    file: Mutex<File>,
}

impl FailureLog {
    fn open(path: &str) -> io::Result<Self> {
        Ok(FailureLog { path: path.to_owned(), file: Mutex::new(open_file(path)?) })
    }

    /// Reopens the file, which may have been moved (log rotation).
    fn reopen(&self) -> io::Result<()> {
        let file = open_file(&self.path)?;
        *self.file.locked() = file;
        Ok(())
    }

    /// Records one failure. An error while writing must not stop the scraping.
    pub fn write(&self, unix_nanos: i64, job: &str, target: &str, error: &str) {
        let pairs: [(&str, &dyn std::fmt::Display); 2] = [("job_name", &job), ("target", &target)];
        let line = json_line(unix_nanos, Level::Error, file!(), line!(), error, &pairs);
        let mut file = self.file.locked();
        if let Err(error) = file.write_all(line.as_bytes()) {
            ferula_telemetry::debug!("Writing the scrape failure log failed", file = self.path, err = error);
        }
    }
}

fn open_file(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// All open files, by name. Clones share the same files.
#[derive(Clone, Debug, Default)]
pub struct FailureLogs(Arc<Mutex<HashMap<String, Arc<FailureLog>>>>);

impl FailureLogs {
    /// The log with this name; `None` for an empty name.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn get(&self, path: &str) -> io::Result<Option<Arc<FailureLog>>> {
        if path.is_empty() {
            return Ok(None);
        }
        let mut logs = self.0.locked();
        if let Some(log) = logs.get(path) {
            return Ok(Some(log.clone()));
        }
        let log = Arc::new(FailureLog::open(path)?);
        logs.insert(path.to_owned(), log.clone());
        Ok(Some(log))
    }

    /// Reopens all files and closes those that no job uses any more.
    pub fn reopen(&self) {
        let mut logs = self.0.locked();
        logs.retain(|_, log| Arc::strong_count(log) > 1);
        for log in logs.values() {
            if let Err(error) = log.reopen() {
                ferula_telemetry::error!(
                    "Opening the scrape failure log failed",
                    file = log.path,
                    err = error
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_json_lines_and_a_moved_file_is_recreated() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("failures.log");
        let name = path.to_string_lossy().into_owned();
        let logs = FailureLogs::default();
        let log = logs.get(&name).expect("it can be opened").expect("it has a name");
        log.write(1_700_000_000_000_000_000, "j", "http://h:1/metrics", "say \"no\"");
        let text = std::fs::read_to_string(&path).expect("the log was written");
        assert!(
            text.starts_with(r#"{"time":"2023-11-14T22:13:20Z","level":"ERROR","source":"failure_log.rs:"#),
            "{text}"
        );
        assert!(
            text.ends_with(
                "\"msg\":\"say \\\"no\\\"\",\"job_name\":\"j\",\"target\":\"http://h:1/metrics\"}\n"
            ),
            "{text}"
        );

        std::fs::rename(&path, directory.path().join("old")).expect("moved");
        logs.reopen();
        log.write(0, "j", "t", "second");
        assert_eq!(std::fs::read_to_string(&path).expect("the log was recreated").lines().count(), 1);
        drop(log);
        logs.reopen();
        assert!(logs.0.lock().expect("no test panics here").is_empty());
        let below_a_file = path.join("x").display().to_string();
        let refused = logs.get(&below_a_file).expect_err("not a directory");
        assert_eq!(refused.kind(), io::ErrorKind::NotADirectory);
        assert!(logs.get("").expect("no name is no error").is_none());
    }
}

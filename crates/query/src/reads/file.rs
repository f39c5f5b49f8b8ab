//! The file `metric_reads.json` in the data directory: the record of reads, so that it continues after a restart.
//!
//! ```text
//! {"version": 1, "completeFrom": ms,
//!  "metrics":   [[name, ms of the last read by a client, ms of the last read by a rule], …],
//!  "selectors": [[text, …], …]}
//! ```
//!
//! It is replaced as a whole, so it is the old one or the new one after a crash.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::tables::{LastRead, ReadTables};

const FILE_NAME: &str = "metric_reads.json";
const VERSION: u64 = 1;
/// More than the largest record takes; a larger file is not ours.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Why the file of reads cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    /// It is not what this version writes.
    #[error("{}: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
}

/// Reads the file; `None` if there is none.
pub(super) fn read(data_dir: &Path) -> Result<Option<ReadTables>, ReadFileError> {
    let path = data_dir.join(FILE_NAME);
    let io_error = |error| ReadFileError::Io { path: path.clone(), error };
    // Opening a pipe would wait for its writer.
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(io_error(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    }
    let mut bytes = Vec::new();
    let file = File::open(&path).map_err(io_error)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(io_error)?;
    let json = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
    let tables = json.and_then(|json: Json| decode(&json).map_err(str::to_owned));
    tables.map(Some).map_err(|reason| ReadFileError::Invalid { path, reason })
}

fn decode(json: &Json) -> Result<ReadTables, &'static str> {
    if json["version"].as_u64() != Some(VERSION) {
        return Err("it has another version");
    }
    let complete_from_ms = json["completeFrom"].as_i64().ok_or("completeFrom is missing")?;
    let table = |name: &str| {
        let rows = json[name].as_array().ok_or("a table is missing")?;
        let row = |row: &Json| {
            let text = row[0].as_str()?.to_owned();
            let last = LastRead { by_client_ms: row[1].as_i64()?, by_rule_ms: row[2].as_i64()? };
            Some((text, last))
        };
        rows.iter().map(row).collect::<Option<HashMap<_, _>>>().ok_or("a row is not a text with two times")
    };
    Ok(ReadTables {
        complete_from_ms,
        metrics: table("metrics")?,
        selectors: table("selectors")?,
        is_changed: false,
    })
}

/// Replaces the file.
pub(super) fn write(data_dir: &Path, tables: &ReadTables) -> Result<(), ReadFileError> {
    let path = data_dir.join(FILE_NAME);
    let temporary = path.with_extension("json.tmp");
    let io_error = |path: &Path| {
        let path = path.to_path_buf();
        move |error| ReadFileError::Io { path, error }
    };
    encode(&temporary, tables).map_err(io_error(&temporary))?;
    std::fs::rename(&temporary, &path).map_err(io_error(&path))?;
    File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(io_error(data_dir))
}

fn encode(path: &Path, tables: &ReadTables) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    write!(out, "{{\"version\":{VERSION},\"completeFrom\":{}", tables.complete_from_ms)?;
    for (name, table) in [("metrics", &tables.metrics), ("selectors", &tables.selectors)] {
        write!(out, ",\n\"{name}\":[")?;
        for (index, (text, last)) in table.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}\n{}", json!([text, last.by_client_ms, last.by_rule_ms]))?;
        }
        out.write_all(b"]")?;
    }
    out.write_all(b"}\n")?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

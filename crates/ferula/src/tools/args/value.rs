//! One value of a flag or an argument: whether it is valid, and what it means.

use ferula_go::duration::parse_with_days as parse_nanos;
use ferula_go::quote::go_quote;

use super::flag::ValueKind;
use crate::similar_file::similar;

/// Why a value is invalid, if it is.
pub fn check(kind: ValueKind, value: &str) -> Result<(), String> {
    let not_a_number =
        |function: &str| format!("strconv.{function}: parsing {}: invalid syntax", go_quote(value));
    match kind {
        ValueKind::Switch | ValueKind::Text | ValueKind::Texts => Ok(()),
        ValueKind::Pairs => {
            pair(value).map(|_| ()).ok_or_else(|| format!("expected KEY=VALUE got '{value}'"))
        }
        ValueKind::Duration => parse_nanos(value).map(|_| ()).map_err(|error| error.to_string()),
        ValueKind::Number => integer(value).map(|_| ()).ok_or_else(|| not_a_number("ParseFloat")),
        ValueKind::Int64 => value.parse::<i64>().map(|_| ()).map_err(|_| not_a_number("ParseInt")),
        ValueKind::Url if value.starts_with(':') => {
            Err(format!("invalid URL: parse {}: missing protocol scheme", go_quote(value)))
        }
        ValueKind::Url => Ok(()),
        ValueKind::File | ValueKind::Files => check_file(value),
        ValueKind::Output => can_be_written(value).map_err(|error| open_error(value, &error)),
        ValueKind::Word(words) if words.contains(&value) => Ok(()),
        ValueKind::Word(words) => {
            Err(format!("enum value must be one of {}, got '{value}'", words.join(",")))
        }
    }
}

/// Why a file cannot be read, if it cannot.
fn check_file(value: &str) -> Result<(), String> {
    match std::fs::metadata(value) {
        Ok(file) if file.is_dir() => {
            let name =
                std::path::Path::new(value).file_name().map_or(value.into(), |name| name.to_string_lossy());
            Err(format!("'{name}' is a directory"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let meant = similar(std::path::Path::new(value));
            let meant = meant.map(|meant| format!(", did you mean '{meant}'?")).unwrap_or_default();
            Err(format!("path '{value}' does not exist{meant}"))
        }
        Err(error) => Err(format!("stat {value}: {}", go_io_error(&error))),
    }
}

/// A whole number; Go also accepts `5e7`.
pub fn integer(value: &str) -> Option<i64> {
    let number = value.parse::<f64>().ok().filter(|number| number.is_finite())?;
    Some(value.parse().unwrap_or(number as i64))
}

/// `NAME=VALUE`, also with `:`.
pub fn pair(value: &str) -> Option<(&str, &str)> {
    let at = value.find(['=', ':'])?;
    Some((&value[..at], &value[at + 1..]))
}

/// Why a file cannot be opened, in Go's words.
pub fn open_error(file: &str, error: &std::io::Error) -> String {
    format!("open {file}: {}", go_io_error(error))
}

/// The system's reason, in Go's words.
pub fn go_io_error(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        ErrorKind::IsADirectory => "is a directory".into(),
        ErrorKind::NotADirectory => "not a directory".into(),
        _ => error.to_string(),
    }
}

/// Whether a file can be written or created. It is not changed, since the other arguments may be refused.
fn can_be_written(file: &str) -> std::io::Result<()> {
    match std::fs::OpenOptions::new().write(true).open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let directory = std::path::Path::new(file).parent().filter(|path| !path.as_os_str().is_empty());
            match directory.map_or(Ok(true), |path| std::fs::metadata(path).map(|meta| meta.is_dir())) {
                Ok(true) => Ok(()),
                _ => Err(error),
            }
        }
        opened => opened.map(drop),
    }
}

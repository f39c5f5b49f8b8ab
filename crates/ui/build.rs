//! Packs the files below `assets/` with gzip and writes a table of them, with one hash over all.

use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

fn main() -> Result<(), Box<dyn Error>> {
    let assets = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("assets");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", assets.display());

    let mut files = Vec::new();
    collect(&assets, "", &mut files)?;
    // Sorted, so that the same files give the same hash everywhere and the table can be searched by halves.
    files.sort();

    let mut hasher = DefaultHasher::new();
    let mut table = String::new();
    for (number, path) in files.iter().enumerate() {
        let mut content = fs::read(assets.join(path))?;
        if path.ends_with(".js") {
            let code = without_comments(&String::from_utf8(content)?);
            if let Some(line) = line_with_open_literal(&code) {
                return Err(format!(
                    "{path}:{line}: a text literal that spans lines would lose its indentation"
                )
                .into());
            }
            content = code.into_bytes();
        }
        if path.ends_with(".css") {
            content = without_spaces(&String::from_utf8(content)?).into_bytes();
        }
        hasher.write(path.as_bytes());
        hasher.write_usize(content.len());
        hasher.write(&content);
        let packed = out.join(format!("{number}.gz"));
        // Without a time in the header: the same source gives the same binary.
        let mut encoder = GzBuilder::new().mtime(0).write(fs::File::create(&packed)?, Compression::best());
        encoder.write_all(&content)?;
        encoder.finish()?;
        table.push_str(&format!("    ({path:?}, include_bytes!({:?})),\n", packed.display().to_string()));
    }
    // 48 bits: it tells builds apart, it does not guard anything.
    let hash = format!("{:012x}", hasher.finish() >> 16);
    fs::write(
        out.join("assets.rs"),
        format!("const HASH: &str = {hash:?};\nstatic FILES: &[(&str, &[u8])] = &[\n{table}];\n"),
    )?;
    Ok(())
}

/// A module without `/** … */`, lines that are comments, indentation, and spaces around punctuation. Lines keep their
/// numbers. The modules keep to this: `/**` and a line that begins with `//` occur in comments only, and no text literal
/// spans lines.
fn without_comments(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((code, comment)) = rest.split_once("/**") {
        out.push_str(code);
        let (comment, after) = comment.split_once("*/").unwrap_or((comment, ""));
        out.extend(comment.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    out.push_str(rest);
    let lines = out.lines().map(str::trim).map(|line| if line.starts_with("//") { "" } else { line });
    lines.flat_map(|line| [dense(line), "\n".to_owned()]).collect()
}

/// A line of code without the spaces beside punctuation. A line with a slash that is neither in a text nor between two
/// spaces stays as it is: it may hold a regular expression, whose quotes open nothing.
fn dense(line: &str) -> String {
    const PUNCTUATION: &str = "=+*/?:,;(){}[]<>&|!";
    let is_punctuation = |character: Option<char>| character.is_some_and(|c| PUNCTUATION.contains(c));
    let mut out = String::with_capacity(line.len());
    let mut open: Vec<char> = Vec::new();
    let mut characters = line.chars().peekable();
    let mut last = None;
    while let Some(character) = characters.next() {
        let quote = open.last().copied().filter(|last| *last != '{');
        let (before, after) = (out.chars().next_back(), characters.peek().copied());
        if character == '/' && quote.is_none() && (last, after) != (Some(' '), Some(' ')) {
            return line.to_owned();
        }
        last = Some(character);
        if character == ' ' && quote.is_none() {
            let sign = before == Some('+') && after == Some('+');
            if sign || !(is_punctuation(before) || is_punctuation(after)) {
                out.push(character);
            }
            continue;
        }
        out.push(character);
        if character == '\\' {
            out.extend(characters.next());
            continue;
        }
        track(&mut open, character, &mut characters);
    }
    out
}

/// A style sheet without the spaces that mean nothing: behind `{`, `}`, `;`, `:` and `,`, and before braces. Lines stay.
fn without_spaces(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut quoted = false;
    let mut characters = source.chars().peekable();
    while let Some(character) = characters.next() {
        quoted ^= character == '"';
        let before = out.ends_with(['{', '}', ';', ':', ',', '\n']);
        let after = matches!(characters.peek(), Some('{' | '}'));
        if quoted || character != ' ' || !(before || after) {
            out.push(character);
        }
    }
    out
}

/// The first line in which a backtick opens a literal that does not end there. Backticks in other literals do not count.
fn line_with_open_literal(code: &str) -> Option<usize> {
    code.lines().position(leaves_literal_open).map(|index| index + 1)
}

fn leaves_literal_open(line: &str) -> bool {
    let mut open: Vec<char> = Vec::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ => track(&mut open, character, &mut characters),
        }
    }
    open.contains(&'`')
}

/// Follows what a character opens and closes: quotes, and `{` for an expression within a literal.
fn track(open: &mut Vec<char>, character: char, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match (open.last(), character) {
        (Some('`'), '$') if rest.peek() == Some(&'{') => open.push('$'),
        // The brace of `${` stands for both.
        (Some('$'), '{') => {
            open.pop();
            open.push('{');
        }
        (Some(&quote @ ('"' | '\'' | '`')), _) if character == quote => drop(open.pop()),
        (Some('"' | '\'' | '`'), _) => {}
        (Some('{'), '}') => drop(open.pop()),
        (Some('{') | None, '"' | '\'' | '`') | (Some('{'), '{') => open.push(character),
        _ => {}
    }
}

/// Adds the paths of all files below a directory, relative to `assets/`, with slashes.
fn collect(directory: &Path, prefix: &str, files: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| format!("{name:?} is not UTF-8"))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

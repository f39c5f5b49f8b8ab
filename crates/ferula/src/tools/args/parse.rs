//! Arguments to a command and its values, or to a text: help, version, or what is wrong.

use ferula_go::quote::go_quote;

use super::table::{Argument, Command, Flag, Kind, flag};
use super::tokens::{Token, Tokens};
use super::{Args, usage};

/// Flags that every command has.
const GLOBAL: [Flag; 6] = [
    flag("help", Kind::Switch, "Show context-sensitive help (also try --help-long and --help-man).")
        .short('h'),
    flag("help-long", Kind::Switch, "").hidden(),
    flag("help-man", Kind::Switch, "").hidden(),
    flag("version", Kind::Switch, "Show application version."),
    flag("experimental", Kind::Switch, "Enable experimental commands."),
    flag(
        "enable-feature",
        Kind::Texts,
        "Comma separated feature names to enable. Valid options: promql-experimental-functions, \
         promql-delayed-name-removal, promql-extended-range-selectors. See \
         https://prometheus.io/docs/prometheus/latest/feature_flags/ for more details",
    )
    .default(""),
];

/// `help`
const HELP: Command = Command {
    name: "help",
    help: "Show help.",
    flags: &[],
    arguments: &[Argument {
        name: "command",
        help: "Show help on command.",
        kind: Kind::Texts,
        required: false,
    }],
    commands: &[],
    run: None,
    ours: false,
};

static GLOBAL_FLAGS: &[Flag] = &GLOBAL;
static HELP_COMMAND: &Command = &HELP;

/// What arguments ask for.
pub enum Outcome {
    /// Run a command.
    Run(&'static Command, Args),
    /// Print this.
    Print(String),
    /// Print the version.
    Version,
    /// Tell what is wrong.
    Wrong(String),
}

/// As far as arguments could be read.
struct Reading {
    path: Vec<&'static Command>,
    known: Vec<&'static Flag>,
    places: Vec<&'static Argument>,
    /// Flags and arguments in order, with their values.
    values: Vec<(Clause, String)>,
    wrong: Option<String>,
}

#[derive(Clone, Copy)]
enum Clause {
    Flag(&'static Flag),
    Argument(&'static Argument),
}

/// Reads the arguments of `program`, whose commands are those of `root`.
pub fn parse(program: &str, root: &'static Command, arguments: &[String]) -> Outcome {
    let reading = read(root, arguments);
    if reading.given("version") {
        return Outcome::Version;
    }
    if reading.path.first().is_some_and(|command| command.name == "help") {
        let words: Vec<String> = reading
            .values
            .iter()
            .filter(|(clause, _)| matches!(clause, Clause::Argument(_)))
            .map(|(_, value)| value.clone())
            .collect();
        let about = read(root, &words);
        return match about.wrong {
            Some(wrong) => Outcome::Wrong(wrong),
            None => Outcome::Print(about.usage(program, root)),
        };
    }
    let wrong = |text: String| Outcome::Wrong(format!("{text}, try --help"));
    if let Some(text) = &reading.wrong {
        return wrong(text.clone());
    }
    if ["help", "help-long", "help-man"].iter().any(|name| reading.given(name)) {
        return Outcome::Print(reading.usage(program, root));
    }
    if let Err(text) = reading.check_values() {
        return wrong(text);
    }
    let Some(command) = reading.path.last() else { return Outcome::Print(reading.usage(program, root)) };
    if command.run.is_none() {
        return wrong(format!("must select a subcommand of '{}'", usage::full_name(&reading.path)));
    }
    match reading.check_required() {
        Ok(()) => Outcome::Run(command, reading.into_args(program)),
        Err(text) => wrong(text),
    }
}

fn read(root: &'static Command, arguments: &[String]) -> Reading {
    let mut tokens = Tokens::new(arguments);
    let mut reading = Reading {
        path: Vec::new(),
        known: GLOBAL_FLAGS.iter().collect(),
        places: Vec::new(),
        values: Vec::new(),
        wrong: None,
    };
    reading.wrong = reading.read(root, &mut tokens).err();
    reading
}

impl Reading {
    fn read(&mut self, root: &'static Command, tokens: &mut Tokens) -> Result<(), String> {
        let mut below: Vec<&'static Command> = std::iter::once(HELP_COMMAND).chain(root.commands).collect();
        let mut place = 0;
        loop {
            match tokens.peek(&self.known) {
                Token::End => return Ok(()),
                Token::Error(text) => return Err(text),
                Token::Long(_) | Token::Short(_) => self.read_flag(tokens)?,
                Token::Word(word) if !below.is_empty() => {
                    let command = below.iter().find(|command| command.name == word);
                    let command =
                        command.ok_or_else(|| format!("expected command but got {}", go_quote(&word)))?;
                    self.path.push(command);
                    self.known.extend(command.flags);
                    self.places.extend(command.arguments);
                    below = command.commands.iter().collect();
                    tokens.next(&self.known);
                }
                Token::Word(word) => {
                    let argument = *self.places.get(place).ok_or_else(|| format!("unexpected {word}"))?;
                    if !argument.kind.is_cumulative() {
                        place += 1;
                    }
                    self.values.push((Clause::Argument(argument), word));
                    tokens.next(&self.known);
                }
            }
        }
    }

    fn read_flag(&mut self, tokens: &mut Tokens) -> Result<(), String> {
        let token = tokens.next(&self.known);
        let find = |name: &str| self.known.iter().copied().find(|flag| flag.name == name);
        let (flag, off) = match &token {
            Token::Long(name) => match (find(name), name.strip_prefix("no-")) {
                (None, Some(switch)) => (find(switch).filter(|flag| flag.kind == Kind::Switch), true),
                (found, _) => (found, false),
            },
            Token::Short(letter) => (
                self.known.iter().copied().find(|flag| flag.short.is_some_and(|c| letter.starts_with(c))),
                false,
            ),
            _ => (None, false),
        };
        let length = if matches!(token, Token::Long(_)) { "long" } else { "short" };
        let flag = flag.ok_or_else(|| format!("unknown {length} flag '{token}'"))?;
        let value = if flag.kind == Kind::Switch {
            (!off).to_string()
        } else {
            match tokens.peek(&self.known) {
                Token::Word(value) => {
                    tokens.next(&self.known);
                    value
                }
                _ => return Err(format!("expected argument for flag '{token}'")),
            }
        };
        self.values.push((Clause::Flag(flag), value));
        Ok(())
    }

    fn given(&self, name: &str) -> bool {
        self.values.iter().any(|(clause, _)| matches!(clause, Clause::Flag(flag) if flag.name == name))
    }

    fn has_argument(&self, name: &str) -> bool {
        self.values.iter().any(|(clause, _)| matches!(clause, Clause::Argument(place) if place.name == name))
    }

    fn usage(&self, program: &str, root: &'static Command) -> String {
        usage::text(program, root, HELP_COMMAND, &self.path, &self.known, &self.places)
    }

    fn check_values(&self) -> Result<(), String> {
        let mut seen: Vec<&str> = Vec::new();
        for (clause, value) in &self.values {
            let kind = match clause {
                Clause::Flag(flag) => {
                    if seen.contains(&flag.name) && !flag.kind.is_cumulative() {
                        return Err(format!("flag '{}' cannot be repeated", flag.name));
                    }
                    seen.push(flag.name);
                    flag.kind
                }
                Clause::Argument(place) => place.kind,
            };
            check(kind, value)?;
        }
        Ok(())
    }

    fn check_required(&self) -> Result<(), String> {
        let missing =
            |flag: &&&'static Flag| flag.required && flag.default.is_none() && !self.given(flag.name);
        let mut missing: Vec<String> =
            self.known.iter().filter(missing).map(|flag| format!("'--{}'", flag.name)).collect();
        missing.sort();
        if !missing.is_empty() {
            return Err(format!("required flag(s) {} not provided", missing.join(", ")));
        }
        match self.places.iter().find(|place| place.required && !self.has_argument(place.name)) {
            Some(place) => Err(format!("required argument '{}' not provided", place.name)),
            None => Ok(()),
        }
    }

    fn into_args(self, program: &str) -> Args {
        let mut args =
            Args { program: program.to_owned(), known: self.known, flags: Vec::new(), arguments: Vec::new() };
        for (clause, value) in self.values {
            match clause {
                Clause::Flag(flag) => args.flags.push((flag.name, value)),
                Clause::Argument(place) => args.arguments.push((place.name, value)),
            }
        }
        args
    }
}

fn check(kind: Kind, value: &str) -> Result<(), String> {
    match kind {
        Kind::Switch | Kind::Text | Kind::Texts => Ok(()),
        Kind::Pairs => pair(value).map(|_| ()).ok_or_else(|| format!("expected KEY=VALUE got '{value}'")),
        Kind::Duration => super::parse_nanos(value).map(|_| ()),
        Kind::Number => number(value),
        Kind::Int64 => match value.parse::<i64>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("strconv.ParseInt: parsing {}: invalid syntax", go_quote(value))),
        },
        Kind::Url => match value.starts_with(':') {
            true => Err(format!("invalid URL: parse {}: missing protocol scheme", go_quote(value))),
            false => Ok(()),
        },
        Kind::File | Kind::Files => match std::fs::metadata(value) {
            Ok(file) if file.is_dir() => {
                let name =
                    std::path::Path::new(value).file_name().map_or(value.into(), |n| n.to_string_lossy());
                Err(format!("'{name}' is a directory"))
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(format!("path '{value}' does not exist"))
            }
            Err(error) => Err(format!("stat {value}: {}", go_io_error(&error))),
        },
        Kind::Output => std::fs::File::create(value).map(|_| ()).map_err(|error| open_error(value, &error)),
        Kind::Word(words) => match words.contains(&value) {
            true => Ok(()),
            false => Err(format!("enum value must be one of {}, got '{value}'", words.join(","))),
        },
    }
}

fn number(value: &str) -> Result<(), String> {
    integer(value).map(|_| ())
}

/// A whole number; Go takes `5e7` for one too.
pub fn integer(value: &str) -> Result<i64, String> {
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(value.parse().unwrap_or(number as i64)),
        _ => Err(format!("strconv.ParseFloat: parsing {}: invalid syntax", go_quote(value))),
    }
}

/// `NAME=VALUE`, also with `:`.
pub fn pair(value: &str) -> Option<(&str, &str)> {
    let at = value.find(['=', ':'])?;
    Some((&value[..at], &value[at + 1..]))
}

/// As Go tells that a file cannot be opened.
pub fn open_error(file: &str, error: &std::io::Error) -> String {
    format!("open {file}: {}", go_io_error(error))
}

/// The system's words for an error, as Go has them.
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

//! From arguments to a command with its values, a help page, the version, or an error.

use ferula_go::quote::go_quote;

use super::command_args::Args;
use super::flag::{Argument, Flag, ValueKind, flag};
use super::table::Command;
use super::tokens::{Token, Tokens};
use super::usage;
use super::value::check;

/// `--experimental`
pub const EXPERIMENTAL: Flag =
    flag("experimental", ValueKind::Switch, "Allow commands that may still change.");
/// `--enable-feature`
pub const ENABLE_FEATURE: Flag = flag(
    "enable-feature",
    ValueKind::Texts,
    "Experimental parts of PromQL to enable, separated by commas: promql-experimental-functions, \
     promql-delayed-name-removal, promql-extended-range-selectors, promql-binop-fill-modifiers.",
)
.default("");

/// Flags that every command has.
const GLOBAL: [Flag; 6] = [
    flag("help", ValueKind::Switch, "Show help for the program or the named command.").short('h'),
    flag("help-long", ValueKind::Switch, "").hidden(),
    flag("help-man", ValueKind::Switch, "").hidden(),
    flag("version", ValueKind::Switch, "Print the version."),
    EXPERIMENTAL,
    ENABLE_FEATURE,
];

const HELP: Command = Command {
    name: "help",
    help: "Show help for a command.",
    flags: &[],
    arguments: &[Argument {
        name: "command",
        help: "The command to show help for; by default, the program.",
        kind: ValueKind::Texts,
        required: false,
    }],
    commands: &[],
    run: None,
    is_ours: false,
    is_default: false,
};

static GLOBAL_FLAGS: &[Flag] = &GLOBAL;
static HELP_COMMAND: &Command = &HELP;

/// What the arguments request.
pub enum Outcome {
    Run(&'static Command, Args),
    Print(String),
    Version,
    Wrong(UsageError),
    /// `help` was called for something that does not exist.
    WrongTopic(UsageError),
}

/// Why arguments cannot be parsed. The texts are those of promtool's library.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    #[error("expected command but got {}", go_quote(.word))]
    NoSuchCommand { word: String, suggestion: Option<&'static str> },
    #[error("unknown long flag '{flag}'")]
    UnknownFlag { flag: String, suggestion: Option<String> },
    #[error("unknown short flag '{0}'")]
    UnknownShortFlag(String),
    #[error("unexpected {0}")]
    Unexpected(String),
    #[error("expected argument for flag '{0}'")]
    NoValue(String),
    #[error("flag '{0}' cannot be repeated")]
    Repeated(&'static str),
    #[error("required flag(s) {0} not provided")]
    MissingFlags(String),
    #[error("required argument '{0}' not provided")]
    MissingArgument(&'static str),
    #[error("must select a subcommand of '{0}'")]
    NoSubcommand(String),
    /// An invalid value, or an argument file that cannot be read.
    #[error("{0}")]
    Value(String),
}

impl UsageError {
    /// A suggestion for what was probably meant.
    pub fn suggestion(&self) -> Option<String> {
        match self {
            UsageError::NoSuchCommand { suggestion, .. } => suggestion.map(str::to_owned),
            UsageError::UnknownFlag { suggestion, .. } => suggestion.clone(),
            _ => None,
        }
    }
}

/// Arguments, up to the first that could not be parsed.
struct Reading {
    path: Vec<&'static Command>,
    known: Vec<&'static Flag>,
    places: Vec<&'static Argument>,
    /// Flags and arguments in order, with their values.
    values: Vec<(Clause, String)>,
    error: Option<UsageError>,
}

#[derive(Clone, Copy)]
enum Clause {
    Flag(&'static Flag),
    Argument(&'static Argument),
}

/// Parses the arguments of `program`, whose commands are those of `root`.
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
        return match about.error {
            Some(error) => Outcome::WrongTopic(error),
            None => Outcome::Print(about.usage(program, root)),
        };
    }
    if let Some(error) = reading.error {
        return Outcome::Wrong(error);
    }
    if ["help", "help-long", "help-man"].iter().any(|name| reading.given(name)) {
        return Outcome::Print(reading.usage(program, root));
    }
    if let Err(error) = reading.check_values() {
        return Outcome::Wrong(error);
    }
    let Some(command) = reading.path.last() else { return Outcome::Print(reading.usage(program, root)) };
    if command.run.is_none() {
        return Outcome::Wrong(UsageError::NoSubcommand(usage::full_name(&reading.path)));
    }
    match reading.check_required() {
        Ok(()) => Outcome::Run(command, reading.into_args(program)),
        Err(error) => Outcome::Wrong(error),
    }
}

fn read(root: &'static Command, arguments: &[String]) -> Reading {
    let mut tokens = Tokens::new(arguments);
    let mut reading = Reading {
        path: Vec::new(),
        known: GLOBAL_FLAGS.iter().collect(),
        places: Vec::new(),
        values: Vec::new(),
        error: None,
    };
    reading.error = reading.read(root, &mut tokens).err();
    reading
}

impl Reading {
    fn read(&mut self, root: &'static Command, tokens: &mut Tokens) -> Result<(), UsageError> {
        let mut below: Vec<&'static Command> = std::iter::once(HELP_COMMAND).chain(root.commands).collect();
        let mut place = 0;
        loop {
            let token = tokens.peek(&self.known);
            // A group without a command stands for its default command.
            let default = below.iter().find(|command| command.is_default).copied();
            if let Some(command) = default.filter(|_| !self.fits(&token, &below)) {
                self.enter(command);
                below = command.commands.iter().collect();
                continue;
            }
            match token {
                Token::End => return Ok(()),
                Token::Error(text) => return Err(UsageError::Value(text)),
                Token::Long(_) | Token::Short(_) => self.read_flag(tokens)?,
                Token::Word(word) if !below.is_empty() => {
                    let command = below.iter().find(|command| command.name == word);
                    let command = command.ok_or_else(|| UsageError::NoSuchCommand {
                        suggestion: ferula_config::closest(&word, below.iter().map(|command| command.name)),
                        word,
                    })?;
                    self.enter(command);
                    below = command.commands.iter().collect();
                    tokens.next(&self.known);
                }
                Token::Word(word) => {
                    let Some(argument) = self.places.get(place).copied() else {
                        return Err(UsageError::Unexpected(word));
                    };
                    if !argument.kind.is_cumulative() {
                        place += 1;
                    }
                    self.values.push((Clause::Argument(argument), word));
                    tokens.next(&self.known);
                }
            }
        }
    }

    fn enter(&mut self, command: &'static Command) {
        self.path.push(command);
        self.known.extend(command.flags);
        self.places.extend(command.arguments);
    }

    /// Whether a token can be read without choosing a command first.
    fn fits(&self, token: &Token, below: &[&'static Command]) -> bool {
        match token {
            Token::Word(word) => below.iter().any(|command| command.name == *word),
            Token::Long(_) | Token::Short(_) => self.flag_of(token).0.is_some(),
            Token::End => false,
            Token::Error(_) => true,
        }
    }

    /// The named flag, and whether it is negated.
    fn flag_of(&self, token: &Token) -> (Option<&'static Flag>, bool) {
        let find = |name: &str| self.known.iter().copied().find(|flag| flag.name == name);
        match token {
            Token::Long(name) => match (find(name), name.strip_prefix("no-")) {
                (None, Some(switch)) => (find(switch).filter(|flag| flag.kind == ValueKind::Switch), true),
                (found, _) => (found, false),
            },
            Token::Short(letter) => (
                self.known.iter().copied().find(|flag| flag.short.is_some_and(|c| letter.starts_with(c))),
                false,
            ),
            _ => (None, false),
        }
    }

    fn read_flag(&mut self, tokens: &mut Tokens) -> Result<(), UsageError> {
        let token = tokens.next(&self.known);
        let (flag, off) = self.flag_of(&token);
        let flag = flag.ok_or_else(|| self.unknown(&token))?;
        let value = if flag.kind == ValueKind::Switch {
            (!off).to_string()
        } else {
            match tokens.peek(&self.known) {
                Token::Word(value) => {
                    tokens.next(&self.known);
                    value
                }
                _ => return Err(UsageError::NoValue(token.to_string())),
            }
        };
        self.values.push((Clause::Flag(flag), value));
        Ok(())
    }

    fn unknown(&self, token: &Token) -> UsageError {
        let Token::Long(name) = token else { return UsageError::UnknownShortFlag(token.to_string()) };
        let shown = self.known.iter().filter(|flag| !flag.hidden).map(|flag| flag.name);
        let suggestion = ferula_config::closest(name, shown).map(|flag| format!("--{flag}"));
        UsageError::UnknownFlag { flag: token.to_string(), suggestion }
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

    fn check_values(&self) -> Result<(), UsageError> {
        let mut seen: Vec<&str> = Vec::new();
        for (clause, value) in &self.values {
            let kind = match clause {
                Clause::Flag(flag) => {
                    if seen.contains(&flag.name) && !flag.kind.is_cumulative() {
                        return Err(UsageError::Repeated(flag.name));
                    }
                    seen.push(flag.name);
                    flag.kind
                }
                Clause::Argument(place) => place.kind,
            };
            check(kind, value).map_err(UsageError::Value)?;
        }
        Ok(())
    }

    fn check_required(&self) -> Result<(), UsageError> {
        let missing =
            |flag: &&&'static Flag| flag.required && flag.default.is_none() && !self.given(flag.name);
        let mut missing: Vec<String> =
            self.known.iter().filter(missing).map(|flag| format!("'--{}'", flag.name)).collect();
        missing.sort();
        if !missing.is_empty() {
            return Err(UsageError::MissingFlags(missing.join(", ")));
        }
        match self.places.iter().find(|place| place.required && !self.has_argument(place.name)) {
            Some(place) => Err(UsageError::MissingArgument(place.name)),
            None => Ok(()),
        }
    }

    fn into_args(self, program: &str) -> Args {
        let mut args = Args::new(program, self.known, self.places);
        for (clause, value) in self.values {
            match clause {
                Clause::Flag(flag) => args.flags.push((flag.name, value)),
                Clause::Argument(place) => args.arguments.push((place.name, value)),
            }
        }
        args
    }
}

//! Flags of one command: `--name value`, `--name=value`, `--switch`, `--no-switch`, and short forms of two of them.

use anyhow::{Result, bail};

/// Short forms that promtool has.
const SHORT: [(&str, &str); 2] = [("-r", "human-readable"), ("-q", "quiet")];

/// What was given.
#[derive(Debug, Default)]
pub struct Args {
    positional: Vec<String>,
    given: Vec<(String, Option<String>)>,
}

impl Args {
    /// Reads arguments of a command that knows these `switches`, these `valued` flags, and at most so many others.
    pub fn parse(
        arguments: &[String],
        switches: &[&str],
        valued: &[&str],
        positional_max: usize,
    ) -> Result<Self> {
        let mut args = Args::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let short = SHORT.iter().find(|(short, name)| short == argument && switches.contains(name));
            let (name, value) = match (short, argument.strip_prefix("--")) {
                (Some((_, name)), _) => (*name, None),
                (None, Some("")) => {
                    args.positional.extend(rest.by_ref().cloned());
                    break;
                }
                (None, Some(flag)) => match flag.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (flag, None),
                },
                (None, None) if argument.len() > 1 && argument.starts_with('-') => {
                    bail!("unknown short flag '{argument}'")
                }
                (None, None) => {
                    args.positional.push(argument.clone());
                    continue;
                }
            };
            if switches.contains(&name) && value.is_none() {
                args.given.push((name.to_owned(), None));
            } else if let Some(off) = name.strip_prefix("no-").filter(|off| switches.contains(off)) {
                args.given.retain(|(name, _)| name != off);
            } else if valued.contains(&name) {
                let Some(value) = value.or_else(|| rest.next().cloned()) else {
                    bail!("expected argument for flag '--{name}'")
                };
                args.given.push((name.to_owned(), Some(value)));
            } else {
                bail!("unknown long flag '--{name}'");
            }
        }
        if let Some(unexpected) = args.positional.get(positional_max) {
            bail!("unexpected {unexpected}");
        }
        Ok(args)
    }

    /// The argument at this place among those that are no flags.
    pub fn positional(&self, at: usize) -> Option<&str> {
        self.positional.get(at).map(String::as_str)
    }

    /// All arguments that are no flags, in order.
    pub fn others(&self) -> &[String] {
        &self.positional
    }

    /// Whether the switch was given.
    pub fn has(&self, switch: &str) -> bool {
        self.given.iter().any(|(name, _)| name == switch)
    }

    /// All values of a flag, in order.
    pub fn all(&self, flag: &str) -> Vec<&str> {
        self.given.iter().filter(|(name, _)| name == flag).filter_map(|(_, value)| value.as_deref()).collect()
    }

    /// The value given last.
    pub fn last(&self, flag: &str) -> Option<&str> {
        self.all(flag).pop()
    }

    /// The value given last as a number.
    pub fn number(&self, flag: &str, default: i64) -> Result<i64> {
        match self.last(flag) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) => Ok(number),
                Err(_) => bail!("flag '--{flag}': {text:?} is not a number"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        Args::parse(&arguments, &["human-readable", "quiet"], &["match", "limit"], 2)
    }

    #[test]
    fn flags_come_in_all_forms_and_anywhere() {
        let args =
            parse(&["-r", "dir", "--match", "a", "--match=b=c", "block", "--limit=-3"]).expect("right");
        assert!(args.has("human-readable") && !args.has("quiet"));
        assert_eq!((args.positional(0), args.positional(1)), (Some("dir"), Some("block")));
        assert_eq!(args.all("match"), ["a", "b=c"]);
        assert_eq!(args.number("limit", 20).expect("a number"), -3);
        assert!(!parse(&["-r", "--no-human-readable"]).expect("right").has("human-readable"));
        assert_eq!(parse(&["--", "--quiet"]).expect("right").positional(0), Some("--quiet"));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for (arguments, why) in [
            (&["--nope"][..], "unknown long flag '--nope'"),
            (&["-x"][..], "unknown short flag '-x'"),
            (&["--match"][..], "expected argument for flag '--match'"),
            (&["a", "b", "c"][..], "unexpected c"),
        ] {
            assert_eq!(parse(arguments).expect_err("it is wrong").to_string(), why);
        }
        assert!(parse(&["--limit", "x"]).expect("read").number("limit", 0).is_err());
    }
}

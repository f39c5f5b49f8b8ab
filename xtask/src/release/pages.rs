//! The manual and the completions of shells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::commands::{Flag, Page};

/// The manual in roff, section 1.
pub fn manual(pages: &[Page]) -> String {
    let mut out =
        String::from(".TH FERULA 1\n.SH NAME\nferula \\- monitoring server, in place of Prometheus\n");
    for page in pages {
        let title =
            if page.name.is_empty() { ".SH SYNOPSIS".into() } else { format!(".SS {}", roff(&page.name)) };
        if page.name.is_empty() {
            let usage =
                "\n.B ferula\n[flags]\n.br\n.B ferula\n.I command\n[flags] [arguments]\n.SH DESCRIPTION\n";
            let _ = write!(out, "{title}{usage}{}\n.SH FLAGS OF THE SERVER\n", roff(&page.help));
        } else {
            let usage = format!("ferula {} {}", page.name, page.arguments);
            let _ = write!(out, "{title}\n.B {}\n.PP\n{}\n", roff(usage.trim()), roff(&page.help));
        }
        for flag in &page.flags {
            let short = flag.short.as_ref().map_or(String::new(), |short| format!("{short}, "));
            let value = if flag.value.is_empty() { String::new() } else { format!("={}", flag.value) };
            let _ = write!(
                out,
                ".TP\n.B {}\n{}\n",
                roff(&format!("{short}{}{value}", flag.name)),
                roff(&flag.help)
            );
        }
        if page.name.is_empty() {
            out.push_str(".SH COMMANDS\n");
        }
    }
    out
}

/// A text in which nothing means anything to roff.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

/// What may follow the words typed so far: the next words of commands, and the flags of the command.
fn words(pages: &[Page]) -> BTreeMap<String, (BTreeSet<&str>, Vec<&Flag>)> {
    let mut all: BTreeMap<String, (BTreeSet<&str>, Vec<&Flag>)> = BTreeMap::new();
    for page in pages {
        all.entry(page.name.clone()).or_default().1 = page.flags.iter().collect();
        let mut before = String::new();
        for word in page.name.split(' ').filter(|word| !word.is_empty()) {
            all.entry(before.clone()).or_default().0.insert(word);
            before = if before.is_empty() { word.to_owned() } else { format!("{before} {word}") };
        }
    }
    all
}

fn listed<'p>((next, flags): &(BTreeSet<&'p str>, Vec<&'p Flag>)) -> String {
    let names = flags.iter().map(|flag| flag.name.as_str());
    next.iter().copied().chain(names).collect::<Vec<_>>().join(" ")
}

/// For bash: the words of the command line that are not flags are looked up as one text.
pub fn bash(pages: &[Page]) -> String {
    let mut cases = String::new();
    for (path, words) in &words(pages) {
        let _ = writeln!(cases, "    '{path}') words='{}' ;;", listed(words));
    }
    format!(
        "# Completion of ferula for bash.\n_ferula() {{\n  local path='' word words=''\n  for word in \
         \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n    case $word in -*) ;; *) path=\"${{path:+$path }}$word\" ;; esac\n  \
         done\n  case $path in\n{cases}  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n  \
         [ ${{#COMPREPLY[@]}} -gt 0 ] || compopt -o default\n}}\ncomplete -F _ferula ferula\n"
    )
}

/// For zsh.
pub fn zsh(pages: &[Page]) -> String {
    let mut cases = String::new();
    for (path, words) in &words(pages) {
        let _ = writeln!(cases, "    '{path}') next=({}) ;;", listed(words));
    }
    format!(
        "#compdef ferula\n# Completion of ferula for zsh.\n_ferula() {{\n  local taken='' word\n  local -a next\n  for word in \
         ${{words[2,CURRENT-1]}}; do\n    case $word in -*) ;; *) taken=\"${{taken:+$taken }}$word\" ;; esac\n  done\n  case \
         $taken in\n{cases}  esac\n  compadd -- $next || _files\n}}\n_ferula \"$@\"\n"
    )
}

/// For fish, with the texts of flags and commands.
pub fn fish(pages: &[Page]) -> String {
    let mut out = String::from(
        "# Completion of ferula for fish.\nfunction __ferula_at\n  set -l taken\n  for word in (commandline -opc)[2..]\n    \
         string match -q -- '-*' $word; or set -a taken $word\n  end\n  test \"$taken\" = \"$argv\"\nend\n",
    );
    let help: BTreeMap<&str, &str> =
        pages.iter().map(|page| (page.name.as_str(), page.help.as_str())).collect();
    for (path, (next, flags)) in &words(pages) {
        let at = format!("complete -c ferula -n '__ferula_at {path}'");
        for word in next {
            let whole = format!("{path} {word}");
            let about = help.get(whole.trim()).copied().unwrap_or_default();
            let _ = writeln!(out, "{at} -a {word} -d '{}'", quoted(about));
        }
        for flag in flags {
            let takes = if flag.value.is_empty() { "" } else { " -r" };
            let short = flag.short.as_ref().map_or(String::new(), |short| format!(" -s {}", &short[1..]));
            let long = flag.name.trim_start_matches('-');
            let _ = writeln!(out, "{at}{short} -l {long}{takes} -d '{}'", quoted(&flag.help));
        }
    }
    out
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Vec<Page> {
        let flag = |name: &str, value: &str| Flag {
            name: name.into(),
            short: (name == "--help").then(|| "-h".into()),
            value: value.into(),
            help: "It's .a flag.".into(),
        };
        let page = |name: &str, flags: Vec<Flag>| Page {
            name: name.into(),
            help: ".Does it.".into(),
            arguments: "<x>".into(),
            flags,
        };
        vec![
            page("", vec![flag("--help", ""), flag("--config.file", "prometheus.yml")]),
            page("tsdb list", vec![flag("--help", "")]),
            page("tsdb bench write", vec![flag("--out", "data")]),
        ]
    }

    #[test]
    fn every_word_of_a_command_is_completed_in_its_place() {
        let bash = bash(&pages());
        for line in [
            "    '') words='tsdb --help --config.file' ;;",
            "    'tsdb') words='bench list' ;;",
            "    'tsdb bench') words='write' ;;",
            "    'tsdb bench write') words='--out' ;;",
        ] {
            assert!(bash.contains(line), "{line} is missing in\n{bash}");
        }
        assert!(zsh(&pages()).contains("    'tsdb') next=(bench list) ;;"));
        let fish = fish(&pages());
        assert!(
            fish.contains("complete -c ferula -n '__ferula_at ' -s h -l help -d 'It\\'s .a flag.'\n"),
            "{fish}"
        );
        assert!(fish.contains("-n '__ferula_at tsdb' -a list -d '.Does it.'\n"), "{fish}");
        assert!(fish.contains("-n '__ferula_at tsdb bench write' -l out -r -d "), "{fish}");
    }

    #[test]
    fn nothing_in_the_manual_is_a_request_by_accident() {
        let manual = manual(&pages());
        assert!(manual.contains(".SS tsdb bench write\n.B ferula tsdb bench write <x>\n"), "{manual}");
        assert!(manual.contains(".TP\n.B \\-h, \\-\\-help\nIt's .a flag.\n"), "{manual}");
        assert!(manual.contains("\n\\&.Does it.\n"), "{manual}");
    }
}

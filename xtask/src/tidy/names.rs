//! Names of types that say nothing of what they are: a reader meets one in a signature and has to look it up.

use super::tree::Tree;

/// Fine as a field or a local, whose surroundings explain it, and as a part of a longer name.
const BARE: [&str; 36] = [
    "Around",
    "Asked",
    "Asking",
    "Begun",
    "Between",
    "Deps",
    "Ended",
    "Fate",
    "Found",
    "Given",
    "Held",
    "Kept",
    "Kind",
    "Known",
    "Limbo",
    "Look",
    "Lost",
    "Made",
    "Must",
    "Other",
    "Part",
    "Parts",
    "Place",
    "Ran",
    "Room",
    "Seen",
    "Setting",
    "Shared",
    "Shown",
    "Stated",
    "Surroundings",
    "Then",
    "Told",
    "Truncated",
    "Wanted",
    "When",
];

/// Complains about types, aliases and traits with such a name.
pub fn bare(tree: &Tree, complaints: &mut Vec<String>) {
    for (file, text) in tree.rust() {
        for (at, line) in text.lines().enumerate() {
            if let Some(name) = declared(line).filter(|name| BARE.contains(name)) {
                complaints.push(format!("{file}:{}: `{name}` does not say what it is", at + 1));
            }
        }
    }
}

/// The type that a line declares.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    let keyword = words.next()?;
    let name = words.next().filter(|_| ["struct", "enum", "union", "type", "trait"].contains(&keyword))?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_names_are_found_and_longer_ones_are_not() {
        let text = "//! X.\npub(crate) struct Found {\nenum Kind<'a> {\n    pub type When = u8;\npub struct FoundSeries;\n\
                    let Part = 1;\nstruct Rows(Found);\n    Shared,\n";
        let tree = Tree::of(&[("crates/a/src/x.rs", text)]);
        let mut complaints = Vec::new();
        bare(&tree, &mut complaints);
        let named: Vec<_> = complaints.iter().filter_map(|line| line.split('`').nth(1)).collect();
        assert_eq!(named, ["Found", "Kind", "When"]);
    }
}

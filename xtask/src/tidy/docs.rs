//! Finds public items without documentation.

/// Complaints about public items without a `///` line above them: functions, types, traits, constants, and methods
/// of types that are public in the same file.
///
/// `new` needs none: the type's documentation says what is created.
pub fn undocumented(file: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let public: Vec<&str> = lines.iter().filter_map(|line| public_item(line)).collect();
    let mut complaints = Vec::new();
    // rustfmt aligns the end of a block with its start, so a `}` at the left edge ends a top-level item.
    let mut is_internal = false;
    for (at, line) in lines.iter().enumerate() {
        match *line {
            "}" => is_internal = false,
            _ if line.starts_with("mod tests {") => is_internal = true,
            _ if line.starts_with("impl") => is_internal = !public.contains(&implemented(line)),
            _ => {}
        }
        let Some(name) = public_item(line.trim_start()).filter(|name| !is_internal && *name != "new") else {
            continue;
        };
        // A name built by a macro is documented where the macro is called.
        if !name.is_empty() && !is_documented(&lines[..at]) {
            complaints.push(format!("{file}:{}: `{name}` is public and has no `///` line", at + 1));
        }
    }
    complaints
}

/// The type of `impl<T> Trait for Type<T> {`.
fn implemented(line: &str) -> &str {
    let mut rest = line.strip_prefix("impl").unwrap_or(line);
    if rest.starts_with('<') {
        let mut depth = 0;
        let end = rest.find(|c: char| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth == 0
        });
        rest = end.map_or("", |end| &rest[end + 1..]);
    }
    let subject = rest.split_once(" for ").map_or(rest, |(_, subject)| subject);
    name_of(subject.trim_start())
}

/// The name of the item that a line makes public.
fn public_item(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix("pub ")?.split_whitespace();
    let is_item =
        |word: &str| ["fn", "struct", "enum", "trait", "type", "const", "static", "union"].contains(&word);
    let mut word = words.next()?;
    while ["async", "unsafe", "const", "extern", "\"C\""].contains(&word) {
        let next = words.next()?;
        if word == "const" && !is_item(next) && next != "unsafe" {
            return Some(name_of(next));
        }
        word = next;
    }
    is_item(word).then(|| words.next().map(name_of)).flatten()
}

fn name_of(word: &str) -> &str {
    word.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(word)
}

/// Whether the item below these lines has documentation, ignoring its attributes.
fn is_documented(above: &[&str]) -> bool {
    let mut inside_attribute = false;
    for line in above.iter().rev().map(|line| line.trim()) {
        match line {
            _ if line.starts_with("#[doc") || line.starts_with("///") => return true,
            _ if line.starts_with("#[") => inside_attribute = false,
            _ if inside_attribute || line.ends_with(")]") => inside_attribute = true,
            _ if line.starts_with("//") => {}
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_without_a_line_are_named_and_documented_ones_are_not() {
        let text = "//! Header.\n\npub struct Bare;\n\n/// Documented.\n#[derive(Clone)]\n#[expect(\n    dead_code,\n    \
                    reason = \"x\"\n)]\npub struct Fine {\n    pub field: u8,\n}\n\nimpl Fine {\n    pub const fn \
                    bare(&self) {}\n\n    /// Documented.\n    pub async fn fine(&self) {}\n}\npub const N: u8 = 1;\n\
                    pub use x::y;\npub mod m;\npub(crate) fn internal() {}\nstruct Private;\nimpl Private \
                    {\n    pub fn internal(&self) {}\n}\n#[cfg(test)]\nmod tests {\n    pub fn helper() \
                    {}\n}\npub trait After {}\n";
        assert_eq!(
            undocumented("f.rs", text),
            [
                "f.rs:3: `Bare` is public and has no `///` line",
                "f.rs:16: `bare` is public and has no `///` line",
                "f.rs:21: `N` is public and has no `///` line",
                "f.rs:33: `After` is public and has no `///` line"
            ]
        );
    }

    #[test]
    fn the_type_of_an_impl_is_found_past_generics_and_traits() {
        for (line, name) in [
            ("impl Plain {", "Plain"),
            ("impl<'a, T: Into<Vec<u8>>> Generic<'a, T> {", "Generic"),
            ("impl fmt::Display for Shown {", "Shown"),
        ] {
            assert_eq!(implemented(line), name);
        }
    }
}

//! Statuses of answers: one file of each server names them, so that a reader sees at once what clients may get.

use super::tree::{Tree, product_code};

/// What answers requests. Other files read the statuses of others' answers.
const SERVERS: [&str; 3] = ["crates/api/src/", "crates/alertmanager/src/api", "crates/ferula/src/"];
const CHOOSERS: [&str; 3] = [
    "crates/api/src/status.rs",
    "crates/alertmanager/src/api/answer.rs",
    "crates/ferula/src/alertmanager/web/answers.rs",
];

/// Complains about a status that is named anywhere else.
pub fn chosen(tree: &Tree, complaints: &mut Vec<String>) {
    let of_server =
        |file: &str| SERVERS.iter().any(|start| file.starts_with(start)) && !CHOOSERS.contains(&file);
    for (file, text) in tree.product().filter(|(file, _)| of_server(file)) {
        for (at, line) in product_code(text).lines().enumerate() {
            if line.contains("StatusCode::") || line.contains(".status(4") || line.contains(".status(5") {
                complaints.push(format!(
                    "{file}:{}: chooses a status, which {} do",
                    at + 1,
                    CHOOSERS.join(", ")
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_found_outside_their_files() {
        let choice = "//! X.\nuse http::StatusCode;\nfn f(s: StatusCode) {}\nfn g() { f(StatusCode::OK) }\n";
        let tree = Tree::of(&[
            ("crates/api/src/x.rs", choice),
            ("crates/api/src/status.rs", choice),
            ("crates/discovery/src/y.rs", choice),
            ("crates/alertmanager/src/receiver/z.rs", choice),
        ]);
        let mut complaints = Vec::new();
        chosen(&tree, &mut complaints);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with("crates/api/src/x.rs:4:"), "{complaints:?}");
    }
}

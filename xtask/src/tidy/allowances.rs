//! Accepted violations of tidy's rules: `xtask/allowances.txt`, one finding per line.
//!
//! The list only shrinks. A line that is no longer needed is itself a complaint.

use std::collections::BTreeSet;

/// The location of the list.
pub const FILE: &str = "xtask/allowances.txt";

/// A violation of a rule.
pub struct Finding {
    /// `rule subject`, as it would appear in the list.
    pub key: String,
    /// The text for the reader.
    pub complaint: String,
}

/// Complaints about findings that are not in the list, and about lines that no finding needs.
pub fn judge(list: &str, findings: Vec<Finding>) -> Vec<String> {
    let allowed: BTreeSet<&str> =
        list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let found: BTreeSet<String> = findings.iter().map(|finding| finding.key.clone()).collect();
    let new = findings.into_iter().filter(|finding| !allowed.contains(finding.key.as_str()));
    let mut complaints: Vec<String> = new.map(|finding| finding.complaint).collect();
    let unneeded = allowed.iter().filter(|line| !found.contains(**line));
    complaints.extend(unneeded.map(|line| format!("{FILE}: `{line}` is no longer needed: remove the line")));
    complaints
}

/// The list without the lines that no finding needs. Comments stay.
pub fn shrunk(list: &str, findings: &[Finding]) -> String {
    let found: BTreeSet<&str> = findings.iter().map(|finding| finding.key.as_str()).collect();
    let stays = |line: &&str| line.is_empty() || line.starts_with('#') || found.contains(line.trim());
    list.lines().filter(stays).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(key: &str) -> Finding {
        Finding { key: key.to_owned(), complaint: format!("about {key}") }
    }

    #[test]
    fn listed_findings_pass_new_ones_do_not_and_the_list_shrinks() {
        let list = "# A reason.\nmodule a.rs\nmodule b.rs\n";
        assert_eq!(judge(list, vec![finding("module a.rs"), finding("module b.rs")]), Vec::<String>::new());
        assert_eq!(
            judge(list, vec![finding("module a.rs"), finding("module c.rs")]),
            ["about module c.rs", "xtask/allowances.txt: `module b.rs` is no longer needed: remove the line"]
        );
        assert_eq!(shrunk(list, &[finding("module a.rs")]), "# A reason.\nmodule a.rs\n");
    }
}

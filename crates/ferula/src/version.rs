//! Version numbers: that of the Prometheus release ferula replaces, and ferula's own.

use std::time::SystemTime;

use ferula_api::BuildInfo;
use time::OffsetDateTime;

/// The version of Prometheus that ferula replaces. Clients enable features by it.
pub const PROMETHEUS_VERSION: &str = "3.14.0";
/// The version of Alertmanager that `ferula alertmanager` and `ferula amtool` replace.
pub const ALERTMANAGER_VERSION: &str = "0.33.1";
/// Ferula's own version.
pub const FERULA_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Build information. Values not set at build time (`FERULA_REVISION`, `FERULA_BRANCH`, `FERULA_BUILD_USER`) are
/// "unknown"; the date is the executable's modification time.
pub fn build_info() -> BuildInfo {
    BuildInfo {
        version: PROMETHEUS_VERSION.to_owned(),
        revision: option_env!("FERULA_REVISION").unwrap_or("unknown").to_owned(),
        branch: option_env!("FERULA_BRANCH").unwrap_or("unknown").to_owned(),
        build_user: option_env!("FERULA_BUILD_USER").unwrap_or("unknown").to_owned(),
        build_date: build_date(),
        go_version: format!("rust{}", env!("CARGO_PKG_RUST_VERSION")),
    }
}

/// `20260929-11:59:39`
fn build_date() -> String {
    let modified = std::env::current_exe().and_then(std::fs::metadata).and_then(|file| file.modified());
    let date = OffsetDateTime::from(modified.unwrap_or(SystemTime::UNIX_EPOCH));
    format!(
        "{:04}{:02}{:02}-{:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

/// `(version=…, branch=…, revision=…, ferula=…)`
pub fn short() -> String {
    short_of(PROMETHEUS_VERSION)
}

/// The same with another program's version.
pub fn short_of(version: &str) -> String {
    let build = build_info();
    format!(
        "(version={version}, branch={}, revision={}, ferula={FERULA_VERSION})",
        build.branch, build.revision
    )
}

/// The text of `--version`: Prometheus' lines, because scripts read them, then one that names this program.
pub fn text(program: &str) -> String {
    text_of(program, PROMETHEUS_VERSION)
}

/// The same for `alertmanager` and `amtool`.
pub fn alertmanager_text(program: &str) -> String {
    text_of(program, ALERTMANAGER_VERSION)
}

fn text_of(program: &str, version: &str) -> String {
    let build = build_info();
    format!(
        "{program}, version {} (branch: {}, revision: {})\n\
         \x20 build user:       {}\n\
         \x20 build date:       {}\n\
         \x20 go version:       {}\n\
         \x20 platform:         {}/{}\n\
         \x20 tags:             ferula {FERULA_VERSION}\n\
         This is ferula {FERULA_VERSION}, which replaces {program} {}.\n",
        version,
        build.branch,
        build.revision,
        build.build_user,
        build.build_date,
        build.go_version,
        std::env::consts::OS,
        architecture(),
        version,
    )
}

/// The processor architecture as Go spells it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_prometheus_and_the_last_names_both() {
        let text = text("prometheus");
        assert!(text.starts_with("prometheus, version 3.14.0 (branch: "), "{text}");
        let last = format!("This is ferula {FERULA_VERSION}, which replaces prometheus 3.14.0.\n");
        assert!(text.ends_with(&last), "{text}");
        assert!(short().ends_with(&format!(", ferula={FERULA_VERSION})")), "{}", short());
    }
}

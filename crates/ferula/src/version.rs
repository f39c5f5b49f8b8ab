//! What the program says about itself.

use std::time::SystemTime;

use ferula_api::BuildInfo;
use time::OffsetDateTime;

/// The level of Prometheus that is served; clients switch features by it.
pub const PROMETHEUS_VERSION: &str = "3.14.0";

/// Build information. What was not given at build time (`FERULA_REVISION`, `FERULA_BRANCH`, `FERULA_BUILD_USER`) is
/// unknown; the date is that of the program's file.
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

/// `(version=…, branch=…, revision=…)`
pub fn short() -> String {
    let build = build_info();
    format!("(version={}, branch={}, revision={})", build.version, build.branch, build.revision)
}

/// The text of `--version`, in Prometheus' layout with one line of ours.
pub fn text(program: &str) -> String {
    let build = build_info();
    format!(
        "{program}, version {} (branch: {}, revision: {})\n\
         \x20 build user:       {}\n\
         \x20 build date:       {}\n\
         \x20 go version:       {}\n\
         \x20 platform:         {}/{}\n\
         \x20 tags:             ferula {}\n",
        build.version,
        build.branch,
        build.revision,
        build.build_user,
        build.build_date,
        build.go_version,
        std::env::consts::OS,
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
        env!("CARGO_PKG_VERSION"),
    )
}

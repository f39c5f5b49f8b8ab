//! The build of the program, as the API shows it.

/// Build information in the answer of `/api/v2/status`.
#[derive(Clone, Debug, Default)]
pub struct Build {
    pub version: String,
    pub revision: String,
    pub branch: String,
    pub build_user: String,
    pub build_date: String,
    pub go_version: String,
}

//! The shared files: `~/.aws/credentials` and `~/.aws/config`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ferula_config::Secret;
use ferula_go::unicode;

use super::sources::{AwsError, Credentials, Sources};

/// The keys of one profile from both files; those of `credentials` take precedence.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub name: String,
    keys: BTreeMap<String, String>,
}

impl Profile {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The credentials that the profile itself contains.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        Some(Credentials {
            access_key: self.get("aws_access_key_id")?.to_owned(),
            secret_key: Secret::new(self.get("aws_secret_access_key")?),
            session_token: Secret::new(self.get("aws_session_token").unwrap_or_default()),
            ends: None,
        })
    }
}

impl Sources {
    /// The profile of the section or of the environment. Only the implicit `default` may be missing.
    pub(super) fn profile(&self) -> Result<Profile, AwsError> {
        let named = match self.settings.profile.as_str() {
            "" => self.variable("AWS_PROFILE").or_else(|| self.variable("AWS_DEFAULT_PROFILE")),
            profile => Some(profile.to_owned()),
        };
        match named {
            Some(name) => self.profile_named(&name),
            None => match self.profile_named("default") {
                Err(AwsError::NoProfile(_)) => Ok(Profile::default()),
                other => other,
            },
        }
    }

    pub(super) fn profile_named(&self, name: &str) -> Result<Profile, AwsError> {
        let mut keys: Option<BTreeMap<String, String>> = None;
        for (variable, file, prefix) in
            [("AWS_CONFIG_FILE", "config", "profile "), ("AWS_SHARED_CREDENTIALS_FILE", "credentials", "")]
        {
            let Some(text) = self.read_shared_file(variable, file)? else { continue };
            let prefixed = format!("{prefix}{name}");
            let sections = sections(&text);
            let found = sections.iter().rfind(|(section, _)| *section == prefixed);
            let found = found
                .or_else(|| sections.iter().rfind(|(section, _)| name == "default" && section == "default"));
            if let Some((_, found)) = found {
                keys.get_or_insert_default().extend(found.clone());
            }
        }
        let keys = keys.ok_or_else(|| AwsError::NoProfile(name.to_owned()))?;
        Ok(Profile { name: name.to_owned(), keys })
    }

    /// The section of a single sign-on session; `None` if there is none.
    pub(super) fn sso_section(&self, name: &str) -> Result<Option<Profile>, AwsError> {
        let Some(text) = self.read_shared_file("AWS_CONFIG_FILE", "config")? else { return Ok(None) };
        let wanted = format!("sso-session {name}");
        let found = sections(&text).into_iter().rfind(|(section, _)| *section == wanted);
        Ok(found.map(|(name, keys)| Profile { name, keys }))
    }

    fn read_shared_file(&self, variable: &str, file: &str) -> Result<Option<String>, AwsError> {
        let home = || Some(PathBuf::from(self.variable("HOME")?).join(".aws").join(file));
        let Some(path) = self.variable(variable).map(PathBuf::from).or_else(home) else { return Ok(None) };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AwsError::File { file: path.display().to_string(), error }),
        }
    }
}

/// The sections of a file, with keys in lower case. Other lines are skipped, as in the SDK; so are indented
/// ones, which belong to nested settings.
fn sections(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut all: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for line in text.lines() {
        let nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let words: Vec<&str> = name.split_whitespace().collect();
            all.push((words.join(" ").trim_matches('"').to_owned(), BTreeMap::new()));
        } else if let (Some((key, value)), Some((_, keys)), false) =
            (line.split_once('='), all.last_mut(), nested)
        {
            let value = value.split(" #").next().unwrap_or(value);
            keys.insert(unicode::lower(key.trim()), value.trim().to_owned());
        }
    }
    all
}

//! The sources of credentials and of the region, in the order of the AWS SDK for Go.
//!
//! 1. The key in the section of the configuration.
//! 2. The profile named in the section.
//! 3. The key in the environment, then the web identity in the environment.
//! 4. The environment's profile, or `default`: a source profile, a key, a source of credentials, a web identity,
//!    single sign-on, a program; each followed by the role to assume.
//! 5. The container's credentials, then those of the instance's role.
//!
//! A role named in the section is assumed with the credentials found this way.

use std::time::Duration;

use tokio::process::Command;

use super::metadata::credentials_of_json;
use super::profile::Profile;
use super::sources::{AwsError, Credentials, Sources};
use super::sts::Role;
use ferula_config::Secret;

/// A longer chain of source profiles must be a cycle.
const PROFILES_MAX: usize = 16;
const PROGRAM_BYTES_MAX: usize = 64 << 10;
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(60);

impl Sources {
    pub(super) async fn find_region(&self) -> Result<String, AwsError> {
        if !self.settings.region.is_empty() {
            return Ok(self.settings.region.clone());
        }
        if let Some(region) = self.variable("AWS_REGION").or_else(|| self.variable("AWS_DEFAULT_REGION")) {
            return Ok(region);
        }
        if let Some(region) = self.profile()?.get("region") {
            return Ok(region.to_owned());
        }
        self.instance_region().await.ok_or(AwsError::NoRegion)
    }

    pub(super) async fn find_credentials(&self, region: &str) -> Result<Credentials, AwsError> {
        let found = self.base_credentials(region).await?;
        let Some(arn) = Some(self.settings.role_arn.as_str()).filter(|arn| !arn.is_empty()) else {
            return Ok(found);
        };
        let role = Role { arn, external_id: &self.settings.external_id, session_name: "" };
        self.assume_role(&role, &found, region).await
    }

    async fn base_credentials(&self, region: &str) -> Result<Credentials, AwsError> {
        let own = Credentials {
            access_key: self.settings.access_key.clone(),
            secret_key: self.settings.secret_key.clone(),
            ..Credentials::default()
        };
        if own.is_complete() {
            return Ok(own);
        }
        if self.settings.profile.is_empty() {
            if let Some(credentials) = self.environment_credentials() {
                return Ok(credentials);
            }
            if let Some(file) = self.variable("AWS_WEB_IDENTITY_TOKEN_FILE") {
                let arn = self.variable("AWS_ROLE_ARN").unwrap_or_default();
                let session_name = self.variable("AWS_ROLE_SESSION_NAME").unwrap_or_default();
                let role = Role { arn: &arn, external_id: "", session_name: &session_name };
                return self.assume_role_with_web_identity(&role, &file, region).await;
            }
        }
        self.profile_credentials(self.profile()?, region).await
    }

    fn environment_credentials(&self) -> Option<Credentials> {
        let one_of = |names: [&str; 2]| names.iter().find_map(|name| self.variable(name));
        Some(Credentials {
            access_key: one_of(["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"])?,
            secret_key: Secret::new(one_of(["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"])?),
            session_token: Secret::new(self.variable("AWS_SESSION_TOKEN").unwrap_or_default()),
            ends: None,
        })
    }

    /// Follows source profiles to the one that has credentials, then assumes the roles on the way back.
    async fn profile_credentials(&self, profile: Profile, region: &str) -> Result<Credentials, AwsError> {
        let mut path = vec![profile];
        loop {
            let profile = &path[path.len() - 1];
            let source = match profile.get("source_profile") {
                // A profile that is its own source has both the key and the role.
                Some(source) if source != profile.name && profile.get("role_arn").is_some() => source,
                _ => break,
            };
            if path.len() == PROFILES_MAX {
                return Err(AwsError::ProfileCycle(path[0].name.clone()));
            }
            let source = self.profile_named(source)?;
            path.push(source);
        }
        let last = path.last().expect("it starts with one");
        let (mut credentials, has_role) = self.own_credentials(last, region).await?;
        let roles = path.iter().rev().skip(usize::from(has_role));
        for profile in roles {
            let Some(arn) = profile.get("role_arn") else { continue };
            if profile.get("mfa_serial").is_some() {
                let reason = "mfa_serial is set, but nobody can enter a code here";
                return Err(AwsError::Profile { profile: profile.name.clone(), reason });
            }
            let role = Role {
                arn,
                external_id: profile.get("external_id").unwrap_or_default(),
                session_name: profile.get("role_session_name").unwrap_or_default(),
            };
            credentials = self.assume_role(&role, &credentials, region).await?;
        }
        Ok(credentials)
    }

    /// The profile's own credentials, and whether they already belong to its role.
    async fn own_credentials(
        &self,
        profile: &Profile,
        region: &str,
    ) -> Result<(Credentials, bool), AwsError> {
        if let Some(credentials) = profile.credentials() {
            return Ok((credentials, false));
        }
        let unknown = |reason| AwsError::Profile { profile: profile.name.clone(), reason };
        match profile.get("credential_source") {
            Some("Environment") => {
                let found = self.environment_credentials();
                return found
                    .map(|found| (found, false))
                    .ok_or(unknown("credential_source is Environment, but no key is set there"));
            }
            Some("Ec2InstanceMetadata") => return Ok((self.instance_credentials().await?, false)),
            Some("EcsContainer") => {
                let url = self.container_url()?;
                let url = url
                    .ok_or(unknown("credential_source is EcsContainer, but this is not an ECS container"))?;
                return Ok((self.container_credentials(&url).await?, false));
            }
            Some(_) => return Err(unknown("unknown credential_source")),
            None => {}
        }
        if let Some(file) = profile.get("web_identity_token_file") {
            let role = Role {
                arn: profile.get("role_arn").unwrap_or_default(),
                external_id: "",
                session_name: profile.get("role_session_name").unwrap_or_default(),
            };
            return Ok((self.assume_role_with_web_identity(&role, file, region).await?, true));
        }
        if let Some(credentials) = self.sso_credentials(profile).await? {
            return Ok((credentials, false));
        }
        if let Some(line) = profile.get("credential_process") {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", line]);
            let printed = crate::program::output(command, PROGRAM_BYTES_MAX, PROGRAM_TIMEOUT).await?;
            let found = credentials_of_json(&printed);
            return found
                .map(|found| (found, false))
                .ok_or(unknown("credential_process printed no credentials"));
        }
        match self.container_url()? {
            Some(url) => Ok((self.container_credentials(&url).await?, false)),
            None => Ok((self.instance_credentials().await?, false)),
        }
    }
}

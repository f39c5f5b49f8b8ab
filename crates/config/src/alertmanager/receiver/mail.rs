//! Notifications by mail.

use std::collections::BTreeMap;

use crate::alertmanager::global::GlobalConfig;
use crate::alertmanager::inherit::Inherit;
use crate::alertmanager::values::HostPort;
use crate::error::Problem;
use crate::http_client::{TlsConfig, canonical_header};
use crate::scalars::Secret;
use crate::section::section;

section! {
    /// `email_configs`
    pub struct EmailConfig as "config.EmailConfig" read as "config.plain", checked {
        keep send_resolved: bool;
        omit to: String;
        omit from: String;
        omit hello: String;
        omit smarthost: HostPort;
        omit auth_username: String;
        omit auth_password: Secret;
        omit auth_password_file: String;
        omit auth_secret: Secret;
        omit auth_secret_file: String;
        omit auth_identity: String;
        /// Names in canonical form.
        omit headers: BTreeMap<String, String>;
        omit html: String = "{{ template \"email.default.html\" . }}".into();
        omit text: String;
        omit require_tls: Option<bool>;
        omit tls_config: Option<TlsConfig>;
        /// Without a value: implicit TLS on port 465 only.
        omit force_implicit_tls: Option<bool>;
        omit threading: Threading;
    }
}

section! {
    /// Whether mails about a group form a thread.
    pub struct Threading as "config.ThreadingConfig" {
        omit enabled: bool;
        /// `none` or `daily`.
        omit thread_by_date: String;
    }
}

impl EmailConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.to.is_empty() {
            return Err(Problem::new("missing to address in email config"));
        }
        let mut headers = BTreeMap::new();
        for (name, value) in std::mem::take(&mut self.headers) {
            let canonical = canonical_header(&name);
            if headers.contains_key(&canonical) {
                let text =
                    format!("duplicate header {} in email config", ferula_go::quote::go_quote(&canonical));
                return Err(Problem::new(text).at("headers"));
            }
            headers.insert(canonical, value);
        }
        self.headers = headers;
        if !self.threading.enabled {
            return Ok(());
        }
        for name in ["References", "In-Reply-To"] {
            if self.headers.contains_key(name) {
                return Err(Problem::new(format!(
                    "conflicting configuration: threading.enabled conflicts with custom {name} header"
                ))
                .at("headers"));
            }
        }
        if !matches!(self.threading.thread_by_date.as_str(), "none" | "daily") {
            return Err(Problem::new("threading.thread_by_date must be either 'none' or 'daily'")
                .at("thread_by_date")
                .at("threading"));
        }
        Ok(())
    }
}

const DEFAULT_SUBJECT: &str = "{{ template \"email.default.subject\" . }}";

/// The receiver's value, or else the global one.
fn or(own: &mut String, global: &str) {
    if own.is_empty() {
        global.clone_into(own);
    }
}

impl Inherit for EmailConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        if self.tls_config.is_none() {
            self.tls_config.clone_from(&global.smtp_tls_config);
        }
        if self.smarthost.is_empty() {
            self.smarthost = global.smtp_smarthost.clone();
        }
        if self.smarthost.is_empty() {
            return Err("no global SMTP smarthost set".into());
        }
        or(&mut self.from, &global.smtp_from);
        if self.from.is_empty() {
            return Err("no global SMTP from set".into());
        }
        or(&mut self.hello, &global.smtp_hello);
        or(&mut self.auth_username, &global.smtp_auth_username);
        or(&mut self.auth_identity, &global.smtp_auth_identity);
        if self.auth_password.is_empty() && self.auth_password_file.is_empty() {
            self.auth_password = global.smtp_auth_password.clone();
            self.auth_password_file.clone_from(&global.smtp_auth_password_file);
        }
        if self.auth_secret.is_empty() && self.auth_secret_file.is_empty() {
            self.auth_secret = global.smtp_auth_secret.clone();
            self.auth_secret_file.clone_from(&global.smtp_auth_secret_file);
        }
        self.require_tls.get_or_insert(global.smtp_require_tls);
        if self.force_implicit_tls.is_none() {
            self.force_implicit_tls = global.smtp_force_implicit_tls;
        }
        for (name, value) in [("Subject", DEFAULT_SUBJECT), ("To", &self.to), ("From", &self.from)] {
            self.headers.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        Ok(())
    }
}

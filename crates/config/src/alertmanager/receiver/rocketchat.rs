//! Rocket.Chat: messages with attachments.

use crate::alertmanager::global::{GlobalConfig, not_both};
use crate::alertmanager::inherit::{Inherit, inherit_http};
use crate::alertmanager::values::{HttpConfig, HttpUrl};
use crate::error::Problem;
use crate::scalars::Secret;
use crate::section::section;

section! {
    /// `rocketchat_configs`
    pub struct RocketchatConfig as "config.RocketchatConfig" read as "config.plain", checked {
        keep send_resolved: bool;
        omit http_config: Option<HttpConfig>;
        omit api_url: Option<HttpUrl>;
        omit token_id: Option<Secret>;
        omit token_id_file: String;
        omit token: Option<Secret>;
        omit token_file: String;
        omit channel: String;
        omit color: String = "{{ if eq .Status \"firing\" }}red{{ else }}green{{ end }}".into();
        omit title: String = "{{ template \"rocketchat.default.title\" . }}".into();
        omit title_link: String = "{{ template \"rocketchat.default.titlelink\" . }}".into();
        omit text: String = "{{ template \"rocketchat.default.text\" . }}".into();
        omit fields: Vec<RocketchatField>;
        keep short_fields: bool;
        omit emoji: String = "{{ template \"rocketchat.default.emoji\" . }}".into();
        omit icon_url: String = "{{ template \"rocketchat.default.iconurl\" . }}".into();
        omit image_url: String;
        omit thumb_url: String;
        keep link_names: bool;
        omit actions: Vec<RocketchatAction>;
    }
}

section! {
    /// A field of an attachment. Alertmanager names no keys for YAML here, so they are the lower-case field names.
    pub struct RocketchatField as "config.RocketchatAttachmentField" {
        keep short: Option<bool>;
        keep title: String;
        keep value: String;
    }
}

section! {
    /// A button of an attachment; its keys have no underscores, for the same reason.
    pub struct RocketchatAction as "config.RocketchatAttachmentAction" {
        keep kind as "type": String;
        keep text: String;
        keep url: String;
        keep imageurl: String;
        keep iswebview: bool;
        keep webviewheightratio: String;
        keep msg: String;
        keep msginchatwindow: bool;
        keep msgprocessingtype: String;
    }
}

impl RocketchatConfig {
    fn check(&mut self) -> Result<(), Problem> {
        not_both("token", self.token.is_some(), !self.token_file.is_empty())?;
        not_both("token_id", self.token_id.is_some(), !self.token_id_file.is_empty())
    }
}

impl Inherit for RocketchatConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        if self.api_url.is_none() {
            self.api_url.clone_from(&global.rocketchat_api_url);
        }
        for (own, file, global, global_file, missing) in [
            (
                &mut self.token_id,
                &mut self.token_id_file,
                &global.rocketchat_token_id,
                &global.rocketchat_token_id_file,
                "no global Rocketchat TokenID set either inline or in a file",
            ),
            (
                &mut self.token,
                &mut self.token_file,
                &global.rocketchat_token,
                &global.rocketchat_token_file,
                "no global Rocketchat Token set either inline or in a file",
            ),
        ] {
            if own.is_none() {
                own.clone_from(global);
            }
            if file.is_empty() {
                file.clone_from(global_file);
            }
            if own.is_none() && file.is_empty() {
                return Err(missing.into());
            }
        }
        Ok(())
    }
}

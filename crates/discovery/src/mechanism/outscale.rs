//! `outscale_sd_configs`: the virtual machines of an Outscale account.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_config::Secret;
use ferula_config::discovery::{DiscoveryConfigs, OutscaleSdConfig};
use ferula_http_client::aws::{self, Credentials};
use ferula_http_client::{Bytes, Request};
use ferula_runtime::SharedClock;

use crate::TargetGroup;
use crate::api_client::{Answer, ApiClient};
use crate::group::{Labels, host_port};
use crate::json::answers;
use crate::provider::{Context, ProviderError};
use crate::refresh::{Refresh, RefreshError};

/// The name of the API in signatures.
const SERVICE: &str = "oapi";
/// No account has this many pages; stops an API that always names another page.
const PAGES_MAX: u32 = 10_000;

pub(crate) struct Outscale {
    section: OutscaleSdConfig,
    api: ApiClient,
    clock: SharedClock,
}

answers! { "PascalCase":
    Page { vms: Vec<Vm>, next_page_token: String, }
    Vm {
        vm_id: String,
        state: String,
        private_ip: String,
        public_ip: String,
        placement: Placement,
        tags: Vec<Tag>,
    }
    Placement { subregion_name: String, }
    Tag { key: String, value: String, }
    ErrorAnswer { errors: Vec<ErrorReason>, }
    ErrorReason { code: String, details: String, }
}

impl Refresh for Outscale {
    type Section = OutscaleSdConfig;

    const MECHANISM: &'static str = "outscale";

    fn sections(configs: &DiscoveryConfigs) -> Vec<OutscaleSdConfig> {
        configs.outscale_sd_configs.clone()
    }

    fn interval(section: &OutscaleSdConfig) -> Duration {
        section.refresh_interval
    }

    fn new(section: OutscaleSdConfig, context: &Context) -> Result<Self, ProviderError> {
        let api = ApiClient::new(&section.http, context, section.refresh_interval)?;
        Ok(Outscale { section, api, clock: context.clock.clone() })
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let credentials = Credentials {
            access_key: self.section.access_key.clone(),
            secret_key: self.secret_key()?,
            ..Credentials::default()
        };
        let mut targets = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(&credentials, &token).await;
            let page = page.map_err(|error| error.within("outscale ReadVms"))?;
            targets.extend(page.vms.iter().filter_map(|vm| Some(self.labels(vm)?.to_set())));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        Ok(vec![TargetGroup::of_targets(self.section.region.as_str(), targets)])
    }
}

impl Outscale {
    /// The secret key; a file is read again each time.
    fn secret_key(&self) -> Result<Secret, RefreshError> {
        let file = &self.section.secret_key_file;
        if file.is_empty() {
            return Ok(self.section.secret_key.clone());
        }
        let key = std::fs::read_to_string(file).map_err(|error| {
            RefreshError::File(format!("unable to read outscale secret key file {file}"), error)
        })?;
        Ok(Secret::new(key.trim()))
    }

    async fn page(&self, credentials: &Credentials, token: &str) -> Result<Page, RefreshError> {
        let body = match token {
            "" => BTreeMap::new(),
            token => BTreeMap::from([("NextPageToken", token)]),
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let url = format!("{}/ReadVms", self.section.endpoint.trim_end_matches('/'));
        let request = Request::post(&url, "application/json", Bytes::from(body))?;
        let now = Duration::from_nanos(self.clock.unix_nanos().unsigned_abs());
        let request = aws::sign(request, credentials, &self.section.region, SERVICE, now)?;
        checked(self.api.send(request).await?)?.json()
    }

    /// `None` for a machine without an address.
    fn labels(&self, vm: &Vm) -> Option<Labels> {
        let address = [&vm.private_ip, &vm.public_ip].into_iter().find(|ip| !ip.is_empty())?;
        let mut labels = Labels::of([
            ("__address__", host_port(address, self.section.port)),
            ("__meta_outscale_vm_instance_id", vm.vm_id.clone()),
            ("__meta_outscale_vm_region", self.section.region.clone()),
            ("__meta_outscale_vm_subregion", vm.placement.subregion_name.clone()),
            ("__meta_outscale_vm_state", vm.state.clone()),
            ("__meta_outscale_vm_private_ip", vm.private_ip.clone()),
            ("__meta_outscale_vm_public_ip", vm.public_ip.clone()),
        ]);
        for tag in vm.tags.iter().filter(|tag| !tag.key.is_empty() && !tag.value.is_empty()) {
            labels.set_key("__meta_outscale_vm_tag_", &tag.key, tag.value.as_str());
        }
        Some(labels)
    }
}

fn checked(answer: Answer) -> Result<Answer, RefreshError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let said: ErrorAnswer = answer.json().unwrap_or_default();
    let reasons = said.errors.iter().map(|error| format!(" {} {}", error.code, error.details));
    Err(RefreshError::Answer(format!("{}{}", answer.status_text, reasons.collect::<String>())))
}

#[cfg(test)]
pub(crate) mod tests;

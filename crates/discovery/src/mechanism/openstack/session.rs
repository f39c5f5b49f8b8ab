//! Authenticates with the identity service (version 3), and sends requests to the services of its catalog.

use ferula_config::discovery::OpenStackSdConfig;
use ferula_http_client::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api_client::{Answer, ApiClient};
use crate::json::answers;
use crate::provider::ProviderError;
use crate::refresh::RefreshError;

/// No region has this many pages; stops a service that always names another page.
const PAGES_MAX: u32 = 10_000;

/// Credentials and scope.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    endpoint: String,
    username: String,
    user_id: String,
    password: String,
    project_name: String,
    project_id: String,
    domain_name: String,
    domain_id: String,
    credential_id: String,
    credential_name: String,
    credential_secret: String,
}

impl Access {
    /// From the section, or from the environment if the section has no endpoint.
    pub(super) fn of(
        section: &OpenStackSdConfig,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ProviderError> {
        if !section.identity_endpoint.is_empty() {
            return Ok(Access {
                endpoint: section.identity_endpoint.clone(),
                username: section.username.clone(),
                user_id: section.userid.clone(),
                password: section.password.reveal().to_owned(),
                project_name: section.project_name.clone(),
                project_id: section.project_id.clone(),
                domain_name: section.domain_name.clone(),
                domain_id: section.domain_id.clone(),
                credential_id: section.application_credential_id.clone(),
                credential_name: section.application_credential_name.clone(),
                credential_secret: section.application_credential_secret.reveal().to_owned(),
            });
        }
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| variable(name));
            values.find(|value| !value.is_empty()).unwrap_or_default()
        };
        let access = Access {
            endpoint: first(&["OS_AUTH_URL"]),
            username: first(&["OS_USERNAME"]),
            user_id: first(&["OS_USERID", "OS_USER_ID"]),
            password: first(&["OS_PASSWORD"]),
            project_name: first(&["OS_PROJECT_NAME", "OS_TENANT_NAME"]),
            project_id: first(&["OS_PROJECT_ID", "OS_TENANT_ID"]),
            domain_name: first(&["OS_DOMAIN_NAME"]),
            domain_id: first(&["OS_DOMAIN_ID"]),
            credential_id: first(&["OS_APPLICATION_CREDENTIAL_ID"]),
            credential_name: first(&["OS_APPLICATION_CREDENTIAL_NAME"]),
            credential_secret: first(&["OS_APPLICATION_CREDENTIAL_SECRET"]),
        };
        let missing = |name: &str| {
            let text = format!("Missing environment variable [{name}]");
            Err(ProviderError::Option(text))
        };
        if access.endpoint.is_empty() {
            return missing("OS_AUTH_URL");
        }
        if access.password.is_empty() && access.credential_secret.is_empty() {
            return missing("OS_PASSWORD");
        }
        Ok(access)
    }

    /// `{"id": …}` or `{"name": …}`, if one of them is set.
    fn domain(&self) -> Option<Value> {
        match (self.domain_id.as_str(), self.domain_name.as_str()) {
            ("", "") => None,
            ("", name) => Some(json!({"name": name})),
            (id, _) => Some(json!({"id": id})),
        }
    }

    fn user(&self) -> Value {
        if !self.user_id.is_empty() {
            return json!({"id": self.user_id});
        }
        match self.domain() {
            Some(domain) => json!({"name": self.username, "domain": domain}),
            None => json!({"name": self.username}),
        }
    }

    /// The body of an authentication request.
    fn body(&self) -> Result<Value, RefreshError> {
        let refuse = |text: &str| Err(RefreshError::Answer(text.to_owned()));
        if !self.credential_secret.is_empty() {
            let credential = match (self.credential_id.as_str(), self.credential_name.as_str()) {
                ("", "") => return refuse("You must provide an application credential ID or name"),
                ("", name) => json!({"name": name, "secret": self.credential_secret, "user": self.user()}),
                (id, _) => json!({"id": id, "secret": self.credential_secret}),
            };
            let identity =
                json!({"methods": ["application_credential"], "application_credential": credential});
            return Ok(json!({"auth": {"identity": identity}}));
        }
        if self.password.is_empty() {
            return refuse("You must provide a password to authenticate");
        }
        if self.username.is_empty() == self.user_id.is_empty() {
            return refuse("Exactly one of Username and UserID must be provided for password authentication");
        }
        if self.user_id.is_empty() && self.domain().is_none() {
            return refuse(
                "You must provide exactly one of DomainID or DomainName to authenticate by Username",
            );
        }
        let mut user = self.user();
        user["password"] = json!(self.password);
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let scope = match (self.project_id.as_str(), self.project_name.as_str()) {
            ("", "") => return Ok(json!({"auth": {"identity": identity}})),
            ("", name) => match self.domain() {
                Some(domain) => json!({"project": {"name": name, "domain": domain}}),
                None => {
                    return refuse(
                        "You must provide exactly one of DomainID or DomainName in a Scope with ProjectName",
                    );
                }
            },
            (id, _) => json!({"project": {"id": id}}),
        };
        Ok(json!({"auth": {"identity": identity, "scope": scope}}))
    }
}

answers! { "snake_case":
    Versions { versions: VersionList, }
    VersionList { values: Vec<Version>, }
    Version { id: String, links: Vec<Link>, }
    Link { href: String, rel: String, }
    TokenAnswer { token: Token, }
    Token { catalog: Vec<Service>, }
    Service {
        #[serde(rename = "type")]
        service_type: String,
        endpoints: Vec<Endpoint>,
    }
    Endpoint { interface: String, region: String, region_id: String, url: String, }
}

/// A token with the catalog that came with it.
pub(super) struct Session<'a> {
    api: &'a ApiClient,
    token: String,
    catalog: Vec<Service>,
}

impl<'a> Session<'a> {
    pub(super) async fn begin(api: &'a ApiClient, access: &Access) -> Result<Self, RefreshError> {
        let base = identity_url(api, &access.endpoint).await?;
        let answer = api.post_json(&format!("{base}auth/tokens"), &[], &access.body()?).await?;
        if answer.status != StatusCode::CREATED && answer.status != StatusCode::OK {
            return Err(unexpected(&answer, &[201, 200], "POST", &format!("{base}auth/tokens")));
        }
        let token = answer.header("x-subject-token").to_owned();
        let said: TokenAnswer = answer.json()?;
        Ok(Session { api, token, catalog: said.token.catalog })
    }

    /// The endpoint of a service in the section's region, with a slash at the end.
    pub(super) fn endpoint(
        &self,
        service: &str,
        section: &OpenStackSdConfig,
    ) -> Result<String, RefreshError> {
        let of_type = self.catalog.iter().filter(|known| known.service_type == service);
        let mut endpoints = of_type.flat_map(|service| &service.endpoints).filter(|endpoint| {
            endpoint.interface == section.availability
                && (section.region.is_empty()
                    || endpoint.region == section.region
                    || endpoint.region_id == section.region)
        });
        let found = endpoints.next().ok_or_else(|| {
            let text = "No suitable endpoint could be found in the service catalog.";
            RefreshError::Answer(text.to_owned())
        })?;
        Ok(with_slash(&found.url))
    }

    /// Reads all pages of a list under `key`; the next page is under `<key>_links`.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        url: &str,
        key: &str,
    ) -> Result<Vec<T>, RefreshError> {
        let mut all = Vec::new();
        let mut next = Some(url.to_owned());
        let mut seen = 0;
        while let Some(url) = next.take().filter(|_| seen < PAGES_MAX) {
            seen += 1;
            let headers = [("x-auth-token", self.token.as_str()), ("accept", "application/json")];
            let answer = self.api.get_with(&url, &headers).await?;
            if !matches!(answer.status.as_u16(), 200 | 203 | 204 | 300) {
                return Err(unexpected(&answer, &[200, 204, 300], "GET", &url));
            }
            let mut page = crate::json::object(&answer.body)?;
            let items: Option<Vec<T>> = page.take(key)?;
            // An error page of an intermediary is not an empty list.
            let items =
                items.ok_or_else(|| RefreshError::Answer(format!("the answer of {url} has no {key}")))?;
            all.extend(items);
            let links: Vec<Link> = page.take(&format!("{key}_links"))?.unwrap_or_default();
            next = links.into_iter().find(|link| link.rel == "next").map(|link| link.href);
            next = next.filter(|next| !next.is_empty());
        }
        Ok(all)
    }
}

/// The URL of version 3 of the identity service. If the endpoint has no version, its list of versions is requested.
async fn identity_url(api: &ApiClient, endpoint: &str) -> Result<String, RefreshError> {
    let endpoint = with_slash(endpoint);
    if endpoint.ends_with("/v3/") {
        return Ok(endpoint);
    }
    if endpoint.ends_with("/v2.0/") {
        let text =
            "version 2.0 of the identity service is not supported: OpenStack removed it in 2018, use v3";
        return Err(RefreshError::Answer(text.to_owned()));
    }
    let answer = api.get_with(&endpoint, &[("accept", "application/json")]).await?;
    if !matches!(answer.status.as_u16(), 200 | 300) {
        return Err(unexpected(&answer, &[200, 300], "GET", &endpoint));
    }
    let said: Versions = answer.json()?;
    let newest = said
        .versions
        .values
        .iter()
        .filter(|version| version.id.starts_with("v3"))
        .max_by(|a, b| a.id.cmp(&b.id));
    let own = newest.and_then(|version| version.links.iter().find(|link| link.rel == "self"));
    match own {
        Some(link) => Ok(with_slash(&link.href)),
        None => Err(RefreshError::Answer(format!("No supported version available from endpoint {endpoint}"))),
    }
}

fn with_slash(url: &str) -> String {
    if url.ends_with('/') { url.to_owned() } else { format!("{url}/") }
}

fn unexpected(answer: &Answer, wanted: &[u16], method: &str, url: &str) -> RefreshError {
    let body: String = String::from_utf8_lossy(&answer.body).chars().take(1000).collect();
    let wanted = wanted.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    RefreshError::Answer(format!(
        "Expected HTTP response code [{wanted}] when accessing [{method} {url}], but got {} instead: {}",
        answer.status.as_u16(),
        body.trim()
    ))
}

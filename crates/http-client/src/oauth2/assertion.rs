//! Assertions: JSON web tokens with which a client authenticates instead of a secret.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferula_config::http_client::OAuth2;
use serde_json::{Value, json};

use crate::error::TokenError;
use crate::jwt::{Algorithm, SigningKey, random_uuid};

pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long an assertion is valid, as in Prometheus.
const LIFETIME: Duration = Duration::from_secs(600);

/// Whether a section uses assertions.
pub(super) fn is_asked_for(section: &OAuth2) -> bool {
    section.grant_type == GRANT_TYPE
}

/// Signs an assertion for the token server.
pub(super) fn sign(section: &OAuth2, key: &str) -> Result<String, TokenError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    sign_at(section, key, now)
}

fn sign_at(section: &OAuth2, key: &str, now: Duration) -> Result<String, TokenError> {
    let algorithm = match section.signature_algorithm.as_str() {
        "RS384" => Algorithm::Rs384,
        "RS512" => Algorithm::Rs512,
        _ => Algorithm::Rs256,
    };
    let key = SigningKey::parse(key)?;
    let claims = claims(section, now, &random_uuid()?);
    Ok(key.token(algorithm, &section.client_certificate_key_id, &claims)?)
}

fn claims(section: &OAuth2, now: Duration, id: &str) -> BTreeMap<String, Value> {
    let or = |text: &str, otherwise: &str| {
        if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
    };
    let mut claims = BTreeMap::from([
        ("iss".to_owned(), json!(or(&section.iss, &section.client_id))),
        ("sub".to_owned(), json!(section.client_id)),
        ("jti".to_owned(), json!(id)),
        ("aud".to_owned(), json!(or(&section.audience, &section.token_url))),
        ("iat".to_owned(), json!(now.as_secs())),
        ("exp".to_owned(), json!((now + LIFETIME).as_secs())),
    ]);
    if !section.scopes.is_empty() {
        claims.insert("scope".to_owned(), json!(section.scopes.join(" ")));
    }
    for (name, value) in &section.claims {
        claims.insert(name.clone(), json!(value.0));
    }
    claims
}

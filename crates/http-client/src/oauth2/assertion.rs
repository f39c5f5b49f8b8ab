//! JSON web tokens, signed with RSA: how a client without a secret shows who it is.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferula_config::http_client::OAuth2;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::base64::encode_url_safe;
use crate::error::TokenError;

pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long an assertion is good, as in Prometheus.
const LIFETIME: Duration = Duration::from_secs(600);

/// Whether a section wants assertions.
pub(super) fn is_asked_for(section: &OAuth2) -> bool {
    section.grant_type == GRANT_TYPE
}

/// A signed assertion for the token server.
pub(super) fn sign(section: &OAuth2, key: &str) -> Result<String, TokenError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    sign_at(section, key, now)
}

fn sign_at(section: &OAuth2, key: &str, now: Duration) -> Result<String, TokenError> {
    let (name, algorithm): (_, &'static dyn RsaEncoding) = match section.signature_algorithm.as_str() {
        "RS384" => ("RS384", &RSA_PKCS1_SHA384),
        "RS512" => ("RS512", &RSA_PKCS1_SHA512),
        _ => ("RS256", &RSA_PKCS1_SHA256),
    };
    let pair = key_pair(key)?;
    let mut header = BTreeMap::from([("alg", name), ("typ", "JWT")]);
    if !section.client_certificate_key_id.is_empty() {
        header.insert("kid", &section.client_certificate_key_id);
    }
    let random = SystemRandom::new();
    let claims = claims(section, now, &identifier(&random)?);
    let text = |json: Result<Vec<u8>, serde_json::Error>| json.expect("maps of texts can be written as JSON");
    let (header, claims) = (text(serde_json::to_vec(&header)), text(serde_json::to_vec(&claims)));
    let signed = format!("{}.{}", encode_url_safe(&header), encode_url_safe(&claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(algorithm, &random, signed.as_bytes(), &mut signature)
        .map_err(|_| TokenError::Key("the key cannot sign".into()))?;
    Ok(format!("{signed}.{}", encode_url_safe(&signature)))
}

fn key_pair(pem: &str) -> Result<RsaKeyPair, TokenError> {
    let unusable = |reason: &str| TokenError::Key(format!("invalid key: {reason}"));
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err(unusable("Key must be a PEM encoded PKCS1 or PKCS8 key")),
    }
    .map_err(|error| unusable(&error.to_string()))
}

/// A random UUID.
fn identifier(random: &SystemRandom) -> Result<String, TokenError> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes).map_err(|_| TokenError::Key("no random numbers can be had".into()))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
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

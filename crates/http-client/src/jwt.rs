//! JSON web tokens and other texts, signed with an RSA key.

use std::collections::BTreeMap;

use ferula_go::base64::encode_url_safe;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

/// The hash with which a text is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
        }
    }

    fn encoding(self) -> &'static dyn RsaEncoding {
        match self {
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
            Algorithm::Rs384 => &RSA_PKCS1_SHA384,
            Algorithm::Rs512 => &RSA_PKCS1_SHA512,
        }
    }
}

/// Why a key cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key")]
    NotPem,
    #[error("invalid key: {0}")]
    Rejected(String),
    #[error("the key cannot be used for signing")]
    Signing,
    #[error("the system provides no random numbers")]
    Random,
}

/// A private key, read once.
#[derive(Debug)]
pub struct SigningKey(RsaKeyPair);

impl SigningKey {
    /// Parses a key in PEM form.
    ///
    /// # Errors
    /// The text is not a private key, or the key is encrypted.
    pub fn parse(pem: &str) -> Result<Self, KeyError> {
        let pair = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(KeyError::NotPem),
        };
        pair.map(SigningKey).map_err(|error| KeyError::Rejected(error.to_string()))
    }

    /// Signs a text.
    ///
    /// # Errors
    /// The key is too short for the hash, or there are no random numbers.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(algorithm.encoding(), &SystemRandom::new(), message, &mut signature)
            .map_err(|_| KeyError::Signing)?;
        Ok(signature)
    }

    /// Creates a token with these claims. `key_id` tells the verifier which key to use; "" omits it.
    ///
    /// # Errors
    /// See [`SigningKey::sign`].
    pub fn token(
        &self,
        algorithm: Algorithm,
        key_id: &str,
        claims: &BTreeMap<String, Value>,
    ) -> Result<String, KeyError> {
        let mut header = BTreeMap::from([("alg", algorithm.name()), ("typ", "JWT")]);
        if !key_id.is_empty() {
            header.insert("kid", key_id);
        }
        let json =
            |json: Result<Vec<u8>, serde_json::Error>| json.expect("maps of strings can be serialized");
        let (header, claims) = (json(serde_json::to_vec(&header)), json(serde_json::to_vec(claims)));
        let signed = format!("{}.{}", encode_url_safe(&header), encode_url_safe(&claims));
        let signature = self.sign(algorithm, signed.as_bytes())?;
        Ok(format!("{signed}.{}", encode_url_safe(&signature)))
    }
}

/// A random UUID.
///
/// # Errors
/// The system has no random numbers.
pub fn random_uuid() -> Result<String, KeyError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(ferula_go::hex::uuid(bytes))
}

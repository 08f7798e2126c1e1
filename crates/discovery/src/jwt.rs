//! Signed claims (JSON Web Tokens, RFC 7519), with which accounts of services ask for tokens. Checks none.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{rand::SystemRandom, signature};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use skopos_base::secret::Secret;

/// How a token is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Algorithm {
    Rs256,
    Rs512,
}

/// The claims with the signature of a private key in PEM. Errors show nothing of it.
pub(crate) fn signed(
    algorithm: Algorithm,
    key_id: &str,
    claims: &Value,
    key: &Secret<String>,
) -> Result<String, String> {
    let (name, encoding): (_, &dyn signature::RsaEncoding) = match algorithm {
        Algorithm::Rs256 => ("RS256", &signature::RSA_PKCS1_SHA256),
        Algorithm::Rs512 => ("RS512", &signature::RSA_PKCS1_SHA512),
    };
    let no_key = || "the private key is none of RSA in PEM".to_owned();
    let pair = match PrivateKeyDer::from_pem_slice(key.expose().as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(der)) => signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        Ok(PrivateKeyDer::Pkcs1(der)) => signature::RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(no_key()),
    };
    let pair = pair.map_err(|_| no_key())?;
    let header = json!({"alg": name, "typ": "JWT", "kid": key_id});
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(claims));
    let mut proof = vec![0; pair.public().modulus_len()];
    let made = pair.sign(encoding, &SystemRandom::new(), text.as_bytes(), &mut proof);
    made.map_err(|_| "the private key cannot sign".to_owned())?;
    Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(proof)))
}

//! Configured issuers, with their key files read.

use dormouse_config::{Algorithm, IssuerSettings as Configured};

use crate::auth::{IssuerKeys, IssuerSettings, PublicKeyAlgorithm};
use crate::serve::ServeError;

/// One issuer for the verifier.
///
/// # Errors
/// [`ServeError::KeyFile`] when its key file cannot be read. The keys themselves are judged later.
pub fn issuer(configured: &Configured) -> Result<IssuerSettings, ServeError> {
    let pem = match (&configured.public_key, &configured.public_key_file) {
        (Some(pem), _) => Some(pem.clone()),
        (None, Some(path)) => {
            let read = std::fs::read_to_string(path);
            Some(read.map_err(|source| ServeError::KeyFile {
                path: path.display().to_string(),
                source,
            })?)
        }
        (None, None) => None,
    };
    // The configuration's rules see to it that exactly one of the keys is given.
    let keys = match (&configured.secret, pem, &configured.jwks_file) {
        (Some(secret), _, _) => IssuerKeys::Hs256Secret(secret.expose().as_bytes().to_vec()),
        (None, Some(pem), _) => {
            let algorithm = match configured.algorithm {
                Some(Algorithm::Es256) => PublicKeyAlgorithm::Es256,
                Some(Algorithm::EdDsa) => PublicKeyAlgorithm::EdDsa,
                _ => PublicKeyAlgorithm::Rs256,
            };
            IssuerKeys::PublicKeyPem(algorithm, pem)
        }
        (None, None, jwks) => IssuerKeys::JwksFile(jwks.clone().unwrap_or_default()),
    };
    let mut issuer = IssuerSettings::new(configured.name.clone(), keys);
    issuer.issuer = configured.issuer.clone();
    issuer.audience = configured.audience.clone();
    issuer.user_claim = configured.user_claim.clone();
    issuer.tier_claim = Some(configured.tier_claim.clone());
    Ok(issuer)
}

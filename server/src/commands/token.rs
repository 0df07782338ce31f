//! `dormouse token`: mints a token offline.

use std::sync::Arc;

use super::{Failure, load};
use crate::auth::MintRequest;
use crate::cli::{SettingFlags, TokenFlags};
use crate::clock::unix_ms;
use crate::serve::{secret_of, verifier};

/// Makes the token; returns what to print.
///
/// # Errors
/// When the configuration, the secret, the user id or the tier cannot be used.
pub fn run(token: &TokenFlags, flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    if let Some(tier) = &token.tier
        && !settings.tiers.contains_key(tier)
    {
        let known: Vec<&str> = settings.tiers.keys().map(String::as_str).collect();
        return Err(Failure::new(format!(
            "there is no tier {tier:?}; the configured ones are {}",
            known.join(", ")
        )));
    }
    if settings.auth.secret.is_none() {
        std::fs::create_dir_all(&settings.data_dir).map_err(|err| {
            Failure::new(format!("cannot use {}: {err}", settings.data_dir.display()))
        })?;
    }
    let secret = secret_of(&settings).map_err(Failure::new)?;
    let verifier = verifier(&settings, &secret, Arc::default()).map_err(Failure::new)?;
    let request = MintRequest {
        user: &token.user,
        tier: token.tier.as_deref(),
        admin: token.admin,
        ttl: token.ttl,
        extras: None,
    };
    let token = verifier.mint(&request, unix_ms()).map_err(Failure::new)?;
    Ok(format!("{}\n", token.as_str()))
}

//! Rules between keys, which no single value can break.
//!
//! [`crate::loader::Loader`] calls [`check`] once all keys are read. A rule is not asked about a
//! key that has a fault already, so that one mistake gives one line.

use std::net::ToSocketAddrs;

use crate::address::ListenAddress;
use crate::conditions::{SECRET_BYTES, plain};
use crate::faults::quote;
use crate::reader::Reader;
use crate::schema::join;
use crate::secret::Secret;
use crate::settings::{Algorithm, Environment, IssuerSettings, MAX_TIERS, Settings};

/// Adds the faults between keys to the reader's.
pub(crate) fn check(settings: &Settings, reader: &mut Reader<'_>) {
    let mut rules = Rules { reader };
    rules.check_secret(settings);
    rules.check_addresses(settings);
    rules.check_tiers(settings);
    rules.check_sizes_and_times(settings);
    rules.check_events(settings);
    rules.check_debug(settings);
    for (index, issuer) in settings.auth.issuers.iter().enumerate() {
        rules.check_issuer(settings, index, issuer);
    }
}

struct Rules<'a, 'b> {
    reader: &'a mut Reader<'b>,
}

impl Rules<'_, '_> {
    /// Requires something of several keys. The fault goes to the one from the highest layer,
    /// which is the one that was last thought about, or else to the first.
    fn require(&mut self, keys: &[&str], holds: bool, message: impl FnOnce() -> String) {
        if holds || !self.reader.is_sound(keys) {
            return;
        }
        let rank = |key: &&&str| self.reader.source(key).layer();
        if let Some(key) = keys.iter().rev().max_by_key(rank) {
            self.reader.fault(self.reader.source(key), key, message());
        }
    }

    fn check_secret(&mut self, settings: &Settings) {
        let remedy = format!(
            "set DORMOUSE_AUTH__SECRET or auth.secret to at least {SECRET_BYTES} bytes \
             (`openssl rand -hex 32` makes them)"
        );
        let has_secret = settings.auth.secret.is_some();
        self.require(
            &["environment", "auth.secret"],
            has_secret || settings.environment != Environment::Production,
            || format!("production needs a secret to sign tokens with: {remedy}"),
        );
        let lists = [
            ("listen", &settings.listen),
            ("admin.listen", &settings.admin.listen),
        ];
        for (key, addresses) in lists {
            for address in addresses.iter().filter(|address| !address.is_loopback()) {
                self.require(&[key, "auth.secret"], has_secret, || {
                    format!(
                        "other machines can reach {address}, and without a secret the server \
                         runs in development mode, which is open to all of them: {remedy}, or \
                         listen on 127.0.0.1"
                    )
                });
            }
        }
        self.require(
            &["auth.insecure_test_token", "environment", "auth.secret"],
            settings.auth.insecure_test_token.is_none() || !settings.is_production(),
            || {
                "a fixed test token lets in whoever knows it, so it is for development only: \
                 remove auth.insecure_test_token, or set environment to \"development\""
                    .to_owned()
            },
        );
    }

    fn check_events(&mut self, settings: &Settings) {
        let events = &settings.events;
        let is_production = settings.is_production();
        let keys = events.api_keys.as_ref().map_or("", Secret::expose);
        let mut keys = keys.split(',').map(str::trim).filter(|key| !key.is_empty());
        self.require(
            &["events.api_keys", "environment", "auth.secret"],
            !is_production || keys.all(|key| key.len() >= SECRET_BYTES),
            || {
                format!(
                    "one of the keys is shorter than {SECRET_BYTES} characters, which can be \
                     guessed: make keys with `dormouse apikey create`"
                )
            },
        );
        self.require(
            &[
                "events.insecure_accept_any_key",
                "environment",
                "auth.secret",
            ],
            !(is_production && events.insecure_accept_any_key),
            || {
                "with every key accepted there are no keys, so this is for development only: \
                 remove events.insecure_accept_any_key, or set environment to \"development\""
                    .to_owned()
            },
        );
        self.require(
            &["events.ping_interval", "events.idle_timeout"],
            events.idle_timeout > events.ping_interval,
            || {
                format!(
                    "subscribers would be closed as idle before they are asked for a sign of \
                     life: make events.idle_timeout longer than events.ping_interval ({})",
                    plain(&events.ping_interval)
                )
            },
        );
    }

    fn check_debug(&mut self, settings: &Settings) {
        let addresses = [
            ("listen", &settings.listen),
            ("admin.listen", &settings.admin.listen),
        ];
        for (key, addresses) in addresses {
            for address in addresses.iter().filter(|address| !address.is_loopback()) {
                self.require(&[key, "debug.echo"], !settings.debug.echo, || {
                    format!(
                        "other machines can reach {address}, and debug.echo sends back whatever \
                         anybody sends: set debug.echo to false, or listen on 127.0.0.1"
                    )
                });
            }
        }
    }

    fn check_addresses(&mut self, settings: &Settings) {
        let main = settings.listen.iter().map(|address| ("listen", address));
        let admin = settings
            .admin
            .listen
            .iter()
            .map(|address| ("admin.listen", address));
        let mut taken: Vec<ListenAddress> = Vec::new();
        for (key, address) in main.chain(admin) {
            let is_taken = taken.iter().any(|other| are_same(*other, *address));
            self.require(&[key, "listen"], !is_taken, || {
                format!("{address} is named twice: remove one, or give it another port")
            });
            taken.push(*address);
        }
    }

    fn check_tiers(&mut self, settings: &Settings) {
        let count = settings.tiers.len();
        let tables: Vec<String> = settings
            .tiers
            .keys()
            .map(|name| join("tiers", name))
            .collect();
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        self.require(&tables, count <= MAX_TIERS, || {
            format!("there are {count} tiers: keep to {MAX_TIERS}, the default ones included")
        });
        let names = || {
            let names: Vec<&str> = settings.tiers.keys().map(String::as_str).collect();
            names.join(", ")
        };
        let dashboard = &settings.dashboard.tier;
        self.require(
            &["dashboard.tier"],
            settings.tiers.contains_key(dashboard),
            || {
                let (tier, names) = (quote(dashboard), names());
                format!("there is no tier {tier}: use one of {names}, or add it to [tiers]")
            },
        );
        let default = settings.default_tier();
        self.require(
            &["auth.default_tier"],
            settings.tiers.contains_key(default),
            || {
                format!(
                    "there is no tier {}: use one of {}, or add the table [tiers.<name>]",
                    quote(default),
                    names()
                )
            },
        );
    }

    fn check_sizes_and_times(&mut self, settings: &Settings) {
        let (idle, ping) = (&settings.shard.idle_timeout, &settings.shard.ping_interval);
        self.require(&["shard.idle_timeout", "shard.ping_interval"], idle > ping, || {
            format!(
                "idle_timeout ({}) must be longer than ping_interval ({}), or quiet connections \
                 are closed before their first ping: raise the one or lower the other",
                plain(idle),
                plain(ping)
            )
        });
        let (outbox, message) = (&settings.limits.outbox, &settings.limits.message);
        self.require(&["limits.outbox", "limits.message"], outbox >= message, || {
            format!(
                "outbox ({}) must be at least message ({}), or a connection that is sent a whole \
                 message is closed: raise the one or lower the other",
                plain(outbox),
                plain(message)
            )
        });
    }

    fn check_issuer(&mut self, settings: &Settings, index: usize, issuer: &IssuerSettings) {
        let table = format!("auth.issuers[{index}]");
        let key = |name: &str| format!("{table}.{name}");
        let given: Vec<&str> = [
            ("secret", issuer.secret.is_some()),
            ("public_key", issuer.public_key.is_some()),
            ("public_key_file", issuer.public_key_file.is_some()),
            ("jwks_file", issuer.jwks_file.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_given)| is_given.then_some(name))
        .collect();
        let keys = ["secret", "public_key", "public_key_file", "jwks_file"].map(key);
        let [secret, public_key, public_key_file, jwks_file] = keys.each_ref().map(String::as_str);
        self.require(
            &[&table, secret, public_key, public_key_file, jwks_file],
            given.len() == 1,
            || match given.as_slice() {
                [] => "has no key to verify tokens with: give one of secret, public_key, \
                       public_key_file and jwks_file"
                    .to_owned(),
                several => format!("has {}: keep one of them", several.join(" and ")),
            },
        );

        let algorithm = key("algorithm");
        self.require(
            &[&table, &algorithm, jwks_file],
            issuer.algorithm.is_some() || issuer.jwks_file.is_some(),
            || "has no algorithm: give HS256, RS256, ES256 or EdDSA".to_owned(),
        );
        // A public key taken for an HMAC secret would let anyone who knows it sign tokens.
        let is_hmac = issuer.algorithm == Some(Algorithm::Hs256);
        let has_public_key = issuer.public_key.is_some() || issuer.public_key_file.is_some();
        self.require(
            &[&algorithm, secret],
            issuer.secret.is_none() || issuer.algorithm.is_none() || is_hmac,
            || "does not go with a secret: use HS256, or give a public key".to_owned(),
        );
        self.require(
            &[&algorithm, public_key, public_key_file],
            !has_public_key || !is_hmac,
            || "HS256 does not go with a public key: use RS256, ES256 or EdDSA".to_owned(),
        );

        self.require(
            &[&key("issuer"), "auth.issuer"],
            issuer.issuer.as_deref() != Some(settings.auth.issuer.as_str()),
            || "is auth.issuer, this server's own: give one of the two another name".to_owned(),
        );
        let earlier = settings.auth.issuers.iter().take(index);
        let is_taken = earlier.into_iter().any(|other| other.name == issuer.name);
        self.require(&[&key("name")], !is_taken, || {
            format!(
                "the name {} is another issuer's too: choose one of its own",
                quote(&issuer.name)
            )
        });
    }
}

/// Whether two addresses would bind the same port of the same interface.
fn are_same(one: ListenAddress, other: ListenAddress) -> bool {
    let (Ok(mut first), Ok(second)) = (one.to_socket_addrs(), other.to_socket_addrs()) else {
        return false;
    };
    let second = second.as_slice();
    one.port() != 0 && first.any(|address| second.contains(&address))
}

#[cfg(test)]
mod tests;

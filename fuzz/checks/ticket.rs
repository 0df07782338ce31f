//! Tickets. A ticket passes once; a changed one never does.
//!
//! Input: where to change a good ticket, by what to change that byte, and a ticket of its own.

use dormouse_server::auth::{ServerSecret, TicketSettings, Tickets};

const NOW: u64 = 1_700_000_000_000;

/// Checks one input.
pub fn check(input: &[u8]) {
    let [place, change, text @ ..] = input else {
        return;
    };
    let secret = ServerSecret::from_bytes(b"a secret that no input can know, 32 bytes").unwrap();
    let tickets = Tickets::new(&secret, &TicketSettings::default());
    if let Ok(text) = std::str::from_utf8(text) {
        assert!(tickets.redeem(text, NOW).is_err());
    }
    let good = tickets
        .issue("user", None, None, NOW)
        .unwrap()
        .into_string();
    let mut changed = good.clone().into_bytes();
    let place = usize::from(*place) % changed.len();
    changed[place] ^= change;
    if let Ok(changed) = String::from_utf8(changed)
        && changed != good
    {
        assert!(tickets.redeem(&changed, NOW).is_err());
    }
    assert!(tickets.redeem(&good, NOW).is_ok());
    assert!(tickets.redeem(&good, NOW).is_err());
}

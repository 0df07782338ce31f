//! Tickets. A ticket passes once; a changed one never does.
#![no_main]

use dormouse_server::auth::{ServerSecret, TicketSettings, Tickets};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_700_000_000_000;

fuzz_target!(|input: (&str, usize, u8)| {
    let (text, place, change) = input;
    let secret = ServerSecret::from_bytes(b"a secret that no input can know, 32 bytes").unwrap();
    let tickets = Tickets::new(&secret, &TicketSettings::default());
    assert!(tickets.redeem(text, NOW).is_err());

    let good = tickets.issue("user", None, None, NOW).unwrap().into_string();
    let mut changed = good.clone().into_bytes();
    let place = place % changed.len();
    changed[place] ^= change;
    if let Ok(changed) = String::from_utf8(changed)
        && changed != good
    {
        assert!(tickets.redeem(&changed, NOW).is_err());
    }
    assert!(tickets.redeem(&good, NOW).is_ok());
    assert!(tickets.redeem(&good, NOW).is_err());
});

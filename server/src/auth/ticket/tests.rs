use std::sync::Barrier;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::testing::{NOW, base64url, other_secret, secret};

fn tickets() -> Tickets {
    Tickets::new(&secret(), &TicketSettings::default())
}

fn issue(tickets: &Tickets) -> Ticket {
    tickets.issue("alice", None, None, NOW).unwrap()
}

/// A ticket with this payload, signed with the ticket key.
fn signed(tickets: &Tickets, payload: &[u8]) -> String {
    let signature = tickets
        .mac
        .clone()
        .chain_update(payload)
        .finalize()
        .into_bytes();
    format!("{}.{}", base64url(payload), base64url(signature))
}

fn payload() -> Value {
    json!({"userId": "alice", "exp": NOW + 30_000, "nonce": Uuid::new_v4()})
}

#[test]
fn a_ticket_admits_its_user() {
    let tickets = tickets();
    let ticket = tickets.issue("alice", Some("pro"), None, NOW).unwrap();
    let holder = tickets.redeem(ticket.as_str(), NOW).unwrap();
    assert_eq!(
        holder,
        TicketHolder {
            token_hash: None,
            user: "alice".into(),
            tier: Some("pro".into())
        }
    );
}

#[test]
fn a_ticket_remembers_the_token_that_it_was_asked_for_with() {
    let tickets = tickets();
    let ticket = tickets.issue("alice", None, Some(&[7; 32]), NOW).unwrap();
    let holder = tickets.redeem(ticket.as_str(), NOW).unwrap();
    assert_eq!(holder.token_hash, Some([7; 32]));
}

#[test]
fn the_form_is_that_of_the_contract() {
    let tickets = tickets();
    let ticket = issue(&tickets);
    let (payload, signature) = ticket.as_str().split_once('.').unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(secret().derive(Purpose::Ticket).as_slice()).unwrap();
    mac.chain_update(&payload).verify_slice(&signature).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload.as_object().unwrap().len(), 3);
    assert_eq!(payload["userId"], "alice");
    assert_eq!(payload["exp"], NOW + 30_000);
    let nonce = Uuid::parse_str(payload["nonce"].as_str().unwrap()).unwrap();
    assert_eq!(nonce.get_version_num(), 4);
}

#[test]
fn a_ticket_lives_for_its_lifetime_and_the_skew() {
    let tickets = tickets();
    let (early, late) = (issue(&tickets), issue(&tickets));
    assert!(tickets.redeem(early.as_str(), NOW + 35_000).is_ok());
    assert_eq!(
        tickets.redeem(late.as_str(), NOW + 35_001),
        Err(TicketError::Expired)
    );
    assert_eq!(tickets.spent(), 1, "a refused ticket takes no room");
}

#[test]
fn a_ticket_is_good_once() {
    let tickets = tickets();
    let ticket = issue(&tickets);
    assert!(tickets.redeem(ticket.as_str(), NOW).is_ok());
    for later in [0, 1, 5_000, 34_999, 35_000] {
        let again = tickets.redeem(ticket.as_str(), NOW + later);
        assert_eq!(again, Err(TicketError::Spent), "{later}");
    }
    assert_eq!(
        tickets.redeem(ticket.as_str(), NOW + 35_001),
        Err(TicketError::Expired)
    );
}

#[test]
fn of_threads_that_race_with_one_ticket_one_wins() {
    let tickets = tickets();
    for _ in 0..100 {
        let ticket = issue(&tickets);
        let start = Barrier::new(2);
        let race = || {
            start.wait();
            tickets.redeem(ticket.as_str(), NOW)
        };
        let results = std::thread::scope(|scope| {
            let racers = [scope.spawn(race), scope.spawn(race)];
            racers.map(|racer| racer.join().unwrap())
        });
        let won = results.iter().filter(|result| result.is_ok()).count();
        let lost = results
            .iter()
            .filter(|result| **result == Err(TicketError::Spent))
            .count();
        assert_eq!((won, lost), (1, 1));
    }
}

#[test]
fn spent_tickets_are_forgotten_when_they_have_expired() {
    let tickets = tickets();
    for second in 0..200 {
        let now_ms = NOW + second * 1000;
        let ticket = tickets.issue("alice", None, None, now_ms).unwrap();
        tickets.redeem(ticket.as_str(), now_ms).unwrap();
    }
    assert!(
        (36..=46).contains(&tickets.spent()),
        "35 s, 5 to 10 more: {}",
        tickets.spent()
    );
    let spent = tickets.spent.lock().unwrap();
    assert_eq!(
        spent.count,
        spent.buckets.values().map(HashSet::len).sum::<usize>()
    );
}

#[test]
fn a_thread_with_an_older_clock_cannot_revive_a_ticket() {
    let tickets = tickets();
    let ticket = issue(&tickets);
    tickets.redeem(ticket.as_str(), NOW).unwrap();
    // Another thread, for which the set of this ticket has just ended, sweeps.
    let sweep_ms = ((NOW + 35_000) / BUCKET_MS + 1) * BUCKET_MS;
    let later = tickets.issue("bob", None, None, sweep_ms).unwrap();
    tickets.redeem(later.as_str(), sweep_ms).unwrap();
    assert_eq!(
        tickets.redeem(ticket.as_str(), NOW + 35_000),
        Err(TicketError::Spent)
    );
}

#[test]
fn a_full_memory_refuses_rather_than_admit_twice() {
    let settings = TicketSettings {
        max_spent: 2,
        ..TicketSettings::default()
    };
    let tickets = Tickets::new(&secret(), &settings);
    let all = [(); 3].map(|()| issue(&tickets));
    assert!(tickets.redeem(all[0].as_str(), NOW).is_ok());
    assert!(tickets.redeem(all[1].as_str(), NOW).is_ok());
    assert_eq!(
        tickets.redeem(all[2].as_str(), NOW),
        Err(TicketError::TooMany)
    );
    assert_eq!(
        tickets.redeem(all[0].as_str(), NOW),
        Err(TicketError::Spent)
    );
    let later = NOW + 50_000;
    let ticket = tickets.issue("alice", None, None, later).unwrap();
    assert!(
        tickets.redeem(ticket.as_str(), later).is_ok(),
        "room comes back"
    );
}

#[test]
fn malformed_tickets_are_refused() {
    let tickets = tickets();
    let good = issue(&tickets).into_string();
    let (payload, signature) = good.split_once('.').unwrap();
    for bad in [
        "",
        ".",
        "..",
        "a.b",
        payload,
        &format!("{payload}."),
        &format!(".{signature}"),
        &format!("{payload}.{signature}."),
        &format!(".{payload}.{signature}"),
        &format!("{payload}.{signature}.{signature}"),
        &format!("{payload}=.{signature}"),
        &format!("{good} "),
        &"a".repeat(MAX_TICKET_BYTES + 1),
    ] {
        assert_eq!(
            tickets.redeem(bad, NOW),
            Err(TicketError::Malformed),
            "{bad}"
        );
    }
    assert!(tickets.redeem(&good, NOW).is_ok(), "refusals spend nothing");
}

#[test]
fn forged_tickets_are_refused() {
    let tickets = tickets();
    let good = issue(&tickets).into_string();
    let (payload, signature) = good.split_once('.').unwrap();
    let (_, others_signature) = good.split_once('.').unwrap();
    let forged = base64url(json!({"userId": "bob", "exp": NOW, "nonce": "x"}).to_string());
    let foreign = Tickets::new(&other_secret(), &TicketSettings::default());
    for bad in [
        format!("{forged}.{others_signature}"),
        format!("{payload}.{}", base64url([0; 32])),
        format!("{payload}.{}", &signature[..4]),
        format!("{payload}.{}", base64url([&[0; 32][..], &[0]].concat())),
        issue(&foreign).into_string(),
    ] {
        assert_eq!(
            tickets.redeem(&bad, NOW),
            Err(TicketError::BadSignature),
            "{bad}"
        );
    }
}

#[test]
fn signed_payloads_without_their_fields_are_refused() {
    let tickets = tickets();
    assert!(
        tickets
            .redeem(&signed(&tickets, payload().to_string().as_bytes()), NOW)
            .is_ok()
    );
    for (field, value) in [
        ("userId", Value::Null),
        ("userId", json!("")),
        ("userId", json!("a b")),
        ("userId", json!(1)),
        ("exp", Value::Null),
        ("exp", json!("soon")),
        ("exp", json!(-1)),
        ("nonce", Value::Null),
        ("nonce", json!("")),
        ("nonce", json!("no UUID")),
        ("tier", json!("")),
        ("tier", json!(1)),
    ] {
        let mut payload = payload();
        payload[field] = value.clone();
        let nulled = signed(&tickets, payload.to_string().as_bytes());
        assert_eq!(
            tickets.redeem(&nulled, NOW),
            Err(TicketError::BadPayload),
            "{field} {value}"
        );
        if value.is_null() {
            payload.as_object_mut().unwrap().remove(field);
            let absent = signed(&tickets, payload.to_string().as_bytes());
            assert_eq!(
                tickets.redeem(&absent, NOW),
                Err(TicketError::BadPayload),
                "no {field}"
            );
        }
    }
    for payload in [&b"null"[..], b"[", b"\xff", b"{}"] {
        let ticket = signed(&tickets, payload);
        assert_eq!(tickets.redeem(&ticket, NOW), Err(TicketError::BadPayload));
    }
}

#[test]
fn names_that_no_token_has_get_no_ticket() {
    let tickets = tickets();
    assert!(matches!(
        tickets.issue("a b", None, None, NOW),
        Err(MintError::UserId(_))
    ));
    assert!(matches!(
        tickets.issue("alice", Some(""), None, NOW),
        Err(MintError::Tier)
    ));
    let (user, tier) = ("\u{10ffff}".repeat(128), "\"".repeat(64));
    let longest = tickets.issue(&user, Some(&tier), None, NOW).unwrap();
    assert!(longest.as_str().len() < MAX_TICKET_BYTES / 3);
    assert!(tickets.redeem(longest.as_str(), NOW).is_ok());
}

#[test]
fn debug_hides_the_ticket() {
    let tickets = tickets();
    let ticket = issue(&tickets);
    assert_eq!(
        format!("{ticket:?} {tickets:?}"),
        "Ticket(hidden) Tickets { spent: 0, .. }"
    );
}

proptest! {
    #[test]
    fn arbitrary_text_is_no_ticket(text in "\\PC*") {
        prop_assert!(tickets().redeem(&text, NOW).is_err());
    }

    #[test]
    fn arbitrary_parts_are_no_ticket(payload: Vec<u8>, signature: [u8; 32]) {
        let text = format!("{}.{}", base64url(payload), base64url(signature));
        prop_assert!(tickets().redeem(&text, NOW).is_err());
    }

    #[test]
    fn arbitrary_payloads_under_a_good_signature_never_panic(payload: Vec<u8>) {
        let tickets = tickets();
        prop_assert!(tickets.redeem(&signed(&tickets, &payload), NOW).is_err());
    }

    #[test]
    fn tickets_round_trip(
        user in "[!-~]{1,128}",
        tier in prop::option::of("[!-~]{1,64}"),
        now_ms: u64,
        later in 0_u64..=35_000,
    ) {
        let tickets = tickets();
        let ticket = tickets.issue(&user, tier.as_deref(), None, now_ms).unwrap();
        let holder = tickets.redeem(ticket.as_str(), now_ms.saturating_add(later)).unwrap();
        prop_assert_eq!(&*holder.user, user.as_str());
        prop_assert_eq!(holder.tier.as_deref(), tier.as_deref());
    }

    #[test]
    fn changing_any_character_ruins_a_ticket(index: prop::sample::Index, character in "[!-~]") {
        let tickets = tickets();
        let good = issue(&tickets).into_string();
        let index = index.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(index..=index, &character);
        prop_assert_eq!(tickets.redeem(&changed, NOW).is_ok(), changed == good);
    }
}

//! Envelopes, acknowledgements and pings (realtime contract, 4.1–4.3 and 5.1).

use dormouse_protocol::{CloseCode, event};
use serde_json::json;

use super::{Hub, START};

#[test]
fn both_forms_are_read_and_the_client_form_is_written() {
    for text in [
        r#"{"event":"note","data":{"sid":"s"},"ackId":"a"}"#,
        r#"{"type":"note","payload":{"sid":"s"},"messageId":"a","timestamp":5}"#,
        r#"{"event":"note","type":"other","data":{"sid":"s"},"payload":1,"ackId":"a"}"#,
    ] {
        let mut hub = Hub::new();
        let (app, viewer) = (hub.user(), hub.session("s"));
        hub.say(app, text);
        let forwarded = json!({"event":"note","data":{"sid":"s"},"ackId":"a"});
        assert_eq!(hub.got_one(viewer), forwarded, "{text}");
        let ack = json!({"event":"ack","ackId":"a","ack":{"ok":true}});
        assert_eq!(hub.got_one(app), ack, "{text}");
        hub.all_seen();
    }
}

#[test]
fn what_is_no_envelope_is_answered_and_closed_after_twenty_in_a_row() {
    let mut hub = Hub::new();
    let (app, other) = (hub.user(), hub.user());
    let bad = [
        "x",
        "[]",
        "5",
        "{}",
        r#"{"event":5}"#,
        r#"{"event":null,"type":1}"#,
        "",
    ];
    for (count, text) in (1..).zip(bad.iter().cycle().take(19)) {
        hub.say(app, text);
        let error = hub.got_one(app);
        assert_eq!(error["event"], "error", "{text}");
        let data = &error["data"];
        assert_eq!(
            (&data["code"], &data["timestamp"]),
            (&json!(1002), &json!(START))
        );
        assert!(
            data["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        assert_eq!(hub.out.closed, [], "after {count}");
    }
    // One good message ends the row.
    hub.say(app, r#"{"event":"ping"}"#);
    for _ in 0..19 {
        hub.say(app, "x");
    }
    assert_eq!(hub.out.closed, []);
    hub.say(app, "x");
    assert_eq!(hub.out.closed, [(app.token, CloseCode::PROTOCOL_ERROR)]);
    assert_eq!(hub.got(app).len(), 21, "each had its answer");
    assert_eq!(hub.got(other), [] as [serde_json::Value; 0]);
}

#[test]
fn acknowledgements_of_clients_are_dropped() {
    let mut hub = Hub::new();
    let (app, _viewer) = (hub.user(), hub.session("s"));
    for text in [
        r#"{"event":"update","ackId":"a","ack":{"ok":true}}"#,
        r#"{"event":"broadcast","data":1,"ackId":"a","ack":null}"#,
        r#"{"event":"note","data":{"sid":"s"},"ackId":7,"ack":0}"#,
        r#"{"event":"ping","ackId":"a","ack":{}}"#,
    ] {
        hub.say(app, text);
        hub.all_seen();
    }
    // Without a usable id, it is a request.
    hub.say(app, r#"{"event":"ping","ackId":"","ack":{}}"#);
    assert_eq!(hub.got_one(app)["event"], "pong");
    // The server form has no acknowledgement.
    hub.say(app, r#"{"type":"ping","messageId":"a","ack":{}}"#);
    assert_eq!(hub.got_one(app)["ackId"], "a");
}

#[test]
fn correlation_ids_are_echoed_as_they_came_or_not_at_all() {
    let mut hub = Hub::new();
    let app = hub.user();
    for (id, echoed) in [
        (r#""a\u0041""#, Some(json!("aA"))),
        ("12", Some(json!(12))),
        ("-1.50", Some(json!(-1.5))),
        (r#""""#, None),
        ("null", None),
        ("{}", None),
        ("true", None),
    ] {
        hub.say(app, &format!(r#"{{"event":"broadcast","ackId":{id}}}"#));
        let acks = hub.got(app);
        let expected: Vec<_> = echoed
            .into_iter()
            .map(|id| json!({"event":"ack","ackId":id,"ack":{"success":true,"delivered":0}}))
            .collect();
        assert_eq!(acks, expected, "{id}");
    }
}

#[test]
fn a_ping_is_answered_and_noted_and_nobody_else_hears_of_it() {
    let mut hub = Hub::new();
    let (app, _other) = (hub.user(), hub.user());
    hub.out.now += 5;
    hub.say(app, r#"{"event":"ping","data":{"sid":"s","ignored":true}}"#);
    let pong = json!({"event":"pong","data":{"timestamp":START + 5}});
    assert_eq!(hub.got_one(app), pong);
    assert_eq!(hub.last_activity(app), START + 5);
    hub.say(app, r#"{"event":"ping","ackId":"p"}"#);
    let acked = json!({"event":"pong","data":{"timestamp":START + 5},"ackId":"p","ack":{}});
    assert_eq!(
        hub.got_one(app),
        acked,
        "one frame, which is the ack as well"
    );
    hub.all_seen();
}

#[test]
fn every_message_counts_as_activity_even_a_bad_one() {
    let mut hub = Hub::new();
    let (app, other) = (hub.user(), hub.user());
    for (after, text) in (1..).zip([
        "x",
        r#"{"event":"a","ackId":1,"ack":1}"#,
        r#"{"event":"b"}"#,
    ]) {
        hub.out.now = START + after;
        hub.say(app, text);
        assert_eq!(hub.last_activity(app), START + after, "{text}");
    }
    assert_eq!(hub.last_activity(other), START);
}

#[test]
fn auth_and_reserved_names_go_nowhere() {
    let mut hub = Hub::new();
    let (app, viewer) = (hub.user(), hub.session("s"));
    for from in [app, viewer] {
        hub.say(
            from,
            r#"{"event":"auth","data":{"token":"secret","sid":"s"}}"#,
        );
        hub.all_seen();
        hub.say(
            from,
            r#"{"event":"auth","data":{"token":"secret","sid":"s"},"ackId":1}"#,
        );
        let ack = json!({"event":"ack","ackId":1,"ack":{"ok":true}});
        assert_eq!(hub.got_one(from), ack);
        for name in event::RESERVED.into_iter().filter(|name| *name != "auth") {
            hub.say(
                from,
                &format!(r#"{{"event":"{name}","data":{{"sid":"s"}}}}"#),
            );
            hub.all_seen();
            hub.say(
                from,
                &format!(r#"{{"event":"{name}","data":{{"sid":"s"}},"ackId":2}}"#),
            );
            let ack = hub.got_one(from);
            assert_eq!(
                (&ack["ackId"], &ack["ack"]["ok"]),
                (&json!(2), &json!(false)),
                "{name}"
            );
            hub.all_seen();
        }
    }
}

#[test]
fn who_is_not_a_member_is_not_heard() {
    let mut hub = Hub::new();
    let (app, other) = (hub.user(), hub.user());
    hub.leave(app);
    hub.say(app, r#"{"event":"broadcast","data":1,"ackId":1}"#);
    hub.all_seen();
    hub.say(other, r#"{"event":"broadcast","data":1,"ackId":1}"#);
    assert_eq!(hub.got_one(other)["ack"]["delivered"], 0);
}

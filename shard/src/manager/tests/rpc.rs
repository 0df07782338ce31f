//! Calls between a user's connections, row by row (realtime contract, section 6).

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Hub, Peer};

impl Hub {
    fn register(&mut self, peer: Peer, method: &str) {
        let data = json!({ "method": method });
        self.say(
            peer,
            &json!({"event":"rpc-register","data":data}).to_string(),
        );
        assert_eq!(
            self.got_one(peer),
            json!({"event":"rpc-registered","data":data})
        );
    }

    fn call(&mut self, peer: Peer, method: &str, ack_id: &str) {
        let call = json!({
            "event": "rpc-call", "data": { "method": method, "params": "p" }, "ackId": ack_id,
        });
        self.say(peer, &call.to_string());
    }

    /// The request that a target got; returns its id.
    #[track_caller]
    fn request(&mut self, target: Peer, method: &str) -> String {
        let request = self.got_one(target);
        let id = request["ackId"].as_str().unwrap().to_owned();
        let data = json!({ "method": method, "params": "p", "requestId": id });
        assert_eq!(
            request,
            json!({"event":"rpc-request","data":data,"ackId":id})
        );
        id
    }

    fn answer(&mut self, target: Peer, id: &str, value: &str) {
        let answer = format!(r#"{{"event":"rpc-response","ackId":"{id}","ack":{value}}}"#);
        self.say(target, &answer);
    }

    /// The one ack that a caller got: its id and value.
    #[track_caller]
    fn ack(&mut self, caller: Peer) -> (Value, Value) {
        let mut ack = self.got_one(caller);
        assert_eq!(ack["event"], "ack");
        (ack["ackId"].take(), ack["ack"].take())
    }

    #[track_caller]
    fn failed(&mut self, caller: Peer, ack_id: &str, request: Option<&str>, cancelled: bool) {
        let (id, value) = self.ack(caller);
        assert_eq!(id, ack_id);
        assert_eq!(value["ok"], false);
        assert!(
            value["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty())
        );
        assert_eq!(value["requestId"].as_str(), request);
        assert_eq!(value["cancelled"].as_bool(), cancelled.then_some(true));
    }

    #[track_caller]
    fn cancelled(&mut self, target: Peer, id: &str, method: &str) {
        let data = json!({ "requestId": id, "method": method });
        assert_eq!(
            self.got_one(target),
            json!({"event":"rpc-cancel","data":data})
        );
    }
}

#[test]
fn registering_is_confirmed_and_bad_names_are_refused() {
    let mut hub = Hub::new();
    let daemon = hub.machine("m");
    hub.register(daemon, "m:run");
    hub.say(
        daemon,
        r#"{"event":"rpc-register","data":{"method":"m:run"},"ackId":1}"#,
    );
    let got = hub.got(daemon);
    assert_eq!(
        got[0],
        json!({"event":"rpc-registered","data":{"method":"m:run"}})
    );
    assert_eq!(got[1], json!({"event":"ack","ackId":1,"ack":{"ok":true}}));
    assert_eq!(got.len(), 2);
    let long = json!({ "method": "x".repeat(513) }).to_string();
    for data in [
        "null",
        "{}",
        r#"{"method":""}"#,
        r#"{"method":5}"#,
        "[]",
        &long,
    ] {
        for kind in ["register", "unregister"] {
            hub.say(
                daemon,
                &format!(r#"{{"event":"rpc-{kind}","data":{data}}}"#),
            );
            let refused = hub.got_one(daemon);
            assert_eq!(refused["event"], "rpc-error", "{data}");
            assert_eq!(refused["data"]["type"], kind, "{data}");
            assert!(refused["data"]["error"].is_string(), "{data}");
        }
    }
    hub.say(daemon, r#"{"event":"rpc-register","ackId":"r"}"#);
    let got = hub.got(daemon);
    assert_eq!(
        (&got[0]["event"], &got[1]["ackId"]),
        (&json!("rpc-error"), &json!("r"))
    );
    assert_eq!(got[1]["ack"]["ok"], false);
    hub.all_seen();
}

#[test]
fn the_last_registrant_serves_and_unregistering_is_for_the_holder_only() {
    let mut hub = Hub::new();
    let (app, first, second) = (hub.user(), hub.session("a"), hub.session("b"));
    hub.register(first, "x:run");
    hub.register(second, "x:run");
    hub.call(app, "x:run", "1");
    hub.request(second, "x:run");
    let unregister = r#"{"event":"rpc-unregister","data":{"method":"x:run"}}"#;
    let confirmed = json!({"event":"rpc-unregistered","data":{"method":"x:run"}});
    hub.say(first, unregister);
    assert_eq!(
        hub.got_one(first),
        confirmed,
        "confirmed, though it held nothing"
    );
    hub.call(app, "x:run", "2");
    hub.request(second, "x:run");
    hub.say(second, unregister);
    assert_eq!(hub.got_one(second), confirmed);
    hub.call(app, "x:run", "3");
    hub.failed(app, "3", None, false);
    hub.all_seen();
}

#[test]
fn a_call_goes_to_the_registered_then_the_machine_then_the_session_then_users() {
    let mut hub = Hub::new();
    let viewer = hub.session("caller");
    let (app, other) = (hub.user(), hub.user());
    let (agent, agent2) = (hub.session("t"), hub.session("t"));
    let (daemon, daemon2) = (hub.machine("t"), hub.machine("t"));
    let registrant = hub.user();
    hub.register(registrant, "t:run");

    hub.call(viewer, "t:run", "1");
    let id = hub.request(registrant, "t:run");
    hub.all_seen();
    hub.leave(registrant);
    hub.failed(viewer, "1", Some(&id), false);

    hub.call(viewer, "t:run", "2");
    let id = hub.request(daemon, "t:run");
    assert_eq!(
        hub.request(daemon2, "t:run"),
        id,
        "all machines are asked the same"
    );
    hub.all_seen();
    hub.leave(daemon);
    hub.all_seen();
    hub.leave(daemon2);
    hub.failed(viewer, "2", Some(&id), false);

    hub.call(viewer, "t:run", "3");
    let id = hub.request(agent, "t:run");
    assert_eq!(hub.request(agent2, "t:run"), id);
    hub.all_seen();
    hub.leave(agent);
    hub.leave(agent2);
    hub.failed(viewer, "3", Some(&id), false);

    // Users are asked by those who are none, under the name that the caller wrote.
    hub.call(viewer, "t:run", "4");
    for user in [app, other] {
        let request = hub.got_one(user);
        assert_eq!(request["event"], "rpc-call");
        assert_eq!(request["data"]["requestId"], request["ackId"]);
    }
    let text = r#"{"event":"rpc-request","data":{"method":"t:run"},"ackId":"5"}"#;
    hub.say(viewer, text);
    assert_eq!(hub.got_one(app)["event"], "rpc-request");
    hub.got_one(other);
    hub.call(app, "t:run", "6");
    hub.failed(app, "6", None, false);
    hub.all_seen();
}

#[test]
fn the_caller_is_never_a_target() {
    let mut hub = Hub::new();
    let labels = |kind, session, machine| {
        dormouse_protocol::Labels::new(Some(kind), session, machine).unwrap()
    };
    let daemon = hub.join(labels("machine-scoped", None, Some("t")));
    let agent = hub.join(labels("session-scoped", Some("t"), None));
    let tagged = hub.join(labels("user-scoped", Some("t"), Some("t")));
    hub.register(daemon, "t:run");
    // Its own registration and its own machine are passed over.
    hub.call(daemon, "t:run", "1");
    hub.request(agent, "t:run");
    hub.all_seen();
    hub.call(agent, "t:run", "2");
    hub.request(daemon, "t:run");
    hub.leave(daemon);
    hub.got(agent);
    // No other session: a user is no target for its labels, but is asked at last.
    hub.call(agent, "t:run", "3");
    assert_eq!(hub.got_one(tagged)["event"], "rpc-call");
    hub.leave(agent);
    hub.got(tagged);
    hub.call(tagged, "t:run", "4");
    hub.failed(tagged, "4", None, false);
    // A method without a target names nobody.
    let daemon = hub.machine("run");
    hub.call(tagged, "run", "5");
    hub.failed(tagged, "5", None, false);
    assert!(hub.got(daemon).is_empty());
}

#[test]
fn answers_are_shaped_for_the_caller() {
    let mut hub = Hub::new();
    let (app, daemon) = (hub.user(), hub.machine("m"));
    for (value, shape) in [
        (
            r#"{"ok":true,"result":"r"}"#,
            json!({"ok":true,"result":"r"}),
        ),
        (
            r#"{"ok":false,"error":"e"}"#,
            json!({"ok":false,"error":"e"}),
        ),
        (r#""cipher""#, json!({"ok":true,"result":"cipher"})),
        ("null", json!({"ok":true,"result":null})),
        (r#"{"a":1}"#, json!({"ok":true,"result":{"a":1}})),
        ("[1]", json!({"ok":true,"result":[1]})),
    ] {
        hub.call(app, "m:run", "a");
        let id = hub.request(daemon, "m:run");
        hub.answer(daemon, &id, value);
        let (ack_id, answer) = hub.ack(app);
        let mut expected = shape;
        expected["requestId"] = json!(id);
        assert_eq!((ack_id, answer), (json!("a"), expected), "{value}");
    }
    // An answer without a value is one.
    hub.call(app, "m:run", "a");
    let id = hub.request(daemon, "m:run");
    hub.say(
        daemon,
        &json!({"event":"rpc-response","ackId":id}).to_string(),
    );
    assert_eq!(
        hub.ack(app).1,
        json!({"ok":true,"result":null,"requestId":id})
    );
    // One with an id of its own keeps it.
    hub.call(app, "m:run", "a");
    let id = hub.request(daemon, "m:run");
    hub.answer(daemon, &id, r#"{"ok":true,"requestId":"own"}"#);
    assert_eq!(hub.ack(app).1, json!({"ok":true,"requestId":"own"}));
    hub.all_seen();
}

#[test]
fn the_first_answer_of_a_target_wins_and_others_are_dropped() {
    let mut hub = Hub::new();
    let (app, stranger) = (hub.user(), hub.machine("n"));
    let (daemon, daemon2) = (hub.machine("m"), hub.machine("m"));
    hub.call(app, "m:run", "a");
    let id = hub.request(daemon, "m:run");
    hub.request(daemon2, "m:run");
    hub.answer(stranger, &id, "1");
    hub.answer(app, &id, "1");
    hub.answer(daemon, "unknown", "1");
    hub.answer(daemon, "", "1");
    hub.say(daemon, r#"{"event":"rpc-response","ackId":5,"ack":1}"#);
    hub.say(daemon, r#"{"event":"rpc-response","ack":1}"#);
    hub.all_seen();
    hub.answer(daemon2, &id, "2");
    assert_eq!(hub.ack(app).1["result"], 2);
    hub.answer(daemon, &id, "3");
    hub.answer(daemon2, &id, "4");
    hub.all_seen();
    assert!(hub.state.may_sleep());
}

#[test]
fn a_call_that_names_no_method_is_answered() {
    let mut hub = Hub::new();
    let (app, daemon) = (hub.user(), hub.machine("m"));
    for data in [
        "null",
        "{}",
        r#"{"method":null}"#,
        r#"{"method":7}"#,
        r#"{"method":""}"#,
        "5",
    ] {
        hub.say(
            app,
            &format!(r#"{{"event":"rpc-call","data":{data},"ackId":"a"}}"#),
        );
        hub.failed(app, "a", None, false);
        hub.say(app, &format!(r#"{{"event":"rpc-call","data":{data}}}"#));
    }
    hub.say(app, r#"{"event":"rpc-call","ackId":"a"}"#);
    hub.failed(app, "a", None, false);
    assert!(hub.got(daemon).is_empty());
    hub.all_seen();
}

#[test]
fn a_caller_cancels_by_the_requests_id_or_by_its_own() {
    let mut hub = Hub::new();
    let (app, other, daemon) = (hub.user(), hub.user(), hub.machine("m"));
    let cancel = |id: &str| json!({"event":"rpc-cancel","data":{"requestId":id}}).to_string();
    for by_own in [false, true] {
        hub.call(app, "m:run", "mine");
        let id = hub.request(daemon, "m:run");
        // Nobody else can.
        hub.say(other, &cancel(&id));
        hub.say(other, &cancel("mine"));
        hub.all_seen();
        hub.say(app, &cancel(if by_own { "mine" } else { &id }));
        hub.cancelled(daemon, &id, "m:run");
        hub.failed(app, "mine", Some(&id), true);
        // It is over: a late answer is dropped, a second cancel finds nothing.
        hub.answer(daemon, &id, "1");
        hub.say(app, &cancel(&id));
        hub.all_seen();
    }
    // A cancel with an ack is answered once, whether it found anything or not.
    hub.call(app, "m:run", "mine");
    let id = hub.request(daemon, "m:run");
    let acked = json!({"event":"rpc-cancel","data":{"requestId":id},"ackId":"c"}).to_string();
    hub.say(app, &acked);
    let got = hub.got(app);
    assert_eq!(
        (&got[0]["ackId"], &got[0]["ack"]["cancelled"]),
        (&json!("mine"), &json!(true))
    );
    assert_eq!(got[1], json!({"event":"ack","ackId":"c","ack":{"ok":true}}));
    assert_eq!(got.len(), 2);
    hub.say(app, &acked);
    hub.failed(app, "c", None, false);
    hub.say(app, r#"{"event":"rpc-cancel","ackId":"c"}"#);
    hub.failed(app, "c", None, false);
}

#[test]
fn a_call_ends_when_all_its_targets_are_gone() {
    let mut hub = Hub::new();
    let (app, daemon, daemon2) = (hub.user(), hub.machine("m"), hub.machine("m"));
    hub.call(app, "m:run", "a");
    let id = hub.request(daemon, "m:run");
    hub.request(daemon2, "m:run");
    hub.leave(daemon);
    hub.all_seen();
    hub.answer(daemon2, &id, "1");
    assert_eq!(hub.ack(app).1["result"], 1, "the other can still answer");
    hub.call(app, "m:run", "b");
    let id = hub.request(daemon2, "m:run");
    hub.leave(daemon2);
    hub.failed(app, "b", Some(&id), false);
    hub.all_seen();
}

#[test]
fn a_caller_that_goes_cancels_what_it_called() {
    let mut hub = Hub::new();
    let (app, other, daemon) = (hub.user(), hub.user(), hub.machine("m"));
    hub.call(app, "m:one", "1");
    let one = hub.request(daemon, "m:one");
    hub.call(other, "m:two", "2");
    let two = hub.request(daemon, "m:two");
    hub.leave(app);
    hub.cancelled(daemon, &one, "m:one");
    hub.answer(daemon, &one, "1");
    hub.all_seen();
    hub.answer(daemon, &two, "2");
    assert_eq!(hub.ack(other).1["result"], 2);
}

#[test]
fn who_goes_serves_no_more() {
    let mut hub = Hub::new();
    let (app, daemon) = (hub.user(), hub.machine("m"));
    hub.register(daemon, "x:run");
    hub.leave(daemon);
    hub.call(app, "x:run", "a");
    hub.failed(app, "a", None, false);
}

#[test]
fn a_call_ends_with_its_time() {
    let mut hub = Hub::new();
    let (app, daemon) = (hub.user(), hub.machine("m"));
    assert_eq!(hub.state.next_call_deadline(), None);
    let began = Instant::now();
    hub.call(app, "m:run", "a");
    let id = hub.request(daemon, "m:run");
    let deadline = hub.state.next_call_deadline().unwrap();
    assert!(deadline >= began + Duration::from_secs(300));
    hub.state
        .expire_calls(deadline - Duration::from_millis(1), &mut hub.out);
    hub.all_seen();
    hub.state.expire_calls(deadline, &mut hub.out);
    hub.cancelled(daemon, &id, "m:run");
    hub.failed(app, "a", Some(&id), true);
    assert_eq!(hub.state.next_call_deadline(), None);
    assert!(hub.state.may_sleep());
}

#[test]
fn a_call_that_wants_no_answer_is_forwarded_only() {
    let mut hub = Hub::new();
    let (app, daemon) = (hub.user(), hub.machine("m"));
    hub.say(
        app,
        r#"{"event":"rpc-call","data":{"method":"m:run","params":"p"}}"#,
    );
    let id = hub.request(daemon, "m:run");
    assert!(hub.state.may_sleep());
    hub.answer(daemon, &id, "1");
    hub.say(
        app,
        r#"{"event":"rpc-call","data":{"method":"nobody:run"}}"#,
    );
    hub.leave(daemon);
    hub.all_seen();
}

#[test]
fn open_calls_of_one_connection_are_limited() {
    let mut hub = Hub::new();
    let (app, other, daemon) = (hub.user(), hub.user(), hub.machine("m"));
    let mut ids = Vec::new();
    for number in 0..256 {
        hub.call(app, "m:run", &number.to_string());
        ids.push(hub.request(daemon, "m:run"));
    }
    hub.call(app, "m:run", "over");
    hub.failed(app, "over", None, false);
    // Neither others nor calls that want no answer are held up.
    hub.call(other, "m:run", "theirs");
    hub.request(daemon, "m:run");
    hub.say(
        app,
        r#"{"event":"rpc-call","data":{"method":"m:run","params":"p"}}"#,
    );
    hub.request(daemon, "m:run");
    hub.answer(daemon, &ids[7], "1");
    assert_eq!(hub.ack(app).0, "7");
    hub.call(app, "m:run", "again");
    hub.request(daemon, "m:run");
    hub.all_seen();
}

#[test]
fn methods_of_one_connection_are_limited() {
    let mut hub = Hub::new();
    let (app, daemon, other) = (hub.user(), hub.machine("m"), hub.machine("n"));
    for number in 0..1024 {
        hub.register(daemon, &format!("m:{number}"));
    }
    let over = r#"{"event":"rpc-register","data":{"method":"m:over"}}"#;
    hub.say(daemon, over);
    assert_eq!(hub.got_one(daemon)["event"], "rpc-error");
    hub.register(daemon, "m:7");
    hub.register(other, "m:over");
    hub.call(app, "m:over", "a");
    hub.request(other, "m:over");
    // What another took over, and what it gave up, makes room.
    hub.register(other, "m:8");
    hub.register(daemon, "m:over");
    hub.say(daemon, over);
    assert_eq!(
        hub.got_one(daemon)["event"],
        "rpc-registered",
        "it is its own"
    );
    hub.say(
        daemon,
        r#"{"event":"rpc-unregister","data":{"method":"m:9"}}"#,
    );
    hub.got_one(daemon);
    hub.register(daemon, "m:new");
    hub.say(
        daemon,
        r#"{"event":"rpc-register","data":{"method":"m:newer"}}"#,
    );
    assert_eq!(hub.got_one(daemon)["event"], "rpc-error");
}

#[test]
fn a_target_that_is_closing_ends_the_call_with_its_leaving() {
    let mut hub = Hub::new();
    let (app, daemon) = (hub.user(), hub.machine("m"));
    hub.out.closing.insert(daemon.token.to_bits());
    hub.call(app, "m:run", "a");
    hub.all_seen();
    hub.leave(daemon);
    assert_eq!(hub.ack(app).1["ok"], false);
}

#[test]
fn every_acked_request_is_answered_once() {
    let requests = [
        r#"{"event":"ping""#,
        r#"{"event":"auth""#,
        r#"{"event":"broadcast""#,
        r#"{"event":"broadcast","data":{}"#,
        r#"{"event":"connected""#,
        r#"{"event":"update","data":{"sid":"s"}"#,
        r#"{"event":"note""#,
        r#"{"event":"note","data":{"sid":"s"}"#,
        r#"{"event":"note","data":{"machineId":"m"}"#,
        r#"{"event":"rpc-register""#,
        r#"{"event":"rpc-register","data":{"method":"x:y"}"#,
        r#"{"event":"rpc-unregister","data":{"method":"x:y"}"#,
        r#"{"event":"rpc-unregister","data":[]"#,
        r#"{"event":"rpc-call","data":{"method":5}"#,
        r#"{"event":"rpc-call","data":{"method":"nobody:run"}"#,
        r#"{"event":"rpc-cancel""#,
        r#"{"event":"rpc-cancel","data":{"requestId":"r"}"#,
    ];
    let mut hub = Hub::new();
    let (user, viewer, daemon) = (hub.user(), hub.session("s"), hub.machine("m"));
    for from in [user, viewer, daemon] {
        for request in requests {
            if request.contains("nobody") && from != user {
                continue; // users are asked
            }
            hub.out.written.clear();
            hub.say(from, &format!(r#"{request},"ackId":"once"}}"#));
            let acks = hub.got(from);
            let acks = acks
                .iter()
                .filter(|frame| frame["ackId"] == "once" && !frame["ack"].is_null());
            assert_eq!(acks.count(), 1, "{request}");
        }
    }
}

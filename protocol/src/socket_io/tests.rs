use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::rpc::Call;

const MOST: usize = 1 << 20;

fn read(packet: &str) -> Result<Received, SocketIoFault> {
    text(&mut None, packet, MOST)
}

fn message(packet: &str) -> String {
    match read(packet) {
        Ok(Received::Message(json)) => json,
        other => panic!("{packet}: {other:?}"),
    }
}

fn packet(json: &str) -> Option<String> {
    from_message(json).map(|packets| {
        assert_eq!(packets.attachments.len(), 0);
        packets.text
    })
}

#[test]
fn packets_of_clients_become_envelopes() {
    assert_eq!(
        message(r#"42["update",{ "a" : 1.50 }]"#),
        r#"{"event":"update","data":{ "a" : 1.50 }}"#
    );
    assert_eq!(message(r#"42["x"]"#), r#"{"event":"x"}"#);
    assert_eq!(
        message(r#"4212["rpc-call",{"method":"m:a"}]"#),
        r#"{"event":"rpc-call","data":{"method":"m:a"},"ackId":12}"#
    );
    assert_eq!(
        message(r#"42["a\"b",null]"#),
        r#"{"event":"a\"b","data":null}"#
    );
    let id = call_id(0x12_3456_789a, 7);
    let number = call_number(&id).unwrap();
    assert!(number < 1 << 53, "JavaScript must be able to echo it");
    assert_eq!(
        message(&format!(r#"43{number}["result"]"#)),
        format!(r#"{{"event":"rpc-response","ackId":"{id}","ack":"result"}}"#)
    );
    assert_eq!(
        message(&format!("43{number}[]")),
        format!(r#"{{"event":"rpc-response","ackId":"{id}","ack":null}}"#)
    );
    assert_eq!(read(r#"427["ping"]"#), Ok(Received::Ping { ack: Some(7) }));
    assert_eq!(read(r#"42["ping"]"#), Ok(Received::Ping { ack: None }));
}

#[test]
fn packets_of_the_transport_are_told_apart() {
    assert_eq!(read("3"), Ok(Received::Pong));
    assert_eq!(read("1"), Ok(Received::Close));
    assert_eq!(read("6"), Ok(Received::Noop));
    assert_eq!(read("2probe"), Ok(Received::Probe));
    assert_eq!(read("5"), Ok(Received::Upgrade));
    assert_eq!(
        read(r#"40{"token":"t"}"#),
        Ok(Received::Connect {
            namespace: "/".into(),
            auth: Some(r#"{"token":"t"}"#.into())
        })
    );
    assert_eq!(
        read("40/admin,"),
        Ok(Received::Connect {
            namespace: "/admin".into(),
            auth: None
        })
    );
    assert_eq!(
        read("41"),
        Ok(Received::Disconnect {
            namespace: "/".into()
        })
    );
}

#[test]
fn what_breaks_the_protocol_is_told_by_its_rule() {
    use SocketIoFault as Fault;
    let attachments = |count: usize| format!("45{count}-[\"x\"]");
    for (packet, fault) in [
        ("", Fault::Engine),
        ("0", Fault::Engine),
        ("7", Fault::Engine),
        ("é", Fault::Engine),
        ("3probe", Fault::Engine),
        ("2", Fault::ClientPing),
        ("4", Fault::Packet),
        ("47", Fault::Packet),
        ("49[]", Fault::Packet),
        (r#"44{"message":"x"}"#, Fault::Packet),
        ("40[]", Fault::Payload),
        ("40{", Fault::Payload),
        ("42", Fault::Payload),
        ("42{}", Fault::Payload),
        ("42[]", Fault::Payload),
        ("42[1]", Fault::Payload),
        (r#"42["x""#, Fault::Payload),
        (r#"42["x"] "x""#, Fault::Payload),
        (r#"42["disconnect"]"#, Fault::Reserved),
        (r#"42["connect_error",{}]"#, Fault::Reserved),
        (r#"43["x"]"#, Fault::Packet),
        ("431x", Fault::Packet),
        ("45[]", Fault::Packet),
        (r#"42/other,["x"]"#, Fault::NotConnected),
        ("bAQI=", Fault::Order),
        ("b!", Fault::Engine),
    ] {
        assert_eq!(read(packet), Err(fault), "{packet}");
    }
    assert_eq!(read(&attachments(11)), Err(Fault::TooMany));
    assert_eq!(read(&attachments(10)), Ok(Received::Incomplete));
}

#[test]
fn attachments_complete_a_packet_in_order() {
    let mut pending = None;
    let header =
        r#"452-["x",{"a":{"_placeholder":true,"num":1},"b":[{"_placeholder":true,"num":0}]}]"#;
    assert_eq!(text(&mut pending, header, MOST), Ok(Received::Incomplete));
    assert_eq!(text(&mut pending, "3", MOST), Ok(Received::Pong));
    let first = binary(&mut pending, Bytes::from_static(b"\x01\x02"), MOST);
    assert_eq!(first, Ok(Received::Incomplete));
    let second = binary(&mut pending, Bytes::from_static(b""), MOST);
    assert_eq!(
        second,
        Ok(Received::Message(
            r#"{"event":"x","data":{"a":{"$binary":""},"b":[{"$binary":"AQI="}]}}"#.to_owned()
        ))
    );
    assert!(pending.is_none());
    // By long polling, attachments are text.
    assert_eq!(
        text(
            &mut pending,
            r#"451-9["x",{"_placeholder":true,"num":0}]"#,
            MOST
        ),
        Ok(Received::Incomplete)
    );
    assert_eq!(
        text(&mut pending, "bAQI=", MOST),
        Ok(Received::Message(
            r#"{"event":"x","data":{"$binary":"AQI="},"ackId":9}"#.to_owned()
        ))
    );
}

#[test]
fn attachments_out_of_order_or_range_are_faults() {
    let header = r#"451-["x",{"_placeholder":true,"num":1}]"#;
    let mut pending = None;
    text(&mut pending, header, MOST).unwrap();
    assert_eq!(
        text(&mut pending, r#"42["y"]"#, MOST),
        Err(SocketIoFault::Order)
    );
    assert_eq!(
        binary(&mut pending, Bytes::from_static(b"x"), MOST),
        Err(SocketIoFault::Placeholder)
    );
    let mut pending = None;
    text(&mut pending, header, 3).unwrap();
    assert_eq!(
        binary(&mut pending, Bytes::from_static(b"four"), 3),
        Err(SocketIoFault::TooMany)
    );
}

#[test]
fn messages_become_packets() {
    for (json, expected) in [
        (
            r#"{"event":"update","data":{ "a" : 1.50 }}"#,
            r#"42["update",{ "a" : 1.50 }]"#,
        ),
        (r#"{"event":"x"}"#, r#"42["x"]"#),
        (r#"{"event":"x","data":1,"timestamp":5}"#, r#"42["x",1]"#),
        (r#"{"event":"x","data":1,"ackId":"peer-1"}"#, r#"42["x",1]"#),
        (
            r#"{"event":"ack","ackId":12,"ack":{"ok":true}}"#,
            r#"4312[{"ok":true}]"#,
        ),
        (
            r#"{"event":"pong","data":{},"ackId":5,"ack":{}}"#,
            r#"435[{}]"#,
        ),
    ] {
        assert_eq!(packet(json).as_deref(), Some(expected), "{json}");
    }
    for nothing in [
        r#"{"event":"pong","data":{"timestamp":1}}"#,
        r#"{"event":"connected","data":{}}"#,
        r#"{"event":"error","data":{}}"#,
        r#"{"event":"disconnect"}"#,
        r#"{"event":"ack","ackId":"text","ack":1}"#,
    ] {
        assert_eq!(packet(nothing), None, "{nothing}");
    }
    assert_eq!(connected("abc"), r#"40{"sid":"abc"}"#);
    assert_eq!(disconnected(), "41");
    assert_eq!(
        connect_error("/", "no \"x\""),
        r#"44{"message":"no \"x\""}"#
    );
    assert_eq!(
        connect_error("/name", "Invalid namespace"),
        r#"44/name,{"message":"Invalid namespace"}"#
    );
    assert_eq!(
        open(&Opening {
            sid: "i4Q53hH_3rMD3AfPAAAA",
            upgrades: &[],
            ping_interval: 15_000,
            ping_timeout: 45_000,
            max_payload: 1_000_000,
        }),
        r#"0{"sid":"i4Q53hH_3rMD3AfPAAAA","upgrades":[],"pingInterval":15000,"pingTimeout":45000,"maxPayload":1000000}"#
    );
}

#[test]
fn a_call_reaches_both_kinds_of_targets_under_one_id() {
    let id = call_id(u64::MAX, u16::MAX);
    let data = serde_json::value::RawValue::from_string(r#"{"method":"m:a"}"#.into()).unwrap();
    let call = Call::parse(&data).unwrap();
    let json = crate::frames::rpc_request("rpc-request", &call, &id);
    let number = call_number(&id).unwrap();
    let expected = format!(r#"42{number}["rpc-request",{{"method":"m:a","requestId":"{id}"}}]"#);
    assert_eq!(packet(&json), Some(expected));
}

proptest! {
    #[test]
    fn any_text_and_any_bytes_are_judged(
        packets in prop::collection::vec("[0-6b]{0,3}[-/,0-9]{0,4}\\PC{0,30}", 0..6),
        bytes in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut pending = None;
        for packet in packets {
            let _ = text(&mut pending, &packet, MOST);
            let _ = binary(&mut pending, bytes.clone().into(), MOST);
        }
    }

    #[test]
    fn what_is_read_is_an_envelope(json in "\\[\"[a-z\\\\\"]{0,9}\"(,[\\[\\]{}:\",0-9a-z]{0,20})?\\]") {
        if let Ok(Received::Message(envelope)) = read(&format!("42{json}")) {
            prop_assert!(crate::Envelope::parse(&envelope).is_ok(), "{}", envelope);
        }
    }

    #[test]
    fn events_with_binary_values_come_back_as_they_were(
        name in "\\PC{1,10}", blobs in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..40), 1..6),
    ) {
        prop_assume!(!RESERVED.contains(&&*name) && name != "ping");
        let blobs: Vec<Bytes> = blobs.into_iter().map(Bytes::from).collect();
        let items: Vec<_> = (0..blobs.len())
            .map(|num| serde_json::json!({ "_placeholder": true, "num": num }))
            .collect();
        let sent = serde_json::json!([name, { "items": items }]);
        let mut pending = None;
        let header = format!("45{}-{sent}", blobs.len());
        prop_assert_eq!(text(&mut pending, &header, MOST), Ok(Received::Incomplete));
        let mut last = Ok(Received::Incomplete);
        for blob in &blobs {
            last = binary(&mut pending, blob.clone(), MOST);
        }
        let Ok(Received::Message(json)) = last else {
            return Err(TestCaseError::fail(format!("{last:?}")));
        };
        let packets = from_message(&json);
        match packets {
            Some(packets) => {
                prop_assert_eq!(&packets.text, &header);
                prop_assert_eq!(packets.attachments, blobs);
            }
            None => prop_assert!(crate::event::is_reserved(&name)),
        }
    }

    #[test]
    fn call_ids_have_two_forms(random: u64, shard: u16) {
        let id = call_id(random, shard);
        let number = call_number(&id).unwrap();
        prop_assert!(number < 1 << 53);
        prop_assert_eq!(super::call_id::id_of_number(number), id);
    }
}

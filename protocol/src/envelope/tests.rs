use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Envelope<'_> {
    Envelope::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"))
}

fn raw(value: Option<&RawValue>) -> Option<&str> {
    value.map(RawValue::get)
}

#[test]
fn the_client_form_is_read() {
    let envelope = parsed(r#"{"event":"x","data":{"a":[1, 2]},"ackId":"id","extra":{}}"#);
    assert_eq!(envelope.event, "x");
    assert_eq!(raw(envelope.payload), Some(r#"{"a":[1, 2]}"#));
    assert_eq!(raw(envelope.correlation), Some(r#""id""#));
    assert!(envelope.ack.is_none());
}

#[test]
fn the_server_form_is_read() {
    let envelope =
        parsed(r#"{"type":"x","payload":null,"timestamp":5,"messageId":7,"data":1,"ack":2}"#);
    assert_eq!(envelope.event, "x");
    assert_eq!(raw(envelope.payload), Some("null"));
    assert_eq!(raw(envelope.correlation), Some("7"));
    assert!(
        !envelope.is_acknowledgement(),
        "the server form carries no ack"
    );
}

#[test]
fn a_string_event_wins_over_type_and_another_kind_of_event_does_not() {
    assert_eq!(parsed(r#"{"type":"t","event":"e"}"#).event, "e");
    assert_eq!(parsed(r#"{"type":"t","event":5}"#).event, "t");
}

#[test]
fn the_last_of_repeated_keys_counts() {
    assert_eq!(parsed(r#"{"event":"a","event":"b"}"#).event, "b");
}

#[test]
fn escaped_names_are_decoded() {
    assert_eq!(parsed(r#"{"ev\u0065nt":"p\u0069ng"}"#).event, "ping");
}

#[test]
fn correlation_ids_are_non_empty_strings_or_numbers() {
    for (text, expected) in [
        (r#""""#, None),
        ("null", None),
        ("true", None),
        ("{}", None),
        ("-1", Some("-1")),
        ("0", Some("0")),
    ] {
        let message = format!(r#"{{"event":"x","ackId":{text}}}"#);
        assert_eq!(raw(parsed(&message).correlation), expected, "{text}");
    }
}

#[test]
fn acknowledgements_are_told_from_requests() {
    assert!(parsed(r#"{"event":"x","ackId":"1","ack":null}"#).is_acknowledgement());
    assert!(!parsed(r#"{"event":"x","ackId":"","ack":1}"#).is_acknowledgement());
    assert!(!parsed(r#"{"event":"x","ackId":"1"}"#).is_acknowledgement());
    assert!(!parsed(r#"{"event":"rpc-response","ackId":"1","ack":1}"#).is_acknowledgement());
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "",
        "x",
        "[]",
        "5",
        "\"event\"",
        "{",
        r#"{"event":"x"} y"#,
        r#"{"event"}"#,
    ] {
        assert_eq!(
            Envelope::parse(text).unwrap_err(),
            EnvelopeError::NotJson,
            "{text}"
        );
    }
    for text in ["{}", r#"{"event":5}"#, r#"{"type":null}"#, r#"{"data":{}}"#] {
        assert_eq!(
            Envelope::parse(text).unwrap_err(),
            EnvelopeError::NoEvent,
            "{text}"
        );
    }
}

#[test]
fn deep_nesting_neither_fails_nor_recurses() {
    let depth = 10_000;
    let text = format!(
        r#"{{"event":"x","data":{}{}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert_eq!(
        parsed(&text).payload.map(|raw| raw.get().len()),
        Some(2 * depth)
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        let _ = Envelope::parse(&text);
    }

    #[test]
    fn any_value_is_carried_byte_for_byte(event in ".{0,20}", number in any::<f64>().prop_filter("finite", |n| n.is_finite()), text in ".{0,40}") {
        let data = serde_json::json!({"n": number, "t": text}).to_string();
        let message = format!(r#"{{"event":{},"data":{data}}}"#, serde_json::json!(event));
        let envelope = parsed(&message);
        prop_assert_eq!(&*envelope.event, &event);
        prop_assert_eq!(raw(envelope.payload), Some(&*data));
    }
}

//! Tests of the codec: RFC 6455's own examples, every refusal, and round trips.

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use super::*;

fn decode(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<(Opcode, Vec<u8>)>, FrameError> {
    let mut messages = Vec::new();
    decoder.push(bytes, |opcode, payload| {
        messages.push((opcode, payload.to_vec()))
    })?;
    Ok(messages)
}

#[test]
fn the_examples_of_rfc_6455_section_5_7() {
    let masked = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(
        client_frame(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]),
        masked
    );
    assert_eq!(server_frame(Opcode::Text, b"Hello"), b"\x81\x05Hello");

    let mut decoder = Decoder::default();
    let hello = || vec![(Opcode::Text, b"Hello".to_vec())];
    assert_eq!(decode(&mut decoder, b"\x81\x05Hello"), Ok(hello()));
    assert_eq!(decode(&mut decoder, b"\x01\x03Hel"), Ok(vec![]));
    // A control frame may come between the parts.
    assert_eq!(
        decode(&mut decoder, b"\x89\x02hi"),
        Ok(vec![(Opcode::Ping, b"hi".to_vec())])
    );
    assert_eq!(decode(&mut decoder, b"\x80\x02lo"), Ok(hello()));
    let bytes = [&[0x82, 0x7e, 0x01, 0x00][..], &[7; 256]].concat();
    assert_eq!(
        decode(&mut decoder, &bytes),
        Ok(vec![(Opcode::Binary, vec![7; 256])])
    );
}

#[test]
fn what_breaks_the_protocol_is_refused() {
    let cases: [(&[u8], FrameError); 13] = [
        (b"\xc1\x00", FrameError::ReservedBit),
        (b"\x91\x00", FrameError::ReservedBit),
        (b"\x83\x00", FrameError::Opcode(3)),
        (b"\x8b\x00", FrameError::Opcode(11)),
        (b"\x81\x7e\x00\x7d", FrameError::LengthForm),
        (b"\x81\x7f\0\0\0\0\0\0\xff\xff", FrameError::LengthForm),
        (b"\x81\x7f\xff\0\0\0\0\0\0\0", FrameError::TooLong),
        (b"\x81\x7f\0\0\0\0\x01\0\0\x01", FrameError::TooLong),
        (b"\x89\x7e\x00\x7e", FrameError::Control),
        (b"\x09\x00", FrameError::Control),
        (b"\x81\x81\0\0\0\0x", FrameError::Masked),
        (b"\x80\x00", FrameError::Parts),
        (b"\x01\x01a\x81\x01b", FrameError::Parts),
    ];
    for (bytes, expected) in cases {
        assert_eq!(
            decode(&mut Decoder::default(), bytes),
            Err(expected),
            "{bytes:02x?}"
        );
    }
}

#[test]
fn parts_cannot_add_up_beyond_the_longest_message() {
    let mut decoder = Decoder::default();
    let mut part = vec![0x01, 0x7f, 0, 0, 0, 0, 0x01, 0, 0, 0];
    part.resize(part.len() + MAX_MESSAGE, b'x');
    assert_eq!(decode(&mut decoder, &part), Ok(vec![]));
    assert_eq!(decode(&mut decoder, b"\x00\x01x"), Err(FrameError::TooLong));
}

fn opcode() -> impl Strategy<Value = Opcode> {
    prop_oneof![Just(Opcode::Text), Just(Opcode::Binary)]
}

proptest! {
    #[test]
    fn a_servers_frames_are_read_however_they_are_cut(
        messages in proptest::collection::vec((opcode(), 0_usize..70_000), 1..5),
        cuts in proptest::collection::vec(1_usize..40_000, 1..12),
    ) {
        let payload = |length: usize| (0..length).map(|i| i as u8).collect::<Vec<_>>();
        let expected: Vec<_> =
            messages.iter().map(|(opcode, length)| (*opcode, payload(*length))).collect();
        let bytes: Vec<u8> =
            expected.iter().flat_map(|(opcode, body)| server_frame(*opcode, body)).collect();
        let (mut decoder, mut read, mut rest) = (Decoder::default(), Vec::new(), &bytes[..]);
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            read.extend(decode(&mut decoder, now).unwrap());
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn client_frames_are_those_of_another_implementation(
        opcode in opcode(), payload in proptest::collection::vec(any::<u8>(), 0..300),
        key in any::<[u8; 4]>(),
    ) {
        let data = if opcode == Opcode::Text { Data::Text } else { Data::Binary };
        let mut frame = Frame::message(payload.clone(), OpCode::Data(data), true);
        frame.header_mut().mask = Some(key);
        let mut theirs = Vec::new();
        frame.format(&mut theirs).unwrap();
        prop_assert_eq!(&client_frame(opcode, &payload, key), &theirs);
        let header = Header::parse(&theirs).unwrap().unwrap();
        prop_assert_eq!((header.mask, header.length), (Some(key), payload.len()));
        prop_assert_eq!(header.size + header.length, theirs.len());
    }

    #[test]
    fn headers_agree_with_another_implementation(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        let theirs = FrameHeader::parse(&mut std::io::Cursor::new(&bytes));
        match (Header::parse(&bytes), theirs) {
            (Ok(Some(ours)), Ok(Some((theirs, length)))) => {
                prop_assert_eq!(ours.length as u64, length);
                prop_assert_eq!((ours.fin, ours.mask), (theirs.is_final, theirs.mask));
            }
            (Ok(Some(_)), other) => prop_assert!(false, "{:?}", other.is_ok()),
            // Theirs leaves reserved bits, lengths and control frames to a later stage.
            _ => {}
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&mut Decoder::default(), &bytes);
    }
}

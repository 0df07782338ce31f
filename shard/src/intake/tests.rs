use proptest::prelude::*;

use super::*;

const MOST: usize = 1000;

/// A masked client frame with these first-byte bits.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    bytes.extend_from_slice(&mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Incoming>, IntakeFault> {
    let (mut bytes, mut message) = (BytesMut::from(bytes), None);
    let mut all = Vec::new();
    while let Some(incoming) = next(&mut bytes, &mut message, MOST, false)? {
        all.push(incoming);
    }
    Ok(all)
}

fn message(text: &str) -> Incoming {
    Incoming::Message(BytesMut::from(text))
}

#[test]
fn messages_of_every_length_form_are_read() {
    for len in [0, 1, 125, 126, 1000] {
        let text = "x".repeat(len);
        assert_eq!(
            read(&frame(0x81, text.as_bytes())),
            Ok(vec![message(&text)]),
            "{len}"
        );
        assert_eq!(
            read(&frame(0x82, text.as_bytes())),
            Ok(vec![message(&text)]),
            "{len}"
        );
    }
}

#[test]
fn fragments_are_joined_and_control_frames_may_come_between() {
    let bytes = [
        frame(0x01, b"a"),
        frame(0x89, b"p"),
        frame(0x00, b"b"),
        frame(0x80, b"c"),
    ];
    let expected = vec![
        Incoming::Fragment,
        Incoming::Ping(BytesMut::from("p")),
        Incoming::Fragment,
        message("abc"),
    ];
    assert_eq!(read(&bytes.concat()), Ok(expected));
}

#[test]
fn every_violation_has_its_close_code() {
    let mut unmasked = frame(0x81, b"x");
    unmasked[1] &= 0x7f;
    let mut negative = frame(0x81, &[]);
    negative.splice(1..2, [0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    let cases: Vec<(Vec<u8>, IntakeFault, CloseCode)> = vec![
        (
            frame(0xc1, b"x"),
            IntakeFault::ReservedBits,
            CloseCode::PROTOCOL_ERROR,
        ),
        (
            frame(0x83, b"x"),
            IntakeFault::Opcode,
            CloseCode::PROTOCOL_ERROR,
        ),
        (
            frame(0x8b, b""),
            IntakeFault::Opcode,
            CloseCode::PROTOCOL_ERROR,
        ),
        (unmasked, IntakeFault::Unmasked, CloseCode::PROTOCOL_ERROR),
        (negative, IntakeFault::Frame, CloseCode::PROTOCOL_ERROR),
        (
            frame(0x09, b""),
            IntakeFault::Control,
            CloseCode::PROTOCOL_ERROR,
        ),
        (
            frame(0x89, &[0; 126]),
            IntakeFault::Control,
            CloseCode::PROTOCOL_ERROR,
        ),
        (
            frame(0x80, b"x"),
            IntakeFault::Fragments,
            CloseCode::PROTOCOL_ERROR,
        ),
        (
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            IntakeFault::Fragments,
            CloseCode::PROTOCOL_ERROR,
        ),
        (
            frame(0x88, &[3]),
            IntakeFault::Close,
            CloseCode::PROTOCOL_ERROR,
        ),
        (
            frame(0x88, &1005_u16.to_be_bytes()),
            IntakeFault::Close,
            CloseCode::PROTOCOL_ERROR,
        ),
        (
            frame(0x88, &[3, 232, 0xff]),
            IntakeFault::Utf8,
            CloseCode::INVALID_UTF8,
        ),
        (
            frame(0x81, &[b'x'; 1001]),
            IntakeFault::TooBig,
            CloseCode::TOO_BIG,
        ),
        (
            [frame(0x01, &[b'x'; 900]), frame(0x00, &[b'x'; 101])].concat(),
            IntakeFault::TooBig,
            CloseCode::TOO_BIG,
        ),
        (
            [frame(0x01, "é".as_bytes()), frame(0x00, &[0xff])].concat(),
            IntakeFault::Utf8,
            CloseCode::INVALID_UTF8,
        ),
    ];
    for (bytes, fault, code) in cases {
        assert_eq!(read(&bytes), Err(fault));
        assert_eq!(fault.close_code(), code, "{fault:?}");
    }
}

#[test]
fn an_oversize_frame_is_refused_by_its_header_alone() {
    let header = [0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0];
    assert_eq!(read(&header), Err(IntakeFault::TooBig));
}

#[test]
fn a_character_may_be_split_between_fragments() {
    let bytes = [frame(0x01, &[0xc3]), frame(0x80, &[0xa9])].concat();
    assert_eq!(read(&bytes), Ok(vec![Incoming::Fragment, message("é")]));
    let cut = [frame(0x01, &[0xc3]), frame(0x80, b"")].concat();
    assert_eq!(read(&cut), Err(IntakeFault::Utf8));
    assert_eq!(text(&[0xc3]), Err(IntakeFault::Utf8));
}

#[test]
fn close_codes_are_echoed_when_legal() {
    assert_eq!(read(&frame(0x88, b"")), Ok(vec![Incoming::Close(None)]));
    assert_eq!(
        read(&frame(0x88, &4001_u16.to_be_bytes())),
        Ok(vec![Incoming::Close(Some(CloseCode::AUTH_FAILED))])
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn any_split_of_the_bytes_reads_the_same(
        texts in prop::collection::vec("\\PC{0,60}", 1..6),
        fragment in 1_usize..20,
        cut in 1_usize..40,
    ) {
        let mut wire = Vec::new();
        for text in &texts {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(fragment).collect();
            if chunks.len() < 2 {
                wire.extend(frame(0x81, text.as_bytes()));
                continue;
            }
            for (index, chunk) in chunks.iter().enumerate() {
                let opcode = u8::from(index == 0);
                let last = if index + 1 == chunks.len() { 0x80 } else { 0 };
                wire.extend(frame(opcode | last, chunk));
            }
        }
        let (mut partial, mut read) = (Partial::default(), Vec::new());
        for piece in wire.chunks(cut) {
            partial.frame.extend_from_slice(piece);
            while let Some(incoming) =
                next(&mut partial.frame, &mut partial.message, MOST, false).unwrap()
            {
                if incoming != Incoming::Fragment {
                    read.push(incoming);
                }
            }
        }
        let expected: Vec<Incoming> = texts.iter().map(|text| message(text)).collect();
        prop_assert_eq!(read, expected);
        prop_assert!(partial.is_empty(), "nothing is kept after whole messages");
    }
}

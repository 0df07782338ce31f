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
    read_in(&[bytes], false)
}

/// Reads bytes that come in these pieces.
fn read_in(pieces: &[&[u8]], keeps_binary: bool) -> Result<Vec<Incoming>, IntakeFault> {
    let (mut bytes, mut ahead, mut message) = (BytesMut::new(), Ahead::default(), None);
    let mut all = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(piece);
        while let Some(incoming) = next(&mut bytes, &mut ahead, &mut message, MOST, keeps_binary)? {
            all.push(incoming);
        }
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
fn what_is_no_text_is_refused_before_its_frame_ends() {
    let bad = "κόσμε\u{7ff}".as_bytes();
    for sequence in [&[0xed, 0xa0][..], &[0xf4, 0x90], &[0xc0], &[0x80], &[0xff]] {
        // Many more bytes are announced than come.
        let mut whole = bad.to_vec();
        whole.extend_from_slice(sequence);
        let refused = whole.len();
        whole.resize(refused + 100, b'x');
        let begin = |first: u8| frame(first, &whole)[..6 + refused].to_vec();
        let texts = [begin(0x81), begin(0x01), begin(0x82)];
        for (index, bytes) in texts.iter().enumerate() {
            assert_eq!(read(bytes), Err(IntakeFault::Utf8), "{index} {sequence:?}");
            let singly: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read_in(&singly, false), Err(IntakeFault::Utf8));
            let before = &singly[..singly.len() - 1];
            assert_eq!(read_in(before, false), Ok(vec![]), "not before it is wrong");
        }
        assert_eq!(read_in(&[&texts[2]], true), Ok(vec![]), "binary is kept");
        let [first, begun] = [frame(0x02, b"a"), begin(0x80)];
        assert_eq!(
            read_in(&[&first, &begun], true),
            Ok(vec![Incoming::Fragment]),
            "as are its fragments"
        );
    }
}

#[test]
fn a_character_may_be_split_between_fragments_and_reads() {
    let text = "é€😀".repeat(20);
    for cut in 1..text.len() {
        let (first, second) = text.as_bytes().split_at(cut);
        let bytes = [frame(0x01, first), frame(0x80, second)].concat();
        let singly: Vec<&[u8]> = bytes.chunks(1).collect();
        let expected = Ok(vec![Incoming::Fragment, message(&text)]);
        assert_eq!(read_in(&singly, false), expected, "{cut}");
    }
    // The second half of a character never comes.
    let cut = [
        frame(0x01, &[0xe2, 0x82]),
        frame(0x80, b"x and more")[..7].to_vec(),
    ];
    let pieces: Vec<&[u8]> = cut.iter().map(Vec::as_slice).collect();
    assert_eq!(read_in(&pieces, false), Err(IntakeFault::Utf8));
}

#[test]
fn long_texts_are_looked_at_in_blocks() {
    // Over the bound of these tests: blocks end within characters.
    let text = "x€".repeat(2000);
    let bytes = frame(0x81, text.as_bytes());
    let (mut ahead, mask) = (Ahead::default(), [1, 2, 3, 4]);
    for end in [10, 2000, 2001, 5000, 7999] {
        ahead.look(&bytes[8..8 + end], mask).unwrap();
        assert_eq!(ahead.seen, end);
    }
    let mut wrong = bytes[8..].to_vec();
    wrong[7999] ^= 0x40;
    assert_eq!(ahead.look(&wrong, mask), Err(IntakeFault::Utf8));
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
            while let Some(incoming) = next(
                &mut partial.frame,
                &mut partial.ahead,
                &mut partial.message,
                MOST,
                false,
            )
            .unwrap()
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

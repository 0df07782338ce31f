//! From messages of the plain transport to Socket.IO packets.

use std::collections::VecDeque;

use bytes::Bytes;
use engineioxide_core::Str;
use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide_core::Value;
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::parser::Parse as _;
use socketioxide_parser_common::CommonParser;

use super::{RESERVED, ROOT, binary, call_number};
use crate::envelope::{Envelope, string};

/// What goes out for one message: a text packet, and the attachments that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets {
    /// The Engine.IO packet in its text form.
    pub text: String,
    /// Attachments, to be sent right behind it.
    pub attachments: Vec<Bytes>,
}

impl Packets {
    fn of(packet: Packet) -> Self {
        match CommonParser.encode(packet) {
            Value::Str(text, attachments) => Self {
                text: message(&text),
                attachments: attachments.map(Vec::from).unwrap_or_default(),
            },
            // The common parser makes no other.
            Value::Bytes(_) => Self {
                text: "6".to_owned(),
                attachments: Vec::new(),
            },
        }
    }
}

/// A Socket.IO packet as an Engine.IO message.
fn message(packet: &str) -> String {
    let mut text = String::with_capacity(1 + packet.len());
    text.push('4');
    text.push_str(packet);
    text
}

/// The first packet of a transport (section 2).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening<'a> {
    /// The session id, 20 characters.
    pub sid: &'a str,
    /// Transports that the client may change to.
    pub upgrades: &'a [&'a str],
    /// Time between heartbeats, ms.
    pub ping_interval: u64,
    /// Time to answer one, ms.
    pub ping_timeout: u64,
    /// Most bytes of a payload that the client should send.
    pub max_payload: u64,
}

/// The packet that opens a transport.
pub fn open(opening: &Opening<'_>) -> String {
    let mut text = String::from("0");
    crate::frames::push_json(&mut text, opening);
    text
}

/// The answer to a CONNECT to the root namespace.
pub fn connected(sid: &str) -> String {
    let mut text = String::from(r#"40{"sid":"#);
    crate::frames::push_json(&mut text, &sid);
    text.push('}');
    text
}

/// The refusal of a CONNECT; clients do not try again by themselves.
pub fn connect_error(namespace: &str, reason: &str) -> String {
    Packets::of(Packet::connect_error(namespace.to_owned(), reason)).text
}

/// Tells a client that it is out of the root namespace for good.
pub fn disconnected() -> String {
    Packets::of(Packet::disconnect(ROOT)).text
}

/// The acknowledgement of an event with this JSON as its only argument.
pub fn acknowledgement(id: i64, value: &str) -> String {
    packet(PacketData::EventAck(array(&[value]), id)).text
}

/// The packets for a message that plain clients get as JSON; `None` when Socket.IO clients get
/// nothing for it.
pub fn from_message(json: &str) -> Option<Packets> {
    let envelope = Envelope::parse(json).ok()?;
    let name = &*envelope.event;
    match name {
        "ack" => {
            let id = number(envelope.correlation?)?;
            let value = envelope.ack?;
            Some(match binary::extract(value) {
                Some((text, attachments)) => {
                    let value = Value::Str(array_text(&[&text]), Some(attachments.into()));
                    packet(PacketData::BinaryAck(value, id))
                }
                None => packet(PacketData::EventAck(array(&[value.get()]), id)),
            })
        }
        "pong" => {
            let id = number(envelope.correlation?)?;
            Some(packet(PacketData::EventAck(array(&["{}"]), id)))
        }
        // What these say is said by packets of their own.
        "connected" | "error" | "auth-error" => None,
        name if RESERVED.contains(&name) => None,
        name => {
            let id = envelope.correlation.and_then(string);
            let id = id.and_then(|id| call_number(&id));
            let id = id.and_then(|number| i64::try_from(number).ok());
            let mut quoted = String::with_capacity(name.len() + 2);
            crate::frames::push_json(&mut quoted, &name);
            Some(match envelope.payload {
                None => packet(PacketData::Event(array(&[&quoted]), id)),
                Some(data) => match binary::extract(data) {
                    None => packet(PacketData::Event(array(&[&quoted, data.get()]), id)),
                    Some((data, attachments)) => {
                        let attachments: VecDeque<Bytes> = attachments.into();
                        let text = array_text(&[&quoted, &data]);
                        let value = Value::Str(text, Some(attachments));
                        packet(PacketData::BinaryEvent(value, id))
                    }
                },
            })
        }
    }
}

fn packet(inner: PacketData) -> Packets {
    Packets::of(Packet {
        inner,
        ns: ROOT.into(),
    })
}

fn number(correlation: &RawValue) -> Option<i64> {
    correlation.get().parse().ok()
}

fn array(items: &[&str]) -> Value {
    Value::Str(array_text(items), None)
}

fn array_text(items: &[&str]) -> Str {
    let length = items.iter().map(|item| item.len() + 1).sum::<usize>() + 1;
    let mut text = String::with_capacity(length);
    for (index, item) in items.iter().enumerate() {
        text.push(if index == 0 { '[' } else { ',' });
        text.push_str(item);
    }
    text.push(']');
    text.into()
}

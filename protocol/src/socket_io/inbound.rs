//! From what a Socket.IO client sends to envelopes.

use bytes::Bytes;
use engineioxide_core::{Packet as EnginePacket, ProtocolVersion, Str};
use serde_json::value::RawValue;
use socketioxide_core::Value;
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::parser::{Parse as _, ParseConfig, ParseError, ParserState};
use socketioxide_parser_common::CommonParser;

use super::binary::embed;
use super::call_id::id_of_number;
use super::{MAX_ATTACHMENTS, RESERVED, ROOT};
use crate::frames::push_json;

/// What a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Answer to a heartbeat.
    Pong,
    /// The client closes the transport.
    Close,
    /// Nothing.
    Noop,
    /// `2probe`: an upgrade is tried.
    Probe,
    /// `5`: the upgrade is done.
    Upgrade,
    /// A packet whose attachments have yet to come.
    Incomplete,
    /// The client wants to join a namespace.
    Connect {
        /// Which.
        namespace: Box<str>,
        /// The JSON object that it sent along.
        auth: Option<Box<str>>,
    },
    /// The client leaves a namespace.
    Disconnect {
        /// Which.
        namespace: Box<str>,
    },
    /// The event `ping` on the root namespace: answered without a shard if it wants an ack.
    Ping {
        /// The id to acknowledge.
        ack: Option<i64>,
    },
    /// An event, or the answer to a call, on the root namespace: an envelope in client form.
    Message(String),
}

/// What closes the transport (Socket.IO contract, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketIoFault {
    /// No Engine.IO packet, or one that clients do not send.
    #[error("bad Engine.IO packet")]
    Engine,
    /// A ping: in this version of the protocol the server asks.
    #[error("a ping from the client")]
    ClientPing,
    /// No Socket.IO packet.
    #[error("bad Socket.IO packet")]
    Packet,
    /// The payload is not the JSON that the packet's type asks for.
    #[error("bad payload of a Socket.IO packet")]
    Payload,
    /// A reserved name as event.
    #[error("reserved event name")]
    Reserved,
    /// Text while attachments are outstanding, or binary without a header.
    #[error("attachments out of order")]
    Order,
    /// More attachments or bytes than allowed.
    #[error("too many attachments")]
    TooMany,
    /// A placeholder without its attachment.
    #[error("placeholder out of range")]
    Placeholder,
    /// A packet for a namespace that the client is not connected to.
    #[error("packet for a namespace that is not connected")]
    NotConnected,
}

/// A packet whose attachments have yet to come.
#[derive(Debug, Default)]
pub struct Pending(ParserState);

fn config(most: usize) -> ParseConfig {
    ParseConfig {
        max_incoming_binary_buf_size: most,
        max_incoming_binaries: MAX_ATTACHMENTS,
        ..ParseConfig::default()
    }
}

/// Reads one Engine.IO packet in its text form. `pending` holds what waits for attachments; `most`
/// bounds the bytes of all attachments of a packet.
///
/// # Errors
/// [`SocketIoFault`]; the transport is to be closed.
pub fn text(
    pending: &mut Option<Box<Pending>>,
    text: &str,
    most: usize,
) -> Result<Received, SocketIoFault> {
    let packet = EnginePacket::parse(ProtocolVersion::V4, Str::copy_from_slice(text))
        .map_err(|_| SocketIoFault::Engine)?;
    let message = match packet {
        EnginePacket::Message(message) => message,
        EnginePacket::Binary(bytes) => return binary(pending, bytes, most),
        EnginePacket::Close => return Ok(Received::Close),
        EnginePacket::Pong => return Ok(Received::Pong),
        EnginePacket::PingUpgrade => return Ok(Received::Probe),
        EnginePacket::Upgrade => return Ok(Received::Upgrade),
        EnginePacket::Noop => return Ok(Received::Noop),
        EnginePacket::Ping => return Err(SocketIoFault::ClientPing),
        EnginePacket::Open(_) | EnginePacket::PongUpgrade | EnginePacket::BinaryV3(_) => {
            return Err(SocketIoFault::Engine);
        }
    };
    if pending.is_some() {
        return Err(SocketIoFault::Order);
    }
    let state = ParserState::default();
    match CommonParser.decode_str(&config(most), &state, message) {
        Ok(packet) => received(packet),
        Err(ParseError::NeedsMoreBinaryData) => {
            *pending = Some(Box::new(Pending(state)));
            Ok(Received::Incomplete)
        }
        Err(err) => Err(fault(&err)),
    }
}

/// Reads one attachment.
///
/// # Errors
/// [`SocketIoFault`]; the transport is to be closed.
pub fn binary(
    pending: &mut Option<Box<Pending>>,
    bytes: Bytes,
    most: usize,
) -> Result<Received, SocketIoFault> {
    let Some(Pending(state)) = pending.as_deref() else {
        return Err(SocketIoFault::Order);
    };
    match CommonParser.decode_bin(&config(most), state, bytes) {
        Ok(packet) => {
            *pending = None;
            received(packet)
        }
        Err(ParseError::NeedsMoreBinaryData) => Ok(Received::Incomplete),
        Err(err) => Err(fault(&err)),
    }
}

fn fault(err: &ParseError) -> SocketIoFault {
    match err {
        ParseError::TooManyAttachments { .. } | ParseError::AttachmentsTooHeavy { .. } => {
            SocketIoFault::TooMany
        }
        ParseError::UnexpectedBinaryPacket | ParseError::UnexpectedStringPacket => {
            SocketIoFault::Order
        }
        _ => SocketIoFault::Packet,
    }
}

fn received(packet: Packet) -> Result<Received, SocketIoFault> {
    let is_root = *packet.ns == *ROOT;
    let namespace = || Box::<str>::from(&*packet.ns);
    match packet.inner {
        PacketData::Connect(auth) => {
            let auth = auth.as_ref().and_then(Value::as_str);
            if !auth.is_none_or(|auth| is_object(auth)) {
                return Err(SocketIoFault::Payload);
            }
            Ok(Received::Connect {
                namespace: namespace(),
                auth: auth.map(|auth| Box::from(&**auth)),
            })
        }
        PacketData::Disconnect => Ok(Received::Disconnect {
            namespace: namespace(),
        }),
        PacketData::ConnectError(_) => Err(SocketIoFault::Packet),
        _ if !is_root => Err(SocketIoFault::NotConnected),
        PacketData::Event(value, ack) | PacketData::BinaryEvent(value, ack) => event(value, ack),
        PacketData::EventAck(value, ack) | PacketData::BinaryAck(value, ack) => answer(value, ack),
    }
}

fn is_object(json: &str) -> bool {
    json.starts_with('{') && serde_json::from_str::<&RawValue>(json).is_ok()
}

fn parts(value: Value) -> Result<(Str, Vec<Bytes>), SocketIoFault> {
    match value {
        Value::Str(text, attachments) => Ok((text, attachments.map(Vec::from).unwrap_or_default())),
        Value::Bytes(_) => Err(SocketIoFault::Payload),
    }
}

fn event(value: Value, ack: Option<i64>) -> Result<Received, SocketIoFault> {
    let (text, attachments) = parts(value)?;
    let items: Vec<&RawValue> = serde_json::from_str(&text).map_err(|_| SocketIoFault::Payload)?;
    let [name, data @ ..] = &items[..] else {
        return Err(SocketIoFault::Payload);
    };
    let event = crate::envelope::string(name).ok_or(SocketIoFault::Payload)?;
    if RESERVED.contains(&&*event) {
        return Err(SocketIoFault::Reserved);
    }
    if event == crate::event::PING {
        return Ok(Received::Ping { ack });
    }
    let mut json = String::with_capacity(text.len() + 40);
    json.push_str(r#"{"event":"#);
    json.push_str(name.get());
    if let Some(data) = data.first() {
        json.push_str(r#","data":"#);
        push_data(&mut json, data, &attachments)?;
    }
    if let Some(ack) = ack {
        json.push_str(r#","ackId":"#);
        push_json(&mut json, &ack);
    }
    json.push('}');
    Ok(Received::Message(json))
}

/// The server asks for an acknowledgement of calls only, so every one answers a call.
fn answer(value: Value, ack: i64) -> Result<Received, SocketIoFault> {
    let (text, attachments) = parts(value)?;
    let items: Vec<&RawValue> = serde_json::from_str(&text).map_err(|_| SocketIoFault::Payload)?;
    let mut json = String::with_capacity(text.len() + 80);
    json.push_str(r#"{"event":"rpc-response","ackId":"#);
    push_json(&mut json, &id_of_number(ack.unsigned_abs()));
    json.push_str(r#","ack":"#);
    match items.first() {
        Some(data) => push_data(&mut json, data, &attachments)?,
        None => json.push_str("null"),
    }
    json.push('}');
    Ok(Received::Message(json))
}

fn push_data(
    json: &mut String,
    data: &RawValue,
    attachments: &[Bytes],
) -> Result<(), SocketIoFault> {
    if attachments.is_empty() {
        json.push_str(data.get());
        return Ok(());
    }
    let whole = embed(data, attachments).ok_or(SocketIoFault::Placeholder)?;
    json.push_str(&whole);
    Ok(())
}

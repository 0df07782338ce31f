//! Publications: what a stored change leads to, told to a hub in one piece.
//!
//! The application commits a change and then publishes it: the acknowledgement of whoever asked
//! for the change, and the frames for those who must hear of it. All publications of a user go
//! through the worker of the user's first shard, which passes each on to all shards as one message.
//! So whoever publishes in the order of the sequence numbers may rely on this:
//!
//! - a connection gets the frames of two publications in the order in which they were published,
//!   and so strictly increasing `seq` (realtime contract, section 7);
//! - the acknowledgement is queued to its connection before any frame of the same publication, and
//!   after all frames of earlier ones (section 4.3).
//!
//! What is not promised is an order between two sockets: a frame may be written to one connection
//! before the acknowledgement is written to another that lives on another worker. No client can
//! tell, since two sockets have no common order on the network either; and whatever a client does
//! in answer to the frame is published later, so the first connection gets it after its
//! acknowledgement.

use std::sync::Arc;

use dormouse_protocol::{ConnectionId, Filter, frames};
use serde_json::value::RawValue;

use crate::application::Delivery;
use crate::frame::Frame;
use crate::table::SlotToken;

/// Where the acknowledgement of an event goes. Stays good while the shard sleeps and wakes; once
/// the connection is gone, what is sent there is dropped.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    /// The connection.
    pub connection: ConnectionId,
    /// The number of its shard.
    pub shard: u16,
    /// Its slot on the shard's worker.
    pub token: SlotToken,
    /// The correlation id, as the client wrote it.
    pub correlation: Arc<RawValue>,
}

/// An acknowledgement that is part of a publication.
#[derive(Clone, Debug)]
pub struct Ack {
    /// To whom.
    pub to: ReplyTo,
    /// JSON of its value.
    pub value: String,
}

/// What is published in one piece; the deliveries go out in their order.
#[derive(Debug, Default)]
pub struct Publication {
    /// For the connection that asked for the change, if it asked for an acknowledgement.
    pub ack: Option<Ack>,
    /// For the user's connections, that one among them where a filter matches it.
    pub deliveries: Vec<Delivery>,
}

/// A publication with its frames encoded, shared by all shards that are told.
#[derive(Debug)]
pub struct Encoded {
    pub(crate) ack: Option<(ReplyTo, Frame)>,
    pub(crate) deliveries: Vec<EncodedDelivery>,
}

/// One delivery of a publication.
#[derive(Debug)]
pub(crate) struct EncodedDelivery {
    pub filter: Filter,
    pub except: Option<ConnectionId>,
    pub frame: Frame,
}

impl Encoded {
    /// Encodes every frame once.
    pub fn new(publication: Publication) -> Self {
        let ack = publication.ack.map(|ack| {
            let frame = Frame::text(&frames::ack(&ack.to.correlation, &ack.value));
            (ack.to, frame)
        });
        let deliveries = publication.deliveries.into_iter().map(|delivery| {
            let frame = if delivery.is_ephemeral {
                Frame::ephemeral(&delivery.json)
            } else {
                Frame::text(&delivery.json)
            };
            EncodedDelivery {
                filter: delivery.filter,
                except: delivery.except,
                // All shards of the user are told.
                frame: frame.shared(),
            }
        });
        Self {
            ack,
            deliveries: deliveries.collect(),
        }
    }

    /// The only shard that it is for; `None` when it is for all.
    pub fn only_shard(&self) -> Option<u16> {
        let (to, _) = self.ack.as_ref()?;
        self.deliveries.is_empty().then_some(to.shard)
    }
}

//! Publications in one shard: the ack before the frames, and only where it belongs.

use dormouse_protocol::{ConnectionId, Filter};
use serde_json::json;

use super::{Hub, Peer};
use crate::application::Delivery;
use crate::manager::state::Deferred;
use crate::publication::{Ack, Encoded, Publication, ReplyTo};

fn delivery(filter: Filter, seq: u64) -> Delivery {
    Delivery {
        filter,
        except: None,
        json: json!({"event":"update","data":{"seq":seq}}).to_string(),
        is_ephemeral: false,
    }
}

impl Hub {
    /// Where the ack of a peer's event goes.
    fn asks(&mut self, peer: Peer) -> ReplyTo {
        match self.say_deferred(peer, r#"{"event":"app-write","ackId":"w"}"#) {
            Some(Deferred::Application { request, .. }) => request.reply_to.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn publish(&mut self, ack: Option<ReplyTo>, deliveries: Vec<Delivery>) {
        let ack = ack.map(|to| Ack {
            to,
            value: "1".into(),
        });
        let publication = Encoded::new(Publication { ack, deliveries });
        self.state.publish(&publication, &mut self.out);
        assert_eq!(self.out.turn.held(), 0, "every hold is released");
    }
}

#[test]
fn the_ack_comes_before_the_frames_and_the_frames_in_their_order() {
    let mut hub = Hub::new();
    let (app, other) = (hub.user(), hub.user());
    let reply_to = hub.asks(app);
    let deliveries = vec![delivery(Filter::All, 1), delivery(Filter::All, 2)];
    hub.publish(Some(reply_to), deliveries);
    let written: Vec<_> = hub.out.written.iter().map(|note| note.0).collect();
    assert_eq!(written[0], app.token, "before anybody gets anything");
    let got = hub.got(app);
    assert_eq!(got[0], json!({"event":"ack","ackId":"w","ack":1}));
    let updates = [1, 2].map(|seq| json!({"event":"update","data":{"seq":seq}}));
    assert_eq!(got[1..], updates);
    assert_eq!(hub.got(other), updates);
}

#[test]
fn a_delivery_may_leave_one_connection_out() {
    let mut hub = Hub::new();
    let (agent, app) = (hub.session("s"), hub.user());
    let mut message = delivery(Filter::AllInterestedInSession("s".into()), 1);
    message.except = Some(agent.id);
    hub.publish(None, vec![message]);
    assert_eq!(hub.reached(), [app.token]);
}

#[test]
fn an_ack_is_for_its_connection_only() {
    let mut hub = Hub::of_number(1);
    let app = hub.user();
    let good = hub.asks(app);
    for wrong in [
        ReplyTo {
            shard: 0,
            ..good.clone()
        },
        ReplyTo {
            connection: ConnectionId::random(),
            ..good.clone()
        },
    ] {
        hub.publish(Some(wrong), Vec::new());
        hub.all_seen();
    }
    hub.leave(app);
    hub.publish(Some(good), vec![delivery(Filter::All, 1)]);
    hub.all_seen();
}

#[test]
fn a_publication_of_an_ack_alone_is_for_one_shard() {
    let mut hub = Hub::of_number(3);
    let app = hub.user();
    let ack = Some(Ack {
        to: hub.asks(app),
        value: "1".into(),
    });
    let alone = Encoded::new(Publication {
        ack: ack.clone(),
        deliveries: Vec::new(),
    });
    assert_eq!(alone.only_shard(), Some(3));
    let with_more = Encoded::new(Publication {
        ack,
        deliveries: vec![delivery(Filter::All, 1)],
    });
    assert_eq!(with_more.only_shard(), None);
    assert_eq!(Encoded::new(Publication::default()).only_shard(), None);
}

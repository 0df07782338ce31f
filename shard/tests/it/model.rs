//! Random lives of a few users against a simple model of who gets what.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_protocol::{ClientType, CloseCode, ConnectionId, Filter, Labels};
use dormouse_shard::frame::Frame;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Server, Who, tier};
use crate::support::{Client, Seen};

const USERS: [&str; 3] = ["alice", "bob", "carol"];

#[derive(Clone, Debug)]
enum Step {
    Connect {
        user: usize,
        kind: usize,
        label: u8,
    },
    /// Some messages at once, from whomever these numbers choose.
    Say(Vec<(usize, Say)>),
    Deliver {
        user: usize,
        filter: usize,
        label: u8,
    },
    Close {
        whom: usize,
        how: u8,
    },
    Sleep,
    /// Half the time until sleep.
    Wait,
}

#[derive(Clone, Copy, Debug)]
enum Say {
    Broadcast,
    Forward { label: u8, to_machine: bool },
    ExactPing,
    AckedPing,
}

fn any_say() -> impl Strategy<Value = Say> {
    prop_oneof![
        3 => Just(Say::Broadcast),
        3 => (0_u8..2, any::<bool>())
            .prop_map(|(label, to_machine)| Say::Forward { label, to_machine }),
        1 => Just(Say::ExactPing),
        1 => Just(Say::AckedPing),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_usize..3, 0_usize..3, 0_u8..2)
            .prop_map(|(user, kind, label)| Step::Connect { user, kind, label }),
        6 => prop::collection::vec((any::<usize>(), any_say()), 1..6).prop_map(Step::Say),
        3 => (0_usize..3, 0_usize..6, 0_u8..2)
            .prop_map(|(user, filter, label)| Step::Deliver { user, filter, label }),
        3 => (any::<usize>(), 0_u8..3).prop_map(|(whom, how)| Step::Close { whom, how }),
        2 => Just(Step::Sleep),
        1 => Just(Step::Wait),
    ]
}

/// A connection, and what the model says it has to get.
struct Peer {
    client: Client,
    id: ConnectionId,
    user: usize,
    labels: Labels,
    /// By the number of whoever sent it, so that only each sender's order counts.
    expected: BTreeMap<usize, Vec<String>>,
}

/// Frames that come from nobody in particular.
const SERVER: usize = usize::MAX;

impl Peer {
    fn expect(&mut self, from: usize, what: String) {
        self.expected.entry(from).or_default().push(what);
    }
}

/// A frame in few words, and whose it is.
fn words(frame: &Value) -> (usize, String) {
    let data = &frame["data"];
    let sender = data["from"].as_u64().map_or(SERVER, |from| from as usize);
    let words = match frame["event"].as_str().unwrap() {
        "pong" => format!("pong {}", frame["ackId"]),
        "ack" => format!("ack {} {}", frame["ackId"], frame["ack"]),
        "ephemeral" => match data["type"].as_str().unwrap() {
            "machine-status" => format!("status {} {}", data["machineId"], data["online"]),
            kind => format!("{kind} {} {}", data["machineId"], data["active"]),
        },
        event => format!("{event} {}", data["n"]),
    };
    (sender, words)
}

struct Model {
    server: Server,
    peers: Vec<Peer>,
    counter: u64,
}

impl Model {
    fn online(&self, user: usize, machine: &str) -> bool {
        self.peers.iter().any(|peer| {
            peer.user == user
                && peer.labels.client_type == ClientType::MachineScoped
                && peer.labels.machine_id.as_deref() == Some(machine)
        })
    }

    fn announce(&mut self, user: usize, machine: &str, online: bool) {
        let users = self
            .peers
            .iter_mut()
            .filter(|peer| peer.user == user && peer.labels.client_type == ClientType::UserScoped);
        for peer in users {
            peer.expect(SERVER, format!("status {} {online}", json!(machine)));
            peer.expect(
                SERVER,
                format!("machine-activity {} {online}", json!(machine)),
            );
        }
    }

    async fn connect(&mut self, user: usize, kind: usize, label: u8) {
        if self.peers.iter().filter(|peer| peer.user == user).count() == 6 {
            let (mut refused, _) = self.server.arrive(Who::user(USERS[user]), &[]);
            assert!(refused.rest().await.starts_with(b"HTTP/1.1 429"));
            return;
        }
        let (session, machine) = (format!("s{label}"), format!("m{label}"));
        let labels = Labels {
            client_type: ClientType::ALL[kind],
            session_id: (kind != 2).then(|| session.into()),
            machine_id: (kind != 1).then(|| machine.as_str().into()),
        };
        let who = Who::labelled(USERS[user], labels.clone());
        let comes_online = kind == 2 && !self.online(user, &machine);
        let (client, id) = self.server.connect(who).await;
        let expected = BTreeMap::new();
        self.peers.push(Peer {
            client,
            id,
            user,
            labels,
            expected,
        });
        if comes_online {
            self.announce(user, &machine, true);
        }
    }

    fn expect_delivery(&mut self, user: usize, from: usize, filter: &Filter, what: &str) -> usize {
        let mut delivered = 0;
        for (index, peer) in self.peers.iter_mut().enumerate() {
            if peer.user == user
                && index != from
                && filter.matches(peer.id, &peer.labels, &Default::default())
            {
                peer.expect(from, what.to_owned());
                delivered += 1;
            }
        }
        delivered
    }

    async fn say(&mut self, from: usize, say: Say) {
        self.counter += 1;
        let n = self.counter;
        let (user, labels) = (self.peers[from].user, self.peers[from].labels.clone());
        let text = match say {
            Say::ExactPing => {
                self.peers[from].expect(SERVER, "pong null".to_owned());
                r#"{"event":"ping"}"#.to_owned()
            }
            Say::AckedPing => {
                self.peers[from].expect(SERVER, format!("pong {n}"));
                json!({"event":"ping","ackId":n}).to_string()
            }
            Say::Broadcast => {
                let what = format!("broadcast {n}");
                let delivered = self.expect_delivery(user, from, &Filter::All, &what);
                let ack = json!({"success":true,"delivered":delivered});
                self.peers[from].expect(SERVER, format!("ack {n} {ack}"));
                let data = json!({"n":n,"from":from});
                json!({"event":"broadcast","data":data,"ackId":n}).to_string()
            }
            Say::Forward { label, to_machine } => {
                let mut data = json!({"n":n,"from":from});
                let filter = if to_machine {
                    data["machineId"] = json!(format!("m{label}"));
                    Filter::Machine(format!("m{label}").into())
                } else {
                    data["sid"] = json!(format!("s{label}"));
                    Filter::Session(format!("s{label}").into())
                };
                let filter = match labels.client_type {
                    ClientType::UserScoped => filter,
                    _ => Filter::UserScopedOnly,
                };
                self.expect_delivery(user, from, &filter, &format!("note {n}"));
                json!({"event":"note","data":data}).to_string()
            }
        };
        self.peers[from].client.send(&text).await;
    }

    async fn deliver(&mut self, user: usize, filter: usize, label: u8) {
        self.counter += 1;
        let n = self.counter;
        let (session, machine) = (format!("s{label}"), format!("m{label}"));
        let filter = match filter {
            0 => Filter::All,
            1 => Filter::UserScopedOnly,
            2 => Filter::Session(session.into()),
            3 => Filter::Machine(machine.into()),
            4 => Filter::MachineScopedOnly(machine.into()),
            _ => Filter::AllInterestedInSession(session.into()),
        };
        let expected = self.expect_delivery(user, SERVER, &filter, &format!("b {n}"));
        let frame = Frame::text(&json!({"event":"b","data":{"n":n}}).to_string());
        let delivered = self
            .server
            .workers
            .deliver(USERS[user], filter, frame)
            .await;
        let delivered: u64 = delivered.iter().map(|there| there.delivered).sum();
        assert_eq!(delivered, expected as u64);
    }

    async fn close(&mut self, whom: usize, how: u8) {
        let mut peer = self.peers.swap_remove(whom);
        match how {
            0 => {}
            1 => {
                peer.client.close(1000).await;
                let echo = Seen::Close(Some(1000), String::new());
                assert_eq!(peer.client.next().await, echo);
            }
            _ => {
                let code = CloseCode::POLICY;
                assert!(
                    self.server
                        .workers
                        .close_connection(peer.id, code, "")
                        .await
                );
                peer.client.closed(1008).await;
            }
        }
        drop(peer.client);
        self.gone(peer.user, peer.labels).await;
    }

    async fn gone(&mut self, user: usize, labels: Labels) {
        let left = self.peers.iter().filter(|peer| peer.user == user).count() as u64;
        let server = &self.server;
        until("it is counted", || async {
            server.stats(USERS[user]).await.total_connections == left
        })
        .await;
        if let (ClientType::MachineScoped, Some(machine)) = (labels.client_type, &labels.machine_id)
            && !self.online(user, machine)
        {
            self.announce(user, machine, false);
        }
    }

    /// Everybody has got what the model says, and nothing else.
    async fn check(&mut self) {
        settle().await;
        for (number, peer) in self.peers.iter_mut().enumerate() {
            let mut got: BTreeMap<usize, Vec<String>> = BTreeMap::new();
            for seen in peer.client.drain() {
                match seen {
                    Seen::Text(text) => {
                        let (from, words) = words(&serde_json::from_str(&text).unwrap());
                        got.entry(from).or_default().push(words);
                    }
                    Seen::Ping => {}
                    other => panic!("{other:?}"),
                }
            }
            let expected = std::mem::take(&mut peer.expected);
            for (from, expected) in &expected {
                let got = got.remove(from).unwrap_or_default();
                if *from == SERVER {
                    // Acks of one moment wait for different shards.
                    let sorted = |mut list: Vec<String>| {
                        list.sort();
                        list
                    };
                    assert_eq!(sorted(got), sorted(expected.clone()), "peer {number}");
                } else {
                    assert_eq!(&got, expected, "peer {number} from {from}");
                }
            }
            assert_eq!(
                got,
                BTreeMap::new(),
                "peer {number} got what is not its business"
            );
        }
        for (user, name) in USERS.iter().enumerate() {
            let peers: Vec<_> = self.peers.iter().filter(|peer| peer.user == user).collect();
            let labels = |of: fn(&Labels) -> &Option<Box<str>>| {
                let labels = peers.iter().filter_map(|peer| of(&peer.labels).clone());
                labels.collect::<BTreeSet<_>>().len() as u64
            };
            let stats = self.server.stats(name).await;
            assert_eq!(stats.total_connections, peers.len() as u64);
            assert_eq!(stats.active_sessions, labels(|labels| &labels.session_id));
            assert_eq!(stats.active_machines, labels(|labels| &labels.machine_id));
        }
    }

    async fn run(mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Connect { user, kind, label } => self.connect(user, kind, label).await,
                Step::Say(all) if !self.peers.is_empty() => {
                    for (from, say) in all {
                        let from = from % self.peers.len();
                        self.say(from, say).await;
                    }
                }
                Step::Say(_) => {}
                Step::Deliver {
                    user,
                    filter,
                    label,
                } => self.deliver(user, filter, label).await,
                Step::Close { whom, how } if !self.peers.is_empty() => {
                    let whom = whom % self.peers.len();
                    // Numbers of peers change, so what they said is looked at first.
                    self.check().await;
                    self.close(whom, how).await;
                }
                Step::Close { .. } => {}
                Step::Sleep => {
                    self.check().await;
                    self.server.put_to_sleep().await;
                }
                Step::Wait => {
                    self.server
                        .clock
                        .advance(self.server.hibernate_after / 2)
                        .await
                }
            }
            self.check().await;
        }
        assert_eq!(self.server.report().await.counters.wake_failures, 0);
        self.peers.clear();
        let server = &self.server;
        until("all are gone", || async {
            server.report().await.connections == 0
        })
        .await;
        server.clock.advance(server.hibernate_after * 2).await;
        server.emptied().await;
        until("no record is left", || async { server.store.len() == 0 }).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_life_of_a_few_users_is_as_the_model_says(
        steps in prop::collection::vec(any_step(), 1..40),
        workers in 1_usize..4,
        per_shard in 1_u32..4,
    ) {
        actix_rt::System::new().block_on(async move {
            let max_shards = 6 / per_shard as u16;
            let server = Builder {
                workers,
                tiers: vec![tier("small", per_shard, max_shards)],
                ..Builder::default()
            }
            .start();
            Model { server, peers: Vec::new(), counter: 0 }.run(steps).await;
        });
    }
}

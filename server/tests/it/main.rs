//! The server as its users meet it: over real sockets in this process, and as the built binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

mod bad_clients;
mod bad_frames;
mod bad_http;
mod broadcasts;
mod connection_limits;
mod corpora;
mod credentials;
mod dashboard;
mod echo;
mod envelopes;
mod event_groups;
mod event_keys;
mod event_program;
mod event_publishing;
mod event_reports;
mod event_subscribers;
mod first_message;
mod forwarding;
mod handshake;
mod happy_client;
mod presence;
mod program_account;
mod program_db;
mod program_doctor;
mod program_settings;
mod program_start;
mod program_stop;
mod program_token;
mod rpc;
mod sleeping;
mod socket_io;
mod socket_io_polling;
mod socket_io_rpc;
mod store_faults;
mod sync;
mod tickets;

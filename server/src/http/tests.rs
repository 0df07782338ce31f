//! The HTTP surfaces, asked over real sockets.

mod account;
mod admin_audit;
mod admin_broadcast;
mod admin_disconnect;
mod admin_drain;
mod admin_live;
mod admin_log;
mod admin_overview;
mod admin_page;
mod admin_preview;
mod admin_shards;
mod admin_tier;
mod admin_try_it;
mod admin_user_list;
mod admin_users;
mod auth;
mod bodies;
mod client;
mod credentials;
mod feed;
mod kv;
mod routing;
mod server;
mod small_endpoints;
mod sync;
mod user;

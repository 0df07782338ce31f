//! Plain HTTP: routes, manners, errors.

pub mod account;
pub mod admin;
pub mod admin_page;
pub mod auth;
pub mod body_limit;
pub mod connect;
pub mod credentials;
pub mod dashboard;
pub mod endpoint;
pub mod errors;
pub mod events;
pub mod feed;
pub mod file_links;
pub mod json_body;
pub mod kv;
pub mod manners;
pub mod openapi;
pub mod origin;
pub mod outgoing_message;
pub mod push_tokens;
pub mod query;
pub mod raw_response;
pub mod routes;
pub mod service;
pub mod sync;
pub mod usage_limits;
pub mod user;
pub mod version;

#[cfg(test)]
mod tests;

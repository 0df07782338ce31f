//! Plain HTTP: routes, manners, errors.

pub mod admin;
pub mod admin_page;
pub mod auth;
pub mod credentials;
pub mod endpoint;
pub mod errors;
pub mod json_body;
pub mod manners;
pub mod openapi;
pub mod outgoing_message;
pub mod query;
pub mod raw_response;
pub mod routes;
pub mod service;
pub mod user;

#[cfg(test)]
mod tests;

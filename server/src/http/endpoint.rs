//! One path with its handlers, as it is registered and as it is documented.
//!
//! Every route of the server is made here, so that all of them answer `HEAD` where they answer
//! `GET`, refuse other methods with 405 and `Allow`, and can be listed: a test holds the list equal
//! to the API description.

use std::future::Future;

use actix_web::dev::HttpServiceFactory;
use actix_web::http::Method;
use actix_web::{FromRequest, Handler, Resource, Responder, web};

/// A path and what it does for each method.
pub struct Endpoint {
    path: &'static str,
    methods: Vec<Method>,
    resource: Resource,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("path", &self.path)
            .field("methods", &self.methods)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint at a path, such as `/admin/v1/users/{id}`.
    #[must_use]
    pub fn at(path: &'static str) -> Self {
        Self {
            path,
            methods: Vec::new(),
            resource: web::resource(path),
        }
    }

    /// An endpoint that also answers with a slash behind its path.
    #[must_use]
    pub fn with_or_without_slash(path: &'static str) -> Self {
        Self {
            path,
            methods: Vec::new(),
            resource: web::resource([path.to_owned(), format!("{path}/")]),
        }
    }

    /// Handles `GET` and `HEAD`; the body of an answer to `HEAD` is left out by the HTTP stack.
    #[must_use]
    pub fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
        F::Future: Future,
    {
        self.resource = self.resource.route(web::head().to(handler.clone()));
        self.method(Method::GET, handler)
    }

    /// Handles `POST`.
    #[must_use]
    pub fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::POST, handler)
    }

    /// Handles `PUT`.
    #[must_use]
    pub fn put<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::PUT, handler)
    }

    /// Handles `DELETE`.
    #[must_use]
    pub fn delete<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::DELETE, handler)
    }

    /// Handles every method alike; documented as `GET`.
    #[must_use]
    pub fn any<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(Method::GET);
        self.resource = self.resource.route(web::to(handler));
        self
    }

    fn method<F, Args>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(method.clone());
        self.resource = self.resource.route(web::method(method).to(handler));
        self
    }

    /// The path, with its parameters in braces.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The methods that are handled, without the `HEAD` that comes with `GET`.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// What to register. Other methods are answered with 405 by the framework, which knows the
    /// methods of the resource.
    pub fn into_service(self) -> impl HttpServiceFactory + 'static {
        self.resource
    }
}

//! HTTP requests, counted where they are answered (events contract, section 11).
//!
//! Called by the middleware around all routes, never for a WebSocket message. The label of a route
//! is its pattern as registered: what a client writes into a path must never become one.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts};

use super::catalogue::{
    DO_RESPONSE_TIME, HTTP_REQUEST_DURATION, HTTP_REQUEST_ERRORS, HTTP_REQUESTS,
};
use super::definition::Metric;

/// The statistics endpoint of users, whose answers are timed on their own.
pub const STATS_ROUTE: &str = "/v1/websocket/stats";

/// The route of requests that no route matches.
pub const UNMATCHED: &str = "unmatched";

/// Upper bounds of the buckets, seconds: the thresholds of the contracts (100, 150, 200, 300,
/// 500 ms, 1, 2 s) are among them.
const BOUNDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// All values of the label `method`. Methods are free text on the wire: strangers become one word.
pub const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other",
];

/// All values of the label `error_type`.
pub const ERROR_TYPES: [&str; 11] = [
    "bad_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "conflict",
    "payload_too_large",
    "rate_limited",
    "client_error",
    "unavailable",
    "internal",
];

/// Counters of HTTP requests.
#[derive(Debug)]
pub struct HttpRequests {
    requests: IntCounterVec,
    durations: HistogramVec,
    errors: IntCounterVec,
    stats_times: Histogram,
}

impl HttpRequests {
    /// Counters at zero.
    ///
    /// # Errors
    /// When the library refuses a name of the catalogue, which the tests would have shown.
    pub fn new() -> Result<Self, prometheus::Error> {
        let millis = BOUNDS.map(|bound| bound * 1000.0).to_vec();
        let this = Self {
            requests: IntCounterVec::new(options(&HTTP_REQUESTS), HTTP_REQUESTS.labels)?,
            durations: HistogramVec::new(
                HistogramOpts::from(options(&HTTP_REQUEST_DURATION)).buckets(BOUNDS.to_vec()),
                HTTP_REQUEST_DURATION.labels,
            )?,
            errors: IntCounterVec::new(options(&HTTP_REQUEST_ERRORS), HTTP_REQUEST_ERRORS.labels)?,
            stats_times: Histogram::with_opts(
                HistogramOpts::from(options(&DO_RESPONSE_TIME)).buckets(millis),
            )?,
        };
        // A rate over a series that begins with its first error would miss that error.
        for error_type in ERROR_TYPES {
            this.errors.with_label_values(&[error_type]).inc_by(0);
        }
        Ok(this)
    }

    /// Counts an answered request. `route` is the pattern that matched.
    pub fn count(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let route = route.unwrap_or(UNMATCHED);
        let labels = [method_label(method), route, status.as_str()];
        self.requests.with_label_values(&labels).inc();
        self.durations
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
        if let Some(error_type) = error_type(status) {
            self.errors.with_label_values(&[error_type]).inc();
        }
        if route == STATS_ROUTE && status.is_success() {
            self.stats_times.observe(took.as_secs_f64() * 1000.0);
        }
    }

    /// What was counted.
    pub fn families(&self) -> Vec<MetricFamily> {
        [
            self.requests.collect(),
            self.durations.collect(),
            self.errors.collect(),
            self.stats_times.collect(),
        ]
        .concat()
    }
}

fn options(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn method_label(method: &Method) -> &'static str {
    let known = METHODS.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}

fn error_type(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        400 => "bad_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        409 => "conflict",
        413 => "payload_too_large",
        429 => "rate_limited",
        402..500 => "client_error",
        503 => "unavailable",
        500.. => "internal",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(families: &[MetricFamily], name: &str, labels: &[&str]) -> f64 {
        let family = families.iter().find(|family| family.name() == name);
        let samples = family.map_or(&[][..], |family| family.get_metric());
        let is_it = |metric: &&prometheus::proto::Metric| {
            let values = metric.get_label().iter().map(|pair| pair.value());
            labels
                .iter()
                .all(|label| values.clone().any(|value| value == *label))
        };
        let found = samples.iter().find(is_it);
        found.map_or(f64::NAN, |metric| {
            metric.get_counter().get_value() + metric.get_histogram().get_sample_count() as f64
        })
    }

    #[test]
    fn requests_are_counted_by_pattern_and_status() {
        let counters = HttpRequests::new().unwrap();
        let took = Duration::from_millis(150);
        let user = Some("/admin/v1/users/{id}");
        counters.count(&Method::GET, user, StatusCode::OK, took);
        counters.count(&Method::GET, user, StatusCode::OK, took);
        counters.count(&Method::GET, None, StatusCode::NOT_FOUND, took);
        let odd = Method::from_bytes(b"BREW").unwrap();
        counters.count(&odd, None, StatusCode::METHOD_NOT_ALLOWED, took);
        let families = counters.families();
        let requests = |labels: &[&str]| value(&families, "http_requests_total", labels);
        assert_eq!(requests(&["GET", "/admin/v1/users/{id}", "200"]), 2.0);
        assert_eq!(requests(&["GET", UNMATCHED, "404"]), 1.0);
        assert_eq!(requests(&["other", UNMATCHED, "405"]), 1.0);
        let errors = |word| value(&families, "http_request_errors_total", &[word]);
        assert_eq!(errors("not_found"), 1.0);
        assert_eq!(errors("internal"), 0.0);
        assert_eq!(
            value(&families, "http_request_duration_seconds", &["200"]),
            2.0
        );
    }

    #[test]
    fn the_statistics_endpoint_is_timed_in_milliseconds() {
        let counters = HttpRequests::new().unwrap();
        let took = Duration::from_millis(40);
        counters.count(&Method::GET, Some(STATS_ROUTE), StatusCode::OK, took);
        let refused = StatusCode::UNAUTHORIZED;
        counters.count(&Method::GET, Some(STATS_ROUTE), refused, took);
        let families = counters.families();
        let family = families
            .iter()
            .find(|family| family.name() == DO_RESPONSE_TIME.name)
            .unwrap();
        let [metric] = family.get_metric() else {
            panic!("one series");
        };
        let histogram = metric.get_histogram();
        assert_eq!(histogram.get_sample_count(), 1);
        assert!((histogram.get_sample_sum() - 40.0).abs() < 1e-9);
        let bounds = histogram
            .get_bucket()
            .iter()
            .map(|bucket| bucket.upper_bound());
        for threshold in [100.0, 150.0, 200.0, 300.0, 500.0, 1000.0, 2000.0] {
            assert!(
                bounds.clone().any(|bound| bound == threshold),
                "{threshold}"
            );
        }
    }

    #[test]
    fn every_error_has_a_word_of_the_closed_set() {
        for code in 100..1000 {
            let status = StatusCode::from_u16(code).unwrap();
            match error_type(status) {
                Some(word) => assert!(code >= 400 && ERROR_TYPES.contains(&word), "{code}"),
                None => assert!(code < 400, "{code}"),
            }
        }
    }
}

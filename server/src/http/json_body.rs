//! Request bodies as JSON, whatever their Content-Type says (REST contract, section 1.1).
//!
//! Owns the bound on their size while they are read, and what a client is told about a body that
//! cannot be used: the field in development, nothing of it in production (section 1.3).

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::body_limit;
use super::errors::ApiError;
use crate::app_state::AppState;

/// The body of a request, read to its end and not yet understood.
#[derive(Clone, Debug)]
pub struct JsonBody {
    bytes: Bytes,
    is_development: bool,
}

impl JsonBody {
    /// What was sent, as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the body as an object. Values may borrow from it.
    ///
    /// # Errors
    /// 400 `VALIDATION_FAILED` when it is not JSON, not an object, or not one of this form.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        parse(&self.bytes).map_err(|fault| {
            if self.is_development {
                ApiError::validation(format!("the body cannot be used: {fault}"))
            } else {
                let text = "the body is not what this endpoint takes; /openapi.json describes it";
                ApiError::validation(text)
            }
        })
    }

    /// As [`Self::read`]; an empty body is the default.
    ///
    /// # Errors
    /// As [`Self::read`], for a body that is not empty.
    pub fn read_or_default<'a, T: Deserialize<'a> + Default>(&'a self) -> Result<T, ApiError> {
        if self.bytes.trim_ascii().is_empty() {
            Ok(T::default())
        } else {
            self.read()
        }
    }
}

impl FromRequest for JsonBody {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let state = request.app_data::<web::Data<AppState>>().cloned();
        let path = request.path().to_owned();
        let payload = payload.take();
        Box::pin(async move {
            let state = state.ok_or_else(|| ApiError::internal(&"a route without state"))?;
            Ok(Self {
                bytes: read_all(payload, body_limit::of(&state.settings.http, &path)).await?,
                is_development: state.is_development(),
            })
        })
    }
}

/// Reads to the end, or to the first byte past `most`.
async fn read_all(mut payload: Payload, most: u64) -> Result<Bytes, ApiError> {
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|err| {
            tracing::debug!(%err, "a body broke off");
            ApiError::validation("the body ended before its end; send it again")
        })?;
        if first.len() + rest.len() + chunk.len() > limit {
            return Err(ApiError::too_large(most));
        }
        // Most bodies come in one piece, which need not be copied.
        if first.is_empty() && rest.is_empty() {
            first = chunk;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&chunk);
        }
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let Object(value) =
        serde_path_to_error::deserialize(&mut json).map_err(|err| err.to_string())?;
    json.end().map_err(|err| err.to_string())?;
    Ok(value)
}

/// A value that is written as a JSON object. Derived types take arrays as well, their fields in
/// order; the contract knows no such form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        inner: Object<Inner<'a>>,
        #[serde(borrow, default)]
        raw: Option<&'a RawValue>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
        number: Option<u64>,
    }

    #[test]
    fn objects_are_read_and_borrowed() {
        let body = br#" {"inner":{"text":"a","number":null,"more":[]},"raw":{ "x" : 1.50 }} "#;
        let outer: Outer<'_> = parse(body).unwrap();
        assert_eq!(outer.inner.0.text, "a");
        assert_eq!(outer.inner.0.number, None);
        assert_eq!(outer.raw.map(RawValue::get), Some(r#"{ "x" : 1.50 }"#));
    }

    #[test]
    fn faults_name_the_field() {
        for (body, parts) in [
            (
                &br#"{"inner":{"text":1}}"#[..],
                &["inner.text", "string"][..],
            ),
            (br#"{"inner":{"text":"a","number":-1}}"#, &["inner.number"]),
            (br#"{"inner":["a",1]}"#, &["inner", "an object"]),
            (br#"[{"text":"a"}]"#, &["an object"]),
            (br#"{"inner":{}}"#, &["missing field `text`"]),
            (br#"{"inner":{"text":"a"}} x"#, &["trailing"]),
            (
                br#"{"inner":{"text":"a"},"inner":{"text":"b"}}"#,
                &["duplicate"],
            ),
            (b"", &["EOF"]),
            (b"\xff", &["expected value"]),
            (b"{\"inner\":{\"text\":\"\xff\"}}", &["unicode"]),
        ] {
            let fault = parse::<Outer<'_>>(body).unwrap_err();
            for part in parts {
                assert!(fault.contains(part), "{part:?} is not in: {fault}");
            }
        }
    }

    #[test]
    fn production_says_nothing_of_the_body() {
        let body = |is_development| JsonBody {
            bytes: Bytes::from_static(br#"{"inner":{"text":5551}}"#),
            is_development,
        };
        let err = body(false).read::<Outer<'_>>().unwrap_err().to_string();
        assert!(!err.contains("inner") && !err.contains("5551"), "{err}");
        let err = body(true).read::<Outer<'_>>().unwrap_err().to_string();
        assert!(err.contains("inner.text"), "{err}");
    }

    #[test]
    fn an_empty_body_is_the_default_where_none_is_needed() {
        let body = JsonBody {
            bytes: Bytes::from_static(b" \n"),
            is_development: true,
        };
        let read: std::collections::BTreeMap<String, u8> = body.read_or_default().unwrap();
        assert!(read.is_empty());
        assert!(body.read::<Outer<'_>>().is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(bytes: Vec<u8>, text in "\\PC*") {
            let _ = parse::<Outer<'_>>(&bytes);
            let _ = parse::<Outer<'_>>(text.as_bytes());
        }
    }
}

//! Push messages to devices that are not connected: who gets one, and by whom it is sent.
//!
//! Owns the decision and its words (contract happy-client.md section 7). Sending is the work of a
//! [`PushProvider`]; without one every message that would be sent has failed, and says why.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A message to devices.
#[derive(Clone, Debug)]
pub struct PushMessage {
    /// The first line.
    pub title: String,
    /// The rest.
    pub body: String,
    /// What the app gets with it, JSON.
    pub data: Option<Box<RawValue>>,
}

/// What a provider has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many devices have it.
    pub count: usize,
    /// Why others have not.
    pub reason: Option<String>,
}

/// Sends messages to devices, through the service that gave them their tokens.
pub trait PushProvider: Send + Sync {
    /// Sends a message to devices, named by their tokens.
    fn send(
        &self,
        message: PushMessage,
        tokens: Vec<String>,
    ) -> Pin<Box<dyn Future<Output = Delivered> + Send>>;
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushResult {
    /// All devices have it.
    Sent,
    /// Some have it.
    Partial,
    /// An app is in the foreground and shows it by itself.
    Suppressed,
    /// No device is registered.
    NoTokens,
    /// No device has it.
    Failed,
}

/// What became of a message, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PushOutcome {
    /// In a word.
    pub result: PushResult,
    /// How many devices it was for.
    pub tokens: usize,
    /// How many have it.
    pub delivered: usize,
    /// Why not all have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

impl PushOutcome {
    /// A message that was not sent.
    #[must_use]
    pub fn unsent(result: PushResult, tokens: usize, reason: &str) -> Self {
        Self {
            result,
            tokens,
            delivered: 0,
            reason: Some(reason.to_owned()),
        }
    }
}

/// Decides and sends.
#[derive(Clone, Default)]
pub struct Push {
    provider: Option<Arc<dyn PushProvider>>,
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push")
            .field("has_provider", &self.provider.is_some())
            .finish()
    }
}

impl Push {
    /// Sends by this provider.
    #[must_use]
    pub fn by(provider: Arc<dyn PushProvider>) -> Self {
        Self {
            provider: Some(provider),
        }
    }

    /// Sends a message, unless an app is in the foreground.
    pub async fn send(
        &self,
        message: PushMessage,
        tokens: Vec<String>,
        has_app_in_foreground: bool,
    ) -> PushOutcome {
        let count = tokens.len();
        if has_app_in_foreground {
            let reason = "an app is in the foreground";
            return PushOutcome::unsent(PushResult::Suppressed, count, reason);
        }
        if count == 0 {
            let reason = "no device is registered";
            return PushOutcome::unsent(PushResult::NoTokens, count, reason);
        }
        let Some(provider) = &self.provider else {
            let reason = "this server has no push service";
            return PushOutcome::unsent(PushResult::Failed, count, reason);
        };
        let delivered = provider.send(message, tokens).await;
        let result = match delivered.count {
            0 => PushResult::Failed,
            some if some < count => PushResult::Partial,
            _ => PushResult::Sent,
        };
        PushOutcome {
            result,
            tokens: count,
            delivered: delivered.count.min(count),
            reason: delivered.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delivers to so many devices.
    struct Reaches(usize);

    impl PushProvider for Reaches {
        fn send(
            &self,
            message: PushMessage,
            _: Vec<String>,
        ) -> Pin<Box<dyn Future<Output = Delivered> + Send>> {
            assert_eq!((&*message.title, &*message.body), ("t", "b"));
            let count = self.0;
            Box::pin(async move {
                Delivered {
                    count,
                    reason: None,
                }
            })
        }
    }

    async fn outcome(
        push: Push,
        tokens: usize,
        has_app_in_foreground: bool,
    ) -> (PushResult, usize) {
        let message = PushMessage {
            title: "t".to_owned(),
            body: "b".to_owned(),
            data: None,
        };
        let tokens = vec![String::new(); tokens];
        let outcome = push.send(message, tokens, has_app_in_foreground).await;
        (outcome.result, outcome.delivered)
    }

    #[actix_rt::test]
    async fn the_word_says_what_became_of_it() {
        let reaches = |count| Push::by(Arc::new(Reaches(count)));
        assert_eq!(outcome(reaches(2), 2, false).await, (PushResult::Sent, 2));
        assert_eq!(
            outcome(reaches(1), 2, false).await,
            (PushResult::Partial, 1)
        );
        assert_eq!(outcome(reaches(0), 2, false).await, (PushResult::Failed, 0));
        assert_eq!(
            outcome(reaches(2), 2, true).await,
            (PushResult::Suppressed, 0)
        );
        assert_eq!(
            outcome(reaches(2), 0, false).await,
            (PushResult::NoTokens, 0)
        );
        assert_eq!(
            outcome(Push::default(), 2, false).await,
            (PushResult::Failed, 0)
        );
    }
}

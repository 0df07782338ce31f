//! The wish that a run end early, passed from a signal to everything that waits.

use tokio::sync::watch;

/// The wish that a run end early.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A stop and the sender that requests it; dropping the sender requests nothing.
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Completes once it is requested.
    pub async fn requested(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it has been requested.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_stop_is_seen_by_every_clone_and_a_lost_sender_stops_nothing() {
        let (sender, stop) = Stop::channel();
        let mut clone = stop.clone();
        assert!(!stop.is_requested());
        sender.send(true).unwrap();
        clone.requested().await;
        assert!(stop.is_requested());

        let (sender, mut stop) = Stop::channel();
        drop(sender);
        let waited = tokio::time::timeout(Duration::ZERO, stop.requested()).await;
        assert!(waited.is_err());
    }
}

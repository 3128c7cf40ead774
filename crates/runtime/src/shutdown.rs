//! One signal to end, seen by every task that listens.

use crate::channel::{WatchReceiver, WatchSender, watch};

/// Asks everybody who holds the matching [`Shutdown`] to end.
#[derive(Debug, Clone)]
pub struct Trigger {
    sender: std::sync::Arc<WatchSender<bool>>,
}

/// Tells when it is time to end.
#[derive(Debug, Clone)]
pub struct Shutdown {
    receiver: WatchReceiver<bool>,
}

/// A fresh pair.
#[must_use]
pub fn pair() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch(false);
    (Trigger { sender: std::sync::Arc::new(sender) }, Shutdown { receiver })
}

impl Trigger {
    /// Asks for the end; more than once is fine.
    pub fn fire(&self) {
        self.sender.send_replace(true);
    }

    /// Another listener.
    #[must_use]
    pub fn subscribe(&self) -> Shutdown {
        Shutdown { receiver: self.sender.subscribe() }
    }
}

impl Shutdown {
    /// Waits until the end is asked for, or the trigger is gone.
    pub async fn requested(&mut self) {
        // An error means that no trigger is left, which is an end as well.
        drop(self.receiver.wait_for(|fired| *fired).await);
    }

    /// Whether the end has been asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.receiver.borrow()
    }
}

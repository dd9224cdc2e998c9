//! Events as they happen, for whoever listens at the socket.

use std::collections::BTreeMap;
use std::sync::Arc;

use ftagent_api::views::Event;
use ftagent_core::time::Instant;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;

use super::clock;

/// Events that a slow listener may be behind before it misses some.
const BEHIND_MAX: usize = 4_096;

/// Where events are sent. Sending never waits.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Arc<Event>>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::channel(BEHIND_MAX).0 }
    }

    /// The end that the server subscribes to.
    pub(crate) fn sender(&self) -> broadcast::Sender<Arc<Event>> {
        self.sender.clone()
    }

    /// Sends one event; its fields are those of `about`.
    pub(crate) fn send(&self, at: Instant, what: &str, about: &impl Serialize) {
        let mut fields = match serde_json::to_value(about) {
            Ok(Value::Object(fields)) => fields.into_iter().collect(),
            Ok(other) => BTreeMap::from([("about".to_owned(), other)]),
            Err(error) => BTreeMap::from([("unwritable".to_owned(), Value::from(error.to_string()))]),
        };
        fields.remove("what");
        // Nobody listening is the normal case.
        let _ = self.sender.send(Arc::new(Event {
            at_ms: clock::millis(at),
            what: what.to_owned(),
            about: fields,
        }));
    }
}

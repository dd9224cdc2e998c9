//! What is normal, in a form that outlives a restart.
//!
//! What must stay true: a bounded value, made of numbers only; whoever writes it to a file gives the file its version.

use serde::Deserialize;
use serde::Serialize;

use crate::service::ServiceKey;

/// Everything that an engine has learnt and would be sorry to lose. At most about one KiB a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// The number of the last incident; the next one counts on from there.
    pub last_incident: u64,
    /// What is normal at each service.
    pub services: Vec<LearntService>,
}

/// What is normal at one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntService {
    /// The service.
    pub service: ServiceKey,
}

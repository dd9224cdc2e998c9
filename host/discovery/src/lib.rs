//! Which port is which game: the only crate that speaks to Docker.
//!
//! [`Discovery::start`] follows a Docker daemon over its Unix socket and publishes a [`Snapshot`] whenever something
//! changed. Events only say "look again": what is true is always read as a whole, so a missed event costs one
//! refresh and never a server. What must stay true:
//!
//! * A server is its container's name (on a panel its uuid), never a container id: Wings makes the container anew
//!   at every start.
//! * A service is (address, port, transport). Two servers may use one port on two addresses of the node.
//! * What the operator wrote comes before what was found.
//! * Container variables hold secrets: they are matched, never printed or kept.

mod addresses;
mod config;
mod docker;
mod facts;
mod follow;
pub mod limits;
mod servers;
mod snapshot;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use ftagent_core::game::Catalog;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use addresses::own_addresses;
pub use config::Config;
pub use config::Containers;
pub use config::StaticService;
pub use snapshot::ContainerNetwork;
pub use snapshot::Docker;
pub use snapshot::Finding;
pub use snapshot::Server;
pub use snapshot::Snapshot;
pub use snapshot::State;

/// Why the world could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be used.
    #[error("cannot connect to Docker at `{}`", socket.display())]
    Connect {
        /// The socket's path.
        socket: PathBuf,
        /// What the system said.
        source: bollard::errors::Error,
    },
    /// The daemon did not answer a question.
    #[error("Docker did not {op}")]
    Docker {
        /// What was asked for, as in `list containers`.
        op: &'static str,
        /// What the daemon said.
        source: bollard::errors::Error,
    },
    /// The node's addresses cannot be read.
    #[error("cannot read the addresses of this node's interfaces")]
    Addresses {
        /// What the system said.
        source: nix::Error,
    },
}

impl Error {
    /// The message with its causes, on one line.
    pub fn whole(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        text
    }
}

/// Follows the servers of a node.
pub struct Discovery;

impl Discovery {
    /// Starts following, inside a tokio runtime. The first snapshots are empty until [`Docker`] was asked. The task
    /// ends when all receivers are gone.
    pub fn start(config: Config, catalog: Arc<Catalog>) -> (watch::Receiver<Arc<Snapshot>>, JoinHandle<()>) {
        // The sender may go: a catalogue without one never changes, which is what was asked for.
        let (_, catalog) = watch::channel(catalog);
        Self::start_with(config, catalog)
    }

    /// The same with a catalogue that may change, as when a plugin that brings games is loaded.
    pub fn start_with(
        config: Config,
        catalog: watch::Receiver<Arc<Catalog>>,
    ) -> (watch::Receiver<Arc<Snapshot>>, JoinHandle<()>) {
        let (publish, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let task = tokio::spawn(follow::follow(config, catalog, publish));
        (snapshots, task)
    }
}

/// Looks once. Without Docker the snapshot holds the static services, and `docker` says what is missing.
pub async fn discover_once(config: &Config, catalog: &Catalog) -> Snapshot {
    follow::once(config, catalog).await
}

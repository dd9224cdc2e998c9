//! The servers over time: which run, which stopped and when, and which are forgotten. No I/O and no clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::facts::Container;
use crate::snapshot::State;

/// One server's container as it was last seen.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) container_id: String,
    pub(crate) container: Arc<Container>,
    pub(crate) state: State,
}

/// All servers by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Servers {
    known: BTreeMap<Arc<str>, Known>,
}

impl Servers {
    /// The container of this id, if it was read before and has run ever since.
    pub(crate) fn container(&self, id: &str) -> Option<Arc<Container>> {
        let running = self.known.values().filter(|known| known.state == State::Running);
        running.filter(|known| known.container_id == id).map(|known| known.container.clone()).next()
    }

    /// Takes in a whole look: `running` are all (name, container id, container) that run now.
    pub(crate) fn update(
        &mut self,
        running: Vec<(Arc<str>, String, Arc<Container>)>,
        now: Instant,
        keep_stopped: Duration,
    ) {
        for known in self.known.values_mut() {
            if known.state == State::Running {
                known.state = State::Stopped { since: now };
            }
        }
        for (name, container_id, mut container) in running {
            // Ports do not vanish while a container runs; one that is just being stopped has already lost them.
            if let Some(before) = self.known.get(&name)
                && before.container_id == container_id
                && container.bindings.is_empty()
            {
                container = before.container.clone();
            }
            self.known.insert(name, Known { container_id, container, state: State::Running });
        }
        self.forget(now, keep_stopped);
    }

    /// Forgets those that stopped too long ago.
    pub(crate) fn forget(&mut self, now: Instant, keep_stopped: Duration) {
        self.known.retain(|_, known| match known.state {
            State::Running => true,
            State::Stopped { since } => now.saturating_duration_since(since) < keep_stopped,
        });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Known)> {
        self.known.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Arc<Container> {
        Arc::new(Container::read(bollard::models::ContainerInspectResponse::default()))
    }

    #[test]
    fn a_stopped_server_stays_known_for_a_while_and_comes_back_under_its_name() {
        let mut servers = Servers::default();
        let start = Instant::now();
        let keep = Duration::from_secs(600);
        let at = |seconds| start + Duration::from_secs(seconds);
        let states = |servers: &Servers| -> Vec<(String, State)> {
            servers.iter().map(|(name, known)| (known.container_id.clone() + name, known.state)).collect()
        };
        servers.update(vec![("a".into(), "1".into(), container())], at(0), keep);
        servers.update(vec![], at(5), keep);
        servers.update(vec![], at(6), keep);
        assert_eq!(states(&servers), [("1a".to_owned(), State::Stopped { since: at(5) })]);
        servers.update(vec![("a".into(), "2".into(), container())], at(9), keep);
        assert_eq!(states(&servers), [("2a".to_owned(), State::Running)]);
        servers.update(vec![], at(10), keep);
        servers.forget(at(609), keep);
        assert_eq!(states(&servers).len(), 1);
        servers.forget(at(610), keep);
        assert_eq!(states(&servers).len(), 0);
    }
}

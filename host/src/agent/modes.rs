//! Which mode holds, live and remembered.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ftagent_api::views::Mode;
use ftagent_api::views::ModeChange;
use ftagent_api::views::ModeView;

use crate::config::Config;
use crate::state;
use crate::state::Remembered;

/// The modes of this node.
pub(crate) struct Modes {
    remembered: Remembered,
    /// What the configuration says of single servers; a change by hand goes before it.
    configured: BTreeMap<String, Mode>,
    not_remembered: Option<String>,
    state_dir: PathBuf,
}

/// Characters by which a panel shortens a server's uuid.
const SHORT_UUID: usize = 8;

impl Modes {
    /// What was remembered, else what the configuration says. The second value is a warning for the log.
    pub(crate) fn open(config: &Config, enforce: bool) -> (Self, Option<String>) {
        let (read, warning) = match Remembered::read(&config.state_dir) {
            Ok(read) => (read, None),
            Err(warning) => (None, Some(warning)),
        };
        let mut remembered = read.unwrap_or_else(|| Remembered::first(config.mode, BTreeMap::new()));
        remembered.revert_if_due();
        if enforce {
            remembered.mode = Mode::Enforce;
            remembered.reverts = None;
        }
        let named = config.servers.iter();
        let configured = named.filter_map(|(name, server)| Some((name.clone(), server.mode?))).collect();
        let state_dir = config.state_dir.clone();
        let mut modes = Self { remembered, configured, not_remembered: None, state_dir };
        if enforce {
            // Remembered like a mode that was changed live.
            modes.remember();
        }
        let warning = warning.or_else(|| modes.not_remembered.clone());
        (modes, warning)
    }

    /// The mode of a server.
    pub(crate) fn of(&self, server: &str) -> Mode {
        let by_hand = self.remembered.servers.get(server).copied();
        by_hand.or_else(|| named(&self.configured, server).copied()).unwrap_or(self.remembered.mode)
    }

    /// The node's mode.
    pub(crate) fn node(&self) -> Mode {
        self.remembered.mode
    }

    /// Changes it and remembers that; the same change without a time confirms a tried one.
    pub(crate) fn change(&mut self, change: &ModeChange) -> Result<(), String> {
        match (&change.server, change.mode, change.try_seconds) {
            (Some(_), _, Some(_)) => return Err("--try is for the whole node; leave out --server".to_owned()),
            (None, None, _) => return Err("`follow` is for one server; name it with --server".to_owned()),
            (Some(server), Some(mode), None) => {
                self.remembered.servers.insert(server.clone(), mode);
            }
            (Some(server), None, None) => {
                if self.remembered.servers.remove(server).is_none() {
                    return Err(format!("server `{server}` has no mode of its own"));
                }
            }
            (None, Some(mode), None) => {
                self.remembered.mode = mode;
                self.remembered.reverts = None;
            }
            (None, Some(mode), Some(seconds)) => {
                let before = self.remembered.reverts.map_or(self.remembered.mode, |(_, before)| before);
                self.remembered.reverts = Some((state::unix_seconds().saturating_add(seconds), before));
                self.remembered.mode = mode;
            }
        }
        self.remember();
        Ok(())
    }

    /// What holds, holds also where the disk does not take it: until the next start.
    fn remember(&mut self) {
        let written = self.remembered.write(&self.state_dir);
        self.not_remembered = written.err().map(|error| format!("the mode is not remembered: {error:#}"));
    }

    /// Goes back if a tried mode was not confirmed in time; says whether it did.
    pub(crate) fn revert_if_due(&mut self) -> bool {
        let reverted = self.remembered.revert_if_due();
        if reverted {
            self.remember();
        }
        reverted
    }

    /// What people are shown.
    pub(crate) fn view(&self) -> ModeView {
        let mut servers = self.configured.clone();
        servers.extend(self.remembered.servers.clone());
        ModeView {
            node: self.remembered.mode,
            servers,
            reverts_in_seconds: self.remembered.reverts_in_seconds(),
            not_remembered: self.not_remembered.clone(),
        }
    }
}

/// What is said of a server in the configuration: by its whole name, or by the beginning that panels show.
pub(crate) fn named<'c, T>(configured: &'c BTreeMap<String, T>, server: &str) -> Option<&'c T> {
    configured.get(server).or_else(|| configured.get(server.get(..SHORT_UUID)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServerConfig;

    fn change(mode: impl Into<Option<Mode>>, server: Option<&str>, try_seconds: Option<u64>) -> ModeChange {
        ModeChange { mode: mode.into(), server: server.map(str::to_owned), try_seconds }
    }

    fn modes(dir: &std::path::Path) -> Modes {
        Modes::open(&Config { state_dir: dir.to_path_buf(), ..Config::default() }, false).0
    }

    #[test]
    fn a_change_is_remembered() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut first = modes(dir.path());
        assert_eq!(first.node(), Mode::Observe);
        first.change(&change(Mode::Enforce, None, None)).expect("writable");
        first.change(&change(Mode::Observe, Some("lobby"), None)).expect("writable");
        let second = modes(dir.path());
        assert_eq!(second.node(), Mode::Enforce);
        assert_eq!(second.of("lobby"), Mode::Observe);
        assert_eq!(second.of("other"), Mode::Enforce);
    }

    #[test]
    fn a_server_can_follow_the_node_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut modes = modes(dir.path());
        modes.change(&change(Mode::Enforce, Some("lobby"), None)).expect("writable");
        assert_eq!(modes.of("lobby"), Mode::Enforce);
        modes.change(&change(None, Some("lobby"), None)).expect("writable");
        assert_eq!(modes.of("lobby"), Mode::Observe);
        assert!(modes.change(&change(None, Some("lobby"), None)).is_err(), "it has none any more");
        assert!(modes.change(&change(None, None, None)).is_err(), "the node follows nobody");
    }

    #[test]
    fn what_is_configured_of_a_server_holds_until_it_is_changed_by_hand() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let limit = ServerConfig { mode: Some(Mode::Limit), ..ServerConfig::default() };
        let servers = BTreeMap::from([("11112222".to_owned(), limit)]);
        let config = Config { state_dir: dir.path().to_path_buf(), servers, ..Config::default() };
        let uuid = "11112222-3333-4444-8555-666677778888";
        let (mut modes, _) = Modes::open(&config, true);
        assert_eq!(
            (modes.of(uuid), modes.of("other"), modes.of("1")),
            (Mode::Limit, Mode::Enforce, Mode::Enforce)
        );
        modes.change(&change(Mode::Observe, Some(uuid), None)).expect("writable");
        // Also over a restart, and whatever was remembered before the configuration was written.
        let mut modes = Modes::open(&config, false).0;
        assert_eq!(modes.of(uuid), Mode::Observe);
        modes.change(&change(None, Some(uuid), None)).expect("writable");
        assert_eq!(modes.of(uuid), Mode::Limit);
    }

    #[test]
    fn enforcing_from_the_start_is_remembered() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = Config { state_dir: dir.path().to_path_buf(), ..Config::default() };
        assert_eq!(Modes::open(&config, true).0.node(), Mode::Enforce);
        assert_eq!(modes(dir.path()).node(), Mode::Enforce);
    }

    #[test]
    fn a_tried_mode_goes_back_unless_confirmed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut tried = modes(dir.path());
        tried.change(&change(Mode::Enforce, None, Some(0))).expect("writable");
        assert!(tried.revert_if_due());
        assert_eq!(tried.node(), Mode::Observe);
        tried.change(&change(Mode::Enforce, None, Some(0))).expect("writable");
        tried.change(&change(Mode::Enforce, None, None)).expect("writable");
        assert!(!tried.revert_if_due());
        assert_eq!(tried.node(), Mode::Enforce);
    }
}

//! What operators block and allow by hand: checked, told to the wall, and remembered with its end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ftagent_api::views::BlockView;
use ftagent_api::views::Ruling;
use ftagent_core::time::Instant;
use ipnet::IpNet;

use super::clock;
use crate::config::Config;
use crate::limits;
use crate::prefix;
use crate::state;
use crate::state::blocks::Block;

/// How long something holds that nobody gave an end: the kernel wants one, and a start says it again.
const FOREVER_MS: u64 = 365 * 86_400_000;

/// What the wall is told about a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Do this with it until then.
    Rule(Ruling, Instant),
    /// Forget what was said of it by hand.
    Forget,
}

/// The rulings by hand, and those of the configuration for the list.
#[derive(Debug)]
pub(crate) struct Blocks {
    by_hand: BTreeMap<IpNet, Block>,
    configured: Vec<(IpNet, Ruling)>,
    not_remembered: Option<String>,
    state_dir: PathBuf,
}

impl Blocks {
    /// What was remembered and is not over. The second value is a warning for the log.
    pub(crate) fn open(config: &Config) -> (Self, Option<String>) {
        let (read, warning) = match state::blocks::read(&config.state_dir) {
            Ok(read) => (read, None),
            Err(warning) => (Vec::new(), Some(warning)),
        };
        let listed = |networks: &[IpNet], ruling| -> Vec<_> {
            networks.iter().map(|network| (network.trunc(), ruling)).collect()
        };
        let mut configured = listed(&config.firewall_always_block, Ruling::Block);
        configured.extend(listed(&config.firewall_never_block, Ruling::Allow));
        let by_hand = read.into_iter().take(limits::BLOCKS).map(|block| (block.network, block)).collect();
        let state_dir = config.state_dir.clone();
        let mut blocks = Self { by_hand, configured, not_remembered: None, state_dir };
        blocks.end(state::unix_seconds());
        (blocks, warning)
    }

    /// What the wall must be told at the start.
    pub(crate) fn wishes(&self) -> Vec<(IpNet, Wish)> {
        let wish = |block: &Block| (block.network, Wish::Rule(block.ruling, until(block.ends_unix_seconds)));
        self.by_hand.values().map(wish).collect()
    }

    /// What the wall must be told for a change, or why it cannot be.
    pub(crate) fn wish(
        &self,
        network: IpNet,
        ruling: Option<Ruling>,
        for_seconds: Option<u64>,
    ) -> Result<Wish, String> {
        if ruling == Some(Ruling::Block) {
            prefix::may_be_blocked(network).map_err(|why| format!("{network} cannot be blocked: {why}"))?;
        }
        if ruling.is_some() && self.by_hand.len() >= limits::BLOCKS && !self.by_hand.contains_key(&network) {
            return Err(format!("{} networks were named by hand already, which is the most", limits::BLOCKS));
        }
        if ruling.is_none() && !self.by_hand.contains_key(&network) {
            let listed = self.configured.iter().any(|(known, _)| *known == network);
            return Err(match listed {
                true => format!("{network} stands in the configuration; take it out there"),
                false => format!("nothing was said of {network} by hand; `ftagent blocks` lists what was"),
            });
        }
        let ends = for_seconds.map(|seconds| state::unix_seconds().saturating_add(seconds));
        Ok(ruling.map_or(Wish::Forget, |ruling| Wish::Rule(ruling, until(ends))))
    }

    /// Remembers what the wall took.
    pub(crate) fn took(&mut self, network: IpNet, ruling: Option<Ruling>, for_seconds: Option<u64>) {
        let ends_unix_seconds = for_seconds.map(|seconds| state::unix_seconds().saturating_add(seconds));
        match ruling {
            Some(ruling) => {
                self.by_hand.insert(network, Block { network, ruling, ends_unix_seconds });
            }
            None => {
                self.by_hand.remove(&network);
            }
        }
        self.remember();
    }

    /// Forgets what is over.
    pub(crate) fn end(&mut self, now_unix_seconds: u64) {
        let before = self.by_hand.len();
        self.by_hand.retain(|_, block| block.ends_unix_seconds.is_none_or(|ends| ends > now_unix_seconds));
        if self.by_hand.len() != before {
            self.remember();
        }
    }

    fn remember(&mut self) {
        let all: Vec<_> = self.by_hand.values().cloned().collect();
        let written = state::blocks::write(&self.state_dir, &all);
        self.not_remembered =
            written.err().map(|error| format!("blocks by hand are not remembered: {error:#}"));
    }

    /// Why what was said lately holds only until the next start.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.not_remembered.as_deref()
    }

    /// All of them, those by hand first.
    pub(crate) fn view(&self) -> Vec<BlockView> {
        let now = state::unix_seconds();
        let by_hand = self.by_hand.values().map(|block| BlockView {
            prefix: block.network.to_string(),
            ruling: block.ruling,
            origin: "by hand".to_owned(),
            ends_unix_ms: block.ends_unix_seconds.map(|ends| ends.saturating_mul(1_000)),
            seconds_left: block.ends_unix_seconds.map(|ends| ends.saturating_sub(now)),
        });
        let configured = self.configured.iter().map(|(network, ruling)| BlockView {
            prefix: network.to_string(),
            ruling: *ruling,
            origin: "configuration".to_owned(),
            ends_unix_ms: None,
            seconds_left: None,
        });
        by_hand.chain(configured).collect()
    }
}

/// The end on our clock. What has no end is said again at every start.
fn until(ends_unix_seconds: Option<u64>) -> Instant {
    let left_ms = ends_unix_seconds
        .map_or(FOREVER_MS, |ends| ends.saturating_sub(state::unix_seconds()).saturating_mul(1_000));
    clock::now().plus_millis(left_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    fn config(dir: &std::path::Path) -> Config {
        Config {
            state_dir: dir.to_path_buf(),
            firewall_never_block: vec![net("192.0.2.0/24")],
            ..Config::default()
        }
    }

    #[test]
    fn what_was_said_by_hand_is_remembered_with_its_end() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut blocks, warning) = Blocks::open(&config(dir.path()));
        assert_eq!(warning, None);
        blocks.took(net("198.51.100.0/24"), Some(Ruling::Block), None);
        blocks.took(net("198.51.100.7/32"), Some(Ruling::Allow), Some(600));
        blocks.took(net("203.0.113.9/32"), Some(Ruling::Block), Some(0));
        let (mut again, _) = Blocks::open(&config(dir.path()));
        let listed: Vec<_> = again.view().into_iter().map(|view| (view.prefix, view.origin)).collect();
        let by_hand = |prefix: &str| (prefix.to_owned(), "by hand".to_owned());
        let configured = ("192.0.2.0/24".to_owned(), "configuration".to_owned());
        assert_eq!(listed, [by_hand("198.51.100.0/24"), by_hand("198.51.100.7/32"), configured]);
        assert_eq!(again.wishes().len(), 2);
        again.end(u64::MAX - 1);
        assert_eq!(again.view().len(), 2, "what has no end stays");
        again.took(net("198.51.100.0/24"), None, None);
        assert_eq!(Blocks::open(&config(dir.path())).0.wishes(), []);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (blocks, _) = Blocks::open(&config(dir.path()));
        for (network, ruling, says) in [
            ("10.0.0.0/8", Some(Ruling::Block), "private"),
            ("0.0.0.0/0", Some(Ruling::Block), "too large"),
            ("198.51.100.0/24", None, "nothing was said"),
            ("192.0.2.0/24", None, "stands in the configuration"),
        ] {
            let refused = blocks.wish(net(network), ruling, None).expect_err("it is refused");
            assert!(refused.contains(says), "{refused}");
        }
        assert_eq!(blocks.wish(net("10.0.0.0/8"), Some(Ruling::Allow), None).map(|_| ()), Ok(()));
    }
}

//! Whether packets come by the interfaces that are watched, and if not, by which they do.

use ftagent_core::time::Instant;

/// Over so long an interface is looked at.
const WINDOW_MS: u64 = 30_000;
/// Packets in that time that make another interface the better candidate: ten a second.
const BUSY_PACKETS: u64 = 300;
/// Beginnings of names that containers and bridges have; strangers do not come by those.
const INNER: [&str; 6] = ["lo", "veth", "docker", "br-", "pterodactyl", "pelican"];

/// Packets received by each interface.
type Received = Vec<(String, u64)>;

/// The window that goes on, and what the last one showed.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    begun: Option<(Instant, Received)>,
    says: Option<String>,
}

impl Quiet {
    /// Takes a reading of `/proc/net/dev` into account.
    pub(super) fn observe(&mut self, now: Instant, dev: &str, watched: &[&str]) {
        let received = received(dev);
        match &self.begun {
            Some((begun, _)) if now.millis_since(*begun) < WINDOW_MS => {}
            Some((_, before)) => {
                self.says = judge(before, &received, watched);
                self.begun = Some((now, received));
            }
            None => self.begun = Some((now, received)),
        }
    }

    /// Which interface is silent, and which would be better.
    pub(super) fn problem(&self) -> Option<&str> {
        self.says.as_deref()
    }
}

/// Name and received packets of each line (`proc_pid_net(5)`: bytes come first, then packets).
fn received(dev: &str) -> Received {
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        Some((name.trim().to_owned(), numbers.split_whitespace().nth(1)?.parse().ok()?))
    };
    dev.lines().filter_map(line).collect()
}

fn judge(before: &Received, now: &Received, watched: &[&str]) -> Option<String> {
    let came = |name: &str| {
        let of = |all: &Received| all.iter().find(|(known, _)| known == name).map(|(_, packets)| *packets);
        Some(of(now)?.saturating_sub(of(before)?))
    };
    let silent = watched.iter().find(|name| came(name) == Some(0))?;
    let others = now
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !watched.contains(name) && !INNER.iter().any(|inner| name.starts_with(inner)));
    let (packets, better) = others.filter_map(|name| Some((came(name)?, name))).max()?;
    (packets >= BUSY_PACKETS).then(|| {
        let rate = packets * 1_000 / WINDOW_MS;
        format!(
            "no packet came by {silent} lately, but {rate} a second by {better}; watch that with `interfaces`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev(eth0: u64, eth1: u64, veth: u64) -> String {
        format!(
            "Inter-|   Receive  |  Transmit\n face |bytes packets errs\n    lo: 9 99999 0\n  eth0: 5 {eth0} 0 0\n  \
             eth1: 77 {eth1} 0 0\nveth12: 1 {veth} 0\n"
        )
    }

    #[test]
    fn c09_an_interface_without_traffic_is_told_with_the_better_one() {
        for (watched, after, said) in [
            ("eth0", (0, 6_000, 9_000), true),
            ("eth0", (1, 6_000, 9_000), false),
            ("eth0", (0, 299, 9_000), false),
            ("eth1", (9_000, 0, 0), true),
            ("gone0", (9_000, 9_000, 9_000), false),
        ] {
            let mut quiet = Quiet::default();
            quiet.observe(Instant::from_millis(0), &dev(0, 0, 0), &[watched]);
            quiet.observe(Instant::from_millis(20_000), &dev(0, 0, 0), &[watched]);
            assert_eq!(quiet.problem(), None, "too early to say");
            quiet.observe(Instant::from_millis(30_000), &dev(after.0, after.1, after.2), &[watched]);
            assert_eq!(quiet.problem().is_some(), said, "{watched} {after:?}: {:?}", quiet.problem());
        }
    }
}

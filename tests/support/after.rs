//! Counters in the node behind everything that could drop: what is let through to containers and to the node's own
//! sockets. Unlike a meter in the container they see packets that a proxy of Docker hands on.

use ftagent_lab::address;
use serde_json::Value;

use super::node::Stage;

/// Removed with the value.
pub struct After<'s> {
    stage: &'s Stage,
}

/// Packets that were let through since the counters were made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Through {
    pub players: u64,
    pub attackers: u64,
}

impl<'s> After<'s> {
    pub fn count(stage: &'s Stage) -> Self {
        let v4 = [address::BOTS_RANGE, address::MANY_BOTS_RANGE, address::FORGED_RANGE].join(", ");
        let v6 = [address::BOTS_RANGE_V6, address::FORGED_RANGE_V6].join(", ");
        let mut script = "table inet ftafter {\n counter players { }\n counter attackers { }\n".to_owned();
        for hook in ["input", "forward"] {
            script += &format!(
                "chain {hook} {{ type filter hook {hook} priority 300; policy accept;
  ip saddr {} counter name players
  ip6 saddr {} counter name players
  ip saddr {{ {v4} }} counter name attackers
  ip6 saddr {{ {v6} }} counter name attackers
 }}\n",
                address::PLAYERS_RANGE,
                address::PLAYERS_RANGE_V6
            );
        }
        stage.node(&format!("printf '%s' '{script}}}' | nft -f -"));
        Self { stage }
    }

    pub fn read(&self) -> Through {
        let text = self.stage.node("nft -j list counters table inet ftafter");
        let listing: Value = serde_json::from_str(&text).expect("nft prints JSON");
        let mut through = Through::default();
        for counter in listing["nftables"].as_array().into_iter().flatten().map(|entry| &entry["counter"]) {
            let packets = counter["packets"].as_u64().unwrap_or(0);
            match counter["name"].as_str() {
                Some("players") => through.players = packets,
                Some("attackers") => through.attackers = packets,
                _ => {}
            }
        }
        through
    }
}

impl Drop for After<'_> {
    fn drop(&mut self) {
        let _ = self.stage.lab.node().run("nft", &["delete", "table", "inet", "ftafter"]);
    }
}

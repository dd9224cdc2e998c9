//! What receivers read: JSON of its own form, so that the core may change without breaking them. Units are in the
//! names; times are milliseconds since 1970.

use ftagent_core::incident::Family;
use ftagent_core::incident::Incident;
use ftagent_core::incident::Severity;
use ring::digest;
use serde::Deserialize;
use serde::Serialize;

/// Version of the form. It rises when a field changes its meaning or goes away.
pub(crate) const SCHEMA: u32 = 1;

/// Servers of a panel have a uuid of this many characters.
const UUID_CHARACTERS: usize = 36;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum What {
    /// An incident began.
    #[serde(rename = "incident-opened")]
    Opened,
    /// It became worse, or lasts.
    #[serde(rename = "incident-changed")]
    Changed,
    /// It is over.
    #[serde(rename = "incident-closed")]
    Closed,
}

/// Why an incident is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// The attack is over.
    Over,
    /// The agent ended meanwhile. If the attack goes on there will be a new incident.
    AgentEnded,
}

/// One vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorNotice {
    /// `syn`, `dns-reflection`, ...
    pub vector: String,
    /// Its family.
    pub family: Family,
    /// Per cent of the packets above the norm.
    pub share_percent: u8,
    /// What it was recognised by.
    pub evidence: String,
}

/// One measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureNotice {
    /// `shape`, `crowd-limit`, `leases`, ...
    pub measure: String,
    /// Why.
    pub reason: String,
    /// Whether it still holds.
    pub active: bool,
    /// Stronger ones that were considered, and why not.
    pub because: Vec<String>,
}

/// What is told of one incident at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Version of this form.
    pub schema: u32,
    /// What happened.
    pub what: What,
    /// The incident: the same in all notices of it and at all receivers.
    pub id: String,
    /// The incident's number on the node, for `ftagent incidents show`.
    pub incident: u64,
    /// Which notice of the incident this is, from 1. A receiver may see the same one twice and skips the second.
    pub notice: u32,
    /// The node's random id.
    pub node_id: String,
    /// What the operator calls the node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// When it began.
    pub opened_unix_ms: u64,
    /// When this was so.
    pub at_unix_ms: u64,
    /// How long it lasts.
    pub lasted_ms: u64,
    /// Once it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_because: Option<Because>,
    /// The server: its uuid, or what the operator allows.
    pub server: String,
    /// Its game.
    pub game: String,
    /// `203.0.113.10:25565/tcp`, an address, or `the node`.
    pub target: String,
    /// Further services that suffer.
    pub also: Vec<String>,
    /// The coarse kind.
    pub family: Family,
    /// Its vectors, largest first.
    pub vectors: Vec<VectorNotice>,
    /// How bad.
    pub severity: Severity,
    /// How sure, from 0 to 100.
    pub confidence: u8,
    /// One sentence.
    pub says: String,
    /// `plugin/reason` or `host/reason`.
    pub reason: String,
    /// What is done about it.
    pub measures: Vec<MeasureNotice>,
    /// Everything that came in meanwhile, players included.
    pub seen_packets: u64,
    /// The same in bytes.
    pub seen_bytes: u64,
    /// Dropped in `DOCKER-USER`.
    pub dropped_docker_user_packets: u64,
    /// Dropped early.
    pub dropped_early_packets: u64,
    /// Normal packets a second.
    pub normal_pps: u64,
    /// Most packets in a second.
    pub peak_pps: u64,
    /// Most bits in a second.
    pub peak_bps: u64,
    /// Players when it began.
    pub players_before: u32,
    /// Players now.
    pub players: u32,
    /// Players let in meanwhile.
    pub joined: u32,
    /// Distinct sources, estimated.
    pub sources_estimated: u64,
    /// Whether most of them look forged.
    pub looks_forged: bool,
    /// How often it fell silent and came back.
    pub pulses: u32,
}

/// Who speaks, and how openly.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    pub(crate) node_id: String,
    pub(crate) node: String,
    pub(crate) names: bool,
}

/// A moment in an incident.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) what: What,
    pub(crate) notice: u32,
    pub(crate) because: Because,
    pub(crate) at_unix_ms: u64,
}

impl Speaker {
    /// The incident's id at all receivers.
    pub(crate) fn id(&self, incident: u64) -> String {
        format!("{}-{incident}", self.node_id)
    }

    /// What is told.
    pub(crate) fn notice(&self, moment: &Moment, incident: &Incident) -> Notice {
        let server = self.server(&incident.server);
        let say = |text: &str| self.without_name(text, &incident.server, &server);
        let ended_at = incident.closed_at.unwrap_or(incident.changed_at);
        let lasted_ms = ended_at.millis_since(incident.opened_at);
        Notice {
            schema: SCHEMA,
            what: moment.what,
            id: self.id(incident.id),
            incident: incident.id,
            notice: moment.notice,
            node_id: self.node_id.clone(),
            node: self.node.clone(),
            opened_unix_ms: moment.at_unix_ms.saturating_sub(lasted_ms),
            at_unix_ms: moment.at_unix_ms,
            lasted_ms,
            closed_because: (moment.what == What::Closed).then_some(moment.because),
            game: incident.game.to_string(),
            target: incident.target.to_string(),
            also: incident.also.iter().map(ToString::to_string).collect(),
            family: incident.family,
            vectors: vectors(incident, &say),
            severity: incident.severity,
            confidence: incident.confidence,
            says: say(&incident.says),
            reason: incident.reason.to_string(),
            measures: measures(incident, &say),
            seen_packets: incident.seen.packets,
            seen_bytes: incident.seen.bytes,
            dropped_docker_user_packets: incident.dropped_docker_user.packets,
            dropped_early_packets: incident.dropped_early.packets,
            normal_pps: incident.normal_pps,
            peak_pps: incident.peak_pps,
            peak_bps: incident.peak_bps,
            players_before: incident.players_before,
            players: incident.players,
            joined: incident.joined,
            sources_estimated: incident.sources_estimated,
            looks_forged: incident.looks_forged,
            pulses: incident.pulses,
            server,
        }
    }

    /// A server as it may be called outside: a uuid says nothing to strangers, a name may.
    fn server(&self, server: &str) -> String {
        if self.names || is_uuid(server) || server == "node" || server.is_empty() {
            return server.to_owned();
        }
        let named = format!("{}{server}", self.node_id);
        let digest = digest::digest(&digest::SHA256, named.as_bytes());
        let digest = digest.as_ref();
        format!("server-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
    }

    fn without_name(&self, text: &str, name: &str, called: &str) -> String {
        if name == called || name.is_empty() { text.to_owned() } else { text.replace(name, called) }
    }
}

fn vectors(incident: &Incident, say: &impl Fn(&str) -> String) -> Vec<VectorNotice> {
    let vectors = incident.vectors.iter().map(|share| VectorNotice {
        vector: share.vector.to_string(),
        family: share.family,
        share_percent: share.share_percent,
        evidence: say(&share.evidence),
    });
    vectors.collect()
}

fn measures(incident: &Incident, say: &impl Fn(&str) -> String) -> Vec<MeasureNotice> {
    let measures = incident.measures.iter().map(|taken| MeasureNotice {
        measure: taken.measure.to_string(),
        reason: taken.reason.to_string(),
        active: taken.until.is_none() && incident.closed_at.is_none(),
        because: taken.because.iter().map(|why| say(why)).collect(),
    });
    measures.collect()
}

fn is_uuid(text: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    text.len() == UUID_CHARACTERS
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if dash(at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ftagent_core::time::Instant;

    const UUID: &str = "5c4ab7a2-97ae-4d5e-bf0f-3a1d3f1e0c22";

    /// How a server is called outside, and a sentence that names it.
    fn check(server: &str, names: bool, called: impl Fn(&str) -> bool) {
        let speaker = Speaker { node_id: "ab12".to_owned(), node: String::new(), names };
        let says = format!("{server} is flooded");
        let incident = Incident {
            id: 3,
            server: server.into(),
            says: says.as_str().into(),
            opened_at: Instant::from_millis(1_000),
            changed_at: Instant::from_millis(4_000),
            ..Incident::default()
        };
        let moment = Moment { what: What::Closed, notice: 2, because: Because::Over, at_unix_ms: 100_000 };
        let notice = speaker.notice(&moment, &incident);
        assert!(called(&notice.server), "{}", notice.server);
        assert_eq!(notice.says, format!("{} is flooded", notice.server));
        assert_eq!((notice.opened_unix_ms, notice.lasted_ms), (97_000, 3_000));
        assert_eq!((notice.id.as_str(), notice.closed_because), ("ab12-3", Some(Because::Over)));
    }

    #[test]
    fn a_uuid_leaves_the_node_and_a_name_only_if_it_may() {
        check(UUID, false, |called| called == UUID);
        check("node", false, |called| called == "node");
        check("bobs-minecraft", true, |called| called == "bobs-minecraft");
        check("bobs-minecraft", false, |called| called.starts_with("server-") && called.len() == 15);
        check(&UUID.replace('5', "g"), false, |called| called.starts_with("server-"));
    }

    #[test]
    fn every_field_has_one_spelling() {
        let speaker = Speaker { node_id: "ab12".to_owned(), node: "eu-1".to_owned(), names: false };
        let moment = Moment { what: What::Opened, notice: 1, because: Because::Over, at_unix_ms: 5 };
        let json = serde_json::to_value(speaker.notice(&moment, &Incident::default())).expect("plain values");
        assert_eq!(json["what"], "incident-opened");
        assert_eq!((&json["severity"], &json["family"]), (&"low".into(), &"unknown".into()));
        assert!(json.get("closed_because").is_none());
        assert_eq!(json["node"], "eu-1");
    }
}

//! `[alert]` and `[forensics]`: whom to tell of incidents, and what is kept of their packets.

use std::path::PathBuf;

use ftagent_core::incident::Severity;

use super::reader::Findings;
use super::reader::Table;

const SEVERITIES: &[(&str, Severity)] = &[
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

const PCAPS: &[(&str, Pcap)] = &[("off", Pcap::Off), ("heads", Pcap::Heads), ("full", Pcap::Full)];

/// Whom to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlertConfig {
    /// Where signed JSON is posted to.
    pub(crate) webhook: Option<String>,
    /// The key of the signature.
    pub(crate) secret_file: Option<PathBuf>,
    /// A program and its arguments; empty for none.
    pub(crate) exec: Vec<String>,
    /// Less severe incidents are not told of.
    pub(crate) min_severity: Severity,
    /// Whether names of servers may leave the node; uuids always may.
    pub(crate) names: bool,
    /// What this node calls itself; empty for its random id alone.
    pub(crate) node: String,
}

/// What an incident's file holds of each packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pcap {
    /// There are no files.
    Off,
    /// Headers, and of the payload what the plugin read.
    #[default]
    Heads,
    /// Up to a whole Ethernet frame.
    Full,
}

impl Pcap {
    pub(crate) fn name(self) -> &'static str {
        PCAPS.iter().find(|(_, pcap)| *pcap == self).map_or("heads", |(name, _)| name)
    }
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForensicsConfig {
    pub(crate) pcap: Pcap,
    /// Files are kept so long.
    pub(crate) days: u32,
    /// And so much of them.
    pub(crate) total_mib: u32,
}

impl Default for ForensicsConfig {
    fn default() -> Self {
        Self { pcap: Pcap::Heads, days: 7, total_mib: 1_024 }
    }
}

impl AlertConfig {
    pub(super) fn read(top: &mut Table<'_, '_>, findings: &Findings<'_>) -> Self {
        let Some(mut table) = top.table("alert") else { return Self::default() };
        let secret_at = table.value("secret-file").map(|value| value.span());
        let exec_at = table.value("exec").map_or(0..0, |value| value.span());
        let read = Self {
            webhook: table.parsed("webhook", "an address such as \"https://hooks.example/ftagent\""),
            secret_file: table.parsed("secret-file", "a path"),
            exec: table.list("exec", "a path or an argument").unwrap_or_default(),
            min_severity: table.choice("min-severity", SEVERITIES).unwrap_or_default(),
            names: table.flag("names").unwrap_or_default(),
            node: table.parsed("node", "a name").unwrap_or_default(),
        };
        if let Some(at) = secret_at.filter(|_| read.webhook.is_none()) {
            findings.add(at, "`secret-file` signs a `webhook`, and there is none", None);
        }
        if read.exec.first().is_some_and(|program| !program.starts_with('/')) {
            let hint = "no shell runs it: write `exec = [\"/usr/local/bin/tell\", \"argument\"]`";
            findings.add(exec_at, "`exec` begins with the whole path of a program", Some(hint.to_owned()));
        }
        table.finish();
        read
    }

    pub(super) fn shown(&self) -> String {
        let severity = SEVERITIES.iter().find(|(_, severity)| *severity == self.min_severity);
        let severity = severity.map_or("low", |(name, _)| name);
        let mut text = "\n[alert]\n".to_owned();
        if let Some(webhook) = &self.webhook {
            text += &format!("webhook = {webhook:?}\n");
        }
        if let Some(file) = &self.secret_file {
            text += &format!("secret-file = {file:?}\n");
        }
        text +=
            &format!("exec = {:?}  # a program and its arguments; JSON on its standard input\n", self.exec);
        text += &format!("min-severity = {severity:?}\n");
        text += &format!("names = {}  # true: names of servers leave the node, not only uuids\n", self.names);
        text + &format!("node = {:?}  # what this node calls itself\n", self.node)
    }
}

impl ForensicsConfig {
    pub(super) fn read(top: &mut Table<'_, '_>) -> Self {
        let default = Self::default();
        let Some(mut table) = top.table("forensics") else { return default };
        let read = Self {
            pcap: table.choice("pcap", PCAPS).unwrap_or(default.pcap),
            days: table.number("days", 1..=365).unwrap_or(default.days),
            total_mib: table.number("total-mib", 64..=1_048_576).unwrap_or(default.total_mib),
        };
        table.finish();
        read
    }

    pub(super) fn shown(&self) -> String {
        let pcap = self.pcap.name();
        format!(
            "\n[forensics]\npcap = {pcap:?}  # off, heads (what the plugin read) or full\ndays = {}\ntotal-mib = {}\n",
            self.days, self.total_mib
        )
    }
}

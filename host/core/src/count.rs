//! Every packet is accounted for:
//! `total = malformed + unmatched + replies + genuine + hostile + unknown + waiting`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::manifest::Certainty;
use crate::question::NoOpinion;
use crate::wire::Malformed;

/// What was lost, and at which bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Loss {
    /// Packets without opinion: the plugin trapped.
    PluginTrapped,
    /// Packets without opinion: the plugin's budget was exhausted.
    PluginOutOfFuel,
    /// Packets without opinion: the plugin's answer had the wrong shape.
    PluginLied,
    /// Packets without opinion: the plugin is in quarantine.
    PluginQuarantined,
    /// Packets without opinion: there is no such plugin.
    PluginMissing,
    /// Packets without opinion: the plugins were exchanged while they waited.
    PluginExchanged,
    /// Packets without opinion: their batch was full and had not been answered.
    BatchFull,
    /// Packets without a flow: everybody in its places is protected.
    FlowTableFull,
    /// Packets without a flow because there was no room for their source.
    SourceTableFull,
    /// Flows that made room for others.
    FlowsForgotten,
    /// Sources that made room for others.
    SourcesForgotten,
    /// Streams without a head.
    StreamBytesFull,
    /// Pieces of streams that were forgotten.
    HeadPiecesFull,
    /// Flows without a lane of their own.
    LanesFull,
    /// Flows that stay strangers because their service has enough settled ones.
    SettledFull,
    /// Hostile sources that were not leased because their service has as many leases as it may.
    LeasesFull,
    /// Packets of players that were not retained because enough players are.
    RetainedFull,
    /// Attacked services without samples because enough others are attacked.
    SamplesFull,
    /// Attacks that had no incident of their own.
    IncidentsFull,
}

impl Loss {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 19] = [
        Self::PluginTrapped,
        Self::PluginOutOfFuel,
        Self::PluginLied,
        Self::PluginQuarantined,
        Self::PluginMissing,
        Self::PluginExchanged,
        Self::BatchFull,
        Self::FlowTableFull,
        Self::SourceTableFull,
        Self::FlowsForgotten,
        Self::SourcesForgotten,
        Self::StreamBytesFull,
        Self::HeadPiecesFull,
        Self::LanesFull,
        Self::SettledFull,
        Self::LeasesFull,
        Self::RetainedFull,
        Self::SamplesFull,
        Self::IncidentsFull,
    ];

    /// The label: kebab-case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PluginTrapped => "plugin-trapped",
            Self::PluginOutOfFuel => "plugin-out-of-fuel",
            Self::PluginLied => "plugin-lied",
            Self::PluginQuarantined => "plugin-quarantined",
            Self::PluginMissing => "plugin-missing",
            Self::PluginExchanged => "plugin-exchanged",
            Self::BatchFull => "batch-full",
            Self::FlowTableFull => "flow-table-full",
            Self::SourceTableFull => "source-table-full",
            Self::FlowsForgotten => "flows-forgotten",
            Self::SourcesForgotten => "sources-forgotten",
            Self::StreamBytesFull => "stream-bytes-full",
            Self::HeadPiecesFull => "head-pieces-full",
            Self::LanesFull => "lanes-full",
            Self::SettledFull => "settled-full",
            Self::LeasesFull => "leases-full",
            Self::RetainedFull => "retained-full",
            Self::SamplesFull => "samples-full",
            Self::IncidentsFull => "incidents-full",
        }
    }
}

impl From<NoOpinion> for Loss {
    fn from(why: NoOpinion) -> Self {
        match why {
            NoOpinion::Trapped => Self::PluginTrapped,
            NoOpinion::OutOfFuel => Self::PluginOutOfFuel,
            NoOpinion::Lied => Self::PluginLied,
            NoOpinion::Quarantined => Self::PluginQuarantined,
            NoOpinion::Missing => Self::PluginMissing,
        }
    }
}

/// Reasons that the host gives by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HostReason {
    /// The game uses no such transport on this port.
    WrongTransport,
    /// No packet of a real sender carries this source address (RFC 6890).
    MartianSource,
    /// Nobody's port on an own address, and too many of them.
    NobodysPort,
    /// Fragments without ports, and too many of them.
    Fragments,
    /// ICMP, and too much of it.
    Icmp,
    /// Another IP protocol, and too much of it.
    OtherProtocol,
}

impl HostReason {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 6] = [
        Self::WrongTransport,
        Self::MartianSource,
        Self::NobodysPort,
        Self::Fragments,
        Self::Icmp,
        Self::OtherProtocol,
    ];

    /// The label, plain.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongTransport => "wrong-transport",
            Self::MartianSource => "martian-source",
            Self::NobodysPort => "nobodys-port",
            Self::Fragments => "fragments",
            Self::Icmp => "icmp",
            Self::OtherProtocol => "other-protocol",
        }
    }

    /// The label as effects carry it.
    pub const fn full_name(self) -> &'static str {
        match self {
            Self::WrongTransport => "host/wrong-transport",
            Self::MartianSource => "host/martian-source",
            Self::NobodysPort => "host/nobodys-port",
            Self::Fragments => "host/fragments",
            Self::Icmp => "host/icmp",
            Self::OtherProtocol => "host/other-protocol",
        }
    }

    /// How sure it is.
    pub const fn certainty(self) -> Certainty {
        match self {
            Self::WrongTransport | Self::MartianSource => Certainty::Impossible,
            Self::NobodysPort | Self::Fragments | Self::Icmp | Self::OtherProtocol => Certainty::Rate,
        }
    }
}

/// Where all packets went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames handed in.
    pub total: u64,
    /// Could not be read.
    pub malformed: u64,
    /// Neither to a service nor to an own address, or not IP at all.
    pub unmatched: u64,
    /// Sent by a service to its clients: seen, not judged.
    pub replies: u64,
    /// Judged genuine.
    pub genuine: u64,
    /// Judged hostile.
    pub hostile: u64,
    /// Not judged.
    pub unknown: u64,
    /// Waiting for a plugin's answer.
    pub waiting: u64,
}

/// All counters of an engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) counts: Counts,
    pub(crate) malformed: [u64; Malformed::ALL.len()],
    pub(crate) losses: [u64; Loss::ALL.len()],
    pub(crate) host_reasons: [u64; HostReason::ALL.len()],
    /// For each plugin its reasons, from 1 as in an opinion.
    pub(crate) plugin_reasons: Vec<Vec<u64>>,
    /// Reasons of plugins that were exchanged.
    pub(crate) earlier_reasons: BTreeMap<Arc<str>, u64>,
}

impl Ledger {
    pub(crate) fn malformed(&mut self, why: Malformed) {
        self.counts.malformed += 1;
        self.malformed[why as usize] += 1;
    }

    pub(crate) fn lost(&mut self, what: Loss) {
        self.losses[what as usize] += 1;
    }

    pub(crate) fn loss(&self, what: Loss) -> u64 {
        self.losses[what as usize]
    }
}

//! Totals for people and programs: what `replay --json` and `status` are made from. No wire form of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use crate::count::Counts;
use crate::count::HostReason;
use crate::count::Loss;
use crate::flow::Flow;
use crate::flow::FlowKey;
use crate::flow::ReasonCounts;
use crate::flow::Verdict;
use crate::judge::Why;
use crate::limits;
use crate::service::Service;
use crate::service::Transport;
use crate::site::NODE;
use crate::site::SiteCounts;
use crate::standing::Standing;
use crate::wire::Malformed;

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowReport {
    /// The client.
    pub source: IpAddr,
    /// Its port.
    pub source_port: u16,
    /// The server's public address.
    pub server: IpAddr,
    /// Its port.
    pub server_port: u16,
    /// The transport.
    pub proto: Transport,
    /// The game's id.
    pub game: Arc<str>,
    /// Packets of the client that were judged; those that still wait are not among them.
    pub packets: u64,
    /// Judged genuine.
    pub genuine: u64,
    /// Judged hostile.
    pub hostile: u64,
    /// Not judged.
    pub unknown: u64,
    /// Sent by the server.
    pub replies: u64,
    /// Who it is.
    pub standing: Standing,
    /// What was done about it.
    pub verdict: Verdict,
    /// Its reasons by plain name; at most [`limits::REASONS_KEPT`].
    pub reasons: BTreeMap<Arc<str>, u64>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceReport {
    /// The service; `None` for nobody's ports.
    pub service: Option<Arc<Service>>,
    /// Its packets.
    pub counts: SiteCounts,
    /// Why it is under attack now.
    pub attack: Option<Arc<str>>,
    /// Settled flows and players who are present.
    pub settled: u32,
    /// Packets of theirs that were dropped in the attack of now, about: as many as the samples say were sent and the
    /// kernel let pass in no lane, and never more than it dropped.
    pub players_dropped_estimated: u64,
    /// The host knows no plugin of the name that should judge it.
    pub plugin_missing: bool,
}

/// Everything counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where all packets went.
    pub packets: Counts,
    /// Malformed packets by label.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Hostile packets by `plugin/reason` or `host/reason`.
    pub reasons: BTreeMap<Arc<str>, u64>,
    /// Everything lost, by label.
    pub losses: BTreeMap<&'static str, u64>,
    /// All services; nobody's ports first.
    pub services: Vec<ServiceReport>,
    /// Flows, in the order in which they got their places.
    pub flows: Vec<FlowReport>,
    /// Flows that are known but not listed.
    pub flows_more: u64,
    /// Flows that made room for others before this report.
    pub flows_forgotten: u64,
}

impl Engine {
    /// Everything counted so far.
    pub fn report(&self) -> Report {
        let known = self.flows.iter().count();
        let flows = self.flows.iter().take(limits::REPORT_FLOWS);
        let malformed = Malformed::ALL.iter().map(|why| (why.name(), self.ledger.malformed[*why as usize]));
        let losses = Loss::ALL.iter().map(|what| (what.name(), self.ledger.loss(*what)));
        Report {
            packets: self.ledger.counts,
            malformed: malformed.filter(|(_, count)| *count > 0).collect(),
            reasons: self.reasons(),
            losses: losses.filter(|(_, count)| *count > 0).collect(),
            services: self.service_reports(),
            flows: flows.map(|entry| self.flow_report(&entry.key, &entry.value)).collect(),
            flows_more: known.saturating_sub(limits::REPORT_FLOWS) as u64,
            flows_forgotten: self.ledger.loss(Loss::FlowsForgotten),
        }
    }

    fn reasons(&self) -> BTreeMap<Arc<str>, u64> {
        let mut reasons = self.ledger.earlier_reasons.clone();
        for ((plugin, _), counts) in self.roster.iter().zip(&self.ledger.plugin_reasons) {
            for (reason, count) in (1..).zip(counts.iter().skip(1)) {
                let Some(name) = self.roster.reason_name(plugin, reason) else { continue };
                *reasons.entry(Arc::clone(name)).or_default() += count;
            }
        }
        for reason in HostReason::ALL {
            *reasons.entry(reason.full_name().into()).or_default() +=
                self.ledger.host_reasons[reason as usize];
        }
        reasons.retain(|_, count| *count > 0);
        reasons
    }

    fn service_reports(&self) -> Vec<ServiceReport> {
        let sites = self.sites.iter().enumerate().filter(|(_, site)| !site.forgotten);
        sites
            .map(|(at, site)| ServiceReport {
                service: (at as u32 != NODE).then(|| Arc::clone(&site.service)),
                counts: site.counts,
                attack: site.attack.as_ref().map(|attack| Arc::clone(&attack.reason)),
                settled: site.settled,
                players_dropped_estimated: if site.attack.is_some() { site.escort.lost() } else { 0 },
                plugin_missing: site.tag > 0 && site.plugin.is_none(),
            })
            .collect()
    }

    pub(super) fn flow_report(&self, key: &FlowKey, flow: &Flow) -> FlowReport {
        FlowReport {
            source: key.client.into(),
            source_port: key.client_port,
            server: key.server.into(),
            server_port: key.server_port,
            proto: key.transport,
            game: Arc::clone(&self.sites[flow.site as usize].service.game),
            packets: u64::from(flow.tally.sum()),
            genuine: u64::from(flow.tally.genuine),
            hostile: u64::from(flow.tally.hostile),
            unknown: u64::from(flow.tally.unknown),
            replies: u64::from(flow.from_server),
            standing: flow.standing.now(),
            verdict: flow.verdict,
            reasons: self.kept_reasons(flow.site, &flow.reasons),
        }
    }

    /// Reasons by plain name.
    pub(super) fn kept_reasons(&self, site: u32, kept: &ReasonCounts) -> BTreeMap<Arc<str>, u64> {
        let plain = |code: u16| {
            let full = self.reason_name(site, Why::from_code(code));
            full.rsplit_once('/').map_or_else(|| Arc::clone(&full), |(_, plain)| plain.into())
        };
        kept.iter()
            .filter(|(_, count)| *count > 0)
            .map(|(code, count)| (plain(*code), u64::from(*count)))
            .collect()
    }
}

//! From what the parts know to the forms that people and programs read.

use std::collections::BTreeMap;

use ftagent_api::views::InterfaceView;
use ftagent_api::views::MeasureView;
use ftagent_api::views::Mode;
use ftagent_api::views::ServiceView;
use ftagent_api::views::Status;
use ftagent_api::views::TallyView;
use ftagent_capture::Interface;
use ftagent_core::Explanation;
use ftagent_core::Report;
use ftagent_core::effect::Scope;
use ftagent_core::service::Judging;
use ftagent_core::service::Path;
use ftagent_core::service::Service;
use ftagent_core::service::Services;
use ftagent_core::time::Instant;
use ftagent_discovery::Docker;
use ftagent_discovery::Snapshot;
use ftagent_firewall::WallStatus;
use serde_json::Value;
use serde_json::json;

use super::blocks::Blocks;
use super::clock;
use super::keeper::Keeper;
use super::modes::Modes;
use super::plugins::PluginSet;
use super::pressure::Pressure;
use super::quiet::Quiet;
use super::shard::ShardReport;

/// What a status is made of.
pub(super) struct Parts<'p> {
    pub(super) started: Instant,
    pub(super) modes: &'p Modes,
    pub(super) blocks: &'p Blocks,
    pub(super) interfaces: &'p [(Interface, String)],
    pub(super) snapshot: &'p Snapshot,
    pub(super) plugins: &'p PluginSet,
    pub(super) report: Option<&'p ShardReport>,
    pub(super) wall: Option<&'p WallStatus>,
    pub(super) keeper: &'p Keeper,
    pub(super) pressure: &'p Pressure,
    pub(super) quiet: &'p Quiet,
}

/// The agent at this moment.
pub(super) fn view(parts: &Parts<'_>) -> Status {
    let report = parts.report.map(|report| &report.engine);
    let health = parts.report.map_or(&[][..], |report| &report.health);
    let plugins = parts.plugins.views(health);
    let interfaces = parts.interfaces.iter();
    Status {
        schema: ftagent_api::SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        at_ms: clock::millis(clock::now()),
        uptime_seconds: clock::now().millis_since(parts.started) / 1_000,
        mode: parts.modes.view(),
        capture: "af-packet".to_owned(),
        interfaces: interfaces
            .map(|(interface, because)| InterfaceView {
                name: interface.name.clone(),
                because: because.clone(),
            })
            .collect(),
        docker: docker(parts.snapshot),
        packets: parts.report.map_or(Value::Null, packets),
        reasons: report.map_or_else(BTreeMap::new, |report| {
            report.reasons.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
        }),
        services: services(&parts.snapshot.services, &|server| parts.modes.of(server), report, parts.wall),
        incidents: parts.keeper.open(),
        node: parts.pressure.view(),
        problems: problems(parts, &plugins),
        plugins,
        firewall: parts.wall.map_or(Value::Null, |wall| json!(wall)),
    }
}

/// The services with what is known of each.
pub(super) fn services(
    services: &Services,
    mode_of: &dyn Fn(&str) -> Mode,
    report: Option<&Report>,
    wall: Option<&WallStatus>,
) -> Vec<ServiceView> {
    let found = |service: &Service| {
        let reports = report?.services.iter();
        reports
            .into_iter()
            .find(|report| report.service.as_ref().is_some_and(|known| known.key == service.key))
    };
    let view = |service: &Service| {
        let report = found(service);
        let counts = report.map(|report| report.counts).unwrap_or_default();
        ServiceView {
            server: service.server.to_string(),
            address: service.key.ip,
            port: service.key.port,
            protocol: service.key.transport.name().to_owned(),
            game: service.game.to_string(),
            role: format!("{:?}", service.role).to_lowercase(),
            judged_by: match &service.judging {
                Judging::Plugin(name) => name.to_string(),
                Judging::WrongTransport => "wrong-transport".to_owned(),
            },
            path: match service.path {
                Path::Forwarded => "forwarded",
                Path::Local => "local",
            }
            .to_owned(),
            mode: mode_of(&service.server),
            packets: counts.packets,
            genuine: counts.genuine,
            hostile: counts.hostile,
            unknown: counts.unknown,
            under_attack: report.is_some_and(|report| report.attack.is_some()),
            players: report.map_or(0, |report| u64::from(report.settled)),
            players_dropped_estimated: report.map_or(0, |report| report.players_dropped_estimated),
            kernel: wall.map_or_else(TallyView::default, |wall| tally(wall, service)),
            measures: wall.map_or_else(Vec::new, |wall| measures(wall, service)),
        }
    };
    services.iter().map(|service| view(service)).collect()
}

fn tally(wall: &WallStatus, service: &Service) -> TallyView {
    let counted = wall.services.iter().find(|counted| counted.service == service.key);
    counted.map_or_else(TallyView::default, |counted| {
        let counts = &counted.counts;
        TallyView {
            seen_packets: counts.seen.packets,
            seen_bytes: counts.seen.bytes,
            lane_packets: counts.lane.packets,
            lease_packets: counts.by_lease.packets,
            shape_packets: counts.by_shape.packets,
            second_try_packets: counts.by_second_try.packets,
            bucket_packets: counts.by_bucket.packets,
            crowd_packets: counts.by_crowd.packets,
            docker_user_packets: counts.marked.packets,
            early_packets: counts.early.packets,
        }
    })
}

fn measures(wall: &WallStatus, service: &Service) -> Vec<MeasureView> {
    let here = wall.measures.iter().filter(|measure| measure.service == service.key);
    let view = |measure: &ftagent_firewall::MeasureStatus| MeasureView {
        measure: measure.what.to_owned(),
        packets_per_second: measure.packets_per_second,
        reason: measure.reason.clone(),
        seconds_left: measure.seconds_left,
    };
    let mut measures: Vec<_> = here.map(view).collect();
    let leases = |lease: &&ftagent_firewall::LeaseStatus| matches!(lease.scope, Scope::Service(at) if at == service.key);
    let leases: Vec<_> = wall.leases.iter().filter(leases).collect();
    if let Some(longest) = leases.iter().max_by_key(|lease| lease.seconds_left) {
        measures.push(MeasureView {
            measure: format!("{} blocked sources", leases.len()),
            packets_per_second: None,
            reason: longest.reason.clone(),
            seconds_left: longest.seconds_left,
        });
    }
    measures
}

/// Everything known of one address.
pub(super) fn explained(explanation: &Explanation, leases: Value) -> Value {
    let services = explanation.services.iter().map(|service| {
        json!({
            "service": service.service.to_string(),
            "game": service.game,
            "standing": service.standing.name(),
            "flows": service.flows,
            "genuine": service.opinions.genuine,
            "hostile": service.opinions.hostile,
            "unknown": service.opinions.unknown,
            "reasons": service.reasons,
            "under_attack": service.attack,
        })
    });
    let flows = explanation.flows.iter().map(|explained| {
        let flow = &explained.flow;
        json!({
            "source_port": flow.source_port,
            "service": format!("{}:{}/{}", flow.server, flow.server_port, flow.proto.name()),
            "packets": flow.packets,
            "hostile": flow.hostile,
            "replies": flow.replies,
            "standing": flow.standing.name(),
            "verdict": flow.verdict.name(),
            "lane_packets_per_second": explained.lane_pps,
        })
    });
    let asked =
        explanation.asked.iter().map(|(at, effect)| json!({ "at_ms": clock::millis(*at), "effect": effect }));
    let steps = explanation.steps.iter().map(|step| {
        json!({
            "at_ms": clock::millis(step.at),
            "service": step.service.to_string(),
            "measure": step.measure.name(),
            "came": step.came.name(),
            "says": step.says,
        })
    });
    json!({
        "schema": ftagent_api::SCHEMA,
        "address": explanation.source,
        "standing": explanation.standing.name(),
        "services": services.collect::<Vec<_>>(),
        "flows": flows.collect::<Vec<_>>(),
        "leases_in_force": leases,
        "asked": asked.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn docker(snapshot: &Snapshot) -> Value {
    let state = match &snapshot.docker {
        Docker::NotAsked => "not asked yet".to_owned(),
        Docker::Connected => "connected".to_owned(),
        Docker::Unreachable { why } => format!("unreachable: {why}"),
    };
    json!({
        "state": state,
        "version": snapshot.docker_version,
        "firewall_backend": snapshot.firewall_backend,
        "servers": snapshot.servers.len(),
    })
}

fn packets(report: &ShardReport) -> Value {
    let packets = &report.engine.packets;
    let losses = &report.losses;
    json!({
        "total": packets.total,
        "genuine": packets.genuine,
        "hostile": packets.hostile,
        "unknown": packets.unknown,
        "replies": packets.replies,
        "unmatched": packets.unmatched,
        "malformed": packets.malformed,
        "waiting": packets.waiting,
        "lost_ring_full": losses.ring_full,
        "lost_damaged": losses.damaged,
        "sampled_away": losses.sampled_away,
        "effects_lost": report.effects_lost,
        "unrecorded": report.unrecorded,
        "lost_at_bounds": report.engine.losses,
    })
}

fn problems(parts: &Parts<'_>, plugins: &[ftagent_api::views::PluginView]) -> Vec<String> {
    let mut problems = Vec::new();
    if let Docker::Unreachable { why } = &parts.snapshot.docker {
        problems.push(format!("Docker is unreachable: {why}"));
    }
    problems.extend(parts.snapshot.findings.iter().map(|finding| match &finding.hint {
        Some(hint) => format!("{} (hint: {hint})", finding.says),
        None => finding.says.clone(),
    }));
    for plugin in plugins.iter().filter(|plugin| plugin.health != "healthy") {
        let trouble = plugin.trouble.as_deref().unwrap_or("");
        problems.push(format!("plugin {} is {}: {trouble}", plugin.name, plugin.health));
    }
    for wall in parts.wall.iter().flat_map(|wall| &wall.problems) {
        problems.push(if wall.mend.is_empty() {
            wall.says.clone()
        } else {
            format!("{} (mend: {})", wall.says, wall.mend)
        });
    }
    problems.extend(parts.keeper.problems());
    problems.extend(parts.quiet.problem().map(str::to_owned));
    problems.extend(parts.blocks.problem().map(str::to_owned));
    problems.extend(parts.pressure.full().into_iter().map(str::to_owned));
    let down = parts.report.iter().flat_map(|report| &report.interfaces).filter(|(_, watched)| !watched);
    problems
        .extend(down.map(|(name, _)| format!("interface {name} is down or cannot be watched at the moment")));
    problems
}

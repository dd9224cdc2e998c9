//! What is watched, as text: rates are what happened between two looks.

use ftagent_api::views::MeasureView;
use ftagent_api::views::ServiceView;
use ftagent_api::views::Status;
use ftagent_api::views::TallyView;

use super::super::print;
use super::super::print::count;

/// Lines that are not about services.
const OTHER_ROWS: usize = 8;

/// The second between two looks, in at most so many lines.
pub(super) fn text(before: &Status, now: &Status, rows: usize) -> String {
    let mut text = format!(
        "ftagent {}  {} mode  up {}  (q quits)\n{}",
        now.version,
        now.mode.node,
        print::lasted(now.uptime_seconds * 1_000),
        node_line(now)
    );
    now.problems.iter().take(2).for_each(|problem| text += &format!("problem: {problem}\n"));
    text.push('\n');
    let mut services: Vec<_> =
        now.services.iter().map(|service| (rates(before, now, service), service)).collect();
    services.sort_by_key(|(rates, service)| {
        std::cmp::Reverse((service.under_attack, !service.measures.is_empty(), rates.seen_packets))
    });
    let heading = [
        "SERVICE",
        "SERVER",
        "MODE",
        "in/s",
        "DOCKER-USER/s",
        "early/s",
        "reached/s",
        "players",
        "their drops",
        "joined",
    ];
    let mut table = vec![heading.map(str::to_owned).to_vec()];
    let shown = rows.saturating_sub(OTHER_ROWS + now.incidents.len() * 3).max(1);
    for (rates, service) in services.iter().take(shown) {
        table.push(vec![
            place(service),
            service.server.clone(),
            service.mode.to_string(),
            count(rates.seen_packets),
            count(rates.docker_user_packets),
            count(rates.early_packets),
            count(rates.reached_packets()),
            service.players.to_string(),
            players_dropped(service),
            joined(now, service),
        ]);
    }
    text += &print::table(&table);
    if services.len() > shown {
        text += &format!("and {} calmer ones\n", services.len() - shown);
    }
    attacks(now, &mut text);
    text
}

/// What is done about each attack, for how long still, and why not more.
fn attacks(now: &Status, text: &mut String) {
    for incident in &now.incidents {
        *text += &format!("\nattack {} on {}: {}\n", incident.id, incident.target, incident.says);
        let here = now.services.iter().filter(|service| place(service) == incident.target);
        for measure in here.flat_map(|service| &service.measures) {
            *text += &format!("  {}\n", measure_clause(measure));
        }
        let standing = incident.measures.iter().filter(|measure| measure.until_unix_ms.is_none());
        if let Some(because) = standing.filter_map(|measure| measure.because.last()).next_back() {
            *text += &format!("  not stronger: {because}\n");
        }
        if let Some(says) = &incident.beyond_this_node {
            *text += &format!("  {says}\n");
        }
    }
}

/// Ourselves, the links and the connection table on one line.
pub(crate) fn node_line(status: &Status) -> String {
    let node = &status.node;
    let mut parts = vec![format!(
        "cpu {} % of one core, {}",
        node.ftagent_cpu_percent,
        print::bytes(node.ftagent_resident_bytes)
    )];
    let lost =
        ["lost_ring_full", "lost_damaged"].iter().filter_map(|name| status.packets.get(*name)?.as_u64());
    parts.push(format!("samples lost {}", count(lost.sum())));
    for link in &node.links {
        let fill = link.fill_percent.map_or_else(String::new, |percent| format!(" {percent} % full,"));
        parts.push(format!(
            "link {}{fill} {}",
            link.name,
            print::bits_per_second(link.received_bits_per_second)
        ));
    }
    if let Some(percent) = node.conntrack_percent {
        parts.push(format!("conntrack {percent} % full"));
    }
    parts.join("; ") + "\n"
}

/// A measure as one clause.
pub(crate) fn measure_clause(measure: &MeasureView) -> String {
    let rate = measure.packets_per_second.map_or_else(String::new, |rate| format!(" to {}/s", count(rate)));
    format!("{}{rate} because of {}, {} s left", measure.measure, measure.reason, measure.seconds_left)
}

/// A service as incidents name it.
pub(crate) fn place(service: &ServiceView) -> String {
    format!("{}/{}", std::net::SocketAddr::new(service.address, service.port), service.protocol)
}

/// Players' packets that were dropped in the attack on a service, estimated.
fn players_dropped(service: &ServiceView) -> String {
    match service.under_attack {
        true => count(service.players_dropped_estimated),
        false => "-".to_owned(),
    }
}

/// Flows that were let in during the attack on a service.
fn joined(now: &Status, service: &ServiceView) -> String {
    let here = now.incidents.iter().find(|incident| incident.target == place(service));
    here.map_or_else(|| "-".to_owned(), |incident| incident.joined.to_string())
}

/// What came and went between two looks, a second.
fn rates(before: &Status, now: &Status, service: &ServiceView) -> TallyView {
    let known = before.services.iter().find(|known| place(known) == place(service));
    let elapsed_ms = now.at_ms.saturating_sub(before.at_ms).max(1);
    let Some(known) = known.filter(|_| before.pid == now.pid) else { return TallyView::default() };
    let (then, now) = (&known.kernel, &service.kernel);
    let rate = |now: u64, then: u64| now.saturating_sub(then).saturating_mul(1_000) / elapsed_ms;
    TallyView {
        seen_packets: rate(now.seen_packets, then.seen_packets),
        seen_bytes: rate(now.seen_bytes, then.seen_bytes),
        lane_packets: rate(now.lane_packets, then.lane_packets),
        docker_user_packets: rate(now.docker_user_packets, then.docker_user_packets),
        early_packets: rate(now.early_packets, then.early_packets),
        ..TallyView::default()
    }
}

//! A replay's outcome for people.

use ftagent_core::effect::Effect;
use ftagent_core::effect::Notice;

use super::Document;
use crate::cli::print;

/// Sources that are listed for people; `--json` has all.
const NOISIEST: usize = 10;

/// The summary.
pub(super) fn text(document: &Document) -> String {
    let packets = &document.packets;
    let mut text =
        format!("{}: {} packets, {}\n\n", document.file, print::count(packets.total), document.ended);
    for (name, count) in [
        ("genuine", packets.genuine),
        ("hostile", packets.hostile),
        ("unknown", packets.unknown),
        ("replies of servers", packets.replies),
        ("to no service", packets.unmatched),
        ("malformed", packets.malformed),
    ] {
        text += &format!("{:>14}  {name}\n", print::count(count));
    }
    section(&mut text, "why hostile", document.reasons.iter().map(|(name, count)| (&**name, *count)));
    section(&mut text, "why malformed", document.malformed.iter().map(|(name, count)| (*name, *count)));
    section(&mut text, "lost at a bound", document.losses.iter().map(|(name, count)| (*name, *count)));
    noisiest(&mut text, document);
    enforced(&mut text, document);
    if document.flows_not_listed > 0 {
        text += &format!(
            "\n{} flows are counted above but not listed (at most {} are)\n",
            print::count(document.flows_not_listed),
            print::count(document.flows_listed_max)
        );
    }
    text
}

fn section<'n>(text: &mut String, title: &str, rows: impl Iterator<Item = (&'n str, u64)>) {
    let mut rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    *text += &format!("\n{title}\n");
    for (name, count) in rows {
        *text += &format!("{:>14}  {name}\n", print::count(count));
    }
}

fn noisiest(text: &mut String, document: &Document) {
    let mut flows: Vec<_> = document.flows.iter().collect();
    if flows.is_empty() {
        return;
    }
    flows.sort_by_key(|flow| std::cmp::Reverse(flow.packets));
    *text += "\nnoisiest\n";
    let heading =
        ["SOURCE", "SERVICE", "GAME", "PACKETS", "GENUINE", "HOSTILE", "STANDING", "VERDICT", "REASONS"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for flow in flows.iter().take(NOISIEST) {
        rows.push(vec![
            std::net::SocketAddr::new(flow.source, flow.source_port).to_string(),
            format!("{}/{}", std::net::SocketAddr::new(flow.server, flow.server_port), flow.proto),
            flow.game.to_string(),
            print::count(flow.packets),
            print::count(flow.genuine),
            print::count(flow.hostile),
            flow.standing.to_owned(),
            flow.verdict.to_owned(),
            flow.reasons.keys().map(|reason| &**reason).collect::<Vec<_>>().join(" "),
        ]);
    }
    *text += &print::table(&rows);
}

fn enforced(text: &mut String, document: &Document) {
    for notice in &document.notices {
        let Effect::Notice(notice) = notice else { continue };
        *text += &match notice {
            Notice::FirstHostile { service, source, reason } => {
                format!("\nfirst hostile packet at {service} from {source}: {reason}")
            }
            Notice::IncidentOpened(incident) => format!(
                "\nincident {} opens at {}: {}, {} packets/s",
                incident.id,
                incident.target,
                incident.says,
                print::count(incident.peak_pps)
            ),
            Notice::IncidentChanged(incident) => format!("\nincident {}: {}", incident.id, incident.says),
            Notice::IncidentClosed(incident) => {
                let lasted_ms = incident.changed_at.millis_since(incident.opened_at);
                format!("\nincident {} is over after {:.1} s", incident.id, lasted_ms as f64 / 1_000.0)
            }
        };
    }
    if document.would_enforce.is_empty() {
        *text += "\nnothing would have been dropped or limited\n";
        return;
    }
    *text += "\nwould have been dropped or limited\n";
    for measure in document.would_enforce.iter().take(NOISIEST) {
        let source = measure.source.map_or_else(String::new, |source| format!(" {source}"));
        *text += &format!("  {}{source} at {}: {}\n", measure.measure, measure.service, measure.reason);
    }
    if let Some(more) = document.would_enforce.len().checked_sub(NOISIEST).filter(|more| *more > 0) {
        *text += &format!("  and {more} more in --json\n");
    }
}

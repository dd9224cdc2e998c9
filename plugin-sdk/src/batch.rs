//! From a batch of rows to an answer: the only loop of a plugin.
//!
//! Packets are judged in the order of their rows, and what the judge leaves in a note is what the next packet of
//! the same flow or source finds there. So cutting the same packets into batches differently changes nothing.

use crate::opinion::Opinion;
use crate::packet::Packet;
use crate::rows;

/// A plugin's judge: a pure function of a packet and the two notes, which it may change.
pub type Judge = fn(&Packet<'_>, &mut u64, &mut u64) -> Opinion;

/// Judges a batch. The macro calls this; an author does not.
pub fn classify(
    judge: impl Fn(&Packet<'_>, &mut u64, &mut u64) -> Opinion,
    sources: &[rows::Source],
    flows: &[rows::Flow],
    packets: &[rows::Packet],
    payloads: &[u8],
) -> rows::Answer {
    let mut source_notes: Vec<u64> = sources.iter().map(|source| source.note).collect();
    let mut flow_notes: Vec<u64> = flows.iter().map(|flow| flow.note).collect();
    let mut opinions = Vec::with_capacity(packets.len());
    for row in packets {
        opinions.push(one(&judge, flows, row, payloads, &mut flow_notes, &mut source_notes));
    }
    rows::Answer { opinions, flow_notes, source_notes }
}

/// One packet. The host promises that indices are in range; if it broke that, the packet is unknown.
fn one(
    judge: &impl Fn(&Packet<'_>, &mut u64, &mut u64) -> Opinion,
    flows: &[rows::Flow],
    row: &rows::Packet,
    payloads: &[u8],
    flow_notes: &mut [u64],
    source_notes: &mut [u64],
) -> rows::Opinion {
    let unknown = written(Opinion::unknown());
    let Some(flow) = flows.get(row.flow as usize) else { return unknown };
    let Some(flow_note) = flow_notes.get_mut(row.flow as usize) else { return unknown };
    let Some(source_note) = source_notes.get_mut(flow.source as usize) else { return unknown };
    let packet = Packet { row, flow, payloads };
    written(judge(&packet, flow_note, source_note))
}

const fn written(opinion: Opinion) -> rows::Opinion {
    rows::Opinion {
        detail: opinion.detail_number(),
        reason: match opinion.reason() {
            Some(reason) => reason.0,
            None => 0,
        },
        judgement: opinion.judgement() as u8,
        class: opinion.class() as u8,
        proof: opinion.is_echoed() as u8,
        reserved_a: 0,
        reserved_b: 0,
    }
}

//! The host's part in a test: rows from conversations, batches of several sizes, opinions back.

use std::net::IpAddr;

use crate::Class;
use crate::Judgement;
use crate::Opinion;
use crate::Plugin;
use crate::Reason;
use crate::TcpFlags;
use crate::batch;
use crate::rows;
use crate::testing::Conversation;
use crate::testing::Segment;
use crate::testing::stream::StreamHead;

/// What the plugin said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// One for each packet that was shown to the plugin, in order.
    pub opinions: Vec<Opinion>,
    /// The note of each flow afterwards.
    pub flow_notes: Vec<u64>,
    /// The note of the source afterwards.
    pub source_note: u64,
    names: &'static [&'static str],
}

impl Judged {
    /// The opinion about the last packet.
    ///
    /// # Panics
    /// If no packet was judged.
    pub fn last(&self) -> Opinion {
        *self.opinions.last().expect("a packet was judged")
    }

    /// Whether no packet was called hostile.
    pub fn none_hostile(&self) -> bool {
        !self.opinions.iter().any(|opinion| opinion.is_hostile())
    }

    /// Names of the reasons of hostile opinions, in order, without repetitions.
    pub fn reasons(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        for opinion in self.opinions.iter().filter(|opinion| opinion.is_hostile()) {
            let name = opinion.reason().and_then(|Reason(number)| self.names.get(usize::from(number) - 1));
            reasons.push(*name.expect("checked when it was judged"));
        }
        reasons.dedup();
        reasons
    }

    /// How many packets were judged genuine.
    pub fn genuine(&self) -> usize {
        self.opinions.iter().filter(|opinion| opinion.is_genuine()).count()
    }

    /// One word for each opinion: `unknown`, the class of a genuine one, `!` and the reason of a hostile one; `+`
    /// behind it where the client echoed the server's choice. For tests as tables.
    pub fn words(&self) -> Vec<String> {
        self.opinions.iter().map(|opinion| self.word(*opinion)).collect()
    }

    fn word(&self, opinion: Opinion) -> String {
        let word = match (opinion.judgement(), opinion.reason()) {
            (Judgement::Unknown, _) => "unknown",
            (Judgement::Genuine, _) => class_name(opinion.class()),
            (Judgement::Hostile, reason) => {
                let name = reason.and_then(|Reason(number)| self.names.get(usize::from(number) - 1));
                return format!("!{}", name.expect("checked when it was judged"));
            }
        };
        if opinion.is_echoed() { format!("{word}+") } else { word.to_owned() }
    }
}

const fn class_name(class: Class) -> &'static str {
    match class {
        Class::None => "none",
        Class::Opening => "opening",
        Class::Query => "query",
        Class::Join => "join",
        Class::Play => "play",
        Class::Control => "control",
    }
}

/// One packet as the plugin is shown it.
struct Shown {
    row: rows::Packet,
    payload: Vec<u8>,
    head: Vec<u8>,
}

pub(crate) fn judge(plugin: &Plugin, flows: &[Conversation]) -> Judged {
    let shown: Vec<Shown> = flows.iter().enumerate().flat_map(|(at, flow)| show(plugin, at, flow)).collect();
    let whole = judge_in_batches(plugin, flows, &shown, shown.len().max(1));
    for size in [1, 2, 7] {
        let again = judge_in_batches(plugin, flows, &shown, size);
        assert_eq!(again, whole, "batches of {size} give other opinions or notes than one batch");
    }
    whole
}

fn judge_in_batches(plugin: &Plugin, flows: &[Conversation], shown: &[Shown], size: usize) -> Judged {
    let mut flow_notes: Vec<u64> = flows.iter().map(|flow| flow.flow_note).collect();
    let mut source_note = flows.first().map_or(0, |flow| flow.source_note);
    let mut opinions = Vec::new();
    for batch in shown.chunks(size) {
        let answer = judge_batch(plugin, flows, batch, &flow_notes, source_note);
        flow_notes = answer.flow_notes;
        source_note = answer.source_notes[0];
        opinions.extend(answer.opinions.iter().map(|row| checked(plugin, row)));
    }
    Judged { opinions, flow_notes, source_note, names: plugin.reasons }
}

fn judge_batch(
    plugin: &Plugin,
    flows: &[Conversation],
    batch: &[Shown],
    notes: &[u64],
    source_note: u64,
) -> rows::Answer {
    let sources = [rows::Source { note: source_note, flows: 1, reserved: 0 }];
    let flow_rows: Vec<rows::Flow> =
        flows.iter().zip(notes).map(|(flow, note)| flow_row(flow, *note)).collect();
    let mut payloads = Vec::new();
    let packets: Vec<rows::Packet> = batch
        .iter()
        .map(|shown| {
            let payload_start = small(payloads.len());
            payloads.extend_from_slice(&shown.payload);
            let head_start = small(payloads.len());
            payloads.extend_from_slice(&shown.head);
            rows::Packet { payload_start, head_start, ..shown.row }
        })
        .collect();
    batch::classify(plugin.judge, &sources, &flow_rows, &packets, &payloads)
}

/// The flow's row. What the flow learns is on the packets, so here nothing was known before.
fn flow_row(flow: &Conversation, note: u64) -> rows::Flow {
    let server = match flow.server_addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    rows::Flow {
        note,
        service_flags: flow.flags,
        server_high: u64::try_from(server >> 64).expect("64 bits are left"),
        server_low: u64::try_from(server & u128::from(u64::MAX)).expect("64 bits are left"),
        source: 0,
        client_port: flow.client_port,
        server_port: flow.server_port,
        transport: flow.transport,
        role: flow.role as u8,
        state: 0,
        reserved_a: 0,
        reserved_b: 0,
    }
}

/// The packets of one flow that the plugin is shown, each with what the host knew then.
fn show(plugin: &Plugin, at: usize, flow: &Conversation) -> Vec<Shown> {
    let mut head = StreamHead::new(plugin.stream_head);
    let mut numbers = [0, 0];
    let mut state = 0;
    let mut opened = false;
    let mut first_us = None;
    let mut shown = Vec::new();
    for segment in flow.segments.iter().filter(|segment| segment.seen) {
        let first_us = *first_us.get_or_insert(segment.at_us);
        let direction = usize::from(!segment.to_server);
        opened |= opens(flow, segment, numbers);
        state = learnt(flow, segment, state, opened, numbers);
        let number = numbers[direction];
        numbers[direction] += 1;
        let captured = segment.captured.unwrap_or_else(|| usize::from(plugin.payload_bytes));
        let payload = &segment.payload[..captured.min(segment.payload.len())];
        // The host keeps heads of what it captured, which reaches at least as far as the head asked for.
        let reaches = segment.captured.unwrap_or(segment.payload.len()).min(segment.payload.len());
        if segment.to_server && opened && flow.transport == 6 && !segment.payload.is_empty() {
            head.take(segment.offset as usize, &segment.payload[..reaches], segment.payload.len());
        }
        if !segment.to_server && !plugin.replies {
            continue;
        }
        let carries_head = segment.to_server && !segment.payload.is_empty() && plugin.stream_head > 0;
        let head_bytes = if carries_head { head.bytes().to_vec() } else { Vec::new() };
        let row = rows::Packet {
            age_us: segment.at_us - first_us,
            flow: small(at),
            number,
            payload_bytes: small(segment.payload.len()),
            payload_captured: small(payload.len()),
            stream_offset: if opened { segment.offset } else { 0 },
            sample_rate: flow.sample_rate,
            head_bytes: u16::try_from(head_bytes.len()).expect("a head has at most 1024 bytes"),
            ip_id: 0,
            window: segment.window,
            tcp_options: segment.options.0,
            ttl: segment.ttl,
            direction: u8::from(!segment.to_server),
            fragment: segment.fragment,
            tcp_flags: segment.flags.0,
            head_flags: if carries_head { head_flags(&head) } else { 0 },
            flow_state: state,
            ..rows::Packet::default()
        };
        shown.push(Shown { row, payload: payload.to_vec(), head: head_bytes });
    }
    shown
}

fn head_flags(head: &StreamHead) -> u8 {
    u8::from(head.is_complete()) | u8::from(head.has_gap()) << 1
}

/// Whether this is the flow's first packet on the wire, as far as the host can tell.
fn opens(flow: &Conversation, segment: &Segment, numbers: [u32; 2]) -> bool {
    let first_seen = numbers == [0, 0] && segment.to_server;
    match flow.transport {
        6 => first_seen && segment.flags.is_opening(),
        _ => first_seen && flow.sample_rate == 1,
    }
}

/// The flow's state bits with this packet.
fn learnt(flow: &Conversation, segment: &Segment, state: u8, opened: bool, numbers: [u32; 2]) -> u8 {
    let client_seen = numbers[0] > 0 || segment.to_server;
    let server_seen = numbers[1] > 0 || !segment.to_server;
    // A handshake is complete when the client acknowledges after the server's SYN-ACK.
    let acknowledged = segment.to_server && segment.flags.has(TcpFlags::ACK) && numbers[1] > 0;
    let complete = flow.transport == 6 && opened && acknowledged;
    state | u8::from(opened) | u8::from(client_seen && server_seen) << 1 | u8::from(complete) << 2
}

/// The opinion as the host reads it.
fn checked(plugin: &Plugin, row: &rows::Opinion) -> Opinion {
    let class = match row.class {
        1 => Class::Opening,
        2 => Class::Query,
        3 => Class::Join,
        4 => Class::Play,
        5 => Class::Control,
        _ => Class::None,
    };
    assert!(usize::from(row.reason) <= plugin.reasons.len(), "reason {} is not in the manifest", row.reason);
    let opinion = match row.judgement {
        0 => Opinion::unknown().of(class),
        1 => Opinion::genuine(class),
        _ => {
            assert!(row.reason > 0, "a hostile opinion without a reason");
            Opinion::hostile(class, Reason(row.reason))
        }
    };
    let opinion = if row.proof == 1 { opinion.echoed() } else { opinion };
    opinion.detail(row.detail)
}

fn small(count: usize) -> u32 {
    u32::try_from(count).expect("test conversations are small")
}

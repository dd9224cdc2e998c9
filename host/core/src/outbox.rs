//! The next batch of one plugin: rows in, and where their answers belong.
//!
//! Several packets of one flow in one batch share the flow's note. Where a new connection begins on the same ports,
//! its first packet waits until the batch is answered: so any cut into batches shows a plugin the same notes.

use crate::flow::Flow;
use crate::flow::FlowKey;
use crate::incident::vector::Vector;
use crate::question::Batch;
use crate::question::FlowRow;
use crate::question::PacketRow;
use crate::question::SourceRow;
use crate::service::Service;
use crate::source::Source;
use crate::table::Ref;
use crate::time::Instant;

/// A packet that waits for its opinion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) flow: Ref,
    pub(crate) source: Ref,
    pub(crate) site: u32,
    pub(crate) at: Instant,
    /// Number of its frame, for a recorder.
    pub(crate) frame: u32,
    /// It stands for so many.
    pub(crate) weight: u32,
    /// The server sent it.
    pub(crate) reply: bool,
    /// It asks for a TCP connection.
    pub(crate) syn: bool,
    /// What it looks like, and how its payload begins in 6 bits.
    pub(crate) vector: Vector,
    pub(crate) start: u8,
}

impl Waiting {
    /// Whose it is, when it came, and its flow.
    pub(crate) fn place(&self) -> (u32, Instant, Ref) {
        (self.site, self.at, self.flow)
    }
}

/// A batch in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    /// Tells this batch from all others.
    pub(crate) serial: u32,
    pub(crate) batch: Batch,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) flows: Vec<Ref>,
    pub(crate) sources: Vec<Ref>,
    /// A packet that must not join this batch, with its payload and stream head.
    pub(crate) staged: Option<(Waiting, PacketRow)>,
    pub(crate) staged_payload: Vec<u8>,
    pub(crate) staged_head: Vec<u8>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.packets.is_empty()
    }

    /// Whether the next packet of this flow must wait for the answer.
    pub(crate) fn must_stage(&self, flow: &Flow) -> bool {
        flow.batch == self.serial && flow.begun_again
    }

    /// Keeps a packet until this batch is answered.
    pub(crate) fn stage(&mut self, waiting: Waiting, row: PacketRow, payload: &[u8], head: &[u8]) {
        self.staged_payload.clear();
        self.staged_payload.extend_from_slice(payload);
        self.staged_head.clear();
        self.staged_head.extend_from_slice(head);
        self.staged = Some((waiting, row));
    }

    /// Adds the row of a source unless it is there; returns its number.
    pub(crate) fn source_row(&mut self, at: Ref, source: &mut Source, tag: u32, epoch: u32) -> u32 {
        if source.batch != self.serial {
            if source.tag != tag {
                (source.note, source.tag) = (0, tag);
            }
            source.batch = self.serial;
            source.row = self.batch.sources.len() as u16;
            self.batch.sources.push(SourceRow {
                note: source.note,
                flows: source.flows.before(epoch),
                reserved: 0,
            });
            self.sources.push(at);
        }
        u32::from(source.row)
    }

    /// Adds the row of a flow unless it is there; returns its number.
    pub(crate) fn flow_row(
        &mut self,
        at: Ref,
        key: &FlowKey,
        flow: &mut Flow,
        source: u32,
        service: &Service,
        tag: u32,
    ) -> u32 {
        if flow.batch != self.serial || flow.begun_again {
            if flow.tag != tag {
                // Another plugin's note means nothing, and this plugin has not seen how the flow began.
                flow.first_seen &= flow.tag == 0;
                (flow.note, flow.tag) = (0, tag);
            }
            if flow.begun_again {
                (flow.note, flow.begun_again) = (0, false);
            }
            flow.batch = self.serial;
            flow.row = self.batch.flows.len() as u16;
            self.batch.flows.push(FlowRow {
                note: flow.note,
                service_flags: service.flags,
                server_high: key.server.high,
                server_low: key.server.low,
                source,
                client_port: key.client_port,
                server_port: key.server_port,
                transport: key.transport.number(),
                role: service.role as u8,
                state: flow.state(),
                ..FlowRow::default()
            });
            self.flows.push(at);
        }
        u32::from(flow.row)
    }

    /// Adds the row of a packet.
    pub(crate) fn packet_row(&mut self, waiting: Waiting, mut row: PacketRow, payload: &[u8], head: &[u8]) {
        let payloads = &mut self.batch.payloads;
        row.payload_start = payloads.len() as u32;
        row.payload_captured = payload.len() as u32;
        payloads.extend_from_slice(payload);
        row.head_start = payloads.len() as u32;
        row.head_bytes = head.len() as u16;
        payloads.extend_from_slice(head);
        self.batch.packets.push(row);
        self.waiting.push(waiting);
    }

    /// Begins the next batch.
    pub(crate) fn clear(&mut self, serial: u32) {
        self.serial = serial;
        self.batch.clear();
        self.waiting.clear();
        self.flows.clear();
        self.sources.clear();
    }
}

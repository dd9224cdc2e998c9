//! What the engine asks a plugin and what it gets back: the rows of the contract, in the order and layout of
//! `wit/v1`, so that a whole batch crosses the sandbox with one copy.
//!
//! The sandbox checks at compile time that these are the contract's layouts. Field meanings are documented in
//! `wit/v1/plugin.wit` and not repeated here.

use bytemuck::Pod;
use bytemuck::Zeroable;
use serde::Deserialize;
use serde::Serialize;

/// One remote address at one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SourceRow {
    pub note: u64,
    pub flows: u32,
    pub reserved: u32,
}

/// One conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FlowRow {
    pub note: u64,
    pub service_flags: u64,
    pub server_high: u64,
    pub server_low: u64,
    pub source: u32,
    pub client_port: u16,
    pub server_port: u16,
    pub transport: u8,
    pub role: u8,
    pub state: u8,
    pub reserved_a: u8,
    pub reserved_b: u32,
}

/// One observed packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PacketRow {
    pub age_us: u64,
    pub flow: u32,
    pub number: u32,
    pub payload_bytes: u32,
    pub payload_start: u32,
    pub payload_captured: u32,
    pub stream_offset: u32,
    pub head_start: u32,
    pub sample_rate: u32,
    pub head_bytes: u16,
    pub ip_id: u16,
    pub window: u16,
    pub tcp_options: u16,
    pub ttl: u8,
    pub direction: u8,
    pub fragment: u8,
    pub tcp_flags: u8,
    pub head_flags: u8,
    pub flow_state: u8,
    pub reserved_b: u16,
}

/// What the plugin thinks of one packet, as it wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct OpinionRow {
    pub detail: u32,
    pub reason: u16,
    pub judgement: u8,
    pub class: u8,
    pub proof: u8,
    pub reserved_a: u8,
    pub reserved_b: u16,
}

/// Everything of one call to one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub sources: Vec<SourceRow>,
    pub flows: Vec<FlowRow>,
    pub packets: Vec<PacketRow>,
    pub payloads: Vec<u8>,
}

impl Batch {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.sources.clear();
        self.flows.clear();
        self.packets.clear();
        self.payloads.clear();
    }
}

/// A checked answer: as many opinions as packets, as many notes as rows, every discriminant in range and every
/// hostile opinion with a reason of the manifest. The sandbox makes it, or says that there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub opinions: Vec<OpinionRow>,
    pub flow_notes: Vec<u64>,
    pub source_notes: Vec<u64>,
}

/// Why a plugin gave no answer to a batch. The packets count as unknown and every note stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoOpinion {
    /// It trapped.
    Trapped,
    /// It used up the fuel of the batch.
    OutOfFuel,
    /// Its answer broke the contract: wrong lengths, numbers out of range, or more bytes than asked for.
    Lied,
    /// It failed repeatedly and is not asked for a while.
    Quarantined,
    /// There is no such plugin, or it could not be started.
    Missing,
}

//! What was sent, in the order in which it was seen.

use std::net::IpAddr;
use std::net::Ipv4Addr;

use crate::Flag;
use crate::Plugin;
use crate::Role;
use crate::TcpFlags;
use crate::TcpOptions;
use crate::testing::host;
use crate::testing::host::Judged;

/// One packet as it was on the wire. Usually made by [`Conversation`]; public for odd ones
/// ([`Conversation::packet`]).
#[derive(Clone, Debug)]
pub struct Segment {
    /// Whether the client sent it.
    pub to_server: bool,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Position of the payload in the sender's stream.
    pub offset: u32,
    /// TCP flags.
    pub flags: TcpFlags,
    /// TCP options.
    pub options: TcpOptions,
    /// TCP window.
    pub window: u16,
    /// Time to live.
    pub ttl: u8,
    /// Fragment bits as in the contract.
    pub fragment: u8,
    /// Captured payload bytes at most; the manifest's wish if `None`.
    pub captured: Option<usize>,
    /// Microseconds since the conversation began.
    pub at_us: u64,
    /// Whether the host saw it (sampling).
    pub seen: bool,
}

/// A conversation of one client with one service, or of one source with several flows ([`Conversation::flow`]).
#[derive(Clone, Debug)]
pub struct Conversation {
    pub(crate) transport: u8,
    pub(crate) server_port: u16,
    pub(crate) server_addr: IpAddr,
    pub(crate) client_port: u16,
    pub(crate) role: Role,
    pub(crate) flags: u64,
    pub(crate) sample_rate: u32,
    pub(crate) flow_note: u64,
    pub(crate) source_note: u64,
    pub(crate) segments: Vec<Segment>,
    client_offset: u32,
    server_offset: u32,
    now_us: u64,
}

const SYN_OPTIONS: TcpOptions = TcpOptions::MSS
    .with(TcpOptions::SACK_PERMITTED)
    .with(TcpOptions::TIMESTAMPS)
    .with(TcpOptions::WINDOW_SCALE);

impl Conversation {
    fn new(transport: u8, server_port: u16) -> Self {
        Self {
            transport,
            server_port,
            server_addr: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
            client_port: 51_000,
            role: Role::Game,
            flags: 0,
            sample_rate: 1,
            flow_note: 0,
            source_note: 0,
            segments: Vec::new(),
            client_offset: 0,
            server_offset: 0,
            now_us: 0,
        }
    }

    /// UDP to this port of a server.
    pub fn udp(server_port: u16) -> Self {
        Self::new(17, server_port)
    }

    /// TCP to this port, the three-way handshake done as a Linux client does it.
    pub fn tcp(server_port: u16) -> Self {
        Self::tcp_without_handshake(server_port)
            .control(true, TcpFlags::SYN, SYN_OPTIONS)
            .control(false, TcpFlags::SYN.with(TcpFlags::ACK), SYN_OPTIONS)
            .control(true, TcpFlags::ACK, TcpOptions::TIMESTAMPS)
    }

    /// TCP to this port, seen from the middle: nothing of its beginning is known.
    pub fn tcp_without_handshake(server_port: u16) -> Self {
        Self::new(6, server_port)
    }

    /// From this port of the client instead of 51000.
    #[must_use]
    pub fn from_port(self, client_port: u16) -> Self {
        Self { client_port, ..self }
    }

    /// To this address of the server instead of 203.0.113.10.
    #[must_use]
    pub fn at(self, server_addr: IpAddr) -> Self {
        Self { server_addr, ..self }
    }

    /// The port is for this and not for the game.
    #[must_use]
    pub fn role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// The service has this switch of the manifest.
    #[must_use]
    pub fn flag(self, flag: Flag) -> Self {
        Self { flags: self.flags | 1 << flag.0, ..self }
    }

    /// The notes that the host hands back from earlier: of this flow and of this source.
    #[must_use]
    pub fn notes(self, flow_note: u64, source_note: u64) -> Self {
        Self { flow_note, source_note, ..self }
    }

    /// Any packet.
    #[must_use]
    pub fn packet(mut self, mut segment: Segment) -> Self {
        self.now_us += 1_000;
        segment.at_us = self.now_us;
        self.segments.push(segment);
        self
    }

    /// Time passes.
    #[must_use]
    pub fn wait_ms(mut self, ms: u64) -> Self {
        self.now_us += ms * 1_000;
        self
    }

    /// The client sends a datagram, or a segment that follows what it sent before.
    #[must_use]
    pub fn client(self, payload: &[u8]) -> Self {
        self.send(true, payload)
    }

    /// The client sends these one after another.
    #[must_use]
    pub fn client_each<'p>(self, payloads: impl IntoIterator<Item = &'p [u8]>) -> Self {
        payloads.into_iter().fold(self, Self::client)
    }

    /// The client sends `payload` in segments of `len` bytes.
    #[must_use]
    pub fn client_split(self, payload: &[u8], len: usize) -> Self {
        payload.chunks(len.max(1)).fold(self, Self::client)
    }

    /// The server sends.
    #[must_use]
    pub fn server(self, payload: &[u8]) -> Self {
        self.send(false, payload)
    }

    /// A TCP segment without payload.
    #[must_use]
    pub fn control(self, to_server: bool, flags: TcpFlags, options: TcpOptions) -> Self {
        let segment = Segment { flags, options, ..self.segment(to_server, &[]) };
        self.packet(segment)
    }

    /// The client acknowledges what the server sent.
    #[must_use]
    pub fn ack(self) -> Self {
        self.control(true, TcpFlags::ACK, TcpOptions::TIMESTAMPS)
    }

    /// The last packet is sent once more.
    #[must_use]
    pub fn again(self) -> Self {
        let last = self.segments.last().expect("there is a packet to send again").clone();
        self.packet(last)
    }

    /// A segment of the client's stream at a place of its own: a retransmission, an overlap, one out of order.
    #[must_use]
    pub fn client_at(self, offset: u32, payload: &[u8]) -> Self {
        let segment = Segment { offset, ..self.segment(true, payload) };
        let reaches = offset + u32::try_from(payload.len()).expect("payloads are small");
        let mut conversation = self.packet(segment);
        conversation.client_offset = conversation.client_offset.max(reaches);
        conversation
    }

    /// Of the last packet only `bytes` payload bytes were captured.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self.last().captured = Some(bytes);
        self
    }

    /// Of each packet so far only `bytes` payload bytes were captured.
    #[must_use]
    pub fn cut_all(mut self, bytes: usize) -> Self {
        for segment in &mut self.segments {
            segment.captured = Some(bytes);
        }
        self
    }

    /// Changes the last packet.
    #[must_use]
    pub fn edit(mut self, change: impl FnOnce(&mut Segment)) -> Self {
        change(self.last());
        self
    }

    /// The host saw only every `rate`-th packet, the first of them being number `first`.
    #[must_use]
    pub fn sampled(mut self, rate: u32, first: usize) -> Self {
        self.sample_rate = rate;
        for (at, segment) in self.segments.iter_mut().enumerate() {
            segment.seen = at % rate as usize == first % rate as usize;
        }
        self
    }

    /// Judges all packets that the host saw.
    ///
    /// # Panics
    /// If batches of another size give other opinions or notes, or a hostile opinion has no reason of the manifest.
    pub fn judge(&self, plugin: &Plugin) -> Judged {
        host::judge(plugin, core::slice::from_ref(self))
    }

    /// Judges several flows of one source at one service, in this order, sharing the source's note.
    ///
    /// # Panics
    /// As [`Conversation::judge`].
    pub fn judge_all(plugin: &Plugin, flows: &[Self]) -> Judged {
        host::judge(plugin, flows)
    }

    fn last(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("there is a packet to change")
    }

    fn segment(&self, to_server: bool, payload: &[u8]) -> Segment {
        let tcp = self.transport == 6;
        Segment {
            to_server,
            payload: payload.to_vec(),
            offset: if to_server { self.client_offset } else { self.server_offset },
            flags: if tcp { TcpFlags::ACK.with(TcpFlags::PSH) } else { TcpFlags(0) },
            options: if tcp { TcpOptions::TIMESTAMPS } else { TcpOptions(0) },
            window: if tcp { 502 } else { 0 },
            ttl: 57,
            fragment: 1,
            captured: None,
            at_us: 0,
            seen: true,
        }
    }

    fn send(self, to_server: bool, payload: &[u8]) -> Self {
        let segment = self.segment(to_server, payload);
        let mut conversation = self.packet(segment);
        let len = u32::try_from(payload.len()).expect("payloads are small");
        if conversation.transport == 6 {
            let offset =
                if to_server { &mut conversation.client_offset } else { &mut conversation.server_offset };
            *offset += len;
        }
        conversation
    }
}

//! One packet with all that is known of its conversation.

use core::net::{IpAddr, Ipv6Addr};

use crate::opinion::Flag;
use crate::parse::Head;
use crate::payload::Payload;
use crate::rows;
use crate::tcp::{TcpFlags, TcpOptions};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client; seen only if the manifest wants `replies`.
    ToClient,
}

/// What carries the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// Another IP protocol, by its number.
    Other(u8),
}

/// What the server's port is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nobody said.
    #[default]
    Unknown,
    /// The game itself.
    Game,
    /// Server lists and monitors.
    Query,
    /// Remote control.
    Rcon,
    /// Voice or television.
    Voice,
    /// A web page or an API.
    Http,
    /// File transfer.
    File,
    /// Announcements.
    Beacon,
}

/// One packet, its flow and its service. Cheap to copy; borrows the batch.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub(crate) row: &'a rows::Packet,
    pub(crate) flow: &'a rows::Flow,
    pub(crate) payloads: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Which way it goes.
    pub const fn direction(&self) -> Direction {
        if self.row.direction == 0 { Direction::ToServer } else { Direction::ToClient }
    }

    /// Whether it goes from the client to the server.
    pub const fn is_to_server(&self) -> bool {
        self.row.direction == 0
    }

    /// What carries it.
    pub const fn transport(&self) -> Transport {
        match self.flow.transport {
            6 => Transport::Tcp,
            17 => Transport::Udp,
            other => Transport::Other(other),
        }
    }

    /// Whether it is TCP.
    pub const fn is_tcp(&self) -> bool {
        self.flow.transport == 6
    }

    /// Whether it is UDP.
    pub const fn is_udp(&self) -> bool {
        self.flow.transport == 17
    }

    /// What the server's port is for.
    pub const fn role(&self) -> Role {
        match self.flow.role {
            1 => Role::Game,
            2 => Role::Query,
            3 => Role::Rcon,
            4 => Role::Voice,
            5 => Role::Http,
            6 => Role::File,
            7 => Role::Beacon,
            _ => Role::Unknown,
        }
    }

    /// The client's port; 0 where a fragment hid it.
    pub const fn client_port(&self) -> u16 {
        self.flow.client_port
    }

    /// The server's public port.
    pub const fn server_port(&self) -> u16 {
        self.flow.server_port
    }

    /// The server's public address.
    pub const fn server_addr(&self) -> IpAddr {
        let bits = ((self.flow.server_high as u128) << 64) | self.flow.server_low as u128;
        Ipv6Addr::from_bits(bits).to_canonical()
    }

    /// Whether the service has this switch of the manifest.
    pub const fn flag(&self, flag: Flag) -> bool {
        flag.0 < 64 && self.flow.service_flags & (1 << flag.0) != 0
    }

    /// Number among the packets of this flow and direction that the host saw, from 0. Under sampling number 0
    /// need not be the first that was sent: see [`Packet::opening_seen`].
    pub const fn number(&self) -> u32 {
        self.row.number
    }

    /// Microseconds since the flow's first packet that the host saw.
    pub const fn age_us(&self) -> u64 {
        self.row.age_us
    }

    /// Whether the host saw the flow's first packet (for TCP its SYN). If not, a missing opening proves nothing.
    pub const fn opening_seen(&self) -> bool {
        self.state() & 1 != 0
    }

    /// Whether both directions were seen. By itself this proves nothing about the client: a server that answers
    /// anything answers a forger too.
    pub const fn two_way(&self) -> bool {
        self.state() & 2 != 0
    }

    /// Whether a TCP handshake was completed.
    pub const fn handshake_complete(&self) -> bool {
        self.state() & 4 != 0
    }

    // What was known before the batch stays true, so the union is what is true at this packet.
    const fn state(&self) -> u8 {
        self.flow.state | self.row.flow_state
    }

    /// Time to live or hop limit.
    pub const fn ttl(&self) -> u8 {
        self.row.ttl
    }

    /// IPv4 identification; 0 in IPv6.
    pub const fn ip_id(&self) -> u16 {
        self.row.ip_id
    }

    /// Whether the packet forbids fragmentation.
    pub const fn is_dont_fragment(&self) -> bool {
        self.row.fragment & 1 != 0
    }

    /// Whether it is a fragment of a larger packet, the first one or another.
    pub const fn is_fragment(&self) -> bool {
        self.row.fragment & 6 != 0
    }

    /// Whether it is a fragment behind the first: it has no ports, and its payload starts in the middle.
    pub const fn is_later_fragment(&self) -> bool {
        self.row.fragment & 4 != 0
    }

    /// TCP flags; none for other transports.
    pub const fn tcp_flags(&self) -> TcpFlags {
        TcpFlags(self.row.tcp_flags)
    }

    /// TCP options.
    pub const fn tcp_options(&self) -> TcpOptions {
        TcpOptions(self.row.tcp_options)
    }

    /// TCP window as sent, unscaled.
    pub const fn window(&self) -> u16 {
        self.row.window
    }

    /// TCP: where in the stream the payload starts, 0 for the first byte; only with [`Packet::opening_seen`].
    pub const fn stream_offset(&self) -> Option<u32> {
        if self.opening_seen() { Some(self.row.stream_offset) } else { None }
    }

    /// This packet stands for so many: 1 when nothing is sampled away.
    pub const fn sample_rate(&self) -> u32 {
        self.row.sample_rate
    }

    /// The payload.
    pub fn payload(&self) -> Payload<'a> {
        Payload::new(self.slice(self.row.payload_start, self.row.payload_captured), self.row.payload_bytes)
    }

    /// The beginning of the client's TCP stream, if the manifest wants a `stream-head`.
    pub fn head(&self) -> Head<'a> {
        let bytes = self.slice(self.row.head_start, u32::from(self.row.head_bytes));
        Head::new(bytes, self.row.head_flags & 1 != 0, self.row.head_flags & 2 != 0)
    }

    fn slice(&self, start: u32, len: u32) -> &'a [u8] {
        let start = start as usize;
        self.payloads.get(start..start.saturating_add(len as usize)).unwrap_or_default()
    }
}

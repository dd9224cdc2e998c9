//! From a packet to a row of a batch: whose it is, its flow and source, what it adds to them.

use super::Engine;
use super::measures::ROUNDS;
use crate::count::HostReason;
use crate::count::Loss;
use crate::effect::Effects;
use crate::flow::Flow;
use crate::flow::FlowKey;
use crate::flow::FlowLeft;
use crate::flow::second_of;
use crate::frame::Frame;
use crate::frame::Passage;
use crate::incident::vector;
use crate::incident::vector::Vector;
use crate::judge::Opinion;
use crate::outbox::Waiting;
use crate::question::PacketRow;
use crate::roster::PluginIndex;
use crate::run::Route;
use crate::run::Way;
use crate::run::client_key;
use crate::run::server_key;
use crate::run::transport_of;
use crate::service::Judging;
use crate::service::Transport;
use crate::site::NODE;
use crate::source::Source;
use crate::source::SourceKey;
use crate::standing::Standing;
use crate::table::Opened;
use crate::table::Ref;
use crate::table::Spot;
use crate::time::Instant;
use crate::wire;
use crate::wire::Address;
use crate::wire::Packet;
use crate::wire::Tcp;
use crate::wire::Upper;
use crate::wire::tcp_flag;

/// Head flags of the contract.
const HEAD_DONE: u8 = 1;
const HEAD_GAP: u8 = 2;

/// Addresses that no packet of a real sender has as its source (RFC 6890). Loopback may talk to itself.
fn is_martian(packet: &Packet<'_>) -> bool {
    let loopback = |ip: Address| ip.v4_bits().map_or(ip.bits() == 1, |bits| bits >> 24 == 127);
    let source = packet.source;
    if loopback(source) {
        return !loopback(packet.destination);
    }
    match source.v4_bits() {
        Some(bits) => bits >> 24 == 0 || bits >> 28 >= 0xe,
        None => source.high >> 56 == 0xff || source.bits() == 0,
    }
}

fn is_syn(tcp: &Tcp) -> bool {
    tcp.flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN
}

impl Engine {
    /// A packet, perhaps with what reading ahead found of it.
    pub(super) fn packet(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        route: Option<Route>,
        effects: &mut Effects,
    ) {
        let route = route.filter(|route| route.table == self.table);
        let way = route.map_or_else(|| self.way(frame.passage, packet), |route| route.way);
        match way {
            Way::Unmatched => {
                self.ledger.counts.unmatched += 1;
                if self.places.owns(packet.source) {
                    self.nobody.own_words(packet, frame.at, self.key);
                }
            }
            Way::Nobody => {
                self.tap_placed(NODE, false);
                self.nobodys_packet(frame, packet, effects);
            }
            Way::Client(_) | Way::Server(_) => {
                let Some((key, site)) = way.flow_key(packet) else { return };
                let spot = route.map_or_else(|| self.flows.spot(&key), |route| route.flow);
                let reply = matches!(way, Way::Server(_));
                self.tap_placed(site, reply);
                if reply {
                    self.server_packet(frame, packet, site, (key, spot), effects);
                } else {
                    self.client_packet(frame, packet, site, (key, spot), effects);
                }
            }
        }
    }

    fn way(&self, passage: Passage, packet: &Packet<'_>) -> Way {
        self.way_by_table(passage, packet)
            .unwrap_or_else(|(to, from)| self.between_services(packet, to, from))
    }

    /// Whose packet it is by the service table alone; fails with both sites where both ends are services.
    pub(super) fn way_by_table(&self, passage: Passage, packet: &Packet<'_>) -> Result<Way, (u32, u32)> {
        let transport = transport_of(packet);
        let find = |ip, port| transport.and_then(|transport| self.places.find(ip, port, transport));
        let to = || find(packet.destination, packet.destination_port);
        let from = || find(packet.source, packet.source_port);
        let nobody = || if self.places.owns(packet.destination) { Way::Nobody } else { Way::Unmatched };
        Ok(match passage {
            Passage::Ingress => to().map_or_else(nobody, Way::Client),
            Passage::Egress => from().map_or(Way::Unmatched, Way::Server),
            Passage::Unknown => match (to(), from()) {
                (Some(to), Some(from)) => return Err((to, from)),
                (Some(site), None) => Way::Client(site),
                (None, Some(site)) => Way::Server(site),
                (None, None) if self.places.owns(packet.source) => Way::Unmatched,
                (None, None) => nobody(),
            },
        })
    }

    /// Both ends are services (a proxy and its backend, or a client port that is also a game's): who asked first
    /// is the client.
    fn between_services(&self, packet: &Packet<'_>, to: u32, from: u32) -> Way {
        let answered = transport_of(packet)
            .and_then(|transport| self.flows.find(&server_key(packet, transport)))
            .and_then(|at| self.flows.get(at))
            .is_some_and(|entry| entry.value.from_client > 0);
        let asks = matches!(packet.upper, Upper::Tcp(tcp) if is_syn(&tcp));
        if answered && !asks { Way::Server(from) } else { Way::Client(to) }
    }

    fn nobodys_packet(&mut self, frame: &Frame<'_>, packet: &Packet<'_>, effects: &mut Effects) {
        let reason = match packet.upper {
            _ if is_martian(packet) => Some(HostReason::MartianSource),
            Upper::LaterFragment => Some(HostReason::Fragments),
            _ if self.nobody.is_answer(packet, frame.at, self.key) => None,
            Upper::Icmp if self.is_refusal(packet) => None,
            Upper::Tcp(_) | Upper::Udp => Some(HostReason::NobodysPort),
            Upper::Icmp => Some(HostReason::Icmp),
            Upper::Other => Some(HostReason::OtherProtocol),
        };
        if reason.is_some() {
            self.nobody.add(packet, frame.at, frame.sample_rate.max(1));
        }
        self.without_flow(frame, packet, NODE, reason, effects);
    }

    /// Whether it is an ICMP error for what one of the servers sent to a client.
    fn is_refusal(&mut self, packet: &Packet<'_>) -> bool {
        let refused = wire::flow_of_error(packet).filter(|key| key.server == packet.destination);
        let flow = refused.and_then(|key| self.flows.find(&key)).and_then(|at| self.flows.get_mut(at));
        flow.is_some_and(Flow::refuses)
    }

    /// Judges a packet for which no flow is kept.
    fn without_flow(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        site: u32,
        reason: Option<HostReason>,
        effects: &mut Effects,
    ) {
        let state = &mut self.sites[site as usize];
        state.counts.packets += 1;
        state.estimate(frame);
        self.flowless = packet.source;
        let waiting = Waiting {
            flow: Ref::default(),
            source: Ref::default(),
            site,
            at: frame.at,
            frame: self.frame_number(),
            weight: frame.sample_rate.max(1),
            reply: false,
            syn: matches!(packet.upper, Upper::Tcp(tcp) if is_syn(&tcp)),
            vector: Vector::of_packet(packet),
            start: vector::start_of(packet.payload),
        };
        let opinion = reason.map_or(Opinion::NONE, Opinion::of_host);
        self.settle(&waiting, &opinion, effects);
        if reason.is_some_and(|_| opinion.why.is_some()) {
            self.tell_first_hostile(site, packet.source, frame.at, &opinion, effects);
        }
    }

    fn client_packet(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        site: u32,
        flow: (FlowKey, Spot),
        effects: &mut Effects,
    ) {
        if is_martian(packet) {
            return self.without_flow(frame, packet, site, Some(HostReason::MartianSource), effects);
        }
        let Some((at, source_at)) = self.open_flow(flow, site, frame.at) else {
            return self.without_flow(frame, packet, site, None, effects);
        };
        let weight = frame.sample_rate.max(1);
        let state = &mut self.sites[site as usize];
        state.counts.packets += 1;
        state.estimate(frame);
        let wrong = state.service.judging == Judging::WrongTransport;
        let (attacked, host_judges, answers) = (state.attack.is_some(), wrong, state.answers);
        let Some(flow) = self.flows.get_mut(at) else { return };
        let mut number = flow.from_client;
        let mut syn = false;
        if let Upper::Tcp(tcp) = packet.upper {
            syn = is_syn(&tcp);
            if flow.tcp.client_packet(&tcp, second_of(frame.at)) {
                flow.begin_again(frame.at, self.epoch);
                number = 0;
                self.heads.close(flow.head);
                flow.head = 0;
            }
            flow.first_seen |= syn && flow.tcp.syn_seen();
        } else {
            flow.first_seen |= number == 0 && flow.from_server == 0;
        }
        flow.client_packet(frame.at, weight, attacked);
        if attacked && flow.in_lanes && flow.standing.now() >= Standing::Settled && !flow.mostly_hostile() {
            self.sites[site as usize].escort.sends(weight);
        }
        if flow.standing.now() < Standing::Player || !flow.in_lanes {
            self.lift(at, frame.at, effects);
        }
        if attacked && syn && number == 0 {
            self.maybe_lease_for_returning((site, frame.at, at), source_at, effects);
        }
        let waiting = Waiting {
            flow: at,
            source: source_at,
            site,
            at: frame.at,
            frame: self.frame_number(),
            weight,
            reply: false,
            syn,
            vector: Vector::of_packet(packet),
            start: vector::start_of(packet.payload),
        };
        if host_judges {
            let opinion = if answers { Opinion::NONE } else { Opinion::of_host(HostReason::WrongTransport) };
            return self.settle(&waiting, &opinion, effects);
        }
        let Some(plugin) = self.sites[site as usize].plugin else {
            self.ledger.lost(Loss::PluginMissing);
            return self.settle(&waiting, &Opinion::NONE, effects);
        };
        self.row(plugin, waiting, packet, number, effects);
    }

    fn server_packet(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        site: u32,
        flow: (FlowKey, Spot),
        effects: &mut Effects,
    ) {
        let state = &mut self.sites[site as usize];
        state.counts.replies += 1;
        // A reset says that nobody listens.
        state.answers |= !matches!(packet.upper, Upper::Tcp(tcp) if tcp.flags & tcp_flag::RST != 0);
        if !self.reply_row(frame, packet, site, flow, effects) {
            self.ledger.counts.replies += 1;
        }
    }

    /// What a server's packet shows of its client; whether it became a row, for plugins that want replies.
    fn reply_row(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        site: u32,
        flow: (FlowKey, Spot),
        effects: &mut Effects,
    ) -> bool {
        let Some((at, source)) = self.open_flow(flow, site, frame.at) else { return false };
        let state = &self.sites[site as usize];
        let (attacked, plugin) = (state.attack.is_some(), state.plugin);
        let Some(flow) = self.flows.get_mut(at) else { return false };
        let (number, rounds) = (flow.from_server, flow.tcp.rounds());
        if let Upper::Tcp(tcp) = packet.upper {
            flow.tcp.server_packet(&tcp, packet.payload_bytes);
            if flow.tcp.closed() {
                self.heads.close(flow.head);
                (flow.head, flow.head_done) = (0, true);
            }
        }
        flow.server_packet(frame.at, attacked);
        if rounds < ROUNDS && flow.tcp.rounds() >= ROUNDS {
            if let Some(source) = self.sources.get_mut(source) {
                source.talks(second_of(frame.at));
            }
            if attacked && flow.in_lanes {
                self.ask_lane(at, frame.at, false, effects);
            }
        }
        let wanted = plugin.filter(|plugin| self.roster.manifest(*plugin).is_some_and(|m| m.replies));
        let Some(plugin) = wanted else { return false };
        let weight = frame.sample_rate.max(1);
        let waiting = Waiting {
            flow: at,
            source,
            site,
            at: frame.at,
            frame: self.frame_number(),
            weight,
            reply: true,
            syn: false,
            vector: Vector::TCP_OTHER,
            start: 0,
        };
        self.row(plugin, waiting, packet, number, effects);
        true
    }

    /// The flow and source of a packet; new ones where room can be made.
    pub(super) fn open_flow(
        &mut self,
        (key, spot): (FlowKey, Spot),
        site: u32,
        at: Instant,
    ) -> Option<(Ref, Ref)> {
        let epoch = self.epoch;
        let make = || Flow::new(site, Ref::default(), key.transport, at, epoch);
        let source_key = SourceKey { client: key.client, site: self.sites[site as usize].home };
        let (flow_at, old) = match self.flows.open(key, spot, epoch, at, make) {
            Opened::Found(flow_at) => (flow_at, None),
            Opened::New(flow_at, old) => (flow_at, old),
            Opened::Refused => {
                self.ledger.lost(Loss::FlowTableFull);
                return None;
            }
        };
        if let Some(old) = old {
            self.ledger.lost(Loss::FlowsForgotten);
            self.forget_flow(&old);
        }
        let flow = self.flows.get_mut(flow_at)?;
        flow.site = site;
        let known = flow.source;
        if self.sources.touch(known, epoch).is_some() {
            return Some((flow_at, known));
        }
        let source_at = self.open_source(source_key, at)?;
        if let Some(flow) = self.flows.get_mut(flow_at) {
            flow.source = source_at;
        }
        Some((flow_at, source_at))
    }

    fn open_source(&mut self, key: SourceKey, now: Instant) -> Option<Ref> {
        let spot = self.sources.spot(&key);
        let at = match self.sources.open(key, spot, self.epoch, now, Source::default) {
            Opened::Found(at) => at,
            Opened::New(at, old) => {
                if old.is_some() {
                    self.ledger.lost(Loss::SourcesForgotten);
                }
                at
            }
            Opened::Refused => {
                self.ledger.lost(Loss::SourceTableFull);
                return None;
            }
        };
        let source = self.sources.get_mut(at)?;
        source.flows.set(source.flows.now().saturating_add(1), self.epoch);
        Some(at)
    }

    /// What a flow that made room leaves behind.
    fn forget_flow(&mut self, flow: &FlowLeft) {
        self.heads.close(flow.head);
        if flow.counted > Standing::Stranger {
            self.leave(flow.source, flow.counted);
        }
        if let Some(source) = self.sources.get_mut(flow.source) {
            source.flows.set(source.flows.now().saturating_sub(1), self.epoch);
        }
    }

    /// One row of the plugin's next batch.
    fn row(
        &mut self,
        plugin: PluginIndex,
        waiting: Waiting,
        packet: &Packet<'_>,
        number: u32,
        effects: &mut Effects,
    ) {
        let Some(manifest) = self.roster.manifest(plugin) else { return };
        let (payload_bytes, want_head) = (manifest.payload_bytes, manifest.stream_head);
        let outbox = &self.outboxes[plugin.get()];
        if outbox.staged.is_some() || outbox.batch.packets.len() >= self.config.batch_rows {
            self.ledger.lost(Loss::BatchFull);
            return self.settle(&waiting, &Opinion::NONE, effects);
        }
        let Some(flow) = self.flows.get_mut(waiting.flow) else { return };
        let mut row = packet_row(packet, &waiting, flow, number);
        let mut head = 0;
        let opened = flow.head != 0;
        if want_head > 0 && !waiting.reply && packet.payload_bytes > 0 {
            head = lay_head(&mut self.heads, flow, packet, &mut row, want_head, &mut self.ledger);
        }
        let payload = &packet.payload[..packet.payload.len().min(usize::from(payload_bytes))];
        self.ledger.counts.waiting += 1;
        let head_bytes = self.heads.bytes(head);
        let outbox = &mut self.outboxes[plugin.get()];
        if outbox.must_stage(flow) {
            outbox.stage(waiting, row, payload, head_bytes);
            self.due = true;
        } else if let (Some(site), Some(source)) =
            (self.sites.get(waiting.site as usize), self.sources.get_mut(waiting.source))
        {
            let key = flow_key(packet, &waiting, flow.transport);
            let source_row = outbox.source_row(waiting.source, source, site.tag, self.epoch);
            row.flow = outbox.flow_row(waiting.flow, &key, flow, source_row, &site.service, site.tag);
            outbox.packet_row(waiting, row, payload, head_bytes);
            self.due |= outbox.batch.packets.len() >= self.config.batch_rows;
        }
        if flow.head_done && (opened || head != 0) {
            self.heads.close(flow.head);
            flow.head = 0;
        }
    }

    /// A packet that waited for an answer begins the next batch.
    pub(super) fn unstage(&mut self, plugin: PluginIndex, waiting: Waiting, mut row: PacketRow) {
        let Some(entry) = self.flows.get(waiting.flow) else { return };
        let key = entry.key;
        let outbox = &mut self.outboxes[plugin.get()];
        let parts = (self.flows.get_mut(waiting.flow), self.sources.get_mut(waiting.source));
        let (Some(flow), Some(source)) = parts else { return };
        let site = &self.sites[waiting.site as usize];
        let source_row = outbox.source_row(waiting.source, source, site.tag, self.epoch);
        row.flow = outbox.flow_row(waiting.flow, &key, flow, source_row, &site.service, site.tag);
        let payload = std::mem::take(&mut outbox.staged_payload);
        let head = std::mem::take(&mut outbox.staged_head);
        outbox.packet_row(waiting, row, &payload, &head);
        (outbox.staged_payload, outbox.staged_head) = (payload, head);
    }
}

fn flow_key(packet: &Packet<'_>, waiting: &Waiting, transport: Transport) -> FlowKey {
    if waiting.reply { server_key(packet, transport) } else { client_key(packet, transport) }
}

fn packet_row(packet: &Packet<'_>, waiting: &Waiting, flow: &Flow, number: u32) -> PacketRow {
    let tcp = match packet.upper {
        Upper::Tcp(tcp) => tcp,
        _ => Tcp::default(),
    };
    PacketRow {
        age_us: waiting.at.micros_since(flow.began),
        number,
        payload_bytes: packet.payload_bytes,
        stream_offset: if waiting.reply { 0 } else { flow.tcp.offset(&tcp) },
        sample_rate: waiting.weight,
        ip_id: packet.ip_id,
        window: tcp.window,
        tcp_options: tcp.options,
        ttl: packet.ttl,
        direction: u8::from(waiting.reply),
        fragment: packet.fragment,
        tcp_flags: tcp.flags,
        flow_state: flow.state(),
        ..PacketRow::default()
    }
}

/// Lays a segment into its flow's stream head. Returns the head to hand over, 0 for none: only packets that
/// touch the head carry it.
fn lay_head(
    heads: &mut crate::stream::Heads,
    flow: &mut Flow,
    packet: &Packet<'_>,
    row: &mut PacketRow,
    want: u16,
    ledger: &mut crate::count::Ledger,
) -> u32 {
    if flow.head_done {
        row.head_flags = HEAD_DONE;
        return 0;
    }
    let Upper::Tcp(_) = packet.upper else { return 0 };
    if !flow.tcp.syn_seen() || flow.tcp.closed() {
        return 0;
    }
    if flow.head == 0 {
        flow.head = heads.open(flow.tcp.handshake_done());
        if flow.head == 0 {
            ledger.lost(Loss::StreamBytesFull);
            return 0;
        }
    }
    let grown = heads.lay(flow.head, row.stream_offset, packet.payload, want);
    if grown.forgot {
        ledger.lost(Loss::HeadPiecesFull);
    }
    let done = u32::from(grown.bytes) >= u32::from(want.min(crate::limits::HEAD_BYTES as u16));
    let beyond = row.stream_offset > u32::from(grown.bytes) && !done;
    let cut = (packet.payload.len() as u32) < packet.payload_bytes;
    row.head_flags =
        if done { HEAD_DONE } else { 0 } | if !done && (grown.gap || beyond || cut) { HEAD_GAP } else { 0 };
    flow.head_done = done;
    flow.head
}

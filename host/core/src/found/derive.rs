//! From samples to shapes: a greedy search for the few fields that most of an attack shares and no genuine packet has.

use std::collections::BTreeMap;

use super::any;
use crate::limits;
use crate::manifest::BytesAt;
use crate::manifest::Shape;
use crate::retained::Head;
use crate::service::Transport;

/// A shape must cover so many samples, and so many of a hundred of those that no other covers.
const COVERS: usize = 48;
/// See there.
const COVERS_PERCENT: usize = 20;
/// Fields of one shape at most.
const FIELDS: usize = 6;
/// And at least.
const FIELDS_LEAST: usize = 2;
/// Share of the samples, in per cent, in which a byte must be the same to count as fixed.
const FIXED_PERCENT: usize = 90;
/// Longest compare in bytes; shorter than what nftables compares.
const COMPARE_BYTES: usize = 16;
/// Widest range of TTLs that counts as one.
const TTL_WIDTH: u8 = 8;
/// Genuine packets that the search looks at; the result is tried on all.
const GENUINE: usize = 2_000;

/// One match of a shape, weakest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Ttl(u8, u8),
    SourcePort(u16),
    Flags(u8),
    NoOptions,
    Window(u16),
    Length(u16, u16),
    Bytes(u16, Vec<u8>),
}

impl Field {
    fn fits(&self, head: &Head) -> bool {
        match self {
            Self::Ttl(low, high) => (*low..=*high).contains(&head.ttl),
            Self::SourcePort(port) => head.source_port == *port,
            Self::Flags(flags) => head.tcp_flags == *flags,
            Self::NoOptions => head.tcp_options == 0,
            Self::Window(window) => head.window == *window,
            Self::Length(low, high) => (*low..=*high).contains(&head.payload_bytes),
            Self::Bytes(offset, value) => head.may_hold_at(*offset, value),
        }
    }

    /// TTL and source port are chosen by whoever sends, or by the way to him: alone they say nothing.
    const fn strong(&self) -> bool {
        !matches!(self, Self::Ttl(..) | Self::SourcePort(_))
    }
}

fn shape(transport: Transport, fields: &[Field]) -> Shape {
    let mut shape = any(transport);
    for field in fields {
        match field {
            Field::Ttl(low, high) => shape.ttl = Some(*low..=*high),
            Field::SourcePort(port) => shape.source_port = Some(*port),
            Field::Flags(flags) => shape.tcp_flags = Some((0xff, *flags)),
            Field::NoOptions => shape.without_options = true,
            Field::Window(window) => shape.window = Some(*window),
            Field::Length(low, high) => shape.payload_bytes = Some(*low..=*high),
            Field::Bytes(offset, value) => {
                let mask = vec![0xff; value.len()];
                shape.bytes.push(BytesAt { offset: *offset, value: value.clone(), mask });
            }
        }
    }
    shape
}

/// The shapes of an attack, the one that covers most first, each with the number of samples it covers. None of them
/// hits a packet of `genuine`.
pub(crate) fn derive(transport: Transport, samples: &[&Head], genuine: &[&Head]) -> Vec<(Shape, usize)> {
    let step = genuine.len().div_ceil(GENUINE).max(1);
    let genuine: Vec<&Head> = genuine.iter().step_by(step).copied().collect();
    let mut left = samples.to_vec();
    let mut found = Vec::new();
    while found.len() < limits::FOUND_SHAPES {
        let Some(fields) = separate(transport, &left, &genuine) else { break };
        let before = left.len();
        left.retain(|head| !fits_all(&fields, head));
        found.push((shape(transport, &fields), before - left.len()));
    }
    found
}

fn fits_all(fields: &[Field], head: &Head) -> bool {
    fields.iter().all(|field| field.fits(head))
}

/// The fields that cover much of `samples` and nothing of `genuine`.
fn separate(transport: Transport, samples: &[&Head], genuine: &[&Head]) -> Option<Vec<Field>> {
    let (mut mine, mut theirs) = (samples.to_vec(), genuine.to_vec());
    let mut fields: Vec<Field> = Vec::new();
    while !theirs.is_empty() || !enough(&fields) {
        if fields.len() == FIELDS {
            return None;
        }
        let next = best(transport, &fields, &mine, &theirs)?;
        mine.retain(|head| next.fits(head));
        theirs.retain(|head| next.fits(head));
        fields.push(next);
        if mine.len() < COVERS || mine.len() * 100 < samples.len() * COVERS_PERCENT {
            return None;
        }
    }
    Some(smallest(fields, genuine))
}

fn enough(fields: &[Field]) -> bool {
    fields.len() >= FIELDS_LEAST && fields.iter().any(Field::strong)
}

/// Takes out the weakest fields that are not needed.
fn smallest(mut fields: Vec<Field>, genuine: &[&Head]) -> Vec<Field> {
    fields.sort();
    let mut at = 0;
    while at < fields.len() {
        let field = fields.remove(at);
        if !enough(&fields) || genuine.iter().any(|head| fits_all(&fields, head)) {
            fields.insert(at, field);
            at += 1;
        }
    }
    fields
}

/// The field that takes most of the genuine packets away and least of the samples. Where no genuine packet is left,
/// the strongest that loses nearly nothing.
fn best(transport: Transport, have: &[Field], mine: &[&Head], theirs: &[&Head]) -> Option<Field> {
    let fitting = |heads: &[&Head], field: &Field| heads.iter().filter(|head| field.fits(head)).count();
    let scored = candidates(transport, mine).into_iter().filter(|field| !overlaps(have, field));
    let scored = scored.filter_map(|field| {
        let kept = fitting(mine, &field) * 1_000 / mine.len().max(1);
        if theirs.is_empty() {
            return (kept * 100 >= 1_000 * FIXED_PERCENT).then_some((kept / 50, field));
        }
        let away = 1_000 - fitting(theirs, &field) * 1_000 / theirs.len();
        (away > 0).then_some((away + kept, field))
    });
    scored.max().map(|(_, field)| field)
}

/// Whether a field says something about what another one says already.
fn overlaps(have: &[Field], field: &Field) -> bool {
    have.iter().any(|other| match (other, field) {
        (Field::Bytes(a, _), Field::Bytes(b, _)) => a == b,
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    })
}

/// What many of these packets share.
fn candidates(transport: Transport, heads: &[&Head]) -> Vec<Field> {
    let mut fields = Vec::new();
    fields.extend(top(heads, |head| head.payload_bytes).map(|bytes| Field::Length(bytes, bytes)));
    fields.extend(range(heads, |head| head.payload_bytes).map(|(low, high)| Field::Length(low, high)));
    fields.extend(top(heads, |head| head.source_port).map(Field::SourcePort));
    fields.extend(top(heads, |head| head.ttl).map(|ttl| Field::Ttl(ttl, ttl)));
    let ttls = range(heads, |head| head.ttl).filter(|(low, high)| high - low < TTL_WIDTH);
    fields.extend(ttls.map(|(low, high)| Field::Ttl(low, high)));
    if transport == Transport::Tcp {
        fields.extend(top(heads, |head| head.tcp_flags).map(Field::Flags));
        fields.extend(top(heads, |head| head.window).map(Field::Window));
        fields.push(Field::NoOptions);
    }
    fields.extend(runs(heads));
    fields
}

/// The most frequent value.
fn top<T: Ord + Copy>(heads: &[&Head], of: impl Fn(&Head) -> T) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for head in heads {
        *counts.entry(of(head)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(value, _)| value)
}

/// The smallest and largest value.
fn range<T: Ord + Copy>(heads: &[&Head], of: impl Fn(&Head) -> T) -> Option<(T, T)> {
    let values = || heads.iter().map(|head| of(head));
    values().min().zip(values().max())
}

/// Runs of bytes that are nearly always the same, each at most as long as a compare.
fn runs(heads: &[&Head]) -> Vec<Field> {
    let mut runs: Vec<Field> = Vec::new();
    let mut run: Option<(u16, Vec<u8>)> = None;
    for offset in 0..=limits::RETAINED_BYTES {
        let fixed = fixed_byte(heads, offset);
        let full = run.as_ref().is_some_and(|(_, value)| value.len() == COMPARE_BYTES);
        if full || fixed.is_none() {
            runs.extend(run.take().map(|(offset, value)| Field::Bytes(offset, value)));
        }
        if let Some(byte) = fixed {
            run.get_or_insert((offset as u16, Vec::new())).1.push(byte);
        }
    }
    runs
}

fn fixed_byte(heads: &[&Head], offset: usize) -> Option<u8> {
    let mut counts = [0u32; 256];
    for byte in heads.iter().filter_map(|head| head.payload().get(offset)) {
        counts[usize::from(*byte)] += 1;
    }
    let (byte, count) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
    (*count > 0 && *count as usize * 100 >= heads.len() * FIXED_PERCENT).then_some(byte as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowKey;
    use crate::manifest::Class;
    use crate::question::PacketRow;
    use crate::wire::Address;

    /// Numbers that look random.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % sides
        }

        fn bytes(&mut self, count: usize) -> Vec<u8> {
            (0..count).map(|_| self.roll(256) as u8).collect()
        }
    }

    /// A packet: payload, source port, TTL; for TCP flags, window and options.
    fn head(payload: &[u8], port: u16, ttl: u8, tcp: (u8, u16, u16)) -> Head {
        let key = FlowKey {
            client: Address::v4(1),
            server: Address::v4(2),
            client_port: port,
            server_port: 1,
            transport: Transport::Udp,
        };
        let (tcp_flags, window, tcp_options) = tcp;
        let payload_bytes = payload.len() as u32;
        let row = PacketRow { payload_bytes, ttl, tcp_flags, window, tcp_options, ..PacketRow::default() };
        Head::of(&row, payload, &key, Class::None)
    }

    const UDP: (u8, u16, u16) = (0, 0, 0);

    fn players(dice: &mut Dice) -> Vec<Head> {
        let one = |dice: &mut Dice| {
            let bytes = 20 + dice.roll(80) as usize;
            let mut payload = dice.bytes(bytes);
            payload[0] = 0x84;
            head(&payload, 1_024 + dice.roll(60_000) as u16, 48 + dice.roll(16) as u8, UDP)
        };
        (0..800).map(|_| one(dice)).collect()
    }

    fn found(transport: Transport, flood: &[Head], genuine: &[Head]) -> Vec<(Shape, usize)> {
        let found = derive(transport, &flood.iter().collect::<Vec<_>>(), &genuine.iter().collect::<Vec<_>>());
        for (shape, covers) in &found {
            assert_eq!(genuine.iter().filter(|head| head.may_fit(shape)).count(), 0, "{shape:?}");
            assert!(flood.iter().filter(|head| head.may_fit(shape)).count() >= *covers, "{shape:?}");
            let fields = shape.bytes.len()
                + usize::from(shape.payload_bytes.is_some())
                + usize::from(shape.tcp_flags.is_some())
                + usize::from(shape.without_options)
                + usize::from(shape.window.is_some());
            let weak = usize::from(shape.ttl.is_some()) + usize::from(shape.source_port.is_some());
            assert!(fields >= 1 && fields + weak >= 2, "two fields, not only weak ones: {shape:?}");
        }
        found
    }

    #[test]
    fn a_fixed_payload_from_random_sources() {
        let mut dice = Dice(1);
        let genuine = players(&mut dice);
        let mut one = || head(b"getstatus-flood", dice.roll(65_536) as u16, dice.roll(256) as u8, UDP);
        let flood: Vec<_> = (0..400).map(|_| one()).collect();
        let found = found(Transport::Udp, &flood, &genuine);
        assert_eq!((found.len(), found[0].1), (1, 400), "{found:?}");
        assert!(!found[0].0.bytes.is_empty());
    }

    #[test]
    fn random_payloads_of_a_players_length_are_not_told_apart_by_it() {
        let mut dice = Dice(2);
        let genuine = players(&mut dice);
        let mut one = |ttl: Option<u8>| {
            let (payload, port) = (dice.bytes(50), dice.roll(65_536) as u16);
            head(&payload, port, ttl.unwrap_or(40 + dice.roll(200) as u8), UDP)
        };
        let flood: Vec<_> = (0..400).map(|_| one(None)).collect();
        assert_eq!(found(Transport::Udp, &flood, &genuine), [], "refused");
        let flood: Vec<_> = (0..400).map(|_| one(Some(240))).collect();
        let by_more = found(Transport::Udp, &flood, &genuine);
        assert_eq!(by_more.len(), 1);
        assert_eq!(
            (by_more[0].0.ttl.clone(), by_more[0].0.payload_bytes.clone()),
            (Some(240..=240), Some(50..=50))
        );
    }

    #[test]
    fn syns_that_no_system_sends_are_told_from_genuine_ones() {
        let mut dice = Dice(3);
        let ports = |dice: &mut Dice| 1_024 + dice.roll(60_000) as u16;
        let mut genuine: Vec<_> =
            (0..200).map(|_| head(b"", ports(&mut dice), 52, (2, 64_240, 0b1_0111))).collect();
        genuine.extend((0..600).map(|_| head(b"", ports(&mut dice), 52, (16, 502, 0b1_0000))));
        let flood: Vec<_> = (0..400).map(|_| head(b"", ports(&mut dice), 60, (2, 512, 0))).collect();
        let found = found(Transport::Tcp, &flood, &genuine);
        assert_eq!((found.len(), found[0].1), (1, 400), "{found:?}");
        let like_them: Vec<_> =
            (0..400).map(|_| head(b"", ports(&mut dice), 52, (2, 64_240, 0b1_0111))).collect();
        assert_eq!(self::found(Transport::Tcp, &like_them, &genuine), [], "these need the second try");
    }

    #[test]
    fn reflected_answers_are_found_by_port_and_content() {
        let mut dice = Dice(4);
        let genuine = players(&mut dice);
        let mut one = || {
            let mut payload = dice.bytes(480);
            payload[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 12]);
            head(&payload, 53, 30 + dice.roll(200) as u8, UDP)
        };
        let flood: Vec<_> = (0..400).map(|_| one()).collect();
        let found = found(Transport::Udp, &flood, &genuine);
        assert_eq!((found.len(), found[0].1), (1, 400), "{found:?}");
    }

    #[test]
    fn three_vectors_are_three_shapes() {
        let mut dice = Dice(5);
        let genuine = players(&mut dice);
        let mut flood = Vec::new();
        for _ in 0..150 {
            let ttl = dice.roll(256) as u8;
            flood.push(head(b"\xff\xff\xff\xffTSource Engine Query", dice.roll(65_536) as u16, ttl, UDP));
            flood.push(head(&[0; 300], dice.roll(65_536) as u16, ttl, UDP));
            let mut answer = dice.bytes(440);
            answer[..4].copy_from_slice(&[0xd7, 0, 3, 0x2a]);
            flood.push(head(&answer, 123, ttl, UDP));
        }
        let found = found(Transport::Udp, &flood, &genuine);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found.iter().map(|(_, covers)| covers).sum::<usize>(), 450);
    }
}

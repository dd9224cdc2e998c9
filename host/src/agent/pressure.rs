//! How near the node is to what no rule can mend: a full link, a card or a kernel that loses packets, a full
//! connection table, a core that does nothing else any more. Two readings a second apart are compared.
//!
//! Facts: `proc_stat(5)`, `proc_sys_net(5)`, Documentation/ABI/testing/sysfs-class-net, net/core/net-procfs.c.

use std::path::Path;

use ftagent_api::views::IncidentView;
use ftagent_api::views::LinkView;
use ftagent_api::views::NodeView;
use ftagent_core::time::Instant;

use crate::cli::shown_vector;

/// From here on something counts as full.
const FULL_PERCENT: u64 = 90;
/// Packets a second that a card or the kernel may lose without a word; more are an overload.
const LOST_PER_SECOND: u64 = 100;
/// For so many readings in a row something must be full before it is said.
const READINGS: u32 = 2;

/// One look at the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    at: Instant,
    links: Vec<LinkReading>,
    /// Entries and how many there may be.
    conntrack: Option<(u64, u64)>,
    /// Of each core: time in softirq, and all time, in ticks.
    cores: Vec<(u64, u64)>,
    /// Packets that the kernel lost before anybody saw them, on all cores.
    kernel_lost: u64,
    /// Our own time, in ticks.
    own_ticks: u64,
    resident_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LinkReading {
    name: String,
    /// As the operator or the card says.
    mbit: Option<u64>,
    received_bytes: u64,
    /// Packets that the card had no room for.
    card_lost: u64,
}

impl Reading {
    /// Looks at these interfaces and the node. What cannot be read is left out.
    pub(super) fn take(at: Instant, interfaces: &[&str], link_mbit: u32) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            at,
            links: interfaces.iter().map(|name| link(name, link_mbit)).collect(),
            conntrack: conntrack(),
            cores: cores(&read("/proc/stat")),
            kernel_lost: kernel_lost(&read("/proc/net/softnet_stat")),
            own_ticks: own_ticks(&read("/proc/self/stat")),
            resident_bytes: resident_bytes(&read("/proc/self/statm")),
        }
    }
}

fn link(name: &str, link_mbit: u32) -> LinkReading {
    let folder = Path::new("/sys/class/net").join(name);
    let number = |file: &str| -> Option<u64> {
        let text = std::fs::read_to_string(folder.join(file)).ok()?;
        // A card without a link says -1.
        text.trim().parse().ok()
    };
    let counter = |name: &str| number(&format!("statistics/{name}")).unwrap_or(0);
    LinkReading {
        name: name.to_owned(),
        mbit: Some(u64::from(link_mbit))
            .filter(|mbit| *mbit > 0)
            .or_else(|| number("speed"))
            .filter(|m| *m > 0),
        received_bytes: counter("rx_bytes"),
        card_lost: counter("rx_missed_errors") + counter("rx_fifo_errors") + counter("rx_over_errors"),
    }
}

fn conntrack() -> Option<(u64, u64)> {
    let number = |name: &str| -> Option<u64> {
        let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    Some((number("count")?, number("max")?))
}

/// Softirq ticks and all ticks of each core.
fn cores(stat: &str) -> Vec<(u64, u64)> {
    let lines = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    lines
        .map(|line| {
            let ticks: Vec<u64> =
                line.split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0)).collect();
            // user nice system idle iowait irq softirq steal; guest is within user
            (ticks.get(6).copied().unwrap_or(0), ticks.iter().take(8).sum())
        })
        .collect()
}

/// The second column of each core, hexadecimal: dropped because the backlog was full.
fn kernel_lost(softnet: &str) -> u64 {
    let column = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    softnet.lines().filter_map(column).sum()
}

/// utime and stime: fields 14 and 15, counted behind the name, which may hold anything but a closing bracket last.
fn own_ticks(stat: &str) -> u64 {
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    behind.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum()
}

fn resident_bytes(statm: &str) -> u64 {
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}

/// What a second showed.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    last: Option<Reading>,
    /// What is full, and for how many readings in a row.
    full: Vec<(String, u32)>,
    view: NodeView,
}

impl Pressure {
    /// Takes the next reading into account.
    pub(super) fn observe(&mut self, now: Reading) {
        if let Some(last) = &self.last {
            let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
            let (view, full) = compare(last, &now, ticks_per_second);
            let before = std::mem::take(&mut self.full);
            let readings = |what: &str| {
                let known = before.iter().find(|(known, _)| same(known, what));
                known.map_or(0, |(_, readings)| *readings).saturating_add(1)
            };
            self.full = full
                .into_iter()
                .map(|what| {
                    let n = readings(&what);
                    (what, n)
                })
                .collect();
            self.view = view;
            self.view.full = self.full().into_iter().map(str::to_owned).collect();
        }
        self.last = Some(now);
    }

    /// The node as people see it.
    pub(super) fn view(&self) -> NodeView {
        self.view.clone()
    }

    /// What has been full for some time, a clause each.
    pub(super) fn full(&self) -> Vec<&str> {
        self.full
            .iter()
            .filter(|(_, readings)| *readings >= READINGS)
            .map(|(what, _)| what.as_str())
            .collect()
    }

    /// What to say of an incident while something is full.
    pub(super) fn beyond(&self, incident: &IncidentView) -> Option<String> {
        let full = self.full();
        (!full.is_empty()).then(|| {
            format!(
                "no rule on this node can help: {}; give your provider: target {}, vector {}, {} packets/s, {} \
                 Mbit/s",
                full.join(", "),
                incident.target,
                shown_vector(incident),
                incident.peak_packets_per_second,
                incident.peak_bits_per_second / 1_000_000,
            )
        })
    }
}

/// Whether two clauses are about the same thing: they begin with its name.
fn same(one: &str, other: &str) -> bool {
    one.split(" is ").next() == other.split(" is ").next()
}

/// The second between two readings, and what was full in it.
fn compare(last: &Reading, now: &Reading, ticks_per_second: u64) -> (NodeView, Vec<String>) {
    let elapsed_ms = now.at.millis_since(last.at).max(1);
    let per_second = |now: u64, last: u64| now.saturating_sub(last).saturating_mul(1_000) / elapsed_ms;
    let mut full = Vec::new();
    let links: Vec<LinkView> = now
        .links
        .iter()
        .map(|link| {
            let before = last.links.iter().find(|before| before.name == link.name).unwrap_or(link);
            let bits = per_second(link.received_bytes, before.received_bytes).saturating_mul(8);
            let lost = per_second(link.card_lost, before.card_lost);
            let fill_percent = link.mbit.map(|mbit| bits / (mbit * 10_000));
            if let (Some(percent), Some(mbit)) = (fill_percent.filter(|p| *p >= FULL_PERCENT), link.mbit) {
                let carried = bits / 1_000_000;
                full.push(format!("{} is {percent} % full ({carried} of {mbit} Mbit/s)", link.name));
            }
            if lost >= LOST_PER_SECOND {
                full.push(format!("the card of {} is losing {lost} packets/s", link.name));
            }
            LinkView {
                name: link.name.clone(),
                mbit: link.mbit,
                received_bits_per_second: bits,
                fill_percent,
                card_lost_packets_per_second: lost,
            }
        })
        .collect();
    let conntrack_percent = now.conntrack.map(|(entries, max)| entries * 100 / max.max(1));
    if let (Some(percent), Some((entries, max))) =
        (conntrack_percent.filter(|percent| *percent >= FULL_PERCENT), now.conntrack)
    {
        full.push(format!("the connection table is {percent} % full ({entries} of {max})"));
    }
    let softirq_percent = busiest_softirq_percent(last, now);
    if softirq_percent >= FULL_PERCENT {
        full.push(format!("a core is {softirq_percent} % busy with receiving"));
    }
    let kernel_lost = per_second(now.kernel_lost, last.kernel_lost);
    if kernel_lost >= LOST_PER_SECOND {
        full.push(format!("the kernel is losing {kernel_lost} packets/s before any rule sees them"));
    }
    let own_ms = now.own_ticks.saturating_sub(last.own_ticks).saturating_mul(1_000) / ticks_per_second;
    let view = NodeView {
        ftagent_cpu_percent: own_ms * 100 / elapsed_ms,
        ftagent_resident_bytes: now.resident_bytes,
        links,
        conntrack_entries: now.conntrack.map(|(entries, _)| entries),
        conntrack_max: now.conntrack.map(|(_, max)| max),
        conntrack_percent,
        busiest_core_softirq_percent: softirq_percent,
        kernel_lost_packets_per_second: kernel_lost,
        full: Vec::new(),
    };
    (view, full)
}

fn busiest_softirq_percent(last: &Reading, now: &Reading) -> u64 {
    let percent = |((softirq, all), (softirq_before, all_before)): (&(u64, u64), &(u64, u64))| {
        softirq.saturating_sub(*softirq_before) * 100 / all.saturating_sub(*all_before).max(1)
    };
    now.cores.iter().zip(&last.cores).map(percent).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at_ms: u64, bytes: u64) -> Reading {
        let link =
            LinkReading { name: "eth0".to_owned(), mbit: Some(100), received_bytes: bytes, card_lost: 0 };
        Reading {
            at: Instant::from_millis(at_ms),
            links: vec![link],
            conntrack: Some((10, 1_000)),
            cores: vec![(0, 0), (0, 0)],
            ..Reading::default()
        }
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let stat =
            "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 10 0 20 70 0 0 5 0 0 0\ncpu1 1 1 1 1 1 1 1 1 1 1\nintr 5\n";
        assert_eq!(cores(stat), [(5, 105), (1, 8)]);
        assert_eq!(kernel_lost("0000a1 0000000f 00 00\n00000002 00000001 00\n"), 16);
        assert_eq!(own_ticks("12 (odd ) name) S 1 2 3 4 5 6 7 8 9 10 70 7 0 0 20"), 77);
        assert_eq!(own_ticks(""), 0);
        assert_eq!(resident_bytes("10 3 1"), 3 * rustix::param::page_size() as u64);
    }

    #[test]
    fn a_second_is_divided_by_the_time_that_passed() {
        // 100 Mbit/s are 12.5 MB a second.
        for (elapsed_ms, bytes, percent) in
            [(1_000, 12_500_000, 100), (2_000, 12_500_000, 50), (500, 5_625_000, 90)]
        {
            let (view, full) = compare(&reading(0, 0), &reading(elapsed_ms, bytes), 100);
            assert_eq!(view.links[0].fill_percent, Some(percent), "{elapsed_ms} ms");
            assert_eq!(!full.is_empty(), percent >= FULL_PERCENT, "{full:?}");
        }
    }

    #[test]
    fn each_thing_that_is_full_is_named() {
        let last = reading(0, 0);
        let mut now = reading(1_000, 0);
        now.conntrack = Some((950, 1_000));
        now.cores = vec![(95, 100), (0, 100)];
        now.kernel_lost = 5_000;
        now.links[0].card_lost = 7_000;
        let (_, full) = compare(&last, &now, 100);
        let all = full.join("; ");
        for part in ["connection table is 95 % full", "core is 95 %", "kernel is losing 5000", "card of eth0"]
        {
            assert!(all.contains(part), "no `{part}` in {all}");
        }
    }

    #[test]
    fn it_is_said_when_it_lasts_and_with_what_to_give_the_provider() {
        let mut pressure = Pressure::default();
        let incident = IncidentView {
            target: "203.0.113.10:25565/tcp".to_owned(),
            family: "syn".to_owned(),
            peak_packets_per_second: 812_000,
            peak_bits_per_second: 400_000_000,
            ..IncidentView::default()
        };
        for (at_ms, bytes, said) in
            [(0, 0, false), (1_000, 12_000_000, false), (2_000, 24_400_000, true), (3_000, 24_500_000, false)]
        {
            pressure.observe(reading(at_ms, bytes));
            let says = pressure.beyond(&incident);
            assert_eq!(says.is_some(), said, "at {at_ms} ms: {says:?}");
            for part in [
                "no rule on this node",
                "eth0 is 99 % full",
                "203.0.113.10:25565/tcp",
                "syn",
                "812000",
                "400",
            ] {
                assert!(says.as_deref().is_none_or(|says| says.contains(part)), "no {part} in {says:?}");
            }
        }
    }
}

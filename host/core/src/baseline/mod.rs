//! What is normal at one service, by hour of the day, and in a form that outlives a restart.
//!
//! What must stay true: quantiles, not means; nothing of an attack or its tail goes in (the caller sees to that); a
//! bounded value, made of numbers only. Whoever writes [`Learnt`] to a file gives the file its version.

mod meter;
mod rates;

use serde::Deserialize;
use serde::Serialize;

pub(crate) use meter::Meter;
pub(crate) use meter::Rate;
pub(crate) use meter::Reading;
pub(crate) use meter::grown;

use crate::service::ServiceKey;
use rates::KBIT_STEPS;
use rates::PACKET_STEPS;
use rates::Rates;

/// Everything that an engine has learnt and would be sorry to lose. At most about one KiB a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// The number of the last incident; the next one counts on from there.
    pub last_incident: u64,
    /// What is normal at each service.
    pub services: Vec<LearntService>,
}

/// What is normal at one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntService {
    /// The service.
    pub service: ServiceKey,
    /// Whole seconds that were learnt from, up to a bound.
    pub(crate) learnt_seconds: u32,
    /// Normal rates of what the engine counts, in parts of a packet, in its own order.
    pub(crate) normal_parts: Vec<u32>,
    /// Settled flows at the peak.
    pub(crate) settled_peak: u32,
    /// For each hour of the day (UTC) the 99th percentile of packets and kbit a second; 0 where nothing is known.
    pub(crate) hours: Vec<(u32, u32)>,
    /// Seconds by packet rate, and by rate in kbit/s, of this hour.
    pub(crate) packets: Vec<(u8, u16)>,
    pub(crate) kbits: Vec<(u8, u16)>,
    /// Packets a second for each served flow.
    pub(crate) per_player_parts: u32,
}

impl LearntService {
    /// Nothing is known of it.
    pub(crate) fn nothing(service: ServiceKey) -> Self {
        Self {
            service,
            learnt_seconds: 0,
            normal_parts: Vec::new(),
            settled_peak: 0,
            hours: Vec::new(),
            packets: Vec::new(),
            kbits: Vec::new(),
            per_player_parts: 0,
        }
    }
}

/// What is normal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Baseline {
    /// This hour, and the one before.
    packets: [Rates<PACKET_STEPS>; 2],
    kbits: [Rates<KBIT_STEPS>; 2],
    hour: u8,
    /// The 99th percentiles of the hours of the day: packets and kbit a second.
    hours: [(u32, u32); 24],
    per_player_parts: u32,
}

/// Seconds after which the running hours say what is normal.
const READY_SECONDS: u32 = 60;
/// An hour of which less is known does not speak for its hour of the day.
const HOUR_SECONDS: u32 = 900;
/// Of 1,000 seconds.
const P99: u32 = 990;
/// Packets for each player are kept in so many parts.
const PARTS: u32 = 64;

impl Baseline {
    /// So many seconds of this rate, in this hour of the day, with so many flows that are served.
    pub(crate) fn learn(&mut self, rate: Rate, seconds: u64, hour: u8, served: u32) {
        self.turn(hour);
        let seconds = seconds.min(u64::from(READY_SECONDS)) as u16;
        self.packets[0].add(rate.pps, seconds);
        self.kbits[0].add(rate.bps / 1_000, seconds);
        if served > 0 {
            let seen = (rate.pps / u64::from(served)).min(u64::from(u32::MAX / PARTS)) as u32 * PARTS;
            let step = (self.per_player_parts / 32).max(PARTS);
            self.per_player_parts = if self.per_player_parts == 0 {
                seen
            } else if seen > self.per_player_parts {
                self.per_player_parts + (step * 9 / 10).min(seen - self.per_player_parts)
            } else {
                self.per_player_parts - (step / 10).min(self.per_player_parts - seen)
            };
        }
    }

    /// Begins another hour.
    fn turn(&mut self, hour: u8) {
        let hour = hour % 24;
        if hour == self.hour {
            return;
        }
        let none = (Rates::default(), Rates::default());
        if self.packets[0].seconds() >= HOUR_SECONDS {
            let here = &mut self.hours[usize::from(self.hour % 24)];
            let packets = self.packets[0].quantile(&none.0, P99);
            let kbits = self.kbits[0].quantile(&none.1, P99);
            *here = (blend(here.0, packets), blend(here.1, kbits));
        }
        self.packets = [none.0, self.packets[0]];
        self.kbits = [none.1, self.kbits[0]];
        self.hour = hour;
    }

    /// Whether enough was seen to say what is normal in this hour of the day.
    pub(crate) fn is_ready(&self, hour: u8) -> bool {
        let seconds = self.packets[0].seconds() + self.packets[1].seconds();
        seconds >= READY_SECONDS || self.hours[usize::from(hour % 24)].0 > 0
    }

    /// The normal upper rate in this hour of the day, if it is known.
    pub(crate) fn normal(&self, hour: u8) -> Option<Rate> {
        if !self.is_ready(hour) {
            return None;
        }
        let (packets, kbits) = self.hours[usize::from(hour % 24)];
        let pps = self.packets[0].quantile(&self.packets[1], P99).max(u64::from(packets));
        let kbps = self.kbits[0].quantile(&self.kbits[1], P99).max(u64::from(kbits));
        Some(Rate { pps, bps: kbps * 1_000 })
    }

    /// Packets a second that a served flow normally sends; `None` if too little is known yet.
    pub(crate) fn per_player_pps(&self) -> Option<u32> {
        let seconds = self.packets[0].seconds() + self.packets[1].seconds();
        (self.per_player_parts > 0 && seconds >= READY_SECONDS)
            .then_some(self.per_player_parts.div_ceil(PARTS))
    }

    /// Writes it into what is kept.
    pub(crate) fn keep(&self, kept: &mut LearntService) {
        kept.hours = self.hours.to_vec();
        kept.packets = self.packets[0].kept();
        kept.kbits = self.kbits[0].kept();
        kept.per_player_parts = self.per_player_parts;
    }

    /// From what was kept, in this hour of the day.
    pub(crate) fn from_kept(kept: &LearntService, hour: u8) -> Self {
        let mut hours = [(0, 0); 24];
        for (hour, kept) in hours.iter_mut().zip(&kept.hours) {
            *hour = *kept;
        }
        Self {
            // Which hour that was is not known any more: it counts as the one before.
            packets: [Rates::default(), Rates::from_kept(&kept.packets)],
            kbits: [Rates::default(), Rates::from_kept(&kept.kbits)],
            hour,
            hours,
            per_player_parts: kept.per_player_parts,
        }
    }
}

/// A new day counts for a quarter, so that one odd day does not make the hour; the first counts whole.
fn blend(before: u32, now: u64) -> u32 {
    let now = u32::try_from(now).unwrap_or(u32::MAX);
    match before {
        0 => now,
        before => ((u64::from(before) * 3 + u64::from(now)) / 4) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(pps: u64) -> Rate {
        Rate { pps, bps: pps * 800 }
    }

    fn normal(baseline: &Baseline, hour: u8) -> u64 {
        baseline.normal(hour).map_or(0, |rate| rate.pps)
    }

    #[test]
    fn b01_one_sample_is_not_enough_and_b02_a_filled_window_is() {
        let mut baseline = Baseline::default();
        baseline.learn(rate(100), 1, 0, 0);
        assert!(!baseline.is_ready(0) && baseline.normal(0).is_none());
        (0..59).for_each(|_| baseline.learn(rate(100), 1, 0, 0));
        assert!(baseline.is_ready(0));
        assert!((100..=130).contains(&normal(&baseline, 0)), "{}", normal(&baseline, 0));
    }

    #[test]
    fn b03_b05_it_is_over_the_last_two_hours_and_follows_up_and_down() {
        let mut baseline = Baseline::default();
        (0..3_600).for_each(|_| baseline.learn(rate(5_000), 1, 0, 0));
        assert!(normal(&baseline, 0) >= 5_000);
        (0..3_600).for_each(|_| baseline.learn(rate(100), 1, 1, 0));
        (0..3_600).for_each(|_| baseline.learn(rate(100), 1, 2, 0));
        assert!(normal(&baseline, 2) <= 130, "{}", normal(&baseline, 2));
        (0..100).for_each(|_| baseline.learn(rate(9_000), 1, 2, 0));
        assert!(normal(&baseline, 2) >= 9_000, "more than 1 per cent of the last hours");
    }

    #[test]
    fn b06_one_per_cent_of_outliers_do_not_move_it() {
        let mut baseline = Baseline::default();
        for second in 0..1_000 {
            baseline.learn(rate(if second % 101 == 100 { 50_000 } else { 300 }), 1, 0, 0);
        }
        assert!(normal(&baseline, 0) <= 400, "{}", normal(&baseline, 0));
    }

    #[test]
    fn b08_a_hundred_thousand_samples_stay_within_a_kibibyte() {
        let mut baseline = Baseline::default();
        for second in 0..100_000u64 {
            baseline.learn(rate(second * 7_919 % 1_000_000), 1, (second / 3_600 % 24) as u8, 3);
        }
        assert!(size_of::<Baseline>() <= 1_024, "{} bytes", size_of::<Baseline>());
    }

    #[test]
    fn b12_an_hour_of_the_day_holds_the_whole_hour_and_comes_back() {
        let mut baseline = Baseline::default();
        for second in 0..3_600 {
            baseline.learn(rate(if second < 300 { 4_000 } else { 100 }), 1, 20, 0);
        }
        (0..7_200).for_each(|second| baseline.learn(rate(50), 1, 21 + (second / 3_600) as u8, 0));
        assert!(normal(&baseline, 22) <= 70);
        assert!(normal(&baseline, 20) >= 4_000, "the first five minutes count too");
        let mut kept = LearntService::nothing(ServiceKey {
            ip: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            port: 1,
            transport: crate::service::Transport::Udp,
        });
        baseline.keep(&mut kept);
        let back = Baseline::from_kept(&kept, 22);
        assert_eq!(normal(&back, 20), normal(&baseline, 20));
        assert!(normal(&back, 22) <= 70);
    }
}

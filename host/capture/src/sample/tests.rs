//! The sampler over described traffic; the key is fixed, so every run is the same.

use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;

use super::*;

type Fixed = BuildHasherDefault<DefaultHasher>;

fn udp(source: u32, source_port: u16) -> [u8; 28] {
    let mut packet = [0_u8; 28];
    packet[0] = 0x45;
    packet[9] = 17;
    packet[12..16].copy_from_slice(&source.to_be_bytes());
    packet[16..20].copy_from_slice(&[203, 0, 113, 10]);
    packet[20..22].copy_from_slice(&source_port.to_be_bytes());
    packet[22..24].copy_from_slice(&25565_u16.to_be_bytes());
    packet
}

/// Sends so many packets a second for a second; what was kept, and how many packets it stands for.
fn second(
    sampler: &mut Sampler<Fixed>,
    start_s: u64,
    packets: u64,
    source: impl Fn(u64) -> u32,
) -> (u64, u64) {
    let (mut kept, mut stands_for) = (0, 0);
    for packet in 0..packets {
        let at = Instant::from_micros(start_s * 1_000_000 + packet * 1_000_000 / packets);
        if let Some(rate) = sampler.keep(at, Link::RawIp, &udp(source(packet), 4000)) {
            kept += 1;
            stands_for += u64::from(rate);
        }
    }
    (kept, stands_for)
}

#[track_caller]
fn check(packets: u64, tolerance: f64, source: impl Fn(u64) -> u32) {
    let mut sampler = Sampler::new(10_000, Fixed::default());
    second(&mut sampler, 0, packets, &source);
    let (kept, stands_for) = second(&mut sampler, 1, packets, &source);
    assert!(kept <= 13_000, "{kept} of {packets} kept on a budget of 10,000");
    let share = stands_for as f64 / packets as f64;
    assert!((share - 1.0).abs() < tolerance, "{kept} packets stand for {stands_for} of {packets}");
}

#[test]
fn weights_add_up_under_forged_sources() {
    check(300_000, 0.1, |packet| packet as u32 ^ 0x0a00_0000);
}

#[test]
fn weights_add_up_under_one_source() {
    check(300_000, 0.1, |_| 0x0a00_0001);
}

#[test]
fn weights_add_up_under_a_hundred_sources() {
    // A fifth of these packets is chosen by flow, and 3 of the 100 flows more or less make the difference.
    check(300_000, 0.25, |packet| 0x0a00_0000 + (packet % 100) as u32);
}

#[test]
fn below_the_budget_all_are_kept() {
    let mut sampler = Sampler::new(10_000, Fixed::default());
    assert_eq!(second(&mut sampler, 0, 9_000, |packet| packet as u32), (9_000, 9_000));
    assert_eq!(sampler.sampled_away(), 0);
}

#[test]
fn the_rate_comes_back_after_a_flood() {
    let mut sampler = Sampler::new(10_000, Fixed::default());
    second(&mut sampler, 0, 500_000, |packet| packet as u32);
    assert!(sampler.rate() >= 32);
    second(&mut sampler, 1, 1_000, |packet| packet as u32);
    let (kept, _) = second(&mut sampler, 2, 1_000, |packet| packet as u32);
    assert_eq!((kept, sampler.rate()), (1_000, 1));
}

#[test]
fn a_quiet_flow_is_kept_or_left_out_as_a_whole() {
    let mut sampler = Sampler::new(10_000, Fixed::default());
    second(&mut sampler, 0, 80_000, |packet| packet as u32);
    let rate = sampler.rate();
    assert_eq!(rate, 8);
    for source in 0..200 {
        let at = Instant::from_micros(999_990);
        let kept = [(); 4].map(|()| sampler.keep(at, Link::RawIp, &udp(source, 9)).is_some());
        assert!(kept.iter().all(|one| *one == kept[0]), "flow {source}: {kept:?}");
    }
}

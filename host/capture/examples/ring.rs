//! How many packets a second go through the ring, on a virtual cable in two namespaces of its own.
//!
//! `cargo run --release -p ftagent-capture --example ring [seconds]`, as root; at most 10 seconds. One thread
//! sends UDP as fast as it can (which is slower than the ring), one reads. The figure that matters is the
//! reader's time for each frame.

#[path = "../tests/rig/mod.rs"]
mod rig;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use ftagent_capture::CapturePlan;
use ftagent_capture::LiveCapture;
use ftagent_capture::Options;
use ftagent_capture::interfaces;
use ftagent_core::frame::Frame;
use nix::time::ClockId;
use nix::time::clock_gettime;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3).clamp(1, 10);
    let rig = rig::Rig::new();
    println!(
        "{:<24} {:>10} {:>10} {:>10} {:>12} {:>14}",
        "", "sent/s", "seen/s", "lost/s", "left out/s", "reader ns/frame"
    );
    for (name, packets_per_second_max) in [("all", u32::MAX), ("budget 20,000 a second", 20_000)] {
        run(&rig, name, packets_per_second_max, Duration::from_secs(seconds));
    }
}

fn run(rig: &rig::Rig, name: &str, packets_per_second_max: u32, length: Duration) {
    let own = vec![rig::NODE_V4.parse().expect("an address")];
    let plan = CapturePlan { own, ..CapturePlan::default() };
    let options = Options { packets_per_second_max, ..Options::default() };
    let mut live = rig::inside(&rig.node, || {
        let interface = interfaces::by_name("up0").expect("the rig made it");
        LiveCapture::open(&[interface], &plan, options).expect("open, as root")
    });
    let _held = rig.udp(true, &format!("{}:27015", rig::NODE_V4));
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut seen, mut bytes) = (0_u64, 0_u64);
    let mut spent = Duration::ZERO;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let socket = rig.udp(false, "0.0.0.0:0");
            socket.connect((rig::NODE_V4, 27015)).expect("connect");
            while !stop.load(Ordering::Relaxed) {
                // A refused packet is sent again; the count is of what the kernel took.
                sent.fetch_add(u64::from(socket.send(&[7; 64]).is_ok()), Ordering::Relaxed);
            }
        });
        let start = Instant::now();
        let mut drained = false;
        // Half a second past the last packet all are handed over, also on a busy machine.
        while !drained {
            if start.elapsed() >= length {
                stop.store(true, Ordering::Relaxed);
                drained = start.elapsed() >= length + Duration::from_millis(500);
            }
            let before = thread_time();
            let mut each = |frame: &Frame<'_>| {
                seen += 1;
                bytes += frame.bytes.len() as u64;
            };
            let end = live.next_block(Duration::from_millis(20), &mut each).expect("read");
            spent += thread_time() - before;
            drained &= !end.more;
        }
    });
    let losses = live.losses();
    let sent = sent.into_inner();
    let walked = seen + losses.sampled_away;
    assert!(walked + losses.ring_full >= sent, "a packet is neither seen nor counted as lost");
    let rate = |packets: u64| (packets as f64 / length.as_secs_f64()).round();
    println!(
        "{name:<24} {:>10} {:>10} {:>10} {:>12} {:>14.1}",
        rate(sent),
        rate(seen),
        rate(losses.ring_full),
        rate(losses.sampled_away),
        spent.as_nanos() as f64 / walked.max(1) as f64,
    );
    assert!(bytes > 0, "frames have bytes");
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("this clock exists on every Linux").into()
}

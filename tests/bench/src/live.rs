//! Live capture on a virtual cable between two namespaces of a lab that is made for it and removed: of a bounded
//! flood of forged packets, everything that arrived was judged or is counted as lost with its reason.
//!
//! What arrived is counted by a rule of the lab's own in the node's namespace, not by what is measured.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use ftagent_capture::CapturePlan;
use ftagent_capture::LiveCapture;
use ftagent_capture::Losses;
use ftagent_capture::Options;
use ftagent_capture::interfaces;
use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Run;
use ftagent_core::count::Counts;
use ftagent_core::effect::Effects;
use ftagent_core::frame::Passage;
use ftagent_lab::Attack;
use ftagent_lab::Lab;
use ftagent_lab::Meter;
use ftagent_lab::attack::Vector;
use ftagent_sandbox::Plugin;

use crate::clock::thread_time;
use crate::figure::Figure;
use crate::plugins;
use crate::plugins::Seats;
use crate::snap;
use crate::traffic;

const GROUP: &str = "live";
const WAIT: Duration = Duration::from_millis(10);
/// How long after the last packet everything is surely handed over, also on a busy machine.
const AFTER: Duration = Duration::from_millis(500);
const BEDROCK: u16 = 19_132;

/// One flood and how it is captured.
struct Setting {
    name: &'static str,
    packets: u64,
    seconds: u64,
    packets_per_second: u64,
    options: Options,
    /// The reader stands still so long after each block: it must lose packets, and must count them.
    pause: Duration,
}

/// What came of it.
struct Outcome {
    sent: u64,
    arrived: u64,
    handed_in: u64,
    handed_out: u64,
    counts: Counts,
    losses: Losses,
    processor_share: f64,
    no_opinion: u64,
}

pub(crate) fn measure() -> anyhow::Result<Vec<Figure>> {
    let loaded = plugins::load(None)?;
    let settings = [
        Setting {
            name: "flood of 100,000/s, as the agent captures",
            packets: 500_000,
            seconds: 5,
            packets_per_second: 100_000,
            options: Options::default(),
            pause: Duration::ZERO,
        },
        Setting {
            name: "the same, 20,000/s allowed",
            packets: 200_000,
            seconds: 2,
            packets_per_second: 100_000,
            options: Options { packets_per_second_max: 20_000, ..Options::default() },
            pause: Duration::ZERO,
        },
        Setting {
            name: "the same, ring of 512 KiB and a reader that sleeps",
            packets: 200_000,
            seconds: 2,
            packets_per_second: 100_000,
            options: Options {
                block_bytes: 128 * 1024,
                ingress_blocks: 4,
                egress_blocks: 4,
                ..Options::default()
            },
            pause: Duration::from_millis(50),
        },
    ];
    let mut figures = Vec::new();
    for setting in settings {
        figures.extend(show(&setting, &flood(&setting, &loaded)?));
    }
    Ok(figures)
}

fn show(setting: &Setting, outcome: &Outcome) -> Vec<Figure> {
    let Outcome { losses, counts, .. } = outcome;
    let ring_full_in = losses.ring_full - losses.egress_ring_full;
    let accounted = outcome.handed_in + ring_full_in + losses.sampled_away + losses.damaged;
    let silent = outcome.arrived.abs_diff(accounted);
    // What was handed to the engine and is in none of its counters.
    let sum = counts.malformed
        + counts.unmatched
        + counts.replies
        + counts.genuine
        + counts.hostile
        + counts.unknown;
    let silent = silent + (outcome.handed_in + outcome.handed_out).abs_diff(sum);
    let note = format!(
        "sent {}, arrived {}, judged {}, ring full {ring_full_in}, sampled away {}, damaged {}, malformed {}, without \
         opinion {} batches; {} packets out",
        outcome.sent,
        outcome.arrived,
        counts.genuine + counts.hostile + counts.unknown,
        losses.sampled_away,
        losses.damaged,
        counts.malformed,
        outcome.no_opinion,
        outcome.handed_out,
    );
    vec![
        Figure::new(GROUP, setting.name, "silent", silent as f64).at_most(0.0).note(note),
        Figure::new(GROUP, "  processor time of its thread", "% of a core", outcome.processor_share * 100.0),
    ]
}

fn flood(setting: &Setting, loaded: &[Arc<Plugin>]) -> anyhow::Result<Outcome> {
    let lab = Lab::new()?;
    let meter = Meter::install(&lab.node().path())?;
    let before = meter.read()?.attackers;
    let conversations = traffic::conversations()?;
    let services = traffic::services(&conversations);
    let node = IpAddr::V4(traffic::SERVER);
    let bytes = snap(loaded);
    let per_port = conversations.iter().flat_map(|talk| {
        (0..traffic::SERVERS).map(|server| (talk.port + server * 10, (bytes(talk.game) - 128) as u16))
    });
    let plan = CapturePlan { own: vec![node], per_port: per_port.collect(), ..CapturePlan::default() };
    let options = setting.options;
    let mut capture = lab.node().within(move || {
        let uplink = interfaces::by_name("uplink")?;
        LiveCapture::open(&[uplink], &plan, options)
    })??;
    let mut engine =
        Engine::new(EngineConfig { seed: 7, ..EngineConfig::default() }, plugins::roster(loaded), services);
    let mut seats = Seats::new(loaded)?;
    let (mut effects, mut run) = (Effects::default(), Run::default());
    let (mut handed_in, mut handed_out) = (0, 0);
    let (packets, seconds) = (setting.packets, Duration::from_secs(setting.seconds));
    let running = Attack::new(Vector::RakNetPing, SocketAddr::new(node, BEDROCK))
        .packets(packets)
        .lasting(seconds)
        .per_second(setting.packets_per_second)
        .start(&lab)?;
    let (begun, spent_before) = (Instant::now(), thread_time());
    let mut processor_share = 0.0;
    while begun.elapsed() < seconds + AFTER {
        let end = capture.next_block(WAIT, &mut |frame| {
            let count = if frame.passage == Passage::Ingress { &mut handed_in } else { &mut handed_out };
            *count += 1;
            run.hold(frame);
            if run.is_full() {
                seats.take(&mut engine, &mut run, &mut effects);
            }
        })?;
        seats.take(&mut engine, &mut run, &mut effects);
        seats.answer_pending(&mut engine, end.now, &mut effects);
        engine.tick(end.now, &mut effects);
        effects.asked.clear();
        if begun.elapsed() < seconds {
            std::thread::sleep(setting.pause);
            processor_share = (thread_time() - spent_before).as_secs_f64() / begun.elapsed().as_secs_f64();
        }
    }
    let sent = running.finish().context("the flood failed")?.packets;
    Ok(Outcome {
        sent,
        arrived: meter.read()?.attackers - before,
        handed_in,
        handed_out,
        counts: engine.counts(),
        losses: capture.losses(),
        processor_share,
        no_opinion: seats.failed,
    })
}

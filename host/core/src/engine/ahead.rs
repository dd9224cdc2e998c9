//! Reading ahead: what the packets of a run will need of the tables is fetched before the first of them is taken.
//!
//! Nothing is changed and nothing is decided here, so a run gives what its frames would give one by one. The fetches
//! are plain reads in loops of their own, whose results nobody waits for: so the processor has many of them under way
//! at once.

use std::hint::black_box;

use super::Engine;
use crate::effect::Effects;
use crate::frame::Passage;
use crate::limits;
use crate::run::Route;
use crate::run::Run;
use crate::source::SourceKey;
use crate::table::Likely;
use crate::table::Spot;
use crate::wire;
use crate::wire::Packet;

/// Where a packet's flow and source belong.
#[derive(Clone, Copy, Default)]
struct Wanted {
    flow: Spot,
    source: Spot,
    /// What the set of the flow tells.
    likely: Likely,
}

impl Engine {
    /// Reads what the frames of a run will need. Called once, before [`Self::run`].
    pub fn look_ahead(&self, run: &mut Run) {
        run.routes.clear();
        for start in (0..run.len()).step_by(limits::RUN_FRAMES) {
            self.look_at(run, start);
        }
    }

    /// Takes the frames of a run from number `from` on, until a batch must be answered or the run is at its end; a
    /// single one while a recorder is told of each. Returns the number of the next frame.
    pub fn run(&mut self, run: &Run, from: usize, effects: &mut Effects) -> usize {
        for number in from..run.len() {
            let Some(frame) = run.frame(number) else { break };
            self.accept(&frame, run.routes.get(number).copied().flatten(), effects);
            if self.due || self.tap.is_some() {
                return number + 1;
            }
        }
        run.len()
    }

    fn look_at(&self, run: &mut Run, start: usize) {
        let mut wanted = [Wanted::default(); limits::RUN_FRAMES];
        let mut count = 0;
        for number in start..(start + limits::RUN_FRAMES).min(run.len()) {
            let Some(frame) = run.frame(number) else { break };
            let packet = wire::read(&frame).ok().flatten();
            let found = packet.and_then(|packet| self.route(frame.passage, &packet));
            if let Some((_, Some(want))) = found {
                wanted[count] = want;
                count += 1;
            }
            run.routes.push(found.map(|(route, _)| route));
        }
        self.fetch(&mut wanted[..count]);
    }

    /// Whose packet it is, if the service table alone tells, and where its flow and source belong.
    fn route(&self, passage: Passage, packet: &Packet<'_>) -> Option<(Route, Option<Wanted>)> {
        let way = self.way_by_table(passage, packet).ok()?;
        let route = |flow| Route { way, flow, table: self.table };
        let Some((key, site)) = way.flow_key(packet) else { return Some((route(Spot::default()), None)) };
        let flow = self.flows.spot(&key);
        let home = self.sites[site as usize].home;
        let source = self.sources.spot(&SourceKey { client: key.client, site: home });
        Some((route(flow), Some(Wanted { flow, source, likely: Likely::Free })))
    }

    fn fetch(&self, wanted: &mut [Wanted]) {
        let mut sum = 0;
        for want in wanted.iter() {
            sum ^= self.flows.read_set(want.flow);
        }
        for want in wanted.iter_mut() {
            want.likely = self.flows.likely(want.flow);
            sum ^= match want.likely {
                Likely::Found(slot) => self.flows.read_entry(slot),
                Likely::Room(slot) => self.flows.read_entry(slot) ^ self.sources.read_set(want.source),
                Likely::Free => self.sources.read_set(want.source),
            };
        }
        for want in wanted.iter() {
            let source_of =
                |slot| self.flows.at(slot).map_or(0, |flow| self.sources.read_entry(flow.source.slot));
            sum ^= match want.likely {
                Likely::Found(slot) => source_of(slot),
                // Whoever makes room is overwritten, and its source told.
                Likely::Room(slot) => {
                    source_of(slot) ^ self.flows.read_rest(slot) ^ self.read_source(want.source)
                }
                Likely::Free => self.read_source(want.source),
            };
        }
        black_box(sum);
    }

    fn read_source(&self, spot: Spot) -> u32 {
        match self.sources.likely(spot) {
            Likely::Found(slot) => self.sources.read_entry(slot),
            Likely::Room(slot) => self.sources.read_entry(slot) ^ self.sources.read_rest(slot),
            Likely::Free => 0,
        }
    }
}

//! Time that other processes cannot take away, and samples of it.

use std::time::Duration;
use std::time::Instant;

use rustix::time::ClockId;
use rustix::time::clock_gettime;

/// Processor time of the calling thread.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What was measured several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The sample in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }
}

/// Measures several ways of doing the same by turns, so that what disturbs the machine disturbs all of them: so many
/// rounds, each way for at least `sample` in each. Gives nanoseconds of processor time a call.
pub(crate) fn by_turns<E>(
    rounds: u32,
    sample: Duration,
    ways: &mut [&mut dyn FnMut() -> Result<(), E>],
) -> Result<Vec<Samples>, E> {
    let mut samples = vec![Samples::default(); ways.len()];
    // The first round warms caches and is not counted.
    for round in 0..=rounds {
        for (way, samples) in ways.iter_mut().zip(&mut samples) {
            let (wall, begin, mut calls) = (Instant::now(), thread_time(), 0_u32);
            while wall.elapsed() < sample {
                for _ in 0..16 {
                    way()?;
                }
                calls += 16;
            }
            if round > 0 {
                samples.add((thread_time() - begin).as_nanos() as f64 / f64::from(calls));
            }
        }
    }
    Ok(samples)
}

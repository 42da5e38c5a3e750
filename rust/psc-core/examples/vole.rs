//! The phases of a silent VOLE in milliseconds, both parties one after another in one process: one JSON object a round.
//!
//! `vole OUTPUTS ROUNDS [malicious]`; `PSC_THREADS=1` for one core a party.

use std::time::Instant;

use psc_core::rng::Rng;
use psc_core::vole::{Kernels, Mode, Parameters, Receiver, Sender};

struct Clock(Vec<(&'static str, f64)>);

impl Clock {
    fn time<R>(&mut self, phase: &'static str, work: impl FnOnce() -> psc_core::Result<R>) -> psc_core::Result<R> {
        let started = Instant::now();
        let result = work();
        self.0.push((phase, started.elapsed().as_secs_f64() * 1e3));
        result
    }
}

fn round(kernels: Kernels, parameters: Parameters) -> psc_core::Result<Clock> {
    let mut clock = Clock(Vec::new());
    let mut rng = Rng::system()?;
    let mut name = [0; 32];
    rng.fill(&mut name);
    let (sender, message) = clock.time("sender_start", || Sender::start(kernels, &name, parameters, &mut rng))?;
    let (receiver, message) =
        clock.time("receiver_start", || Receiver::start(kernels, &name, parameters, &message, &mut rng))?;
    let (mut punctured, message) = clock.time("sender_puncture", || sender.puncture(&message, &mut rng))?;
    let expanded = clock.time("receiver_expand", || receiver.expand(&message, &mut rng))?;
    let mut answer = None;
    if let Some(challenge) = expanded.challenge() {
        answer = Some(clock.time("sender_answer", || punctured.answer(challenge))?);
    }
    clock.time("sender_finish", || punctured.finish())?;
    clock.time("receiver_finish", || expanded.finish(answer.as_deref()))?;
    Ok(clock)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [outputs, rounds, mode @ ..] = arguments.as_slice() else {
        return Err("usage: vole OUTPUTS ROUNDS [malicious]".into());
    };
    let mode = if mode.is_empty() { Mode::SemiHonest } else { Mode::Malicious };
    let parameters = Parameters::new(outputs.parse()?, mode)?;
    let kernels = Kernels::selected()?;
    for _ in 0..rounds.parse()? {
        let phases = round(kernels, parameters)?.0;
        let total = |party: &str| phases.iter().filter(|(name, _)| name.starts_with(party)).map(|(_, ms)| ms).sum();
        let totals: [(&str, f64); 2] = [("sender", total("sender")), ("receiver", total("receiver"))];
        let fields: Vec<String> =
            phases.iter().chain(&totals).map(|(name, ms)| format!("\"{name}\": {ms:.2}")).collect();
        println!("{{{}}}", fields.join(", "));
    }
    Ok(())
}

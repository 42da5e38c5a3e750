//! The phases of a silent VOLE, both parties one after another in one process: a JSON object a round, with milliseconds of
//! wall time and of processor time (of all threads; Linux only, elsewhere 0) a phase and a party.
//!
//! `vole OUTPUTS ROUNDS [malicious]`; `PSC_THREADS=1` for one core a party.

use std::time::Instant;

use psc_core::rng::Rng;
use psc_core::vole::{Kernels, Mode, Parameters, Receiver, Sender};

/// Phase, wall and processor milliseconds.
struct Clock(Vec<(&'static str, [f64; 2])>);

/// Milliseconds that this process's threads have run.
fn processor() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let statistics = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    statistics.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e6
}

impl Clock {
    fn time<R>(&mut self, phase: &'static str, work: impl FnOnce() -> psc_core::Result<R>) -> psc_core::Result<R> {
        let (started, before) = (Instant::now(), processor());
        let result = work();
        self.0.push((phase, [started.elapsed().as_secs_f64() * 1e3, processor() - before]));
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
        let mut phases = round(kernels, parameters)?.0;
        for party in ["sender", "receiver"] {
            let own = phases.iter().filter(|(name, _)| name.starts_with(party));
            let total = own.fold([0.0; 2], |sum, (_, times)| [sum[0] + times[0], sum[1] + times[1]]);
            phases.push((party, total));
        }
        let fields = phases.iter().map(|(name, [wall, cpu])| format!("\"{name}\": [{wall:.2}, {cpu:.2}]"));
        println!("{{{}}}", fields.collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

//! The phases of a whole vole-psi in memory: `vole_psi_speed [KEYS [ROUNDS [malicious]]]`, one JSON line a round.
//!
//! Both parties run one after the other in one process, without network; `PSC_THREADS=1` gives each one thread. Half of
//! the items are common. The result is checked.

use std::time::Instant;

use psc_core::Result;
use psc_core::items::Items;
use psc_core::rng::Rng;
use psc_core::vole::{self, Kernels, Mode};
use psc_core::vole_psi::{Parameters, Receiver, Sender};

const PIECE_ELEMENTS: usize = 1 << 14;

#[derive(Default)]
struct Clock {
    phases: Vec<(&'static str, f64)>,
    sent: [usize; 2],
}

impl Clock {
    fn time<R>(&mut self, phase: &'static str, work: impl FnOnce() -> Result<R>) -> Result<R> {
        let started = Instant::now();
        let result = work();
        let seconds = started.elapsed().as_secs_f64();
        match self.phases.iter_mut().find(|(name, _)| *name == phase) {
            Some((_, sum)) => *sum += seconds,
            None => self.phases.push((phase, seconds)),
        }
        result
    }
}

fn items(first: usize, count: usize) -> Result<Items> {
    let texts: Vec<String> = (first..first + count).map(|index| format!("customer {index:023}")).collect();
    Items::from_slices(texts.iter().map(String::as_bytes))
}

fn round(parameters: Parameters, mode: Mode, own: &Items, others: &Items) -> Result<Clock> {
    let mut clock = Clock::default();
    let (kernels, mut rng) = (Kernels::selected()?, Rng::system()?);
    let mut name = [0; 32];
    rng.fill(&mut name);

    let outputs = vole::Parameters::new(parameters.columns(), mode)?;
    let (sender, message) = clock.time("sender vole", || vole::Sender::start(kernels, &name, outputs, &mut rng))?;
    clock.sent[1] += message.len();
    let (receiver, message) =
        clock.time("receiver vole", || vole::Receiver::start(kernels, &name, outputs, &message, &mut rng))?;
    clock.sent[0] += message.len();
    let (mut punctured, message) = clock.time("sender vole", || sender.puncture(&message, &mut rng))?;
    clock.sent[1] += message.len();
    let expanded = clock.time("receiver vole", || receiver.expand(&message, &mut rng))?;
    let mut answer = None;
    if let Some(challenge) = expanded.challenge() {
        answer = Some(clock.time("sender vole", || punctured.answer(challenge))?);
    }
    let shares = clock.time("sender vole", || punctured.finish())?;
    let vectors = clock.time("receiver vole", || expanded.finish(answer.as_deref()))?;

    let mut sender = Sender::new(&name, parameters, shares, &mut rng)?;
    let commitment = sender.commitment();
    let commitment = commitment.as_ref().map(|commitment| &commitment[..]);
    let mut receiver = Receiver::new(&name, parameters, commitment, &mut rng)?;
    clock.time("receiver encode", || receiver.encode(own, vectors))?;
    clock.time("sender hash", || sender.hash(receiver.seed(), others))?;
    for start in (0..parameters.columns()).step_by(PIECE_ELEMENTS) {
        let stop = parameters.columns().min(start + PIECE_ELEMENTS);
        let piece = clock.time("receiver write", || receiver.masked(start, stop))?;
        clock.sent[0] += piece.len();
        clock.time("sender absorb", || sender.absorb(&piece))?;
    }
    let opening = receiver.mask().map(|mask| sender.open(&mask)).transpose()?;
    let opening = opening.as_ref().map(|opening| &opening[..]);
    let (tags, _) = clock.time("sender tags", || sender.finish()?.sorted_tags())?;
    clock.sent[1] += tags.len();
    let found = clock.time("receiver find", || receiver.finish(opening)?.find(&[&tags]))?;
    assert_eq!(found.iter().filter(|&&at| at >= 0).count(), own.len().div_ceil(2), "half of the items");
    Ok(clock)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (keys, rounds) = (number(0, 1 << 20), number(1, 3));
    let mode = if arguments.get(2).is_some() { Mode::Malicious } else { Mode::SemiHonest };
    let (own, others) = (items(0, keys)?, items(keys / 2, keys)?);
    let parameters = Parameters::new(keys, keys, mode)?;
    for _ in 0..rounds {
        let clock = round(parameters, mode, &own, &others)?;
        let total = |party: &str| -> f64 {
            clock.phases.iter().filter(|(phase, _)| phase.starts_with(party)).map(|(_, seconds)| seconds).sum()
        };
        let phases: Vec<String> =
            clock.phases.iter().map(|(phase, seconds)| format!("\"{phase}\": {seconds:.4}")).collect();
        println!(
            "{{\"keys\": {keys}, {}, \"sender\": {:.4}, \"receiver\": {:.4}, \"bytes_to_sender\": {}, \
             \"bytes_to_receiver\": {}}}",
            phases.join(", "),
            total("sender"),
            total("receiver"),
            clock.sent[0],
            clock.sent[1]
        );
    }
    Ok(())
}

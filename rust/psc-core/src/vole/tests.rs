use super::kernels::Kernels;
use super::*;
use crate::backend;
use crate::error::{Error, Result};
use crate::gf128;
use crate::rng::Rng;
use crate::simd::Simd;

const NAME: &[u8] = b"session of the tests";

fn all_kernels() -> Vec<Kernels> {
    let groups = backend::Kind::available();
    Simd::available()
        .into_iter()
        .enumerate()
        .map(|(index, simd)| Kernels { backend: groups[index.min(groups.len() - 1)].get(), simd })
        .collect()
}

/// Alters the messages of a run on their way: number, bytes.
type Alter<'a> = &'a dyn Fn(usize, &mut Vec<u8>);

struct Outcome {
    shares: sender::Shares,
    vectors: receiver::Vectors,
    messages: Vec<Vec<u8>>,
}

fn run(kernels: Kernels, outputs: usize, mode: Mode, alter: Alter<'_>) -> Result<Outcome> {
    let parameters = Parameters::new(outputs, mode).unwrap();
    let (mut s_rng, mut r_rng) = (Rng::insecure_from_seed(b"sender"), Rng::insecure_from_seed(b"receiver"));
    let mut messages = Vec::new();
    let mut pass = |mut message: Vec<u8>| {
        alter(messages.len(), &mut message);
        messages.push(message.clone());
        message
    };
    let (sender, message) = Sender::start(kernels, NAME, parameters, &mut s_rng)?;
    let (receiver, message) = Receiver::start(kernels, NAME, parameters, &pass(message), &mut r_rng)?;
    let (mut punctured, message) = sender.puncture(&pass(message), &mut s_rng)?;
    let expanded = receiver.expand(&pass(message), &mut r_rng)?;
    let answer = match expanded.challenge() {
        Some(challenge) => {
            let answer = punctured.answer(&pass(challenge.to_vec()))?;
            Some(pass(answer))
        }
        None => None,
    };
    let vectors = expanded.finish(answer.as_deref())?;
    Ok(Outcome { shares: punctured.finish()?, vectors, messages })
}

fn fits(outcome: &Outcome) -> bool {
    let mut sums = outcome.shares.shares.to_vec();
    gf128::multiply_add(Simd::selected().unwrap(), &mut sums, &outcome.vectors.factors, *outcome.shares.delta);
    sums == *outcome.vectors.products
}

#[test]
fn vectors_fit_in_every_size_and_mode() {
    for kernels in all_kernels() {
        for outputs in [1, 2, 1 << 10, 8896, 8897, (1 << 14) + 5, 1 << 16] {
            for mode in [Mode::SemiHonest, Mode::Malicious] {
                let outcome = run(kernels, outputs, mode, &|_, _| ()).unwrap();
                assert!(fits(&outcome), "{outputs}, {mode:?}, {:?}", kernels.simd);
                assert_eq!(outcome.vectors.factors.len(), outputs);
                assert_eq!(outcome.shares.shares.len(), outputs);
                // No output is left without noise, and none repeats.
                let mut factors = outcome.vectors.factors.to_vec();
                factors.sort_unstable();
                factors.dedup();
                assert_eq!((factors.len(), factors.contains(&0)), (outputs, false));
            }
        }
    }
}

#[test]
fn large_vectors_fit() {
    let kernels = Kernels::selected().unwrap();
    for mode in [Mode::SemiHonest, Mode::Malicious] {
        assert!(fits(&run(kernels, 1 << 20, mode, &|_, _| ()).unwrap()));
    }
    // Several codes.
    let outputs = (1 << 21) + 1;
    let outcome = run(kernels, outputs, Mode::Malicious, &|_, _| ()).unwrap();
    assert!(fits(&outcome) && outcome.shares.shares.len() == outputs);
}

#[test]
fn lengths_are_public_and_backends_agree() {
    for mode in [Mode::SemiHonest, Mode::Malicious] {
        let outcomes: Vec<Outcome> =
            all_kernels().into_iter().map(|kernels| run(kernels, 9000, mode, &|_, _| ()).unwrap()).collect();
        let layout = Parameters::new(9000, mode).unwrap().layout();
        let lengths: Vec<usize> = outcomes[0].messages.iter().map(Vec::len).collect();
        let expected = [
            base_ot::CHOICE_BYTES,
            layout.extension_bytes(),
            layout.puncture_bytes(),
            check::CHALLENGE_BYTES,
            check::ANSWER_BYTES,
        ];
        assert_eq!(lengths, expected[..if mode == Mode::Malicious { 5 } else { 3 }]);
        for outcome in &outcomes[1..] {
            assert!(outcome.messages == outcomes[0].messages);
            assert!(*outcome.vectors.products == *outcomes[0].vectors.products);
            assert!(*outcome.shares.shares == *outcomes[0].shares.shares);
        }
    }
}

#[test]
fn known_answer() {
    let outcome = run(Kernels::selected().unwrap(), 9000, Mode::Malicious, &|_, _| ()).unwrap();
    let transcript = outcome.messages.concat();
    let mut bytes = Vec::new();
    gf128::append(&mut bytes, outcome.vectors.products.iter().copied());
    gf128::append(&mut bytes, outcome.shares.shares.iter().copied());
    use sha2::Digest as _;
    let hex =
        |bytes: &[u8]| sha2::Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!([hex(&transcript), hex(&bytes)], ["ff0cd2e38c12d4a3", "84e0e5dcccc5ba8e"]);
}

/// One altered byte of any message ends a malicious-mode run with an error. The one exception changes nothing: of the
/// two sums of a level, that which the receiver does not take.
#[test]
fn altered_messages_abort() {
    let kernels = Kernels::selected().unwrap();
    let honest = run(kernels, 100, Mode::Malicious, &|_, _| ()).unwrap();
    let blocks = 2 * Parameters::new(100, Mode::Malicious).unwrap().layout().instances[0].depth + 1;
    let (mut noticed, mut without_effect) = (0, 0);
    for (number, length) in honest.messages.iter().map(Vec::len).enumerate() {
        let step = (length / if number == 2 { 200 } else { 12 }).max(1) | 1;
        for at in (0..length).step_by(step).chain([length - 1]) {
            let altered = run(kernels, 100, Mode::Malicious, &|which, bytes| {
                if which == number {
                    bytes[at] ^= 0x10;
                }
            });
            let of_a_level = number == 2 && at / 16 % blocks != blocks - 1;
            match altered {
                Err(Error::Inconsistent { .. } | Error::InvalidElement { .. }) => noticed += i32::from(of_a_level),
                Ok(outcome) if of_a_level => {
                    without_effect += 1;
                    assert!(fits(&outcome) && *outcome.vectors.factors == *honest.vectors.factors);
                }
                other => panic!("message {number}, byte {at}: {:?}", other.err()),
            }
        }
        for change in [-1, 1] {
            let refused = run(kernels, 100, Mode::Malicious, &|which, bytes| {
                if which == number {
                    bytes.resize(bytes.len().saturating_add_signed(change), 0);
                }
            });
            assert!(matches!(refused.err(), Some(Error::MessageLength { .. })), "message {number}");
        }
    }
    assert!(noticed > 50 && without_effect > 50, "{noticed}, {without_effect}");
}

/// Without the check a wrong tree goes unnoticed, so the test above tests the check.
#[test]
fn semi_honest_mode_does_not_notice() {
    let outcome = run(Kernels::selected().unwrap(), 100, Mode::SemiHonest, &|which, bytes| {
        if which == 2 {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
    });
    assert!(!fits(&outcome.unwrap()));
}

#[test]
fn sessions_and_parameters_are_bound() {
    let kernels = Kernels::selected().unwrap();
    let parameters = Parameters::new(64, Mode::Malicious).unwrap();
    let other = Parameters::new(65, Mode::Malicious).unwrap();
    for (name, parameters_there) in [(b"another session name".as_slice(), parameters), (NAME, other)] {
        let mut rng = Rng::insecure_from_seed(b"bound");
        let (sender, message) = Sender::start(kernels, NAME, parameters, &mut rng).unwrap();
        let (_, message) = Receiver::start(kernels, name, parameters_there, &message, &mut rng).unwrap();
        assert_eq!(sender.puncture(&message, &mut rng).err(), Some(Error::Inconsistent { what: "extension" }));
    }
    assert!(Sender::start(kernels, &[1; 15], parameters, &mut Rng::insecure_from_seed(b"")).is_err());
}

#[test]
fn states_have_an_order() {
    let kernels = Kernels::selected().unwrap();
    for mode in [Mode::SemiHonest, Mode::Malicious] {
        let parameters = Parameters::new(64, mode).unwrap();
        let mut rng = Rng::insecure_from_seed(b"order");
        let start = || {
            let mut rng = Rng::insecure_from_seed(b"order");
            let (sender, message) = Sender::start(kernels, NAME, parameters, &mut rng).unwrap();
            let (receiver, message) = Receiver::start(kernels, NAME, parameters, &message, &mut rng).unwrap();
            let (punctured, message) = sender.puncture(&message, &mut rng).unwrap();
            (punctured, receiver.expand(&message, &mut rng).unwrap())
        };
        let (mut punctured, expanded) = start();
        if mode == Mode::Malicious {
            assert!(matches!(expanded.finish(None).err(), Some(Error::OutOfOrder { .. })));
            assert!(matches!(start().0.finish().err(), Some(Error::OutOfOrder { .. })));
            assert!(punctured.answer(&[0; 31]).is_err());
            assert!(punctured.answer(&[0; 32]).is_ok());
        } else {
            assert!(matches!(expanded.finish(Some(&[0; 32])).err(), Some(Error::OutOfOrder { .. })));
        }
        assert!(matches!(punctured.answer(&[0; 32]).err(), Some(Error::OutOfOrder { .. })));
        rng.word();
    }
}

/// Bytes of the right length that no party made: an error or a wrong result, and no panic; no result in malicious mode.
#[test]
fn garbage_of_the_right_length_is_survived() {
    let kernels = Kernels::selected().unwrap();
    let mut rng = Rng::insecure_from_seed(b"garbage");
    let mut noise = vec![0; 2_000_000];
    rng.fill(&mut noise);
    for mode in [Mode::SemiHonest, Mode::Malicious] {
        for number in 0..if mode == Mode::Malicious { 5 } else { 3 } {
            for kind in 0..3 {
                let outcome = run(kernels, 5, mode, &|which, bytes| match kind {
                    _ if which != number => (),
                    0 => bytes.fill(0),
                    1 => bytes.fill(255),
                    _ => {
                        let length = bytes.len();
                        bytes.copy_from_slice(&noise[..length]);
                    }
                });
                // Only the trees are unchecked, in semi-honest mode.
                let unchecked = mode == Mode::SemiHonest && number == 2;
                assert_eq!(outcome.is_ok(), unchecked, "{mode:?}, message {number}, {kind}");
            }
        }
    }
}

/// Parties on different machines choose different kernels.
#[test]
fn parties_may_use_different_kernels() {
    let all = all_kernels();
    let parameters = Parameters::new(3000, Mode::Malicious).unwrap();
    for (index, &one) in all.iter().enumerate() {
        let other = all[(index + 1) % all.len()];
        let mut rng = Rng::insecure_from_seed(b"different");
        let (sender, message) = Sender::start(one, NAME, parameters, &mut rng).unwrap();
        let (receiver, message) = Receiver::start(other, NAME, parameters, &message, &mut rng).unwrap();
        let (mut punctured, message) = sender.puncture(&message, &mut rng).unwrap();
        let expanded = receiver.expand(&message, &mut rng).unwrap();
        let answer = punctured.answer(expanded.challenge().unwrap()).unwrap();
        let vectors = expanded.finish(Some(&answer)).unwrap();
        assert!(fits(&Outcome { shares: punctured.finish().unwrap(), vectors, messages: Vec::new() }));
    }
}

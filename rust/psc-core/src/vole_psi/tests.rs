//! Both parties against the plain intersection, over VOLEs that a trusted dealer (of these tests only) makes.

use std::collections::HashSet;

use super::*;

const CONTEXT: &[u8] = b"context of the tests, 32 bytes..";
const MODES: [Mode; 2] = [Mode::SemiHonest, Mode::Malicious];

/// Random vectors that fit together: what a VOLE gives, from one hand.
fn deal(columns: usize, rng: &mut Rng) -> (Vectors, Shares) {
    let mut draw = || Zeroizing::new((0..columns).map(|_| rng.word()).collect::<Vec<_>>());
    let (factors, shares) = (draw(), draw());
    let delta = Zeroizing::new(rng.word());
    let mut products = shares.clone();
    gf128::multiply_add(Simd::Portable, &mut products, &factors, *delta);
    (Vectors { factors, products }, Shares { delta, shares })
}

fn items(numbers: &[u32]) -> Items {
    let all: Vec<[u8; 4]> = numbers.iter().map(|number| number.to_le_bytes()).collect();
    Items::from_slices(all.iter().map(|item| &item[..])).unwrap()
}

/// The messages of a run in order, each of which may be altered on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Commitment,
    Seed,
    Piece,
    Mask,
    Opening,
    Tags,
}

type Alter<'a> = &'a dyn Fn(Step, &mut Vec<u8>);

struct Outcome {
    found: Vec<i64>,
    order: Vec<u32>,
    steps: Vec<(Step, usize)>,
}

struct Run<'a> {
    mode: Mode,
    own: &'a [u32],
    others: &'a [u32],
    piece: usize,
    alter: Alter<'a>,
}

impl Run<'_> {
    fn go(&self, rng: &mut Rng) -> Result<Outcome> {
        let parameters = Parameters::new(self.own.len(), self.others.len(), self.mode)?;
        let (vectors, shares) = deal(parameters.columns(), rng);
        self.go_with(parameters, vectors, shares, rng)
    }

    fn go_with(&self, parameters: Parameters, vectors: Vectors, shares: Shares, rng: &mut Rng) -> Result<Outcome> {
        let mut steps = Vec::new();
        let mut pass = |step, message: &[u8]| {
            let mut message = message.to_vec();
            steps.push((step, message.len()));
            (self.alter)(step, &mut message);
            message
        };
        let mut sender = Sender::new(CONTEXT, parameters, shares, rng)?;
        let commitment = sender.commitment().map(|commitment| pass(Step::Commitment, &commitment));
        let mut receiver = Receiver::new(CONTEXT, parameters, commitment.as_deref(), rng)?;
        sender.hash(&pass(Step::Seed, receiver.seed()), &items(self.others))?;
        receiver.encode(&items(self.own), vectors)?;
        for start in (0..parameters.columns()).step_by(self.piece) {
            let stop = parameters.columns().min(start + self.piece);
            sender.absorb(&pass(Step::Piece, &receiver.masked(start, stop)?))?;
        }
        let opening = match receiver.mask() {
            Some(mask) => {
                let opening = sender.open(&pass(Step::Mask, &mask))?;
                Some(pass(Step::Opening, &opening))
            }
            None => None,
        };
        let (tags, order) = sender.finish()?.sorted_tags()?;
        let found = receiver.finish(opening.as_deref())?.find(&[&pass(Step::Tags, &tags)])?;
        Ok(Outcome { found, order, steps })
    }
}

fn run(mode: Mode, own: &[u32], others: &[u32], rng: &mut Rng) -> Outcome {
    Run { mode, own, others, piece: 100, alter: &|_, _| () }.go(rng).unwrap()
}

/// Every found position must lead, over the sender's order, to the equal item, and every equal item be found.
fn assert_right(own: &[u32], others: &[u32], outcome: &Outcome) {
    let held: HashSet<u32> = others.iter().copied().collect();
    assert_eq!(outcome.found.len(), own.len());
    for (item, &at) in own.iter().zip(&outcome.found) {
        assert_eq!(at >= 0, held.contains(item), "{item}");
        if at >= 0 {
            assert_eq!(others[outcome.order[at as usize] as usize], *item);
        }
    }
    let mut order = outcome.order.clone();
    order.sort_unstable();
    assert_eq!(order, (0..others.len() as u32).collect::<Vec<_>>());
}

#[test]
fn intersections_are_those_of_sets() {
    let mut rng = Rng::insecure_from_seed(b"sets");
    let range = |start: u32, stop: u32| (start..stop).collect::<Vec<_>>();
    let cases = [
        (range(0, 0), range(0, 0)),
        (range(0, 0), range(0, 5)),
        (range(0, 5), range(0, 0)),
        (range(0, 1), range(0, 1)),
        (range(0, 1), range(1, 2)),
        (range(0, 2), range(1, 3)),
        (range(0, 7), range(3, 20)),
        (range(0, 1001), range(0, 1001)),
        (range(0, 1001), range(1001, 2002)),
        (range(5, 6), range(0, 5000)),
        (range(0, 5000), range(17, 18)),
        (range(0, 9999), range(5000, 12_345)),
    ];
    for (own, others) in cases {
        for mode in MODES {
            assert_right(&own, &others, &run(mode, &own, &others, &mut rng));
        }
    }
}

#[test]
fn ten_thousand_tiny_runs() {
    let mut rng = Rng::insecure_from_seed(b"tiny");
    for round in 0..10_000u64 {
        let bits = rng.word();
        let pick = |shift: u32| (0..10).filter(|number| bits >> (shift + number) & 1 == 1).collect::<Vec<u32>>();
        let (own, mut others) = (pick(0), pick(16));
        others.reverse();
        let mode = MODES[round as usize % 2];
        assert_right(&own, &others, &run(mode, &own, &others, &mut rng));
    }
}

#[test]
fn messages_have_the_lengths_that_the_parameters_imply() {
    let mut rng = Rng::insecure_from_seed(b"lengths");
    let (own, others): (Vec<u32>, Vec<u32>) = ((0..90).collect(), (0..33).collect());
    let pieces = [(Step::Piece, 1600), (Step::Piece, 1600), (Step::Piece, 1600), (Step::Piece, 55 * 16)];
    // 90 · 33 pairs take 12 bits: 52 bits are 7 bytes.
    let steps = run(Mode::SemiHonest, &own, &others, &mut rng).steps;
    assert_eq!(steps, [&[(Step::Seed, 32)], &pieces[..], &[(Step::Tags, 7 * 33)]].concat());
    let steps = run(Mode::Malicious, &own, &others, &mut rng).steps;
    let first = [(Step::Commitment, 32), (Step::Seed, 32)];
    let last = [(Step::Mask, 16), (Step::Opening, 48), (Step::Tags, 16 * 33)];
    assert_eq!(steps, [&first, &pieces[..], &last].concat());
    let tag_bytes = |n, m| Parameters::new(n, m, Mode::SemiHonest).unwrap().tag_bytes();
    let lengths =
        [(0, 0, 5), (1, 1, 5), (1, 2, 6), (1 << 20, 1 << 20, 10), (1 << 20, (1 << 20) + 1, 11), (1 << 31, 1 << 31, 13)];
    for (n, m, length) in lengths {
        assert_eq!(tag_bytes(n, m), length, "{n}, {m}");
    }
    let million = Parameters::new(1 << 20, 1 << 20, Mode::SemiHonest).unwrap();
    for (shards, length) in [(1, 10), (2, 11), (256, 11), (257, 12), (1 << 20, 13)] {
        assert_eq!(million.in_shards(shards).unwrap().tag_bytes(), length, "{shards}");
    }
    assert!(Parameters::new(1, okvs::KEYS_MAX + 1, Mode::SemiHonest).is_err());
    assert!(Parameters::new(okvs::KEYS_MAX + 1, 1, Mode::SemiHonest).is_err());
    assert!(million.in_shards(0).is_err() && million.in_shards((1 << 20) + 1).is_err());
}

/// A table or tags that were altered equal other inputs of the peer: no crash, and no match that is not one.
#[test]
fn altered_tables_and_tags_give_no_false_match() {
    let mut rng = Rng::insecure_from_seed(b"altered");
    let (own, others): (Vec<u32>, Vec<u32>) = ((0..300).collect(), (150..500).collect());
    for mode in MODES {
        let mut lost = 0;
        for flip in 0..60usize {
            for step in [Step::Seed, Step::Piece, Step::Tags] {
                let alter = move |at: Step, message: &mut Vec<u8>| {
                    if at == step {
                        let place = flip * 7919 % message.len();
                        message[place] ^= 1 << (flip % 8);
                    }
                };
                let outcome = Run { mode, own: &own, others: &others, piece: 1000, alter: &alter }.go(&mut rng);
                match outcome {
                    Ok(outcome) => {
                        let held: HashSet<u32> = others.iter().copied().collect();
                        let wrong =
                            own.iter().zip(&outcome.found).filter(|(item, at)| **at >= 0 && !held.contains(*item));
                        assert_eq!(wrong.count(), 0);
                        // An altered seed spoils all matches, an altered element those of the bands that have it.
                        let matches = outcome.found.iter().filter(|&&at| at >= 0).count();
                        assert!(step != Step::Seed || matches == 0, "{matches} after {step:?}");
                        lost += 150 - matches;
                    }
                    Err(error) => assert!(step == Step::Tags && matches!(error, Error::NotSorted { .. }), "{error}"),
                }
            }
        }
        assert!(lost > 60 * (150 + 10), "{lost} matches lost");
    }
}

#[test]
fn foreign_tables_and_tags_match_nothing() {
    let mut rng = Rng::insecure_from_seed(b"foreign");
    let numbers: Vec<u32> = (0..400).collect();
    let alter = |step: Step, message: &mut Vec<u8>| match step {
        Step::Piece => message.fill(0),
        Step::Tags => message.fill(255),
        _ => (),
    };
    for mode in MODES {
        let outcome = Run { mode, own: &numbers, others: &numbers, piece: 99, alter: &alter }.go(&mut rng).unwrap();
        assert!(outcome.found.iter().all(|&at| at == -1));
    }
}

#[test]
fn a_wrong_delta_matches_nothing() {
    let mut rng = Rng::insecure_from_seed(b"delta");
    let numbers: Vec<u32> = (0..50).collect();
    for mode in MODES {
        let run = Run { mode, own: &numbers, others: &numbers, piece: 1000, alter: &|_, _| () };
        let parameters = Parameters::new(50, 50, mode).unwrap();
        let (vectors, mut shares) = deal(parameters.columns(), &mut rng);
        *shares.delta ^= 1;
        let outcome = run.go_with(parameters, vectors, shares, &mut rng).unwrap();
        assert!(outcome.found.iter().all(|&at| at == -1));
    }
}

#[test]
fn a_wrong_commitment_or_opening_ends_a_malicious_run() {
    let mut rng = Rng::insecure_from_seed(b"opening");
    let numbers: Vec<u32> = (0..20).collect();
    for step in [Step::Commitment, Step::Opening] {
        for place in [0, 15, 16, 31] {
            let alter = |at: Step, message: &mut Vec<u8>| {
                if at == step {
                    message[place] ^= 1;
                }
            };
            let run = Run { mode: Mode::Malicious, own: &numbers, others: &numbers, piece: 1000, alter: &alter };
            assert_eq!(run.go(&mut rng).err(), Some(Error::Inconsistent { what: "opening" }));
        }
    }
    // The receiver's own mask is not committed: another one than it uses spoils the matches.
    let alter = |at: Step, message: &mut Vec<u8>| {
        if at == Step::Mask {
            message[3] ^= 4;
        }
    };
    let run = Run { mode: Mode::Malicious, own: &numbers, others: &numbers, piece: 1000, alter: &alter };
    assert!(run.go(&mut rng).unwrap().found.iter().all(|&at| at == -1));
}

#[test]
fn messages_of_a_wrong_length_are_refused() {
    let mut rng = Rng::insecure_from_seed(b"short");
    let numbers: Vec<u32> = (0..20).collect();
    for mode in MODES {
        for step in [Step::Commitment, Step::Seed, Step::Piece, Step::Mask, Step::Opening, Step::Tags] {
            for longer in [false, true] {
                let alter = |at: Step, message: &mut Vec<u8>| {
                    if at == step {
                        message.resize(if longer { message.len() + 16 } else { message.len() - 1 }, 0);
                    }
                };
                let run = Run { mode, own: &numbers, others: &numbers, piece: 1000, alter: &alter };
                let absent = mode == Mode::SemiHonest && [Step::Commitment, Step::Mask, Step::Opening].contains(&step);
                let refused = matches!(run.go(&mut rng).err(), Some(Error::MessageLength { .. }));
                assert_eq!(refused, !absent, "{step:?}");
            }
        }
    }
}

#[test]
fn steps_have_one_order() {
    let mut rng = Rng::insecure_from_seed(b"order");
    let numbers: Vec<u32> = (0..20).collect();
    let out_of_order = |error: Option<Error>| matches!(error, Some(Error::OutOfOrder { .. }));
    for mode in MODES {
        let parameters = Parameters::new(20, 20, mode).unwrap();
        let (vectors, shares) = deal(parameters.columns(), &mut rng);
        let commitment = [0; COMMITMENT_BYTES];
        let given = (mode == Mode::SemiHonest).then_some(&commitment[..]);
        assert!(out_of_order(Receiver::new(CONTEXT, parameters, given, &mut rng).err()));
        let own = (mode == Mode::Malicious).then_some(&commitment[..]);
        let mut receiver = Receiver::new(CONTEXT, parameters, own, &mut rng).unwrap();
        assert!(out_of_order(receiver.masked(0, 1).err()), "before the items");
        receiver.encode(&items(&numbers), vectors).unwrap();
        let (vectors, _) = deal(parameters.columns(), &mut rng);
        assert!(out_of_order(receiver.encode(&items(&numbers), vectors).err()), "twice");
        let bare = Receiver::new(CONTEXT, parameters, own, &mut rng).unwrap();
        let opening = own.map(|_| [0; OPENING_BYTES]);
        assert!(bare.finish(opening.as_ref().map(|opening| &opening[..])).is_err(), "without items");
        let mut sender = Sender::new(CONTEXT, parameters, shares, &mut rng).unwrap();
        assert!(out_of_order(sender.open(&[0; MASK_BYTES]).err()), "before the table");
        sender.absorb(&vec![0; parameters.columns() * 16]).unwrap();
        if mode == Mode::Malicious {
            sender.hash(&[0; SEED_BYTES], &items(&numbers)).unwrap();
            assert!(out_of_order(sender.hash(&[1; SEED_BYTES], &items(&numbers)).err()), "a second seed");
            sender.open(&[0; MASK_BYTES]).unwrap();
            assert!(out_of_order(sender.open(&[0; MASK_BYTES]).err()), "twice");
        } else {
            assert!(out_of_order(sender.open(&[0; MASK_BYTES]).err()), "in semi-honest mode");
            assert!(out_of_order(sender.finish().err()), "without items");
        }
        let (_, shares) = deal(parameters.columns(), &mut rng);
        let mut sender = Sender::new(CONTEXT, parameters, shares, &mut rng).unwrap();
        sender.hash(&[0; SEED_BYTES], &items(&numbers)).unwrap();
        sender.absorb(&[0; 16]).unwrap();
        assert!(out_of_order(sender.finish().err()), "without the whole table");
    }
}

#[test]
fn arguments_have_the_agreed_counts() {
    let mut rng = Rng::insecure_from_seed(b"counts");
    let parameters = Parameters::new(20, 30, Mode::SemiHonest).unwrap();
    let dealt = || deal(parameters.columns(), &mut Rng::insecure_from_seed(b"d"));
    let new = |items: &Items, vectors, rng: &mut Rng| {
        Receiver::new(CONTEXT, parameters, None, rng).unwrap().encode(items, vectors).err()
    };
    let twenty: Vec<u32> = (0..20).collect();
    let mismatch = |error| matches!(error, Some(Error::CountMismatch { .. }));
    assert!(mismatch(new(&items(&twenty[1..]), dealt().0, &mut rng)));
    let (mut vectors, mut shares) = dealt();
    vectors.factors.pop();
    assert!(mismatch(new(&items(&twenty), vectors, &mut rng)));
    shares.shares.pop();
    assert!(mismatch(Sender::new(CONTEXT, parameters, shares, &mut rng).err()));
    let mut sender = Sender::new(CONTEXT, parameters, dealt().1, &mut rng).unwrap();
    assert!(mismatch(sender.hash(&[0; 32], &items(&twenty)).err()));
    let twice = [twenty.clone(), vec![19]].concat();
    assert_eq!(new(&items(&twice[1..]), dealt().0, &mut rng), Some(Error::DuplicateKeys));
}

/// Outputs for sealed rows agree with the tags, and with each other exactly on the items that both have.
#[test]
fn outputs_agree_on_common_items() {
    let mut rng = Rng::insecure_from_seed(b"outputs");
    let (own, others): (Vec<u32>, Vec<u32>) = ((0..700).collect(), (650..6000).collect());
    let parameters = Parameters::new(own.len(), others.len(), Mode::SemiHonest).unwrap();
    let (vectors, shares) = deal(parameters.columns(), &mut rng);
    let mut sender = Sender::new(CONTEXT, parameters, shares, &mut rng).unwrap();
    let mut receiver = Receiver::new(CONTEXT, parameters, None, &mut rng).unwrap();
    receiver.encode(&items(&own), vectors).unwrap();
    sender.hash(receiver.seed(), &items(&others)).unwrap();
    sender.absorb(&receiver.masked(0, parameters.columns()).unwrap()).unwrap();
    let (sender, receiver) = (sender.finish().unwrap(), receiver.finish(None).unwrap());
    let (mine, theirs) = (receiver.outputs().unwrap(), sender.outputs().unwrap());
    let theirs: Vec<&[u8]> = theirs.insecure_bytes().chunks_exact(64).collect();
    for (item, output) in own.iter().zip(mine.insecure_bytes().chunks_exact(64)) {
        let at = others.iter().position(|other| other == item);
        assert_eq!(theirs.iter().position(|other| *other == output), at);
    }
    let (tags, order) = sender.sorted_tags().unwrap();
    for (tag, &position) in tags.chunks_exact(parameters.tag_bytes()).zip(&order) {
        assert_eq!(tag, &theirs[position as usize][..parameters.tag_bytes()]);
    }
    let in_order: Vec<u8> = theirs.iter().flat_map(|output| output[..parameters.tag_bytes()].to_vec()).collect();
    assert_eq!(sender.tags_in_order().unwrap(), in_order);
}

/// Both ends must compute the same, on every machine and in every release.
#[test]
fn known_answers() {
    for (mode, expected) in MODES.into_iter().zip([
        "5ce57aeec5bae23d16907fbc8b1c9d79748bfe6ebfce128f2bd52d277d1565cc",
        "2a3ea9ea1927d694ead13886d81ec49b8c17ec27db3fc8460a8b4176ab4d06ed",
    ]) {
        let mut rng = Rng::insecure_from_seed(b"known");
        let numbers: Vec<u32> = (0..100).collect();
        let transcript = std::cell::RefCell::new(blake3::Hasher::new());
        let alter = |_: Step, message: &mut Vec<u8>| {
            transcript.borrow_mut().update(message);
        };
        Run { mode, own: &numbers, others: &numbers[40..], piece: 64, alter: &alter }.go(&mut rng).unwrap();
        assert_eq!(transcript.into_inner().finalize().to_hex().as_str(), expected);
    }
}

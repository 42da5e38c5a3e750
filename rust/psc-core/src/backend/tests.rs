//! Every backend against the portable one and against curve25519-dalek's plain operations.

use curve25519_dalek::Scalar;
use curve25519_dalek::ristretto::RistrettoPoint;
use rayon::prelude::*;

use super::*;
use crate::parallel::CHUNK_ITEMS;
use crate::rng::Rng;

#[test]
fn settings_are_read() {
    let fastest = Kind::available()[0];
    for setting in [None, Some(""), Some("auto")] {
        assert_eq!(Kind::from_setting(setting), Ok(fastest));
    }
    assert_eq!(Kind::from_setting(Some("portable")), Ok(Kind::Portable));
    let ifma = Kind::available().contains(&Kind::Ifma);
    assert_eq!(Kind::from_setting(Some("ifma")).ok(), ifma.then_some(Kind::Ifma));
    assert_eq!(Kind::from_setting(Some("Portable")), Err(Error::UnknownBackend { name: "Portable".into() }));
}

/// The batch tricks of every backend against curve25519-dalek's plain operations, at sizes around every chunk.
#[test]
fn all_backends_give_what_plain_arithmetic_gives() {
    let mut rng = Rng::insecure_from_seed(b"backends");
    let mut wide = [0u8; 64];
    rng.fill(&mut wide);
    let plain_scalar = Scalar::from_bytes_mod_order_wide(&wide);
    let scalar = Secret::from_wide(&wide).unwrap();
    for count in [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257] {
        let mut uniform = vec![[0u8; 64]; count];
        uniform.iter_mut().for_each(|bytes| rng.fill(bytes));
        let points: Vec<RistrettoPoint> = uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect();
        let encodings: Vec<Encoding> = points.iter().map(|point| point.compress().to_bytes()).collect();
        let products: Vec<Encoding> = points.iter().map(|point| (point * plain_scalar).compress().to_bytes()).collect();
        for kind in Kind::available() {
            let backend = kind.get();
            let mut out = vec![[0u8; 32]; count];
            backend.derive(&uniform, None, &mut out);
            assert_eq!(out, encodings);
            backend.derive(&uniform, Some(Scalars::One(&scalar)), &mut out);
            assert_eq!(out, products);
            out.fill([0u8; 32]);
            assert_eq!(backend.multiply(&encodings, Scalars::One(&scalar), &mut out), Ok(()));
            assert_eq!(out, products);
            assert_eq!(backend.check(&encodings), Ok(()));
        }
    }
}

#[test]
fn all_backends_add_and_subtract() {
    let mut rng = Rng::insecure_from_seed(b"combine");
    for count in [0, 1, 7, 8, 31, 32, 33, 100] {
        let mut uniform = vec![[0u8; 64]; 2 * count];
        uniform.iter_mut().for_each(|bytes| rng.fill(bytes));
        let points: Vec<RistrettoPoint> = uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect();
        let encode = |points: &[RistrettoPoint]| -> Vec<Encoding> {
            points.iter().map(|point| point.compress().to_bytes()).collect()
        };
        let (left, right) = points.split_at(count);
        let pairs = || left.iter().zip(right);
        let sums: Vec<_> = pairs().map(|(left, right)| left + right).collect();
        let differences: Vec<_> = pairs().map(|(left, right)| left - right).collect();
        let (left, right) = (encode(left), encode(right));
        for kind in Kind::available() {
            let backend = kind.get();
            let mut out = vec![[9u8; 32]; count];
            assert_eq!(backend.combine(&left, &right, false, &mut out), Ok(()));
            assert_eq!(out, encode(&sums));
            assert_eq!(backend.combine(&left, &right, true, &mut out), Ok(()));
            assert_eq!(out, encode(&differences));
            // A point and itself: the doubling, and the identity.
            assert_eq!(backend.combine(&left, &left, false, &mut out), Ok(()));
            assert!(out.iter().zip(&points).all(|(out, point)| *out == (point + point).compress().to_bytes()));
            assert_eq!(backend.combine(&left, &left, true, &mut out), Ok(()));
            assert!(out.iter().all(|out| *out == [0; 32]));
            if count > 20 {
                let mut bad = left.clone();
                bad[20] = [255; 32];
                assert_eq!(backend.combine(&bad, &right, true, &mut out), Err((20, Reason::NotCanonical)));
                assert_eq!(backend.combine(&right, &bad, true, &mut out), Err((20, Reason::NotCanonical)));
                let mut worse = right.clone();
                worse[19] = [0; 32];
                assert_eq!(backend.combine(&bad, &worse, false, &mut out), Err((19, Reason::Identity)));
            }
        }
    }
}

/// Messages whose padding ends before, at and after a block's end, of equal and of different lengths in a batch.
#[test]
fn all_backends_hash_alike() {
    use sha2::Digest as _;
    let text: Vec<u8> = (0..1000).map(|index| index as u8).collect();
    for prefix in [0, 1, 128, 200, 256] {
        for (count, lengths) in [(0, 0..1), (1, 0..300), (7, 90..140), (8, 111..112), (9, 0..300), (400, 0..400)] {
            let length = |index: usize| lengths.start + index % lengths.len();
            for kind in Kind::available() {
                let mut out = vec![[0; 64]; count];
                let message = |index: usize, buffer: &mut Vec<u8>| {
                    buffer.extend_from_slice(&text[index..index + length(index)]);
                };
                kind.get().sha512(&text[..prefix], &message, &mut out);
                for (index, digest) in out.iter().enumerate() {
                    let hash = sha2::Sha512::new_with_prefix(&text[..prefix]);
                    let hash = hash.chain_update(&text[index..index + length(index)]);
                    assert_eq!(digest[..], hash.finalize()[..]);
                }
            }
        }
    }
}

#[test]
fn all_backends_name_the_first_bad_point() {
    let uniform: Vec<Uniform> = (1..=20).map(|index| [index; 64]).collect();
    let scalar = Rng::insecure_from_seed(b"bad").scalar();
    for kind in Kind::available() {
        let backend = kind.get();
        let mut good = vec![[0u8; 32]; 20];
        backend.derive(&uniform, None, &mut good);
        for at in 0..20 {
            for (bad, reason) in [([0u8; 32], Reason::Identity), ([255u8; 32], Reason::NotCanonical)] {
                let mut points = good.clone();
                points[at] = bad;
                points[19] = if at < 19 { [254; 32] } else { bad };
                let mut out = vec![[0u8; 32]; 20];
                assert_eq!(backend.multiply(&points, Scalars::One(&scalar), &mut out), Err((at, reason)));
                assert_eq!(backend.check(&points), Err((at, reason)));
            }
        }
    }
}

/// 2^255 − 19 + `offset`, in bytes.
fn prime_and(offset: i8) -> Encoding {
    let mut bytes = [255; 32];
    bytes[0] = 237u8.wrapping_add_signed(offset);
    bytes[31] = 127;
    bytes
}

/// Field elements where carries, reductions and the exceptional cases of the map are.
fn edges() -> Vec<Encoding> {
    let mut edges: Vec<Encoding> = (-20..=18).map(prime_and).collect();
    for (low, high) in [(0, 0), (255, 255), (254, 255), (255, 127), (0, 128), (0, 64), (1, 0), (2, 0), (3, 0), (0, 1)] {
        let mut edge = [low; 32];
        edge[31] = high;
        edges.push(edge);
        edge[1..31].fill(0);
        edges.push(edge);
    }
    for bit in (0..256).filter(|bit| [0, 1, 50].contains(&(bit % 51))) {
        let mut edge = [0; 32];
        edge[bit / 8] = 1 << (bit % 8);
        edges.push(edge);
        edges.push(edge.map(|byte| !byte));
    }
    // √−1·t² is −d in the first and −1/d in the second: the map divides by zero, and the point is the identity.
    edges.extend([
        hex("45e4a3b534d5cf8a559215f1d2564332ea91148c66abcb8a6814840ba7aa4c7a"),
        hex("40256ac5e4c73af6057c6d5120f90c4362ab4ad9015bc365598daca048bac400"),
    ]);
    edges
}

fn hex(text: &str) -> Encoding {
    core::array::from_fn(|index| u8::from_str_radix(&text[index * 2..][..2], 16).unwrap())
}

/// Scalars whose halves have the least and greatest digits, and the ends of the range.
fn scalars() -> Vec<Secret> {
    let mut scalars: Vec<Scalar> = (1..20u64).map(Scalar::from).collect();
    scalars.extend((1..20u64).map(|small| -Scalar::from(small)));
    for byte in [0x77, 0x78, 0x87, 0x88, 0x7f, 0x80, 0x08, 0xff, 0xf7] {
        let mut bytes = [byte; 32];
        bytes[31] = 0;
        scalars.push(Scalar::from_canonical_bytes(bytes).unwrap());
        scalars.push(scalars[scalars.len() - 1] * Scalar::from(2u8));
    }
    scalars.iter().map(|scalar| Secret::insecure_from_bytes(scalar.as_bytes()).unwrap()).collect()
}

#[test]
fn all_backends_map_edges_alike() {
    let edges = edges();
    let uniform: Vec<Uniform> = edges
        .iter()
        .flat_map(|first| edges.iter().map(move |second| *[*first, *second].as_flattened().as_array().unwrap()))
        .collect();
    let scalar = Rng::insecure_from_seed(b"edges").scalar();
    for scalar in [None, Some(Scalars::One(&scalar))] {
        let results: Vec<Vec<Encoding>> = Kind::available()
            .into_iter()
            .map(|kind| {
                let mut out = vec![[9u8; 32]; uniform.len()];
                let chunks = out.par_chunks_mut(CHUNK_ITEMS).zip(uniform.par_chunks(CHUNK_ITEMS));
                chunks.for_each(|(out, uniform)| kind.get().derive(uniform, scalar, out));
                out
            })
            .collect();
        assert!(results.iter().all(|result| *result == results[0]));
        assert_eq!(results[0][uniform.len() - 1], [0; 32]);
    }
}

#[test]
fn all_backends_decode_edges_alike() {
    let mut encodings = edges();
    // About an eighth of all strings are encodings; the negative ones, p more, and the high bit are not.
    let mut rng = Rng::insecure_from_seed(b"decode");
    for _ in 0..2000 {
        let mut bytes = [0; 32];
        rng.fill(&mut bytes);
        encodings.push(bytes);
        bytes[31] &= 127;
        bytes[0] &= 254;
        encodings.push(bytes);
        bytes[0] |= 1;
        encodings.push(bytes);
    }
    for small in 0..=255 {
        let mut bytes = [0; 32];
        bytes[0] = small;
        encodings.push(bytes);
        bytes[31] = 128;
        encodings.push(bytes);
        bytes = [255; 32];
        bytes[0] = small;
        bytes[31] = 127;
        encodings.push(bytes);
    }
    let results: Vec<Vec<_>> = Kind::available()
        .into_iter()
        .map(|kind| encodings.iter().map(|one| kind.get().check(core::slice::from_ref(one))).collect())
        .collect();
    assert!(results.iter().all(|result| *result == results[0]));
    let good = results[0].iter().filter(|result| result.is_ok()).count();
    assert!((500..1500).contains(&good), "{good} of them are encodings");
    // Each beside others, so that lanes do not touch each other.
    for (chunk, single) in encodings.chunks(40).zip(results[0].chunks(40)) {
        let first = single.iter().position(|result| result.is_err());
        let expected = first.map_or(Ok(()), |at| single[at].map_err(|(_, reason)| (at, reason)));
        for kind in Kind::available() {
            assert_eq!(kind.get().check(chunk), expected);
        }
    }
}

#[test]
fn all_backends_multiply_by_extreme_scalars_alike() {
    let mut rng = Rng::insecure_from_seed(b"extreme");
    let mut uniform = [[0u8; 64]; 11];
    uniform.iter_mut().for_each(|bytes| rng.fill(bytes));
    let mut points = [[0u8; 32]; 11];
    Kind::Portable.get().derive(&uniform, None, &mut points);
    for scalar in scalars() {
        let mut expected = [[0u8; 32]; 11];
        Kind::Portable.get().multiply(&points, Scalars::One(&scalar), &mut expected).unwrap();
        for kind in Kind::available() {
            let mut out = [[0u8; 32]; 11];
            kind.get().multiply(&points, Scalars::One(&scalar), &mut out).unwrap();
            assert_eq!(out, expected);
        }
    }
}

/// 100,000 random inputs in a release build, fewer in a debug build.
#[test]
fn all_backends_agree_on_random_inputs() {
    let chunks = if cfg!(debug_assertions) { 8 } else { 392 };
    (0..chunks as u64).into_par_iter().for_each(|chunk| {
        let mut rng = Rng::insecure_from_seed(&chunk.to_le_bytes());
        let (first, second) = (rng.scalar(), rng.scalar());
        // Sizes around the chunk's, so that tails are among them.
        let mut uniform = vec![[0u8; 64]; CHUNK_ITEMS - 1 + chunk as usize % 3];
        uniform.iter_mut().for_each(|bytes| rng.fill(bytes));
        let results: Vec<Vec<Encoding>> = Kind::available()
            .into_iter()
            .map(|kind| {
                let mut masked = vec![[0u8; 32]; uniform.len()];
                kind.get().derive(&uniform, Some(Scalars::One(&first)), &mut masked);
                let mut twice = masked.clone();
                kind.get().multiply(&masked, Scalars::One(&second), &mut twice).unwrap();
                kind.get().check(&twice).unwrap();
                [masked, twice].concat()
            })
            .collect();
        assert!(results.iter().all(|result| *result == results[0]));
    });
}

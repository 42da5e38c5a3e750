use super::*;
use crate::gf128;
use crate::rng::Rng;
use crate::vole::layout::{Mode, Parameters};

fn code(simd: Simd, half: usize) -> Code {
    let session = Session::new(b"the code's tests", &Parameters::new(1, Mode::SemiHonest).unwrap()).unwrap();
    Code::new(simd, &session, 0, half)
}

fn random(count: usize, seed: &[u8]) -> Vec<u128> {
    let mut bytes = vec![0; count * 16];
    Rng::insecure_from_seed(seed).fill(&mut bytes);
    gf128::from_bytes(&bytes).collect()
}

fn compress(code: &Code, noise: &[u128]) -> Vec<u128> {
    let mut first = noise[..code.half].to_vec();
    code.compress_shares(&mut first, &mut noise[code.half..].to_vec()).unwrap();
    first
}

/// The definition, addition by addition and in the order of libOTe's encoder.
fn by_definition(code: &Code, noise: &[u128]) -> Vec<u128> {
    let half = code.half;
    let (mut out, mut second) = (noise[..half].to_vec(), noise[half..].to_vec());
    for cipher in &code.convolutions {
        for i in 0..half {
            let own = second[i];
            let word = (cipher.encrypt((i / 4) as u128) >> (32 * (i % 4))) as u32;
            for distance in 1..=24 {
                if word >> (distance - 1) & 1 == 1 {
                    second[(i + distance) % half] ^= own;
                }
            }
            let far = &mut second[(i + 25) % half];
            *far = gf128::multiply(*far ^ own, u128::from(MIXER));
        }
    }
    for (index, out) in out.iter_mut().enumerate() {
        let words: Vec<u64> = (0..4)
            .map(|block| code.expander.encrypt((4 * index + block) as u128))
            .flat_map(|block| [block as u64, (block >> 64) as u64])
            .collect();
        for (term, word) in words[..7].iter().enumerate() {
            let fraction = u128::from(word % (1 << 52));
            let at = if term < 4 {
                term * (half / 4) + ((fraction * (half / 4) as u128) >> 52) as usize
            } else {
                ((fraction * half as u128) >> 52) as usize
            };
            *out ^= second[at];
        }
    }
    out
}

#[test]
fn it_is_as_defined_and_backends_agree() {
    for half in [64, 72, 128, 256, 1000, 4096, 4104] {
        let portable = code(Simd::Portable, half);
        let (noise, other) = (random(2 * half, b"noise"), random(2 * half, b"other"));
        let expected = by_definition(&portable, &noise);
        let other_expected = by_definition(&portable, &other);
        for simd in Simd::available() {
            let code = code(simd, half);
            assert!(compress(&code, &noise) == expected, "{simd:?}, {half}");
            let (mut products, mut factors) = (noise[..half].to_vec(), other[..half].to_vec());
            let pairs = noise[half..].iter().zip(&other[half..]);
            let mut second = Pairs::new(half);
            second.as_mut_slice().iter_mut().zip(pairs).for_each(|(to, (&product, &factor))| *to = [product, factor]);
            code.compress_pairs(&mut products, &mut factors, second.as_mut_slice()).unwrap();
            assert!(products == expected && factors == other_expected, "{simd:?}, {half}");
            // Fewer outputs are the first ones.
            let mut fewer = noise[..half - 13].to_vec();
            code.compress_shares(&mut fewer, &mut noise[half..].to_vec()).unwrap();
            assert!(fewer == expected[..half - 13]);
        }
    }
}

/// The matrix of the code over the field, from the images of the unit vectors.
fn matrix(code: &Code) -> Vec<Vec<u128>> {
    let unit = |position| (0..2 * code.half).map(move |other| u128::from(other == position)).collect::<Vec<_>>();
    (0..2 * code.half).map(|position| compress(code, &unit(position))).collect()
}

#[test]
fn it_is_linear_over_the_field() {
    let code = code(Simd::Portable, 128);
    let matrix = matrix(&code);
    let noise = random(256, b"dense");
    let dense: Vec<u128> = (0..128)
        .map(|row| (0..256).fold(0, |sum, column| sum ^ gf128::multiply(matrix[column][row], noise[column])))
        .collect();
    assert_eq!(compress(&code, &noise), dense);
    // The transpose identity: <G x, y> = <x, G^T y>.
    let y = random(128, b"y");
    let transposed: Vec<u128> = matrix.iter().map(|column| gf128::inner_product(Simd::Portable, column, &y)).collect();
    assert_eq!(
        gf128::inner_product(Simd::Portable, &dense, &y),
        gf128::inner_product(Simd::Portable, &noise, &transposed)
    );
}

/// Few of the random combinations of outputs are without many positions: light codewords of small codes, by sampling. The
/// pseudo-distance of the parameters is the paper's; this finds gross mistakes, such as positions that nothing reaches.
#[test]
fn combinations_of_outputs_are_heavy() {
    let code = code(Simd::Portable, 64);
    let matrix = matrix(&code);
    let weight = |combination: &[usize]| {
        let entry = |column: &Vec<u128>| combination.iter().fold(0, |sum, &row| sum ^ column[row]);
        matrix.iter().filter(|column| entry(column) != 0).count()
    };
    for row in 0..64 {
        // One output: itself, and nearly all of the second half.
        assert!(weight(&[row]) > 40, "{row}");
        for other in 0..row {
            assert!(weight(&[row, other]) > 40, "{row}, {other}");
        }
    }
    // Every position of the noise reaches some output.
    assert!(matrix.iter().all(|column| column.iter().any(|&entry| entry != 0)));
}

#[test]
fn known_answer() {
    let code = code(Simd::Portable, 1024);
    let out = compress(&code, &(0..2048).collect::<Vec<u128>>());
    assert_eq!(
        format!("{:032x} {:032x}", out[0], out[1023]),
        "255fbd69500b212377593e413b8c652b b9da5333b747433b9f2ac00f68bd11b2"
    );
}

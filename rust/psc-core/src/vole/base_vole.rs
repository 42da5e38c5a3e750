//! A VOLE value from every word of 128 correlated transfers.
//!
//! For the transfers of a word, `t_j ⊕ q_j = c_j · delta` with choice bits `c_j`. Multiply equation j by X^j and add: with
//! `a = Σ X^j t_j`, `b = Σ X^j q_j` and the field element `c` whose coefficients are the choice bits, `a ⊕ b = c · delta`.
//! In columns, where column i holds bit i of every `t_j` as the coefficient of X^j, the same sum is `a = Σ X^i column_i`:
//! no transposition is needed, and `c` is the word of choices as it stands.

use zeroize::Zeroizing;

use crate::gf128;
use crate::vole::extension::Columns;

/// The values of the words `first..first + count`: `a` for the receiver, `b` for the sender.
pub fn values(columns: &Columns, first: usize, count: usize) -> Zeroizing<Vec<u128>> {
    Zeroizing::new((first..first + count).map(|word| gf128::combine(columns.word(word).into_iter())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::simd::Simd;
    use crate::vole::base_ot::COUNT;
    use crate::vole::extension;
    use crate::vole::layout::{Mode, Parameters};
    use crate::vole::session::Session;

    #[test]
    fn values_fit_the_choices() {
        let mut rng = Rng::insecure_from_seed(b"base vole");
        let session = Session::new(b"base vole session", &Parameters::new(1, Mode::Malicious).unwrap()).unwrap();
        let delta = rng.word();
        let pairs: Vec<[u128; 2]> = (0..COUNT).map(|_| [rng.word(), rng.word()]).collect();
        let keys: Vec<u128> =
            pairs.iter().enumerate().map(|(index, pair)| pair[(!delta >> index & 1) as usize]).collect();
        let choices: Vec<u128> = (0..9).map(|_| rng.word()).collect();
        for simd in Simd::available() {
            let (received, message) = extension::receive(simd, &session, &[0; 32], &pairs, &choices, &mut rng);
            let sent = extension::send(simd, &session, &[0; 32], &keys, delta, 9, &message).unwrap();
            let (a, b) = (values(&received, 2, 6), values(&sent, 2, 6));
            for index in 0..6 {
                assert_eq!(a[index] ^ b[index], gf128::multiply(choices[2 + index], delta));
            }
        }
    }
}

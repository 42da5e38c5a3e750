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

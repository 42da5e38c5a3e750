//! The owner of the values: makes the keys, encrypts, and decrypts coefficient 0 of the replies, once.

use rayon::prelude::*;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use super::prime::{Integers, MODULI, Residues, power_mod, primes};
use super::sample::{self, Public, Seed, Stream};
use super::{CELLS_MAX, COEFFICIENT_BYTES, COLUMNS_MAX, DEGREE, PLANE_BYTES, POLYNOMIAL_BYTES, PRIMES};
use super::{modulus, reply_bytes, wire, words_times};
use crate::backend::Backend;
use crate::backend::ring::{Cells, Ring};
use crate::error::{Error, Result, check_count, check_range};
use crate::parallel;
use crate::rng::Rng;
use crate::tags::label_hash;

/// A column's secret as the values of its transform modulo each prime, in Montgomery's form.
type Key = [Box<Residues>; PRIMES];

/// The hash that all public polynomials of a section begin with.
pub(super) fn section_hash(label: &[u8], section: u64) -> Result<Sha512> {
    check_range("section", section as usize, 0, u32::MAX as usize)?;
    Ok(label_hash(label)?.chain_update((section as u32).to_be_bytes()))
}

/// The owner's end of a section.
pub struct SumOwner {
    ring: &'static dyn Ring,
    section: Sha512,
    columns: usize,
    /// Empty once released.
    keys: Vec<Key>,
    public_keys: Vec<u8>,
    seeds: Rng,
    next_block: u64,
}

impl SumOwner {
    /// Make fresh keys for a section of 1 to 1024 columns; the label separates sessions.
    pub fn new(
        backend: &'static dyn Backend,
        label: &[u8],
        section: u64,
        columns: usize,
        rng: &mut Rng,
    ) -> Result<Self> {
        check_range("columns", columns, 1, COLUMNS_MAX)?;
        let ring = backend.ring();
        let mut seeds = Rng::from_seed(&sample::seed(rng));
        let secret_seeds: Vec<Seed> = (0..columns).map(|_| sample::seed(&mut seeds)).collect();
        let error_seeds: Vec<Seed> = (0..columns).map(|_| sample::seed(&mut seeds)).collect();
        let (secrets, errors) = parallel::install(|| {
            let secrets: Vec<_> = secret_seeds.par_iter().map(|seed| Stream::new(seed).ternary()).collect();
            let errors: Vec<_> = error_seeds.par_iter().map(|seed| Stream::new(seed).errors(ring)).collect();
            (secrets, errors)
        })?;
        Self::from_secrets(ring, section_hash(label, section)?, &secrets, &errors, seeds)
    }

    /// Make the keys of columns from their secrets and their public keys' errors.
    pub(super) fn from_secrets(
        ring: &'static dyn Ring,
        section: Sha512,
        secrets: &[Box<Integers>],
        errors: &[Box<Integers>],
        seeds: Rng,
    ) -> Result<Self> {
        let mut public_keys = crate::zeroed(secrets.len() * POLYNOMIAL_BYTES)?;
        let keys = parallel::install(|| {
            let keys: Vec<Key> = secrets.par_iter().map(|secret| transformed(ring, secret)).collect();
            let (a, zero) = (expand(ring, &section, Public::Key), Integers::zero());
            let outs = public_keys.par_chunks_exact_mut(POLYNOMIAL_BYTES);
            outs.zip(&keys).zip(errors).for_each(|((out, key), errors)| encrypt(ring, &a, key, errors, &zero, out));
            keys
        })?;
        Ok(Self { ring, section, columns: secrets.len(), keys, public_keys, seeds, next_block: 0 })
    }

    /// The public key's b of every column.
    pub fn public_keys(&self) -> &[u8] {
        &self.public_keys
    }

    /// Encrypt rows of one value a column; the last block is filled up with zeros. Returns, block by block and in a block
    /// column by column, ciphertexts of [`POLYNOMIAL_BYTES`].
    ///
    /// A block's number is used once, since its `a` is; so blocks come in order.
    pub fn encrypt(&mut self, first_block: u64, values: &[i64]) -> Result<Vec<Vec<Vec<u8>>>> {
        if self.keys.is_empty() {
            return Err(Error::UsedUp { what: "keys" });
        }
        check_count("values", values.len() % self.columns, 0)?;
        let rows = values.len() / self.columns;
        let blocks = rows.div_ceil(DEGREE) as u64;
        check_range("first_block", first_block as usize, self.next_block as usize, u32::MAX as usize)?;
        self.next_block = first_block + blocks;
        let seeds: Vec<Seed> = (0..blocks as usize * self.columns).map(|_| sample::seed(&mut self.seeds)).collect();
        let (ring, columns) = (self.ring, self.columns);
        parallel::install(|| {
            let blocks = seeds.par_chunks(columns).zip(values.par_chunks(DEGREE * columns)).enumerate();
            let encrypted = blocks.map(|(index, (seeds, rows))| {
                let errors = |column: usize| Stream::new(&seeds[column]).errors(ring);
                self.encrypt_block(first_block + index as u64, rows, &errors)
            });
            encrypted.collect()
        })
    }

    /// Encrypt at most 8192 rows, with errors that are drawn column by column.
    pub(super) fn encrypt_block(
        &self,
        number: u64,
        rows: &[i64],
        errors: &(dyn Fn(usize) -> Box<Integers> + Sync),
    ) -> Vec<Vec<u8>> {
        let a = expand(self.ring, &self.section, Public::Block(number));
        let columns = self.keys.par_iter().enumerate().map(|(column, key)| {
            let mut message = Integers::zero();
            let values = rows.iter().skip(column).step_by(self.columns);
            message.0.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
            let mut out = vec![0; POLYNOMIAL_BYTES];
            encrypt(self.ring, &a, key, &errors(column), &message, &mut out);
            out
        });
        columns.collect()
    }

    /// Decrypt the replies of at most 40 cells: sums plus offsets modulo 2^64, cell by cell. The keys are gone afterwards,
    /// also when a reply is refused.
    pub fn release(&mut self, replies: &[&[u8]]) -> Result<Vec<u64>> {
        let keys = std::mem::take(&mut self.keys);
        if keys.is_empty() {
            return Err(Error::UsedUp { what: "keys" });
        }
        if replies.len() > CELLS_MAX {
            return Err(Error::TooManyReleases { count: replies.len(), limit: CELLS_MAX });
        }
        let (ring, columns) = (self.ring, self.columns);
        let cells = parallel::install(|| {
            let cells = replies.par_iter().map(|reply| decrypt(ring, &keys, columns, reply));
            cells.collect::<Result<Vec<_>>>()
        })??;
        Ok(cells.concat())
    }
}

/// Transform a secret.
fn transformed(ring: &dyn Ring, secret: &Integers) -> Key {
    let everywhere = Box::new(Cells([0; DEGREE]));
    std::array::from_fn(|index| {
        let prime = &primes()[index];
        let mut values = Residues::zero();
        ring.select(prime, &everywhere, Some(secret), 0, &mut values);
        ring.forward(prime, &mut values);
        let mut key = Residues::zero();
        // The factor 2^52 that a product in Montgomery's form takes out.
        values.0.iter().zip(&mut key.0).for_each(|(x, key)| *key = prime.montgomery(*x, prime.square));
        key
    })
}

/// Return a public polynomial's values modulo every prime.
fn expand(ring: &dyn Ring, section: &Sha512, which: Public) -> Vec<Box<Residues>> {
    let one = |index: usize| {
        let mut values = Residues::zero();
        sample::public(ring, section, which, index, &primes()[index], &mut values);
        values
    };
    (0..PRIMES).into_par_iter().map(one).collect()
}

/// Write −a·s + 2^64·e + v.
fn encrypt(ring: &dyn Ring, a: &[Box<Residues>], key: &Key, errors: &Integers, message: &Integers, out: &mut [u8]) {
    let mut scratch = Residues::zero();
    for (index, (prime, plane)) in primes().iter().zip(out.as_chunks_mut::<PLANE_BYTES>().0).enumerate() {
        scratch.0.fill(0);
        ring.multiply_add(prime, &mut scratch, &a[index], &key[index]);
        ring.inverse(prime, &mut scratch);
        ring.add_message(prime, &mut scratch, errors, message);
        wire::write(ring, &scratch, plane);
    }
}

/// Return coefficient 0 of c0 + c1·s for every column, centred, modulo 2^64.
fn decrypt(ring: &dyn Ring, keys: &[Key], columns: usize, reply: &[u8]) -> Result<Vec<u64>> {
    wire::check_length("reply", reply, reply_bytes(columns))?;
    let (c1, c0) = reply.split_at(POLYNOMIAL_BYTES);
    let mut sums = vec![];
    for bytes in c0.as_chunks::<COEFFICIENT_BYTES>().0 {
        sums.push(Zeroizing::new(wire::read_coefficient("reply", bytes)?));
    }
    let mut values = Residues::zero();
    for (index, prime) in primes().iter().enumerate() {
        wire::read(ring, "reply", c1, index, prime, &mut values)?;
        // Coefficient 0 is the mean of the values; the key's factor 2^52 goes with the division.
        let shrink = prime.montgomery(prime.shrink.value, 1);
        for (sum, key) in sums.iter_mut().zip(keys) {
            let total = prime.multiply(ring.inner(prime, &values, &key[index]), shrink);
            sum[index] = prime.add(sum[index], total);
        }
    }
    Ok(sums.iter().map(|sum| centred(sum)[0]).collect())
}

/// Return the number between −q/2 and q/2 that has these residues, in two's complement.
pub(super) fn centred(residues: &[u64; PRIMES]) -> [u64; 3] {
    let q = modulus();
    let mut sum = [0; 3];
    for (index, (prime, residue)) in primes().iter().zip(residues).enumerate() {
        let others = (0..PRIMES).filter(|&other| other != index);
        let others: u128 = others.map(|other| u128::from(MODULI[other].0)).product();
        let inverse = power_mod((others % u128::from(prime.modulus)) as u64, prime.modulus - 2, prime.modulus);
        sum = plus(&sum, &words_times(others, prime.multiply(*residue, inverse)));
    }
    // The sum is below 4·q; what remains is centred by one more subtraction where it is above q/2.
    for _ in 1..PRIMES {
        sum = minus_if(&sum, &q, at_least(&sum, &q));
    }
    let half = [q[0] >> 1 | q[1] << 63, q[1] >> 1 | q[2] << 63, q[2] >> 1];
    minus_if(&sum, &q, 1 - at_least(&half, &sum))
}

fn plus(a: &[u64; 3], b: &[u64; 3]) -> [u64; 3] {
    let mut carry = 0;
    std::array::from_fn(|i| {
        let sum = u128::from(a[i]) + u128::from(b[i]) + carry;
        carry = sum >> 64;
        sum as u64
    })
}

/// 1 where a ≥ b, else 0.
fn at_least(a: &[u64; 3], b: &[u64; 3]) -> u64 {
    let borrow = a.iter().zip(b).fold(0i128, |borrow, (a, b)| (i128::from(*a) - i128::from(*b) + borrow) >> 64);
    (borrow + 1) as u64
}

/// a − b where the condition is 1, a where it is 0; modulo 2^192.
fn minus_if(a: &[u64; 3], b: &[u64; 3], condition: u64) -> [u64; 3] {
    let mask = condition.wrapping_neg();
    let mut borrow = 0i128;
    std::array::from_fn(|i| {
        let difference = i128::from(a[i]) - i128::from(b[i] & mask) + borrow;
        borrow = difference >> 64;
        difference as u64
    })
}

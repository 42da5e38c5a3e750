//! The compiled path for clean Chinese mobile numbers; every other cell is left to the caller's slow path.

use rayon::prelude::*;

use crate::error::{Result, check_count};
use crate::items::check_offsets;
use crate::memory;
use crate::parallel;

/// Entries of the table of prefixes: one for each five leading digits.
pub const PREFIXES: usize = 100_000;
/// Bytes of a result: `+86` and eleven digits.
pub const E164_BYTES: usize = 14;
const CHUNK_ROWS: usize = 4096;

/// The result of [`normalise`].
pub struct Normalised {
    /// For each row 1 when it was handled, 0 when it is left to the caller.
    pub status: Vec<u8>,
    /// `count + 1` offsets into `data`; a row that was not handled is empty.
    pub offsets: Vec<i64>,
    /// The handled numbers as E.164.
    pub data: Vec<u8>,
}

/// Write clean mobile numbers as E.164.
///
/// Clean is: blanks around it; nothing, `+86`, `86` or `0086` in front, perhaps with one blank or hyphen after it; then
/// eleven digits, or 3, 4 and 4 digits with the same blank or hyphen between; where the table has 1 for the first five.
pub fn normalise(offsets: &[i64], data: &[u8], prefixes: &[u8]) -> Result<Normalised> {
    check_count("prefix_table", prefixes.len(), PREFIXES)?;
    check_offsets("offsets", offsets, data.len())?;
    let count = offsets.len().saturating_sub(1);
    let mut out = Normalised {
        status: memory::zeros(count),
        offsets: memory::zeros(count + 1),
        data: memory::zeros(count * E164_BYTES),
    };
    // Each chunk writes from where its numbers begin when every row is handled, as nearly all are.
    let lengths: Vec<usize> = parallel::install(|| {
        let chunks = out.status.par_chunks_mut(CHUNK_ROWS).zip(out.data.par_chunks_mut(CHUNK_ROWS * E164_BYTES));
        chunks
            .enumerate()
            .map(|(chunk, (status, numbers))| {
                let mut places = numbers.as_chunks_mut::<E164_BYTES>().0.iter_mut();
                for (row, status) in (chunk * CHUNK_ROWS..).zip(status) {
                    let cell = &data[offsets[row] as usize..offsets[row + 1] as usize];
                    if let Some(digits) = mobile(cell, prefixes) {
                        let place = places.next().expect("one a row");
                        place[..3].copy_from_slice(b"+86");
                        place[3..].copy_from_slice(&digits);
                        *status = 1;
                    }
                }
                (CHUNK_ROWS.min(count - chunk * CHUNK_ROWS) - places.len()) * E164_BYTES
            })
            .collect()
    })?;
    let mut end = 0;
    for (chunk, length) in lengths.into_iter().enumerate() {
        let begin = chunk * CHUNK_ROWS * E164_BYTES;
        if begin != end {
            out.data.copy_within(begin..begin + length, end);
        }
        end += length;
    }
    out.data.truncate(end);
    let mut end = 0;
    for (place, &handled) in out.offsets[1..].iter_mut().zip(&out.status) {
        end += i64::from(handled) * E164_BYTES as i64;
        *place = end;
    }
    Ok(out)
}

/// The eleven digits of a clean mobile number.
fn mobile(cell: &[u8], prefixes: &[u8]) -> Option<[u8; 11]> {
    let text = cell.trim_ascii();
    let national = match text {
        [b'+', b'8', b'6', rest @ ..] | [b'0', b'0', b'8', b'6', rest @ ..] | [b'8', b'6', rest @ ..] => match rest {
            [b' ' | b'-', rest @ ..] => rest,
            _ => rest,
        },
        _ => text,
    };
    let mut digits = [0u8; 11];
    match national.len() {
        11 => digits.copy_from_slice(national),
        13 if matches!(national[3], b' ' | b'-') && national[8] == national[3] => {
            digits[..3].copy_from_slice(&national[..3]);
            digits[3..7].copy_from_slice(&national[4..8]);
            digits[7..].copy_from_slice(&national[9..]);
        }
        _ => return None,
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let prefix = digits[..5].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    (digits[0] == b'1' && prefixes[prefix] == 1).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cells: &[&str]) -> (Vec<u8>, Vec<String>) {
        let mut prefixes = vec![0; PREFIXES];
        prefixes[13800..13900].fill(1);
        let mut offsets = vec![0i64];
        cells.iter().for_each(|cell| offsets.push(offsets[offsets.len() - 1] + cell.len() as i64));
        let done = normalise(&offsets, cells.concat().as_bytes(), &prefixes).unwrap();
        let number = |pair: &[i64]| String::from_utf8(done.data[pair[0] as usize..pair[1] as usize].to_vec()).unwrap();
        (done.status, done.offsets.windows(2).map(number).collect())
    }

    #[test]
    fn clean_mobiles_are_written_as_e164() {
        let cells = ["13812345678", " 138 1234 5678\t", "+8613812345678", "86-138-1234-5678", "0086 13812345678"];
        let (status, numbers) = run(&cells);
        assert_eq!(status, [1; 5]);
        assert!(numbers.iter().all(|number| number == "+8613812345678"));
    }

    #[test]
    fn everything_else_is_left_to_the_caller() {
        let cells = [
            "",
            " ",
            "1381234567",
            "138123456789",
            "138****5678",
            "138 1234-5678",
            "138  1234 5678",
            "13812345678,1",
            "+86  13812345678",
            "23812345678",
            "13712345678",
            "+8513812345678",
            "１３８12345678",
            "0138123456",
            "86",
        ];
        let (status, numbers) = run(&cells);
        assert_eq!(status, vec![0; cells.len()]);
        assert!(numbers.iter().all(String::is_empty));
    }

    #[test]
    fn many_chunks_keep_their_order() {
        let cells: Vec<String> =
            (0..10_000).map(|n| if n % 3 == 0 { "?".into() } else { format!("1380000{n:04}") }).collect();
        let (status, numbers) = run(&cells.iter().map(String::as_str).collect::<Vec<_>>());
        for (n, (status, number)) in status.iter().zip(&numbers).enumerate() {
            let expected = if n % 3 == 0 { (0, String::new()) } else { (1, format!("+861380000{n:04}")) };
            assert_eq!((*status, number.clone()), expected);
        }
    }

    #[test]
    fn sizes_are_checked() {
        assert!(normalise(&[0], b"", &[0; 10]).is_err());
        assert!(normalise(&[0, 2], b"1", &[0; PREFIXES]).is_err());
        assert!(normalise(&[], b"", &[0; PREFIXES]).unwrap().status.is_empty());
    }
}

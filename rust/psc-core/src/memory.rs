//! Large buffers. A kernel that fills a hundred megabytes spends longer on page faults than on its own work, so the system
//! is asked to map them in huge pages.
#![allow(unsafe_code)]

/// From this size on, in bytes, huge pages are asked for: several of them fit in.
const ADVISED_BYTES: usize = 8 << 20;

/// A vector of so many zeros (or what else the default is).
pub(crate) fn zeros<T: Copy + Default>(count: usize) -> Vec<T> {
    // For integers and arrays of them this is `calloc`: no page is touched before it is written.
    let vector = vec![T::default(); count];
    advise(&vector);
    vector
}

#[cfg(target_os = "linux")]
fn advise<T>(vector: &[T]) {
    const PAGE_BYTES: usize = 4096;
    let bytes = size_of_val(vector);
    if bytes < ADVISED_BYTES {
        return;
    }
    let start = vector.as_ptr().addr();
    let aligned = start.next_multiple_of(PAGE_BYTES);
    let length = (start + bytes - aligned) / PAGE_BYTES * PAGE_BYTES;
    let pages = vector.as_ptr().with_addr(aligned).cast_mut().cast();
    // SAFETY: the pages lie inside the vector, and the advice changes neither their content nor what may be done with
    // them. A failure (a system without huge pages) is no failure of ours.
    let _ = unsafe { libc::madvise(pages, length, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: &[T]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_and_small_vectors_are_zero() {
        for count in [0, 1, 1000, ADVISED_BYTES / 16 + 7] {
            let mut vector: Vec<u128> = zeros(count);
            assert!(vector.len() == count && vector.iter().all(|&element| element == 0));
            vector.fill(u128::MAX);
            assert!(vector.iter().all(|&element| element == u128::MAX));
        }
        assert!(zeros::<[u64; 6]>(ADVISED_BYTES / 48 + 1).as_flattened().iter().all(|&word| word == 0));
    }
}

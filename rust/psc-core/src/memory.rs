//! Large buffers, kept between uses. A kernel that fills a hundred megabytes of new memory waits longer for the system to
//! clear them than it works, and shard after shard needs the same buffers. [`Reusing`] keeps the pages of freed ones and
//! makes new buffers of them: pages, not blocks, so what is kept fits whatever is asked for next, and it never keeps more than
//! was once used, or prepared, at the same time.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
use std::alloc::{GlobalAlloc, Layout, System};

/// From this size on, in bytes, a buffer is made of kept pages.
const LARGE_BYTES: usize = 16 << 20;

/// A vector of so many zeros (or what else the default is).
pub(crate) fn zeros<T: Copy + Default>(count: usize) -> Vec<T> {
    // For integers and arrays of them this is `alloc_zeroed`: no new page is touched before it is written.
    vec![T::default(); count]
}

/// Have pages for so many bytes ready soon, while nothing else is to be done: a thread gets them from the system.
pub fn prepare(bytes: usize) {
    if bytes >= LARGE_BYTES {
        #[cfg(target_os = "linux")]
        drop(std::thread::Builder::new().name("psc-memory".into()).spawn(move || pages::prepare(bytes)));
    }
}

/// Give the pages of freed buffers back to the system, when nothing needs them soon, and what its allocator holds unused.
pub fn release() {
    #[cfg(target_os = "linux")]
    pages::release();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointer; blocks in use stay as they are.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The allocator of every program with these kernels: the system's, but for large buffers on Linux.
#[cfg(target_os = "linux")]
struct Reusing;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: Reusing = Reusing;

#[cfg(target_os = "linux")]
// SAFETY: which of the two a block is from follows from its layout alone, in every method; both keep the contract.
unsafe impl GlobalAlloc for Reusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return pages::take(layout.size()).0;
        }
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(layout) {
            // SAFETY: the caller's promises are the system's.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let (block, used) = pages::take(layout.size());
        if !block.is_null() {
            // SAFETY: so many bytes of the block were used before; those after them are new and therefore zero.
            unsafe { block.write_bytes(0, used.min(layout.size())) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_large(layout) {
            return pages::give(block, layout.size());
        }
        // SAFETY: the block is the system's, and the caller's promises are, too.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is not zero and does not overflow with this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_large(layout), is_large(new)) {
            // SAFETY: the block is the system's, and the caller's promises are, too.
            (false, false) => unsafe { System.realloc(block, layout, size) },
            (true, true) if pages::units(size) == pages::units(layout.size()) => block,
            _ => {
                // SAFETY: both blocks are as long as is copied, and apart.
                unsafe {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(block, size.min(layout.size()));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE_BYTES && layout.align() <= pages::UNIT_BYTES
}

/// Blocks of whole units, and the units of freed ones.
#[cfg(target_os = "linux")]
mod pages {
    use std::ptr::{null_mut, without_provenance_mut};
    use std::sync::{Mutex, MutexGuard, TryLockError};

    /// What is mapped, moved and kept: what one page of page tables stands for, so that moving it moves no single page.
    pub const UNIT_BYTES: usize = 2 << 20;
    /// The most units kept, 168 MiB: about what a shard of the largest size needs at once.
    const KEPT_UNITS: usize = 84;

    /// Units that are made ready at a time.
    const PREPARED_UNITS: usize = 4;

    /// Kept units side by side: the address of the first, and how many.
    #[derive(Clone, Copy)]
    struct Run {
        start: usize,
        units: usize,
    }

    /// All kept units; a fixed array, since an allocator cannot allocate.
    struct Kept {
        runs: [Run; KEPT_UNITS],
        count: usize,
        units: usize,
    }

    static KEPT: Mutex<Kept> = Mutex::new(Kept { runs: [Run { start: 0, units: 0 }; KEPT_UNITS], count: 0, units: 0 });

    pub fn units(bytes: usize) -> usize {
        bytes.div_ceil(UNIT_BYTES)
    }

    /// The kept units; `None` while another thread uses them, or when one did in the process from which this one was forked:
    /// whoever allocates does without them then, and never waits.
    fn kept() -> Option<MutexGuard<'static, Kept>> {
        match KEPT.try_lock() {
            Ok(kept) => Some(kept),
            Err(TryLockError::Poisoned(kept)) => Some(kept.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Return a block of at least so many bytes, and how many from its start were used before; null where memory is lacking.
    pub fn take(bytes: usize) -> (*mut u8, usize) {
        let need = units(bytes);
        if let Some(start) = kept().and_then(|mut kept| kept.whole(need)) {
            return (std::ptr::with_exposed_provenance_mut(start), need * UNIT_BYTES);
        }
        let Some(start) = reserve(need) else { return (null_mut(), 0) };
        let mut moved = 0;
        while moved < need {
            let Some(unit) = kept().and_then(|mut kept| kept.last()) else { break };
            let place = start + moved * UNIT_BYTES;
            if !move_unit(unit, place) {
                // Whether the place is still ours is not known: it is left, and the block is made elsewhere of new pages.
                unmap(unit, 1);
                unmap(start, moved);
                unmap(place + UNIT_BYTES, need - moved - 1);
                return (new(need), 0);
            }
            moved += 1;
        }
        if moved < need && !open(start + moved * UNIT_BYTES, need - moved) {
            unmap(start, moved);
            return (null_mut(), 0);
        }
        (std::ptr::with_exposed_provenance_mut(start), moved * UNIT_BYTES)
    }

    /// Return a block of new pages; null where memory is lacking.
    fn new(units: usize) -> *mut u8 {
        match reserve(units) {
            Some(start) if open(start, units) => std::ptr::with_exposed_provenance_mut(start),
            _ => null_mut(),
        }
    }

    /// Keep the units of a block, or give them back where enough are kept.
    pub fn give(block: *mut u8, bytes: usize) {
        let run = Run { start: block.expose_provenance(), units: units(bytes) };
        let left = kept().map_or(run, |mut kept| kept.put(run));
        unmap(left.start, left.units);
    }

    /// Keep pages for so many bytes that were not used yet, a few at a time, so that whoever needs them need not wait.
    pub fn prepare(bytes: usize) {
        let wanted = units(bytes).min(KEPT_UNITS);
        for _ in 0..wanted / PREPARED_UNITS {
            if kept().is_none_or(|kept| kept.units + PREPARED_UNITS > wanted) {
                return;
            }
            let block = new(PREPARED_UNITS);
            if block.is_null() {
                return;
            }
            for page in (0..PREPARED_UNITS * UNIT_BYTES).step_by(4096) {
                // SAFETY: the page lies in the block, of which nobody else knows.
                unsafe { block.add(page).write_volatile(0) };
            }
            give(block, PREPARED_UNITS * UNIT_BYTES);
        }
    }

    pub fn release() {
        loop {
            let Some(unit) = kept().and_then(|mut kept| kept.last()) else { return };
            unmap(unit, 1);
        }
    }

    impl Kept {
        /// Take so many units side by side.
        fn whole(&mut self, need: usize) -> Option<usize> {
            let fits = |index: &usize| self.runs[*index].units >= need;
            let index = (0..self.count).filter(fits).min_by_key(|&index| self.runs[index].units)?;
            let run = &mut self.runs[index];
            let start = run.start;
            (run.start, run.units) = (start + need * UNIT_BYTES, run.units - need);
            self.units -= need;
            if run.units == 0 {
                self.remove(index);
            }
            Some(start)
        }

        /// Take any unit.
        fn last(&mut self) -> Option<usize> {
            let index = self.count.checked_sub(1)?;
            let run = &mut self.runs[index];
            run.units -= 1;
            self.units -= 1;
            let unit = run.start + run.units * UNIT_BYTES;
            if run.units == 0 {
                self.count -= 1;
            }
            Some(unit)
        }

        /// Keep as much of a run as there is room for; return what is left of it.
        fn put(&mut self, run: Run) -> Run {
            let room = run.units.min(KEPT_UNITS - self.units);
            let left = Run { start: run.start + room * UNIT_BYTES, units: run.units - room };
            let mut new = Run { units: room, ..run };
            // What lies beside it becomes one run with it; so there are never more runs than units.
            let mut index = 0;
            while index < self.count && new.units > 0 {
                let other = self.runs[index];
                let touches = other.start + other.units * UNIT_BYTES == new.start
                    || new.start + new.units * UNIT_BYTES == other.start;
                if touches {
                    new = Run { start: new.start.min(other.start), units: new.units + other.units };
                    self.remove(index);
                } else {
                    index += 1;
                }
            }
            if new.units > 0 {
                self.runs[self.count] = new;
                self.count += 1;
                self.units += room;
            }
            left
        }

        fn remove(&mut self, index: usize) {
            self.count -= 1;
            self.runs[index] = self.runs[self.count];
        }
    }

    /// Reserve addresses for so many units, on the boundary of one; nothing can be read or written there yet.
    fn reserve(units: usize) -> Option<usize> {
        let bytes = (units + 1).checked_mul(UNIT_BYTES)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, of which nothing else knows.
        let mapped = unsafe { libc::mmap(null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return None;
        }
        let (first, end) = (mapped.expose_provenance(), mapped.addr() + bytes);
        let start = first.next_multiple_of(UNIT_BYTES);
        let stop = start + units * UNIT_BYTES;
        for (from, to) in [(first, start), (stop, end)] {
            if to > from {
                // SAFETY: the ends of the new mapping, which are not used.
                unsafe { libc::munmap(without_provenance_mut(from), to - from) };
            }
        }
        Some(start)
    }

    /// Map new pages over reserved addresses; where this fails, whose they are is not known, and they are left.
    fn open(start: usize, units: usize) -> bool {
        let (place, bytes) = (without_provenance_mut(start), units * UNIT_BYTES);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the addresses are reserved for this block.
        unsafe { libc::mmap(place, bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) != libc::MAP_FAILED }
    }

    /// Move a kept unit to a reserved place.
    fn move_unit(unit: usize, place: usize) -> bool {
        let (from, to) = (without_provenance_mut(unit), without_provenance_mut::<libc::c_void>(place));
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: the unit belongs to nobody, lies in one mapping (mappings are made, split and moved by units), and the place
        // is reserved for the block that is being made.
        unsafe { libc::mremap(from, UNIT_BYTES, UNIT_BYTES, flags, to) != libc::MAP_FAILED }
    }

    fn unmap(start: usize, units: usize) {
        if units == 0 {
            return;
        }
        // SAFETY: nobody uses these units. Where the system cannot split a mapping, they stay mapped, unused.
        unsafe { libc::munmap(without_provenance_mut(start), units * UNIT_BYTES) };
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn kept_of(runs: &[(usize, usize)]) -> Kept {
            let mut kept = Kept { runs: [Run { start: 0, units: 0 }; KEPT_UNITS], count: 0, units: 0 };
            for &(start, units) in runs {
                assert_eq!(kept.put(Run { start: start * UNIT_BYTES, units }).units, 0);
            }
            kept
        }

        #[test]
        fn runs_side_by_side_become_one() {
            let mut kept = kept_of(&[(10, 2), (20, 3), (12, 8)]);
            assert_eq!((kept.count, kept.units, kept.runs[0].units), (1, 13, 13));
            assert_eq!(kept.whole(13), Some(10 * UNIT_BYTES));
            assert_eq!((kept.count, kept.units), (0, 0));
            assert!(kept.whole(1).is_none() && kept.last().is_none());
        }

        #[test]
        fn the_smallest_run_that_fits_is_taken_and_the_rest_stays() {
            let mut kept = kept_of(&[(10, 6), (20, 4), (30, 9)]);
            assert_eq!(kept.whole(5), Some(10 * UNIT_BYTES));
            assert_eq!(kept.whole(10), None);
            assert_eq!((kept.count, kept.units), (3, 14));
            let mut units: Vec<usize> = std::iter::from_fn(|| kept.last()).collect();
            units.sort_unstable();
            let expected = std::iter::once(15).chain(20..24).chain(30..39);
            assert!(units.into_iter().eq(expected.map(|unit| unit * UNIT_BYTES)));
        }

        #[test]
        fn no_more_is_kept_than_there_is_room_for() {
            let mut kept = kept_of(&[(0, KEPT_UNITS - 3)]);
            let left = kept.put(Run { start: 1000 * UNIT_BYTES, units: 5 });
            assert_eq!((left.start, left.units, kept.units), (1003 * UNIT_BYTES, 2, KEPT_UNITS));
            let left = kept.put(Run { start: 2000 * UNIT_BYTES, units: 7 });
            assert_eq!((left.start, left.units, kept.count), (2000 * UNIT_BYTES, 7, 2));
            for unit in 0..KEPT_UNITS {
                kept.last().unwrap_or_else(|| panic!("{unit} units"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: usize = LARGE_BYTES / 8;

    #[test]
    fn large_and_small_vectors_are_zero() {
        for count in [0, 1, 1000, LARGE_BYTES / 16 + 7] {
            let mut vector: Vec<u128> = zeros(count);
            assert!(vector.len() == count && vector.iter().all(|&element| element == 0));
            vector.fill(u128::MAX);
            assert!(vector.iter().all(|&element| element == u128::MAX));
        }
        assert!(zeros::<[u64; 6]>(LARGE_BYTES / 48 + 1).as_flattened().iter().all(|&word| word == 0));
    }

    #[test]
    fn vectors_made_of_used_pages_are_zero_and_keep_their_content_when_they_grow() {
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                scope.spawn(move || {
                    for round in 0..12usize {
                        // Sizes around whole units, so that blocks are made of several runs, parts of runs and new pages.
                        let sizes = [8 * UNIT, 9 * UNIT + round, 13 * UNIT - 1, 8 * UNIT - 1, 21 * UNIT + 1];
                        let mut held = Vec::new();
                        for &size in &sizes {
                            let mut vector: Vec<u8> = zeros(size);
                            assert!(vector.iter().all(|&byte| byte == 0));
                            vector.fill(thread + 1);
                            if round % 3 == 0 {
                                held.clear();
                            }
                            held.push(vector);
                        }
                        for vector in &mut held {
                            let (before, more) = (vector.len(), (round + 1) * UNIT / 2);
                            vector.reserve_exact(more);
                            vector.extend(std::iter::repeat_n(7, more));
                            assert!(vector[..before].iter().all(|&byte| byte == thread + 1));
                            vector.truncate(UNIT + round);
                            vector.shrink_to_fit();
                            assert!(vector.iter().all(|&byte| byte == thread + 1));
                        }
                        if round % 4 == 1 {
                            release();
                        }
                    }
                });
            }
        });
    }
}

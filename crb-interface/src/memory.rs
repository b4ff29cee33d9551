//! The memory that the interface lives in: 32-bit words that two processes may share.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::layout::MEMORY_SIZE;

/// [`MEMORY_SIZE`] bytes as little-endian words.
///
/// Bytes are copied word by word with relaxed atomic accesses, so that a peer that changes them meanwhile, the guest
/// included, can make the copy nonsense, but nothing worse.
pub trait Memory {
    /// The word at a byte offset that is a multiple of four; `None` past the end.
    fn word(&self, offset: usize) -> Option<&AtomicU32>;

    /// Reads a word, and with it all that its writer had written before.
    fn load(&self, offset: usize) -> u32 {
        self.word(offset)
            .map_or(0, |word| u32::from_le(word.load(Ordering::Acquire)))
    }

    /// Writes a word, and publishes all that was written before.
    fn store(&self, offset: usize, value: u32) {
        if let Some(word) = self.word(offset) {
            word.store(value.to_le(), Ordering::Release);
        }
    }

    /// Replaces the word by what `change` makes of it, in one step. Returns the old value.
    fn update(&self, offset: usize, change: impl Fn(u32) -> u32) -> u32 {
        let Some(word) = self.word(offset) else {
            return 0;
        };
        let changed = |old: u32| Some(change(u32::from_le(old)).to_le());
        match word.fetch_update(Ordering::AcqRel, Ordering::Acquire, changed) {
            Ok(old) | Err(old) => u32::from_le(old),
        }
    }

    /// Copies bytes out; zeros for what lies past the end.
    fn copy_out(&self, offset: usize, out: &mut [u8]) {
        each_word(offset, out.len(), |word, skip, range| {
            let bytes = self
                .word(word)
                .map_or(0, |word| word.load(Ordering::Relaxed))
                .to_ne_bytes();
            let source = bytes.get(skip..).unwrap_or_default();
            if let Some(target) = out.get_mut(range) {
                for (to, from) in target.iter_mut().zip(source) {
                    *to = *from;
                }
            }
        });
    }

    /// Copies bytes in; what lies past the end is dropped.
    fn copy_in(&self, offset: usize, data: &[u8]) {
        each_word(offset, data.len(), |word, skip, range| {
            let (Some(word), Some(source)) = (self.word(word), data.get(range)) else {
                return;
            };
            let mut bytes = [0; 4];
            if source.len() < bytes.len() {
                bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            }
            for (to, from) in bytes.iter_mut().skip(skip).zip(source) {
                *to = *from;
            }
            word.store(u32::from_ne_bytes(bytes), Ordering::Relaxed);
        });
    }

    /// Sets bytes to zero; both ends must be at words.
    fn wipe(&self, offset: usize, len: usize) {
        each_word(offset, len, |word, _, _| {
            if let Some(word) = self.word(word) {
                word.store(0, Ordering::Relaxed);
            }
        });
    }
}

/// Calls `visit` for each word that `len` bytes from `offset` touch: the word's offset, how many of its bytes come
/// before the range, and which bytes of the range are in it.
fn each_word(offset: usize, len: usize, mut visit: impl FnMut(usize, usize, std::ops::Range<usize>)) {
    let mut done = 0usize;
    while done < len {
        let at = offset.saturating_add(done);
        let skip = at & 3;
        let count = 4usize.saturating_sub(skip).min(len.saturating_sub(done));
        let end = done.saturating_add(count);
        visit(at & !3, skip, done..end);
        done = end;
    }
}

/// Memory of this process alone.
pub struct LocalMemory(Box<[AtomicU32]>);

impl Default for LocalMemory {
    fn default() -> Self {
        Self((0..MEMORY_SIZE / 4).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Memory for LocalMemory {
    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.0.get(offset / 4)
    }
}

impl<M: Memory> Memory for std::sync::Arc<M> {
    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        (**self).word(offset)
    }

    fn wipe(&self, offset: usize, len: usize) {
        (**self).wipe(offset, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_at_any_offset_and_of_any_size_touch_nothing_else() {
        let memory = LocalMemory::default();
        for offset in 0..9 {
            for len in 0..11usize {
                memory.copy_in(0, &[0xEE; 24]);
                let data: Vec<u8> = (1..).take(len).collect();
                memory.copy_in(offset, &data);
                let mut all = [0; 24];
                memory.copy_out(0, &mut all);
                let mut expected = [0xEE; 24];
                expected[offset..offset + len].copy_from_slice(&data);
                assert_eq!(all, expected);
                let mut back = vec![0; len];
                memory.copy_out(offset, &mut back);
                assert_eq!(back, data);
            }
        }
    }

    #[test]
    fn past_the_end_reads_zero_and_writes_nothing() {
        let memory = LocalMemory::default();
        memory.copy_in(MEMORY_SIZE - 2, &[1, 2, 3, 4]);
        let mut out = [0xFF; 4];
        memory.copy_out(MEMORY_SIZE - 2, &mut out);
        assert_eq!(out, [1, 2, 0, 0]);
        memory.store(MEMORY_SIZE, 5);
        assert_eq!(memory.load(MEMORY_SIZE), 0);
    }
}

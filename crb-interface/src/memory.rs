//! The memory that the interface lives in: 32-bit words that two processes may share.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::layout::MEMORY_SIZE;

/// Bytes of a word.
const WORD: usize = size_of::<u32>();

type Words<'a> = std::slice::Iter<'a, AtomicU32>;

/// [`MEMORY_SIZE`] bytes as little-endian words.
///
/// Bytes are copied word by word with relaxed atomic accesses, so that a peer that changes them meanwhile, the guest
/// included, can make the copy nonsense, but nothing worse.
pub trait Memory {
    /// All of it.
    fn words(&self) -> &[AtomicU32];

    /// The word at a byte offset that is a multiple of four; `None` past the end.
    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.words().get(offset / WORD)
    }

    /// Has the cache line of an offset brought here, to be written. Nothing but time depends on it.
    fn prepare(&self, offset: usize) {
        let _ = offset;
    }

    /// The same, to be read.
    fn prepare_to_read(&self, offset: usize) {
        let _ = offset;
    }

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
        if offset.is_multiple_of(WORD) {
            // As most accesses of a guest are.
            match (out.as_chunks_mut(), self.words().get(offset / WORD..)) {
                (([first, second], []), Some([low, high, ..])) => {
                    (*first, *second) = (read(Some(low)), read(Some(high)));
                    return;
                }
                (([bytes], []), Some([word, ..])) => {
                    *bytes = read(Some(word));
                    return;
                }
                _ => {}
            }
        }
        if !are_words(offset, out) {
            return copy_ragged_out(self.words_from(offset), offset, out);
        }
        let mut words = self.words_from(offset);
        for bytes in out.as_chunks_mut().0 {
            *bytes = read(words.next());
        }
    }

    /// Copies bytes in; what lies past the end is dropped.
    fn copy_in(&self, offset: usize, data: &[u8]) {
        if let ([first, second], []) = data.as_chunks()
            && offset.is_multiple_of(WORD)
            && let Some([low, high, ..]) = self.words().get(offset / WORD..)
        {
            low.store(u32::from_ne_bytes(*first), Ordering::Relaxed);
            high.store(u32::from_ne_bytes(*second), Ordering::Relaxed);
            return;
        }
        if !are_words(offset, data) {
            return copy_ragged_in(self.words_from(offset), offset, data);
        }
        for (word, bytes) in self.words_from(offset).zip(data.as_chunks().0) {
            word.store(u32::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }

    /// Sets bytes to zero; both ends must be at words.
    fn wipe(&self, offset: usize, len: usize) {
        for word in self.words_from(offset).take(len / WORD) {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// The words from the one that a byte is in.
    fn words_from(&self, offset: usize) -> Words<'_> {
        self.words().get(offset / WORD..).unwrap_or_default().iter()
    }
}

/// Whether bytes at an offset are whole words, as nearly all are.
const fn are_words(offset: usize, bytes: &[u8]) -> bool {
    offset.is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD)
}

/// A word's bytes; zeros where there is none.
fn read(word: Option<&AtomicU32>) -> [u8; WORD] {
    word.map_or([0; WORD], |word| word.load(Ordering::Relaxed).to_ne_bytes())
}

/// How many bytes there are from an offset to the next word's beginning.
const fn before_word(offset: usize) -> usize {
    offset.wrapping_neg() % WORD
}

/// Copies bytes out that do not begin or end with a word, the first of which `offset` is in.
#[inline(never)]
fn copy_ragged_out(mut words: Words<'_>, offset: usize, out: &mut [u8]) {
    let (first, rest) = out.split_at_mut(before_word(offset).min(out.len()));
    if !first.is_empty() {
        let word = read(words.next());
        copy_bytes(word.get(offset % WORD..).unwrap_or_default(), first);
    }
    let (whole, last) = rest.as_chunks_mut();
    for bytes in whole {
        *bytes = read(words.next());
    }
    if !last.is_empty() {
        copy_bytes(&read(words.next()), last);
    }
}

/// Copies bytes in that do not begin or end with a word, the first of which `offset` is in.
#[inline(never)]
fn copy_ragged_in(mut words: Words<'_>, offset: usize, data: &[u8]) {
    let (first, rest) = data.split_at(before_word(offset).min(data.len()));
    if !first.is_empty() {
        merge(words.next(), offset % WORD, first);
    }
    let (whole, last) = rest.as_chunks();
    for (bytes, word) in whole.iter().zip(words.by_ref()) {
        word.store(u32::from_ne_bytes(*bytes), Ordering::Relaxed);
    }
    if !last.is_empty() {
        merge(words.next(), 0, last);
    }
}

/// Copies as many bytes as both have.
pub(crate) fn copy_bytes(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// Replaces some of a word's bytes.
fn merge(word: Option<&AtomicU32>, skip: usize, data: &[u8]) {
    if let Some(word) = word {
        let mut bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        copy_bytes(data, bytes.get_mut(skip..).unwrap_or_default());
        word.store(u32::from_ne_bytes(bytes), Ordering::Relaxed);
    }
}

/// Memory of this process alone.
pub struct LocalMemory(Box<[AtomicU32]>);

impl Default for LocalMemory {
    fn default() -> Self {
        Self((0..MEMORY_SIZE / WORD).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Memory for LocalMemory {
    fn words(&self) -> &[AtomicU32] {
        &self.0
    }
}

impl<M: Memory> Memory for std::sync::Arc<M> {
    fn words(&self) -> &[AtomicU32] {
        (**self).words()
    }

    fn prepare(&self, offset: usize) {
        (**self).prepare(offset);
    }

    fn prepare_to_read(&self, offset: usize) {
        (**self).prepare_to_read(offset);
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

//! The canonical form (Part 1, 5.4; Part 2, 4): big-endian integers, sized buffers, lists and structures.
//!
//! A [`Reader`] knows the TPM's profile, so that a type that is an algorithm, a curve or a key size refuses what this
//! TPM does not have while it is read. An action never sees an unchecked identifier.

use std::marker::PhantomData;

use arrayvec::ArrayVec;
use zeroize::{Zeroize, Zeroizing};

use crate::bytes::Bytes;
use crate::crypto::hash::Hasher;
use crate::crypto::hmac::Hmac;
use crate::profile::Profile;
use crate::rc::{Rc, RcResult};

/// Reads structures off a byte string.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// What this TPM implements.
    pub(crate) profile: &'static Profile,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], profile: &'static Profile) -> Self {
        Self { rest: bytes, profile }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes, or TPM_RC_INSUFFICIENT.
    pub(crate) fn bytes(&mut self, len: usize) -> RcResult<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Rc::INSUFFICIENT)?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> RcResult<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk().ok_or(Rc::INSUFFICIENT)?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn read<T: Unmarshal<'a>>(&mut self) -> RcResult<T> {
        T::unmarshal(self)
    }

    /// The contents of a sized buffer of at most `max` bytes; TPM_RC_SIZE when it claims to be larger.
    pub(crate) fn sized(&mut self, max: usize) -> RcResult<&'a [u8]> {
        let len = usize::from(self.read::<u16>()?);
        if len > max {
            return Err(Rc::SIZE);
        }
        self.bytes(len)
    }

    /// A list into places of which each has a value already; TPM_RC_SIZE when it has more entries than there are places.
    pub(crate) fn list_into<T: Unmarshal<'a>>(&mut self, places: &mut [T]) -> RcResult<()> {
        let count = usize::try_from(self.read::<u32>()?).map_err(|_| Rc::SIZE)?;
        for place in places.get_mut(..count).ok_or(Rc::SIZE)? {
            *place = self.read()?;
        }
        Ok(())
    }

    /// Everything must have been read; TPM_RC_SIZE otherwise.
    pub(crate) fn finish(self) -> RcResult<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Rc::SIZE) }
    }
}

/// Where structures are written: a byte vector, a response, a hash.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for Hasher {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// The hash of [`crate::crypto::hash::hash_by`].
impl Sink for &mut (dyn digest::Update + '_) {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Sink for Hmac {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// How many bytes a form has.
struct Size(usize);

impl Size {
    fn of(value: &(impl Marshal + ?Sized)) -> usize {
        let mut size = Self(0);
        value.marshal(&mut size);
        size.0
    }
}

impl Sink for Size {
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}

/// Writes into a buffer of fixed size; what does not fit is remembered, and nothing is written past the end.
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
    overflow: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self {
            buffer,
            len: 0,
            overflow: false,
        }
    }

    /// How many bytes were written; `None` if not all fitted.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.overflow).then_some(self.len)
    }
}

impl Sink for Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.buffer.get_mut(self.len..end) {
            Some(target) if !self.overflow => {
                target.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.overflow = true,
        }
    }
}

/// The bytes that the value takes in `room`; `None` if it does not fit.
pub(crate) fn marshal_into(room: &mut [u8], value: &impl Marshal) -> Option<usize> {
    let mut writer = Writer::new(room);
    value.marshal(&mut writer);
    writer.finish()
}

/// A type that has a canonical form.
pub(crate) trait Marshal {
    /// Whether the form starts with a 16-bit size (TPM2B): a first parameter that is so can be encrypted.
    const SIZED: bool = false;

    fn marshal<S: Sink>(&self, sink: &mut S);

    /// The canonical form in a buffer that is wiped when dropped.
    fn to_vec(&self) -> Zeroizing<Vec<u8>> {
        self.to_vec_behind(0)
    }

    /// As [`Self::to_vec`], with that many zeros before it.
    fn to_vec_behind(&self, zeros: usize) -> Zeroizing<Vec<u8>> {
        // A vector that grew would leave parts of it behind.
        let mut out = Zeroizing::new(Vec::with_capacity(zeros.saturating_add(Size::of(self))));
        out.resize(zeros, 0);
        self.marshal(&mut *out);
        out
    }
}

/// A type that can be read from its canonical form, with the checks its Part 2 table asks for; it may borrow from it.
pub(crate) trait Unmarshal<'a>: Sized {
    /// As in [`Marshal::SIZED`].
    const SIZED: bool = false;

    fn unmarshal(reader: &mut Reader<'a>) -> RcResult<Self>;
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Marshal for $int {
            fn marshal<S: Sink>(&self, sink: &mut S) {
                sink.put(&self.to_be_bytes());
            }
        }

        impl Unmarshal<'_> for $int {
            fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
                Ok(Self::from_be_bytes(reader.array()?))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i32, i64);

/// TPMI_YES_NO (Part 2, 9.2).
impl Unmarshal<'_> for bool {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        match reader.read::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Rc::VALUE),
        }
    }
}

impl Marshal for bool {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        sink.put(&[u8::from(*self)]);
    }
}

/// The absence of parameters.
impl Unmarshal<'_> for () {
    fn unmarshal(_: &mut Reader<'_>) -> RcResult<Self> {
        Ok(())
    }
}

impl Marshal for () {
    fn marshal<S: Sink>(&self, _: &mut S) {}
}

/// A TPM2B of at most `N` bytes.
impl<const N: usize> Unmarshal<'_> for Bytes<N> {
    const SIZED: bool = true;

    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Self::new(reader.sized(N)?).ok_or(Rc::SIZE)
    }
}

/// A TPM2B of at most `N` bytes that stay where they are: in a command, or in the TPM's state.
#[derive(Clone, Copy)]
pub(crate) struct Borrowed<'a, const N: usize>(pub(crate) &'a [u8]);

impl<const N: usize> std::ops::Deref for Borrowed<'_, N> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl<'a, const N: usize> Unmarshal<'a> for Borrowed<'a, N> {
    const SIZED: bool = true;

    fn unmarshal(reader: &mut Reader<'a>) -> RcResult<Self> {
        reader.sized(N).map(Self)
    }
}

impl<const N: usize> Marshal for Borrowed<'_, N> {
    const SIZED: bool = true;

    fn marshal<S: Sink>(&self, sink: &mut S) {
        put_sized(sink, self);
    }
}

impl<const N: usize> Marshal for Bytes<N> {
    const SIZED: bool = true;

    fn marshal<S: Sink>(&self, sink: &mut S) {
        put_sized(sink, self);
    }
}

impl<T: Marshal> Marshal for &T {
    const SIZED: bool = T::SIZED;

    fn marshal<S: Sink>(&self, sink: &mut S) {
        (**self).marshal(sink);
    }
}

impl<T: Marshal + Zeroize> Marshal for Zeroizing<T> {
    const SIZED: bool = T::SIZED;

    fn marshal<S: Sink>(&self, sink: &mut S) {
        (**self).marshal(sink);
    }
}

impl<'a, T: Unmarshal<'a> + Zeroize> Unmarshal<'a> for Zeroizing<T> {
    const SIZED: bool = T::SIZED;

    fn unmarshal(reader: &mut Reader<'a>) -> RcResult<Self> {
        T::unmarshal(reader).map(Self::new)
    }
}

/// A fixed-size byte field without a size of its own.
impl<const N: usize> Unmarshal<'_> for [u8; N] {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        reader.array()
    }
}

impl<const N: usize> Marshal for [u8; N] {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        sink.put(self);
    }
}

/// A TPM2B written out of a slice. Slices here never exceed 64 KiB; a longer one would be cut to nothing.
pub(crate) fn put_sized<S: Sink>(sink: &mut S, bytes: &[u8]) {
    match u16::try_from(bytes.len()) {
        Ok(len) => {
            len.marshal(sink);
            sink.put(bytes);
        }
        Err(_) => 0u16.marshal(sink),
    }
}

/// A TPML: a 32-bit count and that many entries; TPM_RC_SIZE when there are more than `N`.
impl<'a, T: Unmarshal<'a>, const N: usize> Unmarshal<'a> for ArrayVec<T, N> {
    fn unmarshal(reader: &mut Reader<'a>) -> RcResult<Self> {
        let count = reader.read::<u32>()?;
        if usize::try_from(count).map_or(true, |count| count > N) {
            return Err(Rc::SIZE);
        }
        let mut list = Self::new();
        for _ in 0..count {
            list.push(reader.read()?);
        }
        Ok(list)
    }
}

impl<T: Marshal, const N: usize> Marshal for ArrayVec<T, N> {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        put_list(self, sink);
    }
}

/// A TPML of at most `N` entries that stay in the command: they were checked, and are read once more where they are used.
pub(crate) struct Listed<'a, T, const N: usize> {
    count: u32,
    entries: Reader<'a>,
    of: PhantomData<T>,
}

impl<'a, T: Unmarshal<'a>, const N: usize> Unmarshal<'a> for Listed<'a, T, N> {
    fn unmarshal(reader: &mut Reader<'a>) -> RcResult<Self> {
        let count = reader.read::<u32>()?;
        if usize::try_from(count).map_or(true, |count| count > N) {
            return Err(Rc::SIZE);
        }
        let entries = Reader::new(reader.rest(), reader.profile);
        for _ in 0..count {
            reader.read::<T>()?;
        }
        Ok(Self {
            count,
            entries,
            of: PhantomData,
        })
    }
}

impl<'a, T: Unmarshal<'a>, const N: usize> Listed<'a, T, N> {
    pub(crate) fn into_iter(mut self) -> impl Iterator<Item = T> {
        (0..self.count).map_while(move |_| self.entries.read().ok())
    }
}

/// A list: a 32-bit count and that many entries.
pub(crate) fn put_list<S: Sink>(list: &[impl Marshal], sink: &mut S) {
    u32::try_from(list.len()).unwrap_or(u32::MAX).marshal(sink);
    for entry in list {
        entry.marshal(sink);
    }
}

/// A structure in a TPM2B (TPM2B_PUBLIC and its like): the size must be exactly the structure's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sized2B<T>(pub(crate) T);

impl<'a, T: Unmarshal<'a>> Unmarshal<'a> for Sized2B<T> {
    const SIZED: bool = true;

    fn unmarshal(reader: &mut Reader<'a>) -> RcResult<Self> {
        let size = usize::from(reader.read::<u16>()?);
        if size == 0 {
            return Err(Rc::SIZE);
        }
        // The structure is read before its size is checked, as the peers do: a structure that is itself wrong
        // answers with its own code.
        let available = reader.rest().len();
        let value = reader.read()?;
        let used = available.saturating_sub(reader.rest().len());
        if used == size { Ok(Self(value)) } else { Err(Rc::SIZE) }
    }
}

impl<T: Marshal> Marshal for Sized2B<T> {
    const SIZED: bool = true;

    fn marshal<S: Sink>(&self, sink: &mut S) {
        match u16::try_from(Size::of(&self.0)) {
            Ok(size) => {
                size.marshal(sink);
                self.0.marshal(sink);
            }
            // No structure is so large.
            Err(_) => 0u16.marshal(sink),
        }
    }
}

/// Gives an optional value of a type a form of its own, which no structure of the specification has: whether it is there,
/// then the value.
macro_rules! optional {
    ($($ty:ty),* $(,)?) => {$(
        impl $crate::marshal::Unmarshal<'_> for Option<$ty> {
            fn unmarshal(reader: &mut $crate::marshal::Reader<'_>) -> $crate::rc::RcResult<Self> {
                Ok(if reader.read()? { Some(reader.read()?) } else { None })
            }
        }

        impl $crate::marshal::Marshal for Option<$ty> {
            fn marshal<S: $crate::marshal::Sink>(&self, sink: &mut S) {
                self.is_some().marshal(sink);
                if let Some(value) = self {
                    value.marshal(sink);
                }
            }
        }
    )*};
}
pub(crate) use optional;

optional!(u64);

/// Declares a structure whose canonical form is its fields in order.
macro_rules! structure {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        $vis struct $name {
            $($(#[$fmeta])* $fvis $field: $ty),*
        }

        impl $crate::marshal::Unmarshal<'_> for $name {
            fn unmarshal(reader: &mut $crate::marshal::Reader<'_>) -> $crate::rc::RcResult<Self> {
                Ok(Self { $($field: reader.read::<$ty>()?),* })
            }
        }

        impl $crate::marshal::Marshal for $name {
            fn marshal<S: $crate::marshal::Sink>(&self, sink: &mut S) {
                // Taken apart exhaustively, so that a forgotten field does not compile.
                let Self { $($field),* } = self;
                $($crate::marshal::Marshal::marshal($field, sink);)*
            }
        }
    )*};
}
pub(crate) use structure;

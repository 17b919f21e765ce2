//! The bytes of one message in several pieces, of which large ones are not copied: neither when it is encoded nor when it is decoded.

use bytes::{Buf, BufMut, Bytes, BytesMut, buf::UninitSlice};
use prost::Message;
use std::collections::VecDeque;

/// An encoded message in pieces. Read as a [`Buf`], it gives what lies in one piece without a copy.
#[derive(Clone, Debug, Default)]
pub struct Scattered {
    /// Empty only where all is.
    first: Bytes,
    rest: VecDeque<Bytes>,
    /// Bytes in all pieces: a decoder asks for it at every step.
    len: usize,
}

impl Scattered {
    /// Encodes a message. Its fields of `bytes` that are not smaller than this are pieces of their own.
    pub fn encode(message: &impl Message, piece_bytes_min: usize) -> Scattered {
        let mut writer = Writer { pieces: Scattered::default(), current: BytesMut::new(), piece_bytes_min };
        message.encode_raw(&mut writer);
        writer.end();
        writer.pieces
    }

    /// A message in these pieces, in this order.
    pub fn of(pieces: impl IntoIterator<Item = Bytes>) -> Scattered {
        let mut scattered = Scattered::default();
        pieces.into_iter().for_each(|piece| scattered.push(piece));
        scattered
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// All of it in one piece: copied, unless it is in one already.
    pub fn flat(mut self) -> Bytes {
        self.copy_to_bytes(self.len())
    }

    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        match () {
            _ if piece.is_empty() => {}
            _ if self.first.is_empty() => self.first = piece,
            _ => self.rest.push_back(piece),
        }
    }
}

impl From<Bytes> for Scattered {
    fn from(bytes: Bytes) -> Scattered {
        Scattered { len: bytes.len(), first: bytes, rest: VecDeque::new() }
    }
}

impl Buf for Scattered {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.first
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let here = count.min(self.first.len());
            assert!(here > 0, "advanced beyond the end");
            self.first.advance(here);
            self.len -= here;
            count -= here;
            if self.first.is_empty() {
                self.first = self.rest.pop_front().unwrap_or_default();
            }
        }
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        if count <= self.first.len() {
            let bytes = self.first.slice(..count);
            self.advance(count);
            return bytes;
        }
        assert!(count <= self.len(), "{count} bytes of {}", self.len());
        let mut bytes = BytesMut::with_capacity(count);
        bytes.put((&mut *self).take(count));
        bytes.freeze()
    }
}

/// Cuts what is written into it.
struct Writer {
    pieces: Scattered,
    /// What follows the last piece.
    current: BytesMut,
    piece_bytes_min: usize,
}

impl Writer {
    fn end(&mut self) {
        self.pieces.push(self.current.split().freeze());
    }
}

// SAFETY: memory is given and advanced by BytesMut alone, which fulfils the contract.
unsafe impl BufMut for Writer {
    fn remaining_mut(&self) -> usize {
        self.current.remaining_mut()
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        // SAFETY: the caller has written so many bytes to what `chunk_mut` gave, which is the chunk of `current`.
        unsafe { self.current.advance_mut(count) }
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        self.current.chunk_mut()
    }

    fn put<T: Buf>(&mut self, mut source: T) {
        let count = source.remaining();
        if count < self.piece_bytes_min {
            return self.current.put(source);
        }
        self.end();
        // A copy only where the source is no Bytes.
        self.pieces.push(source.copy_to_bytes(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Inner {
        #[prost(bytes = "bytes", tag = "1")]
        data: Bytes,
        #[prost(uint32, tag = "2")]
        codec: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Outer {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "2")]
        items: Vec<Inner>,
    }

    fn outer(sizes: &[usize]) -> Outer {
        let items = sizes.iter().enumerate();
        let items = items.map(|(at, size)| Inner { data: vec![at as u8; *size].into(), codec: at as u32 });
        Outer { name: "batch".into(), items: items.collect() }
    }

    #[test]
    fn what_is_large_is_copied_neither_on_its_way_out_nor_on_its_way_in() {
        let outer = outer(&[10, 5000, 20, 3000, 1000]);
        let scattered = Scattered::encode(&outer, 1000);
        let large: Vec<*const u8> = [1, 3, 4].map(|at: usize| outer.items[at].data.as_ptr()).into();
        let pieces: Vec<*const u8> = scattered.pieces().filter(|piece| piece.len() >= 1000).map(|piece| piece.as_ptr()).collect();
        assert_eq!(pieces, large);
        let decoded = Outer::decode(scattered).unwrap();
        assert_eq!(decoded, outer);
        assert_eq!([1, 3, 4].map(|at: usize| decoded.items[at].data.as_ptr()).to_vec(), large);
    }

    #[test]
    fn its_pieces_are_the_plain_encoding() {
        for sizes in [&[][..], &[0], &[999], &[1000], &[1000, 1000], &[5, 2000, 0, 4000]] {
            let outer = outer(sizes);
            let scattered = Scattered::encode(&outer, 1000);
            assert_eq!(scattered.len(), outer.encoded_len());
            assert_eq!(scattered.clone().flat(), outer.encode_to_vec(), "{sizes:?}");
            let plain = Scattered::from(Bytes::from(outer.encode_to_vec()));
            assert_eq!(Outer::decode(plain).unwrap(), outer);
        }
    }

    #[test]
    fn its_length_is_what_is_left_of_it() {
        let mut scattered = Scattered::of([vec![1; 5], vec![2; 7], vec![3; 9]].map(Bytes::from));
        for left in [21, 18, 16, 9] {
            assert_eq!((scattered.len(), scattered.remaining()), (left, left));
            scattered.copy_to_bytes(match left {
                21 => 3,
                18 => 2,
                _ => 7,
            });
        }
        assert_eq!(scattered.pieces().map(Bytes::len).sum::<usize>(), scattered.len());
    }

    #[test]
    fn it_is_read_wherever_it_is_cut() {
        let outer = outer(&[30, 40]);
        let flat: Bytes = outer.encode_to_vec().into();
        for cut in 0..flat.len() {
            let scattered = Scattered::of([flat.slice(..cut), flat.slice(cut..)]);
            assert_eq!(Outer::decode(scattered), Ok(outer.clone()), "cut at {cut}");
        }
        assert!(Outer::decode(Scattered::of([flat.slice(..flat.len() - 1)])).is_err());
        assert!(Scattered::of([Bytes::new()]).is_empty());
    }
}

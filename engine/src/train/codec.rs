//! Reading and writing binary training files: little-endian, checksummed, distrusting.

use std::io::{Read, Write};

use super::error::TrainError;
use crate::model::features::Fnv;

/// Bytes converted at a time; also bounds what a damaged length can make a reader allocate ahead of the data.
const PIECE: usize = 1 << 16;

/// Writes numbers and keeps a running checksum.
pub(crate) struct Writer<W> {
    inner: W,
    hash: Fnv,
}

impl<W: Write> Writer<W> {
    /// Starts a file with its magic bytes and version.
    pub(crate) fn new(inner: W, magic: [u8; 8], version: u32) -> Result<Self, TrainError> {
        let mut writer = Self {
            inner,
            hash: Fnv::default(),
        };
        writer.bytes(&magic)?;
        writer.bytes(&version.to_le_bytes())?;
        Ok(writer)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        self.hash.write(bytes);
        self.inner.write_all(bytes)?;
        Ok(())
    }

    pub(crate) fn u64(&mut self, value: u64) -> Result<(), TrainError> {
        self.bytes(&value.to_le_bytes())
    }

    /// A length and UTF-8 text.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), TrainError> {
        self.u64(text.len() as u64)?;
        self.bytes(text.as_bytes())
    }

    pub(crate) fn f64s(&mut self, values: &[f64]) -> Result<(), TrainError> {
        for piece in values.chunks(PIECE / 8) {
            let bytes: Vec<u8> = piece.iter().flat_map(|v| v.to_le_bytes()).collect();
            self.bytes(&bytes)?;
        }
        Ok(())
    }

    pub(crate) fn f32s(&mut self, values: &[f32]) -> Result<(), TrainError> {
        for piece in values.chunks(PIECE / 4) {
            let bytes: Vec<u8> = piece.iter().flat_map(|v| v.to_le_bytes()).collect();
            self.bytes(&bytes)?;
        }
        Ok(())
    }

    /// The checksum of everything so far.
    pub(crate) fn checksum(&mut self) -> Result<(), TrainError> {
        self.u64(self.hash.value())
    }

    pub(crate) fn finish(mut self) -> Result<(), TrainError> {
        self.checksum()?;
        self.inner.flush()?;
        Ok(())
    }
}

/// Reads what [`Writer`] wrote; every way a file can be wrong is an error.
pub(crate) struct Reader<R> {
    inner: R,
    hash: Fnv,
    kind: &'static str,
}

impl<R: Read> Reader<R> {
    /// Reads and checks magic bytes and version; `kind` names the file in errors.
    pub(crate) fn new(
        inner: R,
        kind: &'static str,
        magic: [u8; 8],
        version: u32,
    ) -> Result<Self, TrainError> {
        let mut reader = Self {
            inner,
            hash: Fnv::default(),
            kind,
        };
        let mut found = [0; 8];
        reader.bytes(&mut found)?;
        if found != magic {
            return Err(reader.error("this is another kind of file"));
        }
        let mut found = [0; 4];
        reader.bytes(&mut found)?;
        let found = u32::from_le_bytes(found);
        if found != version {
            return Err(reader.error(format!(
                "it has version {found}, this program reads version {version}: make the file again"
            )));
        }
        Ok(reader)
    }

    pub(crate) fn error(&self, reason: impl Into<String>) -> TrainError {
        TrainError::File {
            kind: self.kind,
            reason: reason.into(),
        }
    }

    fn bytes(&mut self, out: &mut [u8]) -> Result<(), TrainError> {
        self.inner.read_exact(out).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => self.error("it is cut short"),
            _ => TrainError::Io(e),
        })?;
        self.hash.write(out);
        Ok(())
    }

    pub(crate) fn u64(&mut self) -> Result<u64, TrainError> {
        let mut bytes = [0; 8];
        self.bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Text of at most `limit` bytes.
    pub(crate) fn text(&mut self, limit: usize) -> Result<String, TrainError> {
        let length = self.u64()?;
        let length = usize::try_from(length)
            .ok()
            .filter(|n| *n <= limit)
            .ok_or_else(|| self.error("a text in it is too long: the file is damaged"))?;
        let mut bytes = vec![0; length];
        self.bytes(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.error("a text in it is damaged"))
    }

    pub(crate) fn f64s(&mut self, count: usize) -> Result<Vec<f64>, TrainError> {
        let mut values = Vec::new();
        self.pieces::<8>(count, |b| values.push(f64::from_le_bytes(b)))?;
        if values.iter().all(|v: &f64| v.is_finite()) {
            Ok(values)
        } else {
            Err(self.error("it holds numbers that are not finite"))
        }
    }

    pub(crate) fn f32s(&mut self, count: usize) -> Result<Vec<f32>, TrainError> {
        let mut values = Vec::new();
        self.pieces::<4>(count, |b| values.push(f32::from_le_bytes(b)))?;
        if values.iter().all(|v: &f32| v.is_finite()) {
            Ok(values)
        } else {
            Err(self.error("it holds numbers that are not finite"))
        }
    }

    fn pieces<const SIZE: usize>(
        &mut self,
        count: usize,
        mut push: impl FnMut([u8; SIZE]),
    ) -> Result<(), TrainError> {
        let mut buffer = vec![0; PIECE];
        let mut left = count;
        while left > 0 {
            let now = left.min(PIECE / SIZE);
            let bytes = &mut buffer[..now * SIZE];
            self.bytes(bytes)?;
            let (numbers, _) = bytes.as_chunks::<SIZE>();
            numbers.iter().for_each(|b| push(*b));
            left -= now;
        }
        Ok(())
    }

    /// Compares a stored checksum with that of everything read so far.
    pub(crate) fn checksum(&mut self) -> Result<(), TrainError> {
        let wanted = self.hash.value();
        if self.u64()? == wanted {
            Ok(())
        } else {
            Err(self.error("its checksum is wrong: the file is damaged"))
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(mut self) -> Result<(), TrainError> {
        let mut one = [0];
        match self.inner.read(&mut one)? {
            0 => Ok(()),
            _ => Err(self.error("something follows its end: the file is damaged")),
        }
    }

    /// The last checksum, after which nothing may follow.
    pub(crate) fn finish(mut self) -> Result<(), TrainError> {
        self.checksum()?;
        self.end()
    }
}

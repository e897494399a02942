//! Reading WAV, including files that a crash left unfinished.
//!
//! WAV is what people record, so it is read here and not by the general decoder: that one refuses headers with
//! wrong sizes, drops the last packet of a cut file and does not know RF64. Sizes in the header are claims; nothing
//! is allocated for them, and the length of the file decides.

use std::io::{self, Read, Seek, SeekFrom};

use super::reader::SampleFormat;

/// Chunks looked at before the samples: far beyond real files, it ends a walk through rubbish.
const MAX_CHUNKS: usize = 4096;
/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 16;

/// Why a WAV header cannot be used.
#[derive(Debug)]
pub(super) enum WavProblem {
    /// It is not WAV or not in a usable encoding; the text names what was found.
    Format(String),
    /// No samples follow.
    NoSamples,
    /// The system failed.
    Io(io::Error),
}

impl From<io::Error> for WavProblem {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::UnexpectedEof {
            Self::Format("its WAV header is cut short".into())
        } else {
            Self::Io(e)
        }
    }
}

/// How one sample lies in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Coding {
    U8,
    I16,
    I24,
    /// 24 bits in the low end of four bytes.
    I24In4,
    I32,
    F32,
    F64,
}

impl Coding {
    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I24In4 | Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// The fields of a `fmt ` chunk that matter.
struct Layout {
    coding: Coding,
    format: SampleFormat,
    channels: usize,
    rate_hz: u32,
}

/// An open WAV file, positioned in its samples.
pub(super) struct WavSource<R> {
    input: R,
    coding: Coding,
    block: Vec<u8>,
    frames_left: u64,
    /// Sample rate as stated, in Hz.
    pub(super) rate_hz: u32,
    /// Channels as stated, at least 1.
    pub(super) channels: usize,
    /// Encoding of the samples.
    pub(super) format: SampleFormat,
    /// Frames that are really there.
    pub(super) frames: u64,
    /// The header promised more than the file holds.
    pub(super) truncated: bool,
}

impl<R: Read + Seek> WavSource<R> {
    /// Reads the header of `input`, which is `file_len` bytes long and at its start.
    pub(super) fn open(mut input: R, file_len: u64) -> Result<Self, WavProblem> {
        let mut head = [0u8; 12];
        input.read_exact(&mut head)?;
        let riff_len = u32_at(&head, 4);
        let mut layout = None;
        let mut wide_data_len = None;
        let mut at = 12u64;
        for _ in 0..MAX_CHUNKS {
            if at.saturating_add(8) > file_len {
                break;
            }
            input.seek(SeekFrom::Start(at))?;
            let mut chunk = [0u8; 8];
            input.read_exact(&mut chunk)?;
            let len = u32_at(&chunk, 4);
            let body = at + 8;
            match &chunk[..4] {
                b"fmt " => layout = Some(read_layout(&mut input, len)?),
                b"ds64" => {
                    let mut sizes = [0u8; 16];
                    input.read_exact(&mut sizes)?;
                    let [low, high] = [u32_at(&sizes, 8), u32_at(&sizes, 12)];
                    wide_data_len = Some(u64::from(high) << 32 | u64::from(low));
                }
                b"data" => {
                    let layout = layout
                        .ok_or_else(|| WavProblem::Format("its WAV header has no format".into()))?;
                    let there = file_len - body;
                    // A recorder that crashed leaves zeros (or all ones) where the sizes belong.
                    let unfinished = len == 0 && u64::from(riff_len) <= at;
                    let (claimed, truncated) = match (len, wide_data_len) {
                        (u32::MAX, Some(wide)) => (wide, wide > there),
                        (u32::MAX, None) => (there, false),
                        (0, _) if unfinished => (there, there > 0),
                        (len, _) => (u64::from(len), u64::from(len) > there),
                    };
                    return Self::start(input, layout, claimed.min(there), truncated);
                }
                _ => {}
            }
            at = body + u64::from(len) + u64::from(len & 1);
        }
        Err(if layout.is_some() {
            WavProblem::NoSamples
        } else {
            WavProblem::Format("its WAV header has no format".into())
        })
    }

    fn start(input: R, layout: Layout, data_len: u64, truncated: bool) -> Result<Self, WavProblem> {
        let frame_bytes = layout.coding.bytes() * layout.channels;
        let frames = data_len / frame_bytes as u64;
        if frames == 0 {
            return Err(WavProblem::NoSamples);
        }
        Ok(Self {
            input,
            coding: layout.coding,
            block: vec![0; (BLOCK_BYTES / frame_bytes).max(1) * frame_bytes],
            frames_left: frames,
            rate_hz: layout.rate_hz,
            channels: layout.channels,
            format: layout.format,
            frames,
            truncated,
        })
    }

    /// Fills whole frames of interleaved samples; returns how many frames, 0 at the end.
    pub(super) fn read(&mut self, out: &mut [f32]) -> io::Result<usize> {
        let frame_bytes = self.coding.bytes() * self.channels;
        let mut done = 0;
        for chunk in out.chunks_mut(self.block.len() / self.coding.bytes()) {
            let frames = ((chunk.len() / self.channels) as u64).min(self.frames_left) as usize;
            let wanted = frames * frame_bytes;
            let block = &mut self.block[..wanted];
            let got = read_up_to(&mut self.input, block)? / frame_bytes;
            decode(
                self.coding,
                &block[..got * frame_bytes],
                &mut chunk[..got * self.channels],
            );
            done += got;
            self.frames_left -= got as u64;
            if got < frames {
                // The file shrank while it was read.
                self.truncated = true;
                self.frames_left = 0;
            }
            if self.frames_left == 0 {
                break;
            }
        }
        Ok(done)
    }
}

fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn read_layout(input: &mut impl Read, len: u32) -> Result<Layout, WavProblem> {
    const PCM: u16 = 1;
    const FLOAT: u16 = 3;
    const EXTENSIBLE: u16 = 0xfffe;
    let mut fmt = [0u8; 40];
    let len = (len as usize).min(fmt.len());
    if len < 16 {
        return Err(WavProblem::Format("its WAV format is too short".into()));
    }
    input.read_exact(&mut fmt[..len])?;
    let channels = u16_at(&fmt, 2);
    let rate_hz = u32_at(&fmt, 4);
    let align = u16_at(&fmt, 12);
    let bits = u16_at(&fmt, 14);
    // The long form holds the true encoding in the first two bytes of its identifier.
    let (tag, valid_bits) = match u16_at(&fmt, 0) {
        EXTENSIBLE if len >= 40 => (u16_at(&fmt, 24), u16_at(&fmt, 18)),
        tag => (tag, bits),
    };
    if channels == 0 {
        return Err(WavProblem::Format("its WAV header says 0 channels".into()));
    }
    let container = if align.is_multiple_of(channels)
        && usize::from(align / channels) * 8 >= usize::from(bits)
    {
        align / channels
    } else {
        bits.div_ceil(8)
    };
    let coding = match (tag, container, bits) {
        (PCM, 1, 1..=8) => Coding::U8,
        (PCM, 2, 9..=16) => Coding::I16,
        (PCM, 3, 17..=24) => Coding::I24,
        (PCM, 4, 24) => Coding::I24In4,
        (PCM, 4, 25..=32) => Coding::I32,
        (FLOAT, 4, 32) => Coding::F32,
        (FLOAT, 8, 64) => Coding::F64,
        (PCM | FLOAT, ..) => {
            return Err(WavProblem::Format(format!(
                "WAV with {bits} bits in {container} bytes a sample"
            )));
        }
        _ => {
            return Err(WavProblem::Format(format!(
                "WAV with encoding number {tag}, which is not plain PCM"
            )));
        }
    };
    let format = match coding {
        Coding::F32 => SampleFormat::Float { bits: 32 },
        Coding::F64 => SampleFormat::Float { bits: 64 },
        _ => SampleFormat::Int {
            bits: if (1..=bits).contains(&valid_bits) {
                valid_bits
            } else {
                bits
            },
        },
    };
    Ok(Layout {
        coding,
        format,
        channels: usize::from(channels),
        rate_hz,
    })
}

/// Converts bytes to samples; integers of up to 24 bits are exact in f32.
fn decode(coding: Coding, bytes: &[u8], out: &mut [f32]) {
    fn each<const N: usize>(bytes: &[u8], out: &mut [f32], convert: impl Fn([u8; N]) -> f32) {
        let (samples, _) = bytes.as_chunks::<N>();
        for (o, s) in out.iter_mut().zip(samples) {
            *o = convert(*s);
        }
    }
    const I24_SCALE: f32 = 1.0 / (1 << 23) as f32;
    match coding {
        Coding::U8 => each(bytes, out, |[b]: [u8; 1]| (f32::from(b) - 128.0) / 128.0),
        Coding::I16 => each(bytes, out, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
        Coding::I24 => each(bytes, out, |[a, b, c]: [u8; 3]| {
            (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 * I24_SCALE
        }),
        Coding::I24In4 => each(bytes, out, |[a, b, c, _]: [u8; 4]| {
            (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 * I24_SCALE
        }),
        Coding::I32 => each(bytes, out, |b| {
            (f64::from(i32::from_le_bytes(b)) / 2_147_483_648.0) as f32
        }),
        Coding::F32 => each(bytes, out, f32::from_le_bytes),
        Coding::F64 => each(bytes, out, |b| f64::from_le_bytes(b) as f32),
    }
}

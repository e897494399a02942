//! FLAC, AIFF, OGG Vorbis and MP3 through Symphonia, as one stream of interleaved samples.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::reader::SampleFormat;

/// Most silence put in place of one unreadable lossy packet: no format has longer ones.
const MAX_PACKET_FRAMES: u64 = 1 << 16;
/// Most silence put in place of a lost stretch; a time stamp beyond it is damage itself.
const MAX_GAP_FRAMES: u64 = 1 << 26;

/// Why a stream cannot be used.
#[derive(Debug)]
pub(super) enum PacketProblem {
    /// Nothing known, or damaged beyond use; the text says how.
    Format(String),
    /// No samples came out.
    NoSamples,
    /// The system failed.
    Io(io::Error),
}

impl From<Error> for PacketProblem {
    fn from(e: Error) -> Self {
        match e {
            Error::IoError(e) if e.kind() != io::ErrorKind::UnexpectedEof => Self::Io(e),
            Error::IoError(_) => Self::Format("it ends within its header".into()),
            other => Self::Format(other.to_string()),
        }
    }
}

/// An open compressed file, at a sample of its stream.
pub(super) struct PacketSource {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    lossless: bool,
    delivered: u64,
    /// Decoded but not yet handed out.
    pending: Vec<f32>,
    handed_out: usize,
    /// Samples of silence to hand out before `pending`.
    silence: u64,
    ended: bool,
    /// Sample rate in Hz.
    pub(super) rate_hz: u32,
    /// Channels, at least 1.
    pub(super) channels: usize,
    /// Encoding of the samples.
    pub(super) format: SampleFormat,
    /// Frames by the header, a claim.
    pub(super) frames: Option<u64>,
    /// The stream stopped before its promised end.
    pub(super) truncated: bool,
    /// Some packets could not be read; silence stands in their place.
    pub(super) damaged: bool,
}

impl PacketSource {
    /// Recognises the format by its content and decodes the first packet.
    pub(super) fn open(file: File) -> Result<Self, PacketProblem> {
        // The libraries may panic on hostile headers (AIFF: overflowing sizes); one bad file must not end a batch.
        catch_unwind(|| Self::open_trusting(file))
            .unwrap_or_else(|_| Err(PacketProblem::Format("its contents are damaged".into())))
    }

    fn open_trusting(file: File) -> Result<Self, PacketProblem> {
        let stream = MediaSourceStream::new(Box::new(file), MediaSourceStreamOptions::default());
        let reader = symphonia::default::get_probe().probe(
            &Hint::new(),
            stream,
            FormatOptions::default(),
            MetadataOptions::default(),
        )?;
        let track = reader
            .default_track(TrackType::Audio)
            .ok_or_else(|| PacketProblem::Format("it has no sound track".into()))?;
        let id = track.id;
        let params = track
            .codec_params
            .as_ref()
            .and_then(|p| p.audio())
            .ok_or_else(|| PacketProblem::Format("it does not say how it is encoded".into()))?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default())?;
        let bits = params.bits_per_sample;
        let lossless = matches!(reader.format_info().short_name, "flac" | "aiff");
        let format = match bits {
            Some(bits) if lossless => SampleFormat::Int {
                bits: u16::try_from(bits).unwrap_or(32),
            },
            _ if lossless => SampleFormat::Float { bits: 32 },
            _ => SampleFormat::Lossy,
        };
        let frames = track.num_frames.filter(|n| *n > 0);
        let mut source = Self {
            reader,
            decoder,
            track: id,
            lossless,
            delivered: 0,
            pending: Vec::new(),
            handed_out: 0,
            silence: 0,
            ended: false,
            rate_hz: 0,
            channels: 0,
            format,
            frames,
            truncated: false,
            damaged: false,
        };
        source.next_block().map_err(PacketProblem::Io)?;
        if source.pending.is_empty() {
            return Err(PacketProblem::NoSamples);
        }
        Ok(source)
    }

    /// Fills whole frames of interleaved samples; returns how many frames, 0 at the end.
    pub(super) fn read(&mut self, out: &mut [f32]) -> io::Result<usize> {
        let wanted = out.len() / self.channels * self.channels;
        let mut filled = 0;
        while filled < wanted {
            if self.silence > 0 {
                let count = self.silence.min((wanted - filled) as u64);
                out[filled..filled + count as usize].fill(0.0);
                filled += count as usize;
                self.silence -= count;
                continue;
            }
            if self.handed_out == self.pending.len() {
                if self.ended {
                    break;
                }
                self.next_block_guarded()?;
                continue;
            }
            let rest = &self.pending[self.handed_out..];
            let count = rest.len().min(wanted - filled);
            out[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
            self.handed_out += count;
        }
        Ok(filled / self.channels)
    }

    /// As [`PacketSource::next_block`]; a panic of the decoder ends the stream, and it is not called again.
    fn next_block_guarded(&mut self) -> io::Result<()> {
        catch_unwind(AssertUnwindSafe(|| self.next_block())).unwrap_or_else(|_| {
            self.pending.clear();
            self.handed_out = 0;
            self.truncated = true;
            self.ended = true;
            Ok(())
        })
    }

    /// Decodes up to the next packet that yields samples into `pending`; sets `ended` when there is none.
    fn next_block(&mut self) -> io::Result<()> {
        self.pending.clear();
        self.handed_out = 0;
        while self.pending.is_empty() && !self.ended {
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track => self.decode(&packet),
                Ok(Some(_)) => {}
                Ok(None) => self.end(),
                Err(Error::IoError(e)) if e.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(e);
                }
                Err(_) => {
                    self.truncated = true;
                    self.end();
                }
            }
        }
        Ok(())
    }

    fn decode(&mut self, packet: &symphonia::core::packet::Packet) {
        match self.decoder.decode(packet) {
            Ok(buffer) => {
                let rate_hz = buffer.spec().rate();
                let channels = buffer.spec().channels().count();
                if self.channels == 0 {
                    self.rate_hz = rate_hz;
                    self.channels = channels;
                }
                if (rate_hz, channels) != (self.rate_hz, self.channels) || channels == 0 {
                    // Another stream follows in the same file: only the first one is read.
                    self.truncated = true;
                    self.ended = true;
                    return;
                }
                buffer.copy_to_vec_interleaved(&mut self.pending);
                if self.lossless {
                    self.bridge_gap(u64::try_from(packet.pts.get()).unwrap_or(0));
                }
            }
            // The time stamp of the next readable packet will tell how much is missing.
            Err(_) if self.lossless => self.damaged = true,
            Err(_) => {
                self.damaged = true;
                let gap = packet.dur.get().min(MAX_PACKET_FRAMES) as usize;
                self.pending.resize(gap * self.channels, 0.0);
            }
        }
        self.delivered += (self.pending.len() / self.channels.max(1)) as u64;
    }

    /// Unreadable packets vanish without an error; silence in their place keeps the rest where it belongs.
    fn bridge_gap(&mut self, start_frame: u64) {
        let gap = start_frame.saturating_sub(self.delivered);
        if gap == 0 {
            return;
        }
        self.damaged = true;
        if gap > MAX_GAP_FRAMES {
            self.pending.clear();
            self.truncated = true;
            self.ended = true;
            return;
        }
        self.silence = gap * self.channels as u64;
        self.delivered += gap;
    }

    fn end(&mut self) {
        self.ended = true;
        // Lossy headers state lengths with and without padding; only the exact formats can be held to them.
        if self.lossless && self.frames.is_some_and(|n| self.delivered < n) {
            self.truncated = true;
        }
    }
}

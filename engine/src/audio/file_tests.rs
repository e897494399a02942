//! Audio files written, read back, cut short and damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::denoiser::{NoiseSource, StreamDenoiser};
use super::embedded;
use super::file_denoise::{FileJob, FileNoise, SignalNoise, denoise_file, denoise_signal};
use super::file_error::AudioFileError;
use super::hum::tests::hum;
use super::method::Method;
use super::mix::Output;
use super::model::{DenoiserModel, Mode};
use super::noise::NoiseSpectrum;
use super::reader::{AudioClip, AudioReader, SampleFormat, read_all};
use super::writer::{AudioWriter, WavFormat};
use crate::rng::StableRng;
use crate::train::Control;

const FLAC_16: &[u8] = include_bytes!("fixtures/ramp_16.flac");
const FLAC_24: &[u8] = include_bytes!("fixtures/ramp_24.flac");
const AIFF_16: &[u8] = include_bytes!("fixtures/ramp_16.aiff");
const MP3: &[u8] = include_bytes!("fixtures/sine.mp3");
const OGG: &[u8] = include_bytes!("fixtures/sine.ogg");
const LIMIT: u64 = 1 << 22;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn entries(&self) -> Vec<String> {
        fs::read_dir(self.0.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn read_bytes(&self, bytes: &[u8]) -> Result<AudioClip, AudioFileError> {
        let path = self.at("bytes");
        fs::write(&path, bytes).unwrap();
        let clip = read_all(&path, LIMIT);
        // Overwriting would make some file systems flush every time.
        fs::remove_file(path).unwrap();
        clip
    }
}

fn interleaved(clip: &AudioClip) -> Vec<f32> {
    (0..clip.frames())
        .flat_map(|i| clip.channels.iter().map(move |c| c[i]))
        .collect()
}

fn write(path: &Path, channels: usize, format: WavFormat, samples: &[f32]) -> u64 {
    let mut writer = AudioWriter::create(path, 48_000, channels, format).unwrap();
    for block in samples.chunks(channels * 100) {
        writer.write(block).unwrap();
    }
    writer.finish().unwrap()
}

/// The pattern the fixtures were made from, as 16-bit steps.
fn ramp(i: i32, channel: i32) -> i32 {
    (i * 37 + channel * 1000) % 20001 - 10000
}

/// A WAV file from its parts.
fn wav(fmt: &[u8], data_len: u32, data: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend((20 + fmt.len() as u32 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend((fmt.len() as u32).to_le_bytes());
    file.extend(fmt);
    file.extend(b"data");
    file.extend(data_len.to_le_bytes());
    file.extend(data);
    file
}

fn fmt(tag: u16, channels: u16, rate_hz: u32, align: u16, bits: u16) -> Vec<u8> {
    let mut fmt = Vec::new();
    fmt.extend(tag.to_le_bytes());
    fmt.extend(channels.to_le_bytes());
    fmt.extend(rate_hz.to_le_bytes());
    fmt.extend((u32::from(align).wrapping_mul(rate_hz)).to_le_bytes());
    fmt.extend(align.to_le_bytes());
    fmt.extend(bits.to_le_bytes());
    fmt
}

#[test]
fn every_step_survives_a_round_trip() {
    let folder = Folder::new();
    let path = folder.at("a.wav");
    let all_16: Vec<f32> = (-32_768..32_768).map(|s| s as f32 / 32_768.0).collect();
    assert_eq!(write(&path, 2, WavFormat::Int16, &all_16), 0);
    let clip = read_all(&path, LIMIT).unwrap();
    assert_eq!(interleaved(&clip), all_16);
    assert_eq!(clip.format, SampleFormat::Int { bits: 16 });
    assert_eq!((clip.rate_hz, clip.truncated), (48_000, false));

    let mut rng = StableRng::new(1, 0);
    let mut some_24: Vec<f32> = (0..30_000)
        .map(|_| (rng.below(1 << 24) as i32 - (1 << 23)) as f32 / 8_388_608.0)
        .collect();
    some_24.extend([-1.0, 8_388_607.0 / 8_388_608.0, 0.0]);
    assert_eq!(write(&path, 3, WavFormat::Int24, &some_24), 0);
    let clip = read_all(&path, LIMIT).unwrap();
    assert_eq!(interleaved(&clip), some_24);
    assert_eq!(clip.format, SampleFormat::Int { bits: 24 });

    let floats: Vec<f32> = (0..6400).map(|_| rng.normal() as f32 * 3.0).collect();
    assert_eq!(write(&path, 64, WavFormat::Float32, &floats), 0);
    let clip = read_all(&path, LIMIT).unwrap();
    assert_eq!(interleaved(&clip), floats);
    assert_eq!(clip.format, SampleFormat::Float { bits: 32 });
}

#[test]
fn hound_reads_what_is_written() {
    let folder = Folder::new();
    let path = folder.at("a.wav");
    write(&path, 2, WavFormat::Int24, &[0.5, -0.5, 0.25, -1.0]);
    let mut reader = hound::WavReader::open(&path).unwrap();
    assert_eq!(reader.spec().bits_per_sample, 24);
    let samples: Vec<i32> = reader.samples().map(|s| s.unwrap()).collect();
    assert_eq!(samples, [4_194_304, -4_194_304, 2_097_152, -8_388_608]);
}

#[test]
fn every_wav_encoding_has_exact_scaling() {
    let folder = Folder::new();
    let cases: Vec<(Vec<u8>, Vec<u8>, Vec<f32>)> = vec![
        (
            fmt(1, 1, 8000, 1, 8),
            vec![0, 128, 255, 64],
            vec![-1.0, 0.0, 127.0 / 128.0, -0.5],
        ),
        (
            fmt(1, 1, 8000, 2, 16),
            vec![0, 0x80, 0xff, 0x7f],
            vec![-1.0, 32_767.0 / 32_768.0],
        ),
        (
            fmt(1, 1, 8000, 3, 24),
            vec![0, 0, 0x80, 1, 0, 0],
            vec![-1.0, 1.0 / 8_388_608.0],
        ),
        (fmt(1, 1, 8000, 4, 24), vec![0, 0, 0xc0, 0xff], vec![-0.5]),
        (
            fmt(1, 1, 8000, 4, 32),
            vec![0, 0, 0, 0x80, 0, 1, 0, 0],
            vec![-1.0, 1.0 / 8_388_608.0],
        ),
        (
            fmt(3, 1, 8000, 4, 32),
            1.5f32.to_le_bytes().to_vec(),
            vec![1.5],
        ),
        (
            fmt(3, 1, 8000, 8, 64),
            (-0.125f64).to_le_bytes().to_vec(),
            vec![-0.125],
        ),
    ];
    for (fmt, data, want) in &cases {
        let clip = folder
            .read_bytes(&wav(fmt, data.len() as u32, data))
            .unwrap();
        assert_eq!(&clip.channels[0], want);
        assert!(!clip.truncated);
        // The same in the long form.
        let mut long = fmt.clone();
        long[0..2].copy_from_slice(&0xfffeu16.to_le_bytes());
        long.extend([22, 0]);
        long.extend(&fmt[14..16]);
        long.extend([0; 4]);
        long.extend(&fmt[0..2]);
        long.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
        let clip = folder
            .read_bytes(&wav(&long, data.len() as u32, data))
            .unwrap();
        assert_eq!(&clip.channels[0], want);
    }
}

#[test]
fn broken_numbers_in_float_files_pass_and_are_never_written() {
    let folder = Folder::new();
    let data: Vec<u8> = [f32::NAN, f32::INFINITY, 0.5]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let clip = folder
        .read_bytes(&wav(&fmt(3, 1, 48_000, 4, 32), 12, &data))
        .unwrap();
    assert!(clip.channels[0][0].is_nan());
    assert_eq!(clip.channels[0][1..], [f32::INFINITY, 0.5]);
    for format in [WavFormat::Int16, WavFormat::Int24, WavFormat::Float32] {
        let path = folder.at("b.wav");
        let samples = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.5];
        assert!(write(&path, 1, format, &samples) >= 3);
        let back = read_all(&path, LIMIT).unwrap();
        let top = back.channels[0][1];
        assert!(top <= 1.0 && top > 0.999);
        assert_eq!(back.channels[0], [0.0, top, -1.0, 0.5]);
    }
}

#[test]
fn whole_numbers_round_and_limit() {
    let folder = Folder::new();
    let path = folder.at("a.wav");
    let step = 1.0 / 32_768.0;
    let clipped = write(
        &path,
        1,
        WavFormat::Int16,
        &[0.4 * step, 0.6 * step, -0.6 * step, 1.0, -1.0, 2.0, -1.5],
    );
    assert_eq!(clipped, 3);
    let top = 1.0 - step;
    assert_eq!(
        read_all(&path, LIMIT).unwrap().channels[0],
        [0.0, step, -step, top, -1.0, top, -1.0]
    );
}

#[test]
fn compressed_files_are_exact_where_the_format_is() {
    let folder = Folder::new();
    for (bytes, rate_hz) in [(FLAC_16, 44_100), (AIFF_16, 44_100)] {
        let clip = folder.read_bytes(bytes).unwrap();
        assert_eq!(
            (clip.rate_hz, clip.channels.len(), clip.frames()),
            (rate_hz, 2, 1200)
        );
        assert_eq!(clip.format, SampleFormat::Int { bits: 16 });
        assert!(!clip.truncated && !clip.damaged);
        for c in 0..2 {
            for i in 0..1200 {
                assert_eq!(
                    clip.channels[c][i],
                    ramp(i as i32, c as i32) as f32 / 32_768.0
                );
            }
        }
    }
    let clip = folder.read_bytes(FLAC_24).unwrap();
    assert_eq!((clip.rate_hz, clip.frames()), (96_000, 1200));
    assert_eq!(clip.format, SampleFormat::Int { bits: 24 });
    for i in 0..1200 {
        let want = (ramp(i, 1) * 200 + i % 7) as f32 / 8_388_608.0;
        assert_eq!(clip.channels[1][i as usize], want);
    }
}

#[test]
fn lossy_files_are_aligned_and_close() {
    let folder = Folder::new();
    for bytes in [MP3, OGG] {
        let clip = folder.read_bytes(bytes).unwrap();
        assert_eq!((clip.rate_hz, clip.channels.len()), (48_000, 1));
        assert_eq!(clip.format, SampleFormat::Lossy);
        let got = &clip.channels[0];
        assert!((9600..9600 + 1153).contains(&got.len()), "{}", got.len());
        let want: Vec<f32> = (0..9600)
            .map(|i| 0.5 * (std::f32::consts::TAU * 440.0 * i as f32 / 48_000.0).sin())
            .collect();
        let snr = crate::metrics::audio::snr_db(&want[2000..7000], &got[2000..7000]);
        assert!(snr > 15.0, "{snr}");
    }
}

#[test]
fn cut_wav_files_give_what_is_there_and_say_so() {
    let folder = Folder::new();
    let data: Vec<u8> = (0..200u8).collect();
    let whole = wav(&fmt(1, 2, 48_000, 4, 16), 200, &data);
    for len in 0..=whole.len() {
        match folder.read_bytes(&whole[..len]) {
            Ok(clip) => {
                assert_eq!(clip.frames(), (len - 44) / 4);
                assert_eq!(clip.truncated, len < whole.len());
            }
            Err(AudioFileError::Empty(_)) => assert_eq!(len, 0),
            Err(AudioFileError::NotAudio { .. }) => assert!(len < 44, "{len}"),
            Err(AudioFileError::NoSamples(_)) => assert!((36..48).contains(&len), "{len}"),
            Err(other) => panic!("{len}: {other}"),
        }
    }
}

#[test]
fn cut_flac_files_give_what_is_there_and_say_so() {
    let folder = Folder::new();
    let mut partial = 0;
    for len in 1..=FLAC_16.len() {
        match folder.read_bytes(&FLAC_16[..len]) {
            Ok(clip) => {
                assert_eq!(clip.truncated, clip.frames() < 1200);
                assert!(clip.frames() == 1200 || len < FLAC_16.len());
                partial += usize::from(clip.truncated);
                for (i, x) in clip.channels[0].iter().enumerate() {
                    assert!(clip.damaged || *x == ramp(i as i32, 0) as f32 / 32_768.0);
                }
            }
            Err(e) => assert!(
                matches!(
                    e,
                    AudioFileError::NotAudio { .. } | AudioFileError::NoSamples(_)
                ),
                "{len}: {e}"
            ),
        }
    }
    assert!(partial > 100, "{partial}");
}

#[test]
fn recordings_of_a_crashed_recorder_open() {
    let folder = Folder::new();
    let data = [1u8; 400];
    let mut file = wav(&fmt(1, 1, 48_000, 2, 16), 0, &data);
    file[4..8].fill(0);
    let clip = folder.read_bytes(&file).unwrap();
    assert_eq!((clip.frames(), clip.truncated), (200, true));
    // A stream of unknown length is complete.
    let file = wav(&fmt(1, 1, 48_000, 2, 16), u32::MAX, &data);
    let clip = folder.read_bytes(&file).unwrap();
    assert_eq!((clip.frames(), clip.truncated), (200, false));
}

#[test]
fn flipped_bits_never_panic_or_hang() {
    let folder = Folder::new();
    let data: Vec<u8> = (0..200u8).collect();
    let plain = wav(&fmt(1, 2, 48_000, 4, 16), 200, &data);
    for whole in [&plain[..], FLAC_16, FLAC_24, AIFF_16, MP3, OGG] {
        for at in 0..whole.len().min(200) {
            for bit in 0..8 {
                let mut bytes = whole.to_vec();
                bytes[at] ^= 1 << bit;
                // Any answer will do; coming back is what counts.
                let _ = folder.read_bytes(&bytes);
            }
        }
    }
}

#[test]
fn sizes_in_the_header_are_only_claims() {
    let folder = Folder::new();
    let file = wav(&fmt(1, 2, 48_000, 4, 16), u32::MAX - 8, &[0; 40]);
    let clip = folder.read_bytes(&file).unwrap();
    assert_eq!((clip.frames(), clip.truncated), (10, true));
    assert!(clip.channels[0].capacity() < 100_000);
    // RF64 with an impossible size.
    let mut file = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    file.extend([0xff; 28]);
    file.extend(&wav(&fmt(1, 2, 48_000, 4, 16), u32::MAX, &[0; 40])[12..]);
    let clip = folder.read_bytes(&file).unwrap();
    assert_eq!((clip.frames(), clip.truncated), (10, true));
    // FLAC whose header claims 2^36 - 1 samples.
    let mut bytes = FLAC_16.to_vec();
    bytes[21] |= 0x0f;
    bytes[22..26].fill(0xff);
    let clip = folder.read_bytes(&bytes).unwrap();
    assert_eq!((clip.frames(), clip.truncated), (1200, true));
}

#[test]
fn useless_files_get_a_sentence() {
    let folder = Folder::new();
    let sample = [0u8; 64];
    let read = |bytes: &[u8]| folder.read_bytes(bytes).unwrap_err();
    assert!(matches!(
        read(b"just some text, no sound at all"),
        AudioFileError::NotAudio { .. }
    ));
    assert!(matches!(
        read(&wav(&fmt(1, 1, 48_000, 2, 16), 0, &[])),
        AudioFileError::NoSamples(_)
    ));
    assert!(matches!(
        read(&wav(&fmt(1, 1, 999, 2, 16), 64, &sample)),
        AudioFileError::Rate { rate_hz: 999, .. }
    ));
    assert!(matches!(
        read(&wav(&fmt(1, 65, 48_000, 65, 8), 64, &[0; 65])),
        AudioFileError::Channels { channels: 65, .. } | AudioFileError::NoSamples(_)
    ));
    assert!(matches!(
        read(&wav(&fmt(2, 1, 48_000, 1, 4), 64, &sample)),
        AudioFileError::NotAudio { .. }
    ));
    assert!(matches!(
        read_all(folder.at("nowhere.wav"), LIMIT).unwrap_err(),
        AudioFileError::Missing(_)
    ));
    assert!(matches!(
        read_all(folder.0.path(), LIMIT).unwrap_err(),
        AudioFileError::IsFolder(_)
    ));
    fs::write(
        folder.at("long.wav"),
        wav(&fmt(1, 1, 48_000, 2, 16), 64, &sample),
    )
    .unwrap();
    assert!(read_all(folder.at("long.wav"), 32).is_ok());
    assert!(matches!(
        read_all(folder.at("long.wav"), 31).unwrap_err(),
        AudioFileError::TooLong { limit: 31, .. }
    ));
}

#[test]
fn any_block_size_reads_the_same() {
    let folder = Folder::new();
    for bytes in [FLAC_16, AIFF_16] {
        let path = folder.at("a");
        fs::write(&path, bytes).unwrap();
        let whole = interleaved(&read_all(&path, LIMIT).unwrap());
        for block in [2usize, 3, 14, 128, 5000] {
            let mut reader = AudioReader::open(&path).unwrap();
            let mut buffer = vec![0.0; block];
            let mut got = Vec::new();
            loop {
                let frames = reader.read_into(&mut buffer).unwrap();
                if frames == 0 {
                    break;
                }
                got.extend_from_slice(&buffer[..frames * 2]);
            }
            assert_eq!(got, whole);
            assert_eq!(reader.read_into(&mut []).unwrap(), 0);
        }
    }
}

#[test]
fn nothing_is_left_of_an_abandoned_file() {
    let folder = Folder::new();
    let path = folder.at("a.wav");
    fs::write(&path, b"before").unwrap();
    let mut writer = AudioWriter::create(&path, 48_000, 1, WavFormat::Int16).unwrap();
    writer.write(&[0.5; 100_000]).unwrap();
    let during = folder.entries();
    assert!(
        during
            .iter()
            .any(|n| n.starts_with('.') && n.ends_with(".part"))
    );
    drop(writer);
    assert_eq!(folder.entries(), ["a.wav"]);
    assert_eq!(fs::read(&path).unwrap(), b"before");
}

#[cfg(unix)]
#[test]
fn permissions_are_the_usual_or_the_existing_ones() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let usual = folder.at("usual");
    fs::write(&usual, b"").unwrap();
    let path = folder.at("a.wav");
    write(&path, 1, WavFormat::Int16, &[0.0]);
    assert_eq!(mode(&path), mode(&usual));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    write(&path, 1, WavFormat::Int16, &[0.0]);
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn writing_mistakes_get_a_sentence() {
    let folder = Folder::new();
    let create = |path: PathBuf, rate_hz, channels| {
        AudioWriter::create(path, rate_hz, channels, WavFormat::Int16)
            .err()
            .unwrap()
    };
    assert!(matches!(
        create(folder.at("no/a.wav"), 48_000, 1),
        AudioFileError::FolderMissing(_)
    ));
    assert!(matches!(
        create(folder.0.path().into(), 48_000, 1),
        AudioFileError::IsFolder(_)
    ));
    assert!(matches!(
        create(folder.at("a.wav"), 48_000, 0),
        AudioFileError::Channels { .. }
    ));
    assert!(matches!(
        create(folder.at("a.wav"), 48_000, 65),
        AudioFileError::Channels { .. }
    ));
    assert!(matches!(
        create(folder.at("a.wav"), 0, 1),
        AudioFileError::Rate { .. }
    ));
    let mut writer = AudioWriter::create(folder.at("a.wav"), 48_000, 2, WavFormat::Int16).unwrap();
    assert!(matches!(
        writer.write(&[0.0; 3]).unwrap_err(),
        AudioFileError::PartialFrame { .. }
    ));
}

#[test]
fn a_damaged_stretch_is_silent_and_the_rest_stays_in_place() {
    let folder = Folder::new();
    // Blocks of 576 frames: this byte lies in the first of three.
    let mut bytes = FLAC_16.to_vec();
    bytes[300] ^= 0x10;
    let clip = folder.read_bytes(&bytes).unwrap();
    assert_eq!(
        (clip.frames(), clip.damaged, clip.truncated),
        (1200, true, false)
    );
    for (i, x) in clip.channels[1].iter().enumerate() {
        let want = if i < 576 { 0 } else { ramp(i as i32, 1) };
        assert_eq!(*x, want as f32 / 32_768.0, "{i}");
    }
}

#[test]
fn hum_is_out_of_a_recording_from_its_first_sample() {
    let folder = Folder::new();
    let (input, output) = (folder.at("in.wav"), folder.at("out.wav"));
    let hum: Vec<f32> = hum(48_000, 50.0, 6.0).iter().map(|x| 0.1 * x).collect();
    write(&input, 1, WavFormat::Float32, &hum);
    let model = DenoiserModel::from_bytes(embedded::bytes("guitar").unwrap()).unwrap();
    let method = Method::Spectral(model.chain(Mode::Live).unwrap().clone());
    // Noise so soft that nothing but the canceller takes the hum out.
    let soft = vec![1e-6f32; 48_000];
    let mut rng = StableRng::new(4, 0);
    let soft: Vec<f32> = soft.iter().map(|s| s * rng.normal() as f32).collect();
    let job = FileJob {
        input,
        output: output.clone(),
        format: None,
        noise: FileNoise::Recording(Arc::new(AudioClip {
            rate_hz: 48_000,
            channels: vec![soft.clone()],
            ..read_all(folder.at("in.wav"), u64::MAX).unwrap()
        })),
        follow_level: false,
        linked: true,
        amount_db: 100.0,
        heard: Output::Denoised,
    };
    denoise_file(&method, &job, &mut |_| Control::Continue).unwrap();
    let from_file = read_all(&output, u64::MAX).unwrap().channels.remove(0);
    let learned = NoiseSpectrum::learn(48_000, &[&soft]).unwrap();
    let from_signal =
        denoise_signal(&method, 48_000, &hum, SignalNoise::Fixed(vec![learned])).unwrap();
    let power = |x: &[f32]| x.iter().take(48_000).map(|x| x * x).sum::<f32>();
    for out in [from_file, from_signal] {
        assert_eq!(out.len(), hum.len());
        assert!(
            power(&out) < 1e-2 * power(&hum),
            "{}",
            power(&out) / power(&hum)
        );
    }
}

#[test]
fn a_learned_whine_is_taken_from_under_a_note_of_its_pitch() {
    let seconds = 5 * 48_000;
    let comb = |hz: f64, decay: f64| -> Vec<f32> {
        let at = |i: usize| {
            let t = i as f64 / 48_000.0;
            let line = |h: i32| (std::f64::consts::TAU * hz * f64::from(h) * t).sin();
            0.02 * (1..10).map(line).sum::<f64>() * (-decay * (t % 1.0)).exp()
        };
        (0..seconds).map(|i| at(i) as f32).collect()
    };
    let (whine, note) = (comb(1000.03, 0.0), comb(1002.5, 2.0));
    let noisy: Vec<f32> = whine.iter().zip(&note).map(|(w, n)| w + n).collect();
    let learned = NoiseSpectrum::learn(48_000, &[&whine[..96_000]]).unwrap();
    let model = DenoiserModel::from_bytes(embedded::bytes("guitar").unwrap()).unwrap();
    let chain = model.chain(Mode::Live).unwrap();
    let streamed = |told: bool| {
        let known = NoiseSource::Known(vec![learned.clone()]);
        let mut stream = StreamDenoiser::new(chain, 48_000, 1, known);
        if told {
            stream.assume_noise(0, &learned);
        }
        let latency = stream.latency_samples();
        let mut out = noisy.clone();
        out.resize(seconds + latency, 0.0);
        stream.process(&mut [&mut out]);
        out.split_off(latency)
    };
    let method = Method::Spectral(chain.clone());
    let fixed = SignalNoise::Fixed(vec![learned.clone()]);
    let whole = denoise_signal(&method, 48_000, &noisy, fixed).unwrap();
    let error_db = |out: &[f32], from: usize| {
        let error = out
            .iter()
            .zip(&note)
            .skip(from)
            .map(|(o, n)| (o - n).powi(2));
        let power: f32 = note.iter().skip(from).map(|n| n * n).sum();
        10.0 * (error.sum::<f32>() / power).log10()
    };
    let by_gains = error_db(&streamed(false), 48_000);
    let told = error_db(&streamed(true), 48_000);
    let whole = error_db(&whole, 0);
    println!("{by_gains} {told} {whole}");
    assert!(told < by_gains - 5.0, "{told} {by_gains}");
    assert!(whole < by_gains - 5.0, "{whole} {by_gains}");
}

//! Spectrograms of fixed size from streams of any length.

use std::path::Path;

use realfft::num_complex::Complex32;

use super::file_error::AudioFileError;
use super::reader::AudioReader;
use super::stft::{FrameDurations, FrameTransform, TransformScratch};

/// Window of a spectrogram: 85 ms.
const FRAMES: FrameDurations = FrameDurations::symmetric(4096, 8);
/// Most windows averaged in a column.
const WINDOWS_PER_COLUMN: u64 = 4;
/// Lowest power, -160 dB.
const FLOOR: f64 = 1e-16;

/// A spectrogram that grows while samples come in: columns of equal duration, rows of equal ratio in frequency.
pub struct Spectrogram {
    transform: FrameTransform,
    scratch: TransformScratch,
    spectrum: Vec<Complex32>,
    recent: Vec<f32>,
    bins_of_row: Vec<(usize, usize)>,
    rows: usize,
    columns: usize,
    total: u64,
    hop: u64,
    seen: u64,
    next: u64,
    sum: Vec<f64>,
    count: Vec<u32>,
}

impl Spectrogram {
    /// A spectrogram of `total` samples to come, `low_hz` (first row) to `high_hz` (last row).
    #[must_use]
    pub fn new(
        rate_hz: u32,
        total: u64,
        columns: usize,
        rows: usize,
        low_hz: f64,
        high_hz: f64,
    ) -> Self {
        let (columns, rows) = (columns.max(1), rows.max(1));
        let shape = FRAMES.at_rate(rate_hz);
        let transform = FrameTransform::new(shape);
        let bin = |row: usize| {
            let hz = low_hz * libm::pow(high_hz / low_hz, row as f64 / rows as f64);
            hz * shape.window as f64 / f64::from(rate_hz)
        };
        let bins_of_row = (0..rows)
            .map(|row| {
                let from = bin(row).round() as usize;
                (from, (bin(row + 1).round() as usize).max(from + 1))
            })
            .collect();
        let hop = (total / (columns as u64 * WINDOWS_PER_COLUMN)).max(shape.hop as u64);
        Self {
            scratch: transform.make_scratch(),
            transform,
            spectrum: vec![Complex32::default(); shape.bins()],
            recent: vec![0.0; shape.window],
            bins_of_row,
            rows,
            columns,
            total: total.max(1),
            hop,
            seen: 0,
            next: shape.window as u64 / 2,
            sum: vec![0.0; columns * rows],
            count: vec![0; columns],
        }
    }

    /// Takes samples in.
    pub fn push(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let n = usize::try_from(self.next - self.seen)
                .unwrap_or(usize::MAX)
                .min(samples.len());
            let (now, later) = samples.split_at(n);
            samples = later;
            let window = self.recent.len();
            let kept = &now[now.len().saturating_sub(window)..];
            self.recent.rotate_left(kept.len());
            self.recent[window - kept.len()..].copy_from_slice(kept);
            self.seen += n as u64;
            if self.seen == self.next {
                self.take_frame();
                self.next += self.hop;
            }
        }
    }

    fn take_frame(&mut self) {
        let centre = self.seen.saturating_sub(self.recent.len() as u64 / 2);
        let column = (u128::from(centre) * self.columns as u128 / u128::from(self.total)) as usize;
        let column = column.min(self.columns - 1);
        self.transform
            .analyse_into(&self.recent, &[], &mut self.scratch, &mut self.spectrum);
        self.count[column] += 1;
        for (row, (from, to)) in self.bins_of_row.iter().enumerate() {
            let to = (*to).min(self.spectrum.len());
            let bins = &self.spectrum[(*from).min(to)..to];
            let power = bins
                .iter()
                .map(|b| f64::from(b.norm_sqr()))
                .fold(0.0, f64::max);
            self.sum[column * self.rows + row] += power;
        }
    }

    /// The levels in dB, column by column, each from the lowest row up; columns that no window fell into repeat the
    /// one before.
    #[must_use]
    pub fn finish(mut self) -> Vec<f32> {
        // The last half window.
        let rest = vec![0.0; self.recent.len() / 2];
        self.push(&rest);
        let mut levels = vec![10.0 * libm::log10(FLOOR) as f32; self.sum.len()];
        for column in 0..self.columns {
            let start = column * self.rows;
            if self.count[column] == 0 {
                if column > 0 {
                    levels.copy_within(start - self.rows..start, start);
                }
                continue;
            }
            let scale = 1.0 / f64::from(self.count[column]);
            for (level, sum) in levels[start..start + self.rows]
                .iter_mut()
                .zip(&self.sum[start..])
            {
                *level = 10.0 * libm::log10((sum * scale).max(FLOOR)) as f32;
            }
        }
        levels
    }
}

/// The spectrograms of a recording, of its denoised version, and of the difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The recording, as from [`Spectrogram::finish`].
    pub before: Vec<f32>,
    /// Its denoised version.
    pub after: Vec<f32>,
    /// What was taken away.
    pub removed: Vec<f32>,
    /// Length in seconds.
    pub seconds: f64,
}

impl Comparison {
    /// Reads a recording and the result of denoising it (or, with `residual`, what was removed from it): `size` is
    /// (columns, rows), `range_hz` from the first to the last row.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of_files(
        recording: &Path,
        result: &Path,
        residual: bool,
        size: (usize, usize),
        range_hz: (f64, f64),
    ) -> Result<Self, AudioFileError> {
        let mut result = AudioReader::open(result)?;
        let mut recording = AudioReader::open(recording)?;
        let spec = result.spec();
        let total = spec.frames.unwrap_or(1);
        let new = || Spectrogram::new(spec.rate_hz, total, size.0, size.1, range_hz.0, range_hz.1);
        let (mut before, mut after, mut removed) = (new(), new(), new());
        let mut blocks = [
            vec![0.0f32; 4096 * spec.channels],
            vec![0.0f32; 4096 * recording.spec().channels],
        ];
        loop {
            let [a, b] = &mut blocks;
            let frames = result.read_into(a)?.min(recording.read_into(b)?);
            if frames == 0 {
                break;
            }
            let [result, recording] = [
                mono(a, spec.channels, frames),
                mono(b, recording.spec().channels, frames),
            ];
            let rest: Vec<f32> = recording.iter().zip(&result).map(|(x, y)| x - y).collect();
            before.push(&recording);
            after.push(if residual { &rest } else { &result });
            removed.push(if residual { &result } else { &rest });
        }
        Ok(Self {
            before: before.finish(),
            after: after.finish(),
            removed: removed.finish(),
            seconds: total as f64 / f64::from(spec.rate_hz),
        })
    }
}

/// The mean of the channels; broken samples count as silence.
fn mono(interleaved: &[f32], channels: usize, frames: usize) -> Vec<f32> {
    let finite = |x: &f32| if x.abs() <= 1e4 { *x } else { 0.0 };
    interleaved
        .chunks_exact(channels.max(1))
        .take(frames)
        .map(|frame| frame.iter().map(finite).sum::<f32>() / channels.max(1) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_lights_up_its_row_for_as_long_as_it_sounds() {
        let rate = 48_000;
        let x: Vec<f32> = (0..96_000)
            .map(|i| {
                if i < 48_000 {
                    (i as f32 * std::f32::consts::TAU * 1000.0 / rate as f32).sin()
                } else {
                    0.0
                }
            })
            .collect();
        for block in [1000, 96_000] {
            let mut s = Spectrogram::new(rate, 96_000, 20, 60, 40.0, 20_000.0);
            x.chunks(block).for_each(|b| s.push(b));
            let levels = s.finish();
            assert_eq!(levels.len(), 20 * 60);
            let loudest = |column: usize| {
                (0..60)
                    .max_by(|a, b| levels[column * 60 + a].total_cmp(&levels[column * 60 + b]))
                    .unwrap()
            };
            // 1000 Hz is at 60 log(25) / log(500) = 31.1.
            assert!((30..=32).contains(&loudest(4)), "{}", loudest(4));
            assert!(levels[18 * 60 + 31] < levels[4 * 60 + 31] - 80.0);
        }
    }
}
